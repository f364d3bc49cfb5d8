"""Is this file ours, what made it, and is it still what was written?

One answer for every kind of output: volumes, label maps, DICOM series and
segmentations, pictures and accounts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .account import account_is_unchanged, read_account
from .errors import BadInput, NotOurs
from .formats import png
from .formats.files import format_of, read_ct, read_layers, stamp_of
from .plain import from_plain
from .provenance import STAMP_KEY, Provenance, Stamp, read_stamp


@dataclass(frozen=True)
class Verdict:
    """What a file says of itself, and what is no longer as it was written."""

    path: Path
    part: str
    provenance: Provenance
    changes: tuple[str, ...] = ()

    @property
    def unchanged(self) -> bool:
        return not self.changes

    def sentence(self) -> str:
        state = "unchanged" if self.unchanged else "CHANGED: " + "; ".join(self.changes)
        return f"{self.path}: synthetic {self.part} by {self.provenance.sentence()}; {state}."


def verify(path: Path) -> Verdict:
    """The verdict on one file or DICOM folder; NotOurs when it carries no stamp."""
    if not path.exists():
        raise BadInput(f"There is no file {path}; check its name.")
    if path.is_file() and png.is_png(path):
        return _verify_picture(path)
    account = read_account(path) if path.is_file() and path.suffix == ".json" else None
    if account is not None:
        provenance = from_plain(Provenance, account["provenance"])
        changes = () if account_is_unchanged(account) else ("its text is not what was written",)
        return Verdict(path, "account", provenance, changes)
    try:
        format_of(path)
    except BadInput:
        raise _not_ours(path) from None
    stamp = stamp_of(path)
    if stamp is None:
        raise _not_ours(path)
    volume = read_ct(path) if stamp.part == "ct" else read_layers(path)
    return Verdict(path, stamp.part, stamp.provenance, tuple(stamp.changes(volume)))


def _verify_picture(path: Path) -> Verdict:
    content = png.read(path)
    stamp: Stamp | None = read_stamp(content.texts.get(STAMP_KEY, ""))
    if stamp is None:
        raise _not_ours(path)
    same = content.rows_sha256 == stamp.voxels_sha256
    return Verdict(path, stamp.part, stamp.provenance, () if same else ("its pixels are not those that were written",))


def _not_ours(path: Path) -> NotOurs:
    return NotOurs(f"{path} carries no account of text2ct; it was not made here, or its header was stripped.")
