"""Is this file ours, what made it, and is it still what was written?

One answer for every kind of output: volumes, label maps, DICOM series and
segmentations, pictures and accounts. A file that carries our stamp but can no longer
be read is a changed file, not somebody else's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .account import account_is_unchanged, read_account
from .errors import BadInput, BadRequest, ChangedSinceMade, NotOurs, UnknownFormat
from .formats import png
from .formats.files import format_of, read_ct, read_layers, stamp_of
from .plain import from_plain
from .provenance import STAMP_KEY, Provenance, Stamp, read_stamp
from .volume import Volume

ACCOUNT = "account.json"


@dataclass(frozen=True)
class Verdict:
    """What a file says of itself, and what is no longer as it was written."""

    path: Path
    part: str
    provenance: Provenance | None
    changes: tuple[str, ...] = ()

    @property
    def unchanged(self) -> bool:
        return not self.changes

    def sentence(self) -> str:
        state = "unchanged" if self.unchanged else "CHANGED: " + "; ".join(self.changes)
        made = f" by {self.provenance.sentence()}" if self.provenance else ""
        return f"{self.path}: synthetic {self.part}{made}; {state}."


def parts_of(path: Path) -> list[Path]:
    """What there is to verify: the files of a result folder, or the path itself."""
    if path.is_dir() and read_account(path / ACCOUNT) is not None:
        return sorted(path.iterdir())
    return [path]


def verify(path: Path) -> Verdict:
    """The verdict on one file or DICOM folder; NotOurs when it carries no stamp."""
    if not path.exists():
        raise BadInput(f"There is no file {path}; check its name.")
    if path.is_file() and png.is_png(path):
        return _verify_picture(path)
    account = read_account(path) if path.is_file() and path.suffix == ".json" else None
    if account is not None:
        return _verify_account(path, account)
    try:
        format_of(path)
    except UnknownFormat:
        raise _not_ours(path) from None
    stamp = stamp_of(path)
    if stamp is None:
        raise _not_ours(path)
    try:
        changes = stamp.changes(read_ct(path) if stamp.part == "ct" else read_layers(path))
    except BadInput as error:
        changes = [str(error).rstrip(".")]
    return Verdict(path, stamp.part, stamp.provenance, tuple(changes))


def refuse_changed(path: Path, stamp: Stamp | None, volumes: Sequence[Volume]) -> None:
    """Do not go on with the volumes of a file that are no longer what its stamp says."""
    changes = stamp.changes(volumes) if stamp is not None else []
    if changes:
        raise ChangedSinceMade(f"{path} was made here but {'; '.join(changes)}; use the file as it was written.")


def _verify_account(path: Path, account: dict[str, object]) -> Verdict:
    changes = () if account_is_unchanged(account) else ("its text is not what was written",)
    try:
        provenance = from_plain(Provenance, account["provenance"])
    except BadRequest:
        provenance = None
    return Verdict(path, "account", provenance, changes)


def _verify_picture(path: Path) -> Verdict:
    content = png.read(path)
    stamp = read_stamp(content.texts.get(STAMP_KEY, ""))
    if stamp is None:
        raise _not_ours(path)
    same = content.sha256 == stamp.voxels_sha256 and stamp == stamp.sealed()
    return Verdict(path, stamp.part, stamp.provenance, () if same else ("its pixels are not those that were written",))


def _not_ours(path: Path) -> NotOurs:
    return NotOurs(f"{path} carries no account of text2ct; it was not made here, or its header was stripped.")
