"""How the command line speaks: results on stdout, everything else on stderr.

With --json the results are one JSON object and nothing else goes to stdout. On a
terminal progress is one line that is redrawn; elsewhere it is a plain line a stage,
or, with --progress json, one JSON object a step for a program that watches.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TextIO

from ..requests import Progress, ProgressSink

_WIDTH = 28


@dataclass(frozen=True)
class Console:
    """Where a command says what. `quiet` drops notes and progress, `json` makes results machine-readable."""

    quiet: bool = False
    verbose: bool = False
    json: bool = False
    progress_as: str = "auto"

    def line(self, text: str = "") -> None:
        """A result for people."""
        if not self.json:
            _put(sys.stdout, text + "\n")

    def data(self, values: Any) -> None:
        """A result for programs: one JSON value, only with --json."""
        if self.json:
            _put(sys.stdout, json.dumps(values, ensure_ascii=False, indent=2, allow_nan=False) + "\n")

    def note(self, text: str) -> None:
        """What happens meanwhile."""
        if not self.quiet:
            _put(sys.stderr, text + "\n")

    @contextmanager
    def progress(self) -> Iterator[ProgressSink | None]:
        """A sink that shows progress while the block runs; None when quiet."""
        if self.progress_as == "json":
            yield _json_line
        elif self.quiet or self.progress_as == "none":
            yield None
        elif sys.stderr.isatty():
            try:
                yield _draw_bar
            finally:
                _put(sys.stderr, "\r\x1b[K")
        else:
            yield _StageLines()


def _put(stream: TextIO, text: str) -> None:
    """Write, and go on with the work when nobody listens any more (a closed pipe, a full disk behind it)."""
    with suppress(OSError, ValueError):
        stream.write(text)
        stream.flush()


def _json_line(progress: Progress) -> None:
    step = {"stage": progress.stage, "step": progress.step, "total": progress.total,
            "seconds": round(progress.seconds, 3)}
    _put(sys.stderr, json.dumps(step) + "\n")


def _draw_bar(progress: Progress) -> None:
    done = min(1.0, progress.step / max(1, progress.total))
    bar = "#" * round(_WIDTH * done) + "." * (_WIDTH - round(_WIDTH * done))
    _put(sys.stderr, f"\r\x1b[K[{bar}] {progress.stage} {progress.step}/{progress.total}  {progress.seconds:.0f} s")


class _StageLines:
    """One plain line when a stage begins, for logs and pipes."""

    def __init__(self) -> None:
        self._stage = ""

    def __call__(self, progress: Progress) -> None:
        if progress.stage != self._stage:
            self._stage = progress.stage
            _put(sys.stderr, f"{progress.seconds:7.1f} s  {progress.stage}\n")


def common_options() -> argparse.ArgumentParser:
    """The options that every command takes."""
    common = argparse.ArgumentParser(add_help=False)
    loudness = common.add_mutually_exclusive_group()
    loudness.add_argument("-q", "--quiet", action="store_true", help="say only results and errors")
    loudness.add_argument("-v", "--verbose", action="store_true", help="say more")
    common.add_argument("--progress", choices=("auto", "json", "none"), default="auto", dest="progress_as",
                        help="how to show progress (default: a bar on a terminal, else a line a stage)")
    common.add_argument("--json", action="store_true", help="print results as one JSON value")
    return common
