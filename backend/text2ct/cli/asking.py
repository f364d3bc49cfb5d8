"""Options that several commands share, and how their texts become values."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from ..engines import catalog
from ..engines.run import run as run_here
from ..engines.terms import Task
from ..errors import BadInput
from ..requests import MAX_REPORT, CancelToken, Request, Result
from .console import Console

if TYPE_CHECKING:
    from ..client import Service

KEY_VARIABLE = "TEXT2CT_KEY"
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
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise BadInput(f"{file} is not a text in UTF-8 or Windows-1252; save it as plain text.")


def add_engine_options(parser: argparse.ArgumentParser, task: Task) -> None:
    """--engine and --weights, with the engines that the catalog has for this task."""
    default = catalog.DEFAULTS[task]
    able = [e.id for e in catalog.ENGINES.values() if task in e.tasks]
    parser.add_argument("--engine", default=default, metavar="NAME", help=f"one of {', '.join(able)} "
                        f"(default: {default}; see 'text2ct engines')")
    parser.add_argument("--weights", default="", metavar="SET", help="weight set of the engine (default: the first "
                        "that is here; see 'text2ct weights list')")


def add_sampling_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="same seed, same result (default: 0)")
    parser.add_argument("--preset", choices=("draft", "standard", "best"), default="standard",
                        help="speed against quality (default: standard)")
    parser.add_argument("--steps", type=int, metavar="N", help="sampling steps, for engines that sample")
    parser.add_argument("--device", default="auto", metavar="NAME", type=_device,
                        help="auto, cpu, cuda, cuda:N or mps (default: auto)")


def add_server_options(parser: argparse.ArgumentParser, required: bool = False) -> None:
    """--server and what is needed to be let in; a key is never an argument, where others could read it."""
    place = parser.add_argument_group("a server", f"the key stands in the environment as {KEY_VARIABLE}, or in a file")
    place.add_argument("--server", default="", metavar="URL", required=required, help="do it there, not here")
    place.add_argument("--key-file", type=Path, metavar="FILE", help="a file that holds the key alone")
    place.add_argument("--ca", type=Path, metavar="FILE", help="trust this certificate (PEM), for one of your own")


def server_of(args: argparse.Namespace) -> Service | None:
    """The server that the options name, None for this machine."""
    if not args.server:
        if args.key_file or args.ca:
            raise BadInput("--key-file and --ca say how to reach a server; name it with --server URL.")
        return None
    if args.ca and not args.ca.is_file():
        raise BadInput(f"There is no file {args.ca}; check its name.")
    if args.key_file and not args.key_file.is_file():  # its name is not repeated: it may be the key itself
        raise BadInput(f"--key-file names no file; put the key into one, or into the environment as {KEY_VARIABLE}.")
    from ..client import Service
    key = read_text(args.key_file) if args.key_file else os.environ.get(KEY_VARIABLE, "")
    return Service(args.server, key, str(args.ca) if args.ca else True)


def ask(request: Request, console: Console, device: str = "auto", server: Service | None = None) -> Result:
    """Run a request, here or on a server, with progress shown; Ctrl-C cancels it cleanly."""
    if server is not None and device != "auto":
        raise BadInput("A server chooses its devices itself; leave --device out with --server.")
    token = CancelToken()
    with console.progress() as sink, _interrupt_cancels(token):
        return server.run(request, sink, token, previews=False) if server else run_here(request, sink, token, device)


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
