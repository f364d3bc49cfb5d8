"""The command `text2ct`: finds the command, runs it, and turns failures into one line.

Exit codes: 0 done; 1 a defect of ours; 2 input or options that cannot be used; 3 a file
of ours that was changed; 4 a file that is not ours; 5 weights missing or refused; 6
something this machine lacks; 130 cancelled.
"""

from __future__ import annotations

import argparse
import io
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import NoReturn

from .. import __version__
from ..errors import Text2CTError
from . import convert, engines, generate, info, jobs, lesion, picture, report, score, serve, verify, weights
from .console import Console, common_options

COMMANDS = (generate, lesion, score, report, engines, weights, serve, jobs, convert, info, verify, picture)
_EXIT_CODES = """exit codes:
  0 done   1 a defect of text2ct   2 unusable input or options   3 file changed since it was made
  4 file not made here   5 weights missing or refused   6 memory, disk, package or network lacking   130 cancelled"""


class _Parser(argparse.ArgumentParser):
    """Bad use is one line and what to do, like every other failure."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{message[0].upper()}{message[1:]}; see: {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    args = _parser().parse_args(arguments)
    console = Console(args.quiet, args.verbose, args.json, args.progress_as)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return int(args.run(args, console))
    except Text2CTError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("Cancelled; no half-written file was left.", file=sys.stderr)
        return 130
    except MemoryError:
        print("The memory of this machine did not suffice; close other programs or ask for a smaller grid.",
              file=sys.stderr)
        return 6
    except OSError as error:
        place = f"{str(error.filename)[:80]}: " if error.filename else ""
        print(f"The system refused: {place}{error.strerror or error}; check names and permissions.", file=sys.stderr)
        return 6
    except Exception as error:
        if args.verbose:
            traceback.print_exc()
        print(f"A defect of text2ct: {type(error).__name__}: {error}; please report it with the output of the same "
              "command and -v.", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="text2ct", description="Synthetic chest CT from a report, and lesions painted into a CT.",
                     epilog=_EXIT_CODES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"text2ct {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    common = common_options()
    for command in COMMANDS:
        command.add(commands, common)
    return parser
