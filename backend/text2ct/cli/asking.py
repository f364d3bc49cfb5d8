"""Options that several commands share, and how their texts become values."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from ..engines import catalog
from ..engines.run import run
from ..engines.terms import Task
from ..errors import BadInput
from ..requests import MAX_REPORT, CancelToken, Request, Result
from .console import Console

_MAX_BYTES = 8 * MAX_REPORT


def read_report(given: str | None, file: Path | None) -> str:
    """The report from --report or from a file, '-' for standard input."""
    if given is not None:
        return given
    if file is None:
        raise BadInput("No report was given; name a file, - for standard input, or use --report \"TEXT\".")
    return read_text(file)


def read_text(file: Path) -> str:
    """A text file, '-' for standard input."""
    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(_MAX_BYTES + 1)
        else:
            with file.open("rb") as stream:
                data = stream.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise BadInput(f"There is no file {file}; check its name.") from None
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}; check it.") from error
    if len(data) > _MAX_BYTES or b"\0" in data:
        raise BadInput(f"{file} is no report: it is too large or not a text; give a plain text file.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def add_engine_options(parser: argparse.ArgumentParser, task: Task) -> None:
    """--engine and --weights, with the engines that the catalog has for this task."""
    default = catalog.DEFAULTS[task]
    able = [e.id for e in catalog.ENGINES.values() if task in e.tasks]
    parser.add_argument("--engine", default=default, metavar="NAME", help=f"one of {', '.join(able)} "
                        f"(default: {default}; see 'text2ct engines')")
    parser.add_argument("--weights", default="", metavar="SET", help="weight set of the engine (default: its first)")


def add_sampling_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="same seed, same result (default: 0)")
    parser.add_argument("--preset", choices=("draft", "standard", "best"), default="standard",
                        help="speed against quality (default: standard)")
    parser.add_argument("--steps", type=int, metavar="N", help="sampling steps, for engines that sample")
    parser.add_argument("--device", default="auto", metavar="NAME", type=_device,
                        help="auto, cpu, cuda, cuda:N or mps (default: auto)")


def ask(request: Request, console: Console, device: str = "auto") -> Result:
    """Run a request with progress shown; Ctrl-C cancels it cleanly."""
    token = CancelToken()
    with console.progress() as sink, _interrupt_cancels(token):
        return run(request, sink, token, device)


def _device(text: str) -> str:
    name, _, number = text.partition(":")
    if name not in ("auto", "cpu", "cuda", "mps") or (number and not (name == "cuda" and number.isdigit())):
        raise argparse.ArgumentTypeError(f"'{text}' is no device: use auto, cpu, cuda, cuda:N or mps")
    return text


@contextmanager
def _interrupt_cancels(token: CancelToken) -> Iterator[None]:
    """The first Ctrl-C asks the engine to stop at its next step, the second one stops at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupted(number: int, frame: FrameType | None) -> None:
        if token.cancelled:
            raise KeyboardInterrupt
        token.cancel()

    before = {n: signal.signal(n, interrupted) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
