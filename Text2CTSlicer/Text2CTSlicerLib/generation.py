"""One generation as the command line of text2ct sees it: its arguments, its progress, its results.

Plain Python without Qt or MRML, so that it is tested anywhere.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from text2ct.provenance import Provenance
    from text2ct.requests import Progress
    from text2ct.volume import CTVolume, LabelVolume

WORKER = Path(__file__).with_name("worker.py")
CANCELLED = 130


@dataclass(frozen=True)
class Order:
    """What the panel asks for."""

    report: str
    seed: int
    preset: str
    engine: str = "phantom"


@dataclass(frozen=True)
class Made:
    """What came of it, read from the folder that the command line wrote."""

    ct: CTVolume
    layers: tuple[LabelVolume, ...]
    provenance: Provenance


def prepare(order: Order, backend: Path, folder: Path) -> list[str]:
    """Write the report into `folder`; the arguments after the name of the Python program."""
    report = folder / "report.txt"
    report.write_text(order.report, encoding="utf-8")
    return [str(WORKER), str(backend), "generate", "-i", str(report), "-o", f"{folder / 'result'}/",
            "--engine", order.engine, "--preset", order.preset, "--seed", str(order.seed), "--progress", "json"]


def read(folder: Path) -> Made:
    """The results of a run that ended well."""
    from text2ct.account import read_account
    from text2ct.formats.files import read_ct, read_layers
    from text2ct.plain import from_plain
    from text2ct.provenance import Provenance

    result = folder / "result"
    labels = result / "labels.seg.nrrd"
    account = read_account(result / "account.json")
    if account is None:
        raise RuntimeError("The engine wrote no account of its result; generate it again.")
    return Made(read_ct(result / "ct.nii.gz"), read_layers(labels) if labels.is_file() else (),
                from_plain(Provenance, account["provenance"]))


def presets(engine: str = "phantom") -> list[tuple[str, str]]:
    """The presets of an engine as the catalog has them: name, and words for the menu."""
    from text2ct.engines import catalog
    from text2ct.geometry import times

    return [(name, f"{name}: {times(preset.shape)}, {preset.summary}")
            for name, preset in catalog.engine(engine, "generate").presets.items()]


class Listener:
    """Takes what the child writes on standard error in pieces of any size, and makes sense of it line by line."""

    def __init__(self) -> None:
        self._rest = b""
        self._last_words = ""

    def hear(self, data: bytes) -> list[Progress]:
        """The progress that the lines completed by `data` tell of."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [progress for line in lines if (progress := self._understand(line)) is not None]

    def sentence(self, exit_code: int) -> str:
        """Why a run failed, for the person who asked for it."""
        self.hear(b"\n")
        if exit_code == CANCELLED:
            return "Cancelled; nothing was added to the scene."
        return self._last_words or f"The engine stopped without a word (exit code {exit_code}); try a smaller preset."

    def _understand(self, line: bytes) -> Progress | None:
        from text2ct.requests import Progress

        text = line.decode("utf-8", "replace").strip()
        try:
            said = json.loads(text)
            return Progress(str(said["stage"]), int(said["step"]), int(said["total"]), float(said["seconds"]))
        except (ValueError, TypeError, KeyError):
            self._last_words = text or self._last_words
            return None
