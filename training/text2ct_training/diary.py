"""What a run says about itself: a line of JSON each time, and curves where TensorBoard is installed."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any


class Diary:
    """`log.jsonl` in the folder of the run, kept by one process. Steps that are taken again appear again."""

    def __init__(self, folder: Path, wanted: bool) -> None:
        self._lines = (folder / "log.jsonl").open("a", encoding="utf-8") if wanted else None
        self._curves = _tensorboard(folder) if wanted else None

    def say(self, sentence: str) -> None:
        """For whoever watches; it is no number, so it stands in no file."""
        if self._lines is not None:
            print(sentence, file=sys.stderr, flush=True)

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        if self._lines is None:
            return
        self._lines.write(json.dumps({"step": step, **numbers}) + "\n")
        self._lines.flush()
        if self._curves is not None:
            for name, value in numbers.items():
                self._curves.add_scalar(name, value, step)
        said = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        print(f"step {step}: {said}", file=sys.stderr, flush=True)

    def __enter__(self) -> Diary:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._lines is not None:
            self._lines.close()
        if self._curves is not None:
            self._curves.close()


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "curves"))
