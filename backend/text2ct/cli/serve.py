"""`text2ct serve`: run a server, or manage the keys of one.

Started with --with-parent it is the child of another program: the one-time key comes
as the first line of stdin, and when stdin closes the parent is gone, and so are we.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from pathlib import Path
from typing import TextIO

from .. import __version__
from ..errors import BadInput, Unavailable
from ..service.options import Limits, Options, Patience, Retention
from ..weights.home import home
from .console import Console

_GONE_S = 5.0
_MOST_KEY = 200


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "serve", parents=[common], help="run requests for others, here or over the network",
        description="Run a server. By default it listens on this machine only, and needs no key there.")
    defaults = Options(Path())
    parser.add_argument("--host", default=defaults.host, help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=defaults.port, help="0: any free one (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="where jobs, images and keys are kept")
    parser.add_argument("--cert", type=Path, metavar="FILE", help="TLS certificate chain, PEM")
    parser.add_argument("--cert-key", type=Path, metavar="FILE", help="the certificate's private key, PEM")
    parser.add_argument("--behind-proxy", action="store_true", help="a proxy in front does TLS")
    parser.add_argument("--device", action="append", metavar="D",
                        help="a device to run on, such as cuda:0; again for each further one (default: auto)")
    parser.add_argument("--allow-host", action="append", metavar="NAME", default=[],
                        help="a further name by which clients call this server")
    parser.add_argument("--keep-days", type=float, default=defaults.retention.days, metavar="N",
                        help="drop results after so many days (default: %(default)g)")
    parser.add_argument("--keep-gb", type=float, default=defaults.retention.bytes / 2**30, metavar="N",
                        help="keep at most so many GiB of results (default: %(default)g)")
    parser.add_argument("--with-parent", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--announce", choices=("text", "json"), default="text", help=argparse.SUPPRESS)
    parser.set_defaults(run=run)
    _add_keys(parser, common)


def _add_keys(parser: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    below = parser.add_subparsers(metavar="keys", title="keys", parser_class=type(parser))
    keys = below.add_parser("keys", help="add, list or revoke the keys of a server")
    actions = keys.add_subparsers(metavar="ACTION", required=True, parser_class=type(parser))
    folder = argparse.ArgumentParser(add_help=False)
    folder.add_argument("--folder", type=Path, default=argparse.SUPPRESS, help="the server's folder")
    new = actions.add_parser("add", parents=[common, folder], help="make a key; it is shown once")
    new.add_argument("name")
    new.add_argument("--most-queued", type=int, metavar="N", help="how many of its jobs may wait at once")
    new.set_defaults(run=_add_key)
    listed = actions.add_parser("list", parents=[common, folder], help="the names of all keys")
    listed.set_defaults(run=_list_keys)
    revoked = actions.add_parser("revoke", parents=[common, folder], help="a key opens nothing any more")
    revoked.add_argument("name")
    revoked.set_defaults(run=_revoke_key)


def run(args: argparse.Namespace, console: Console) -> int:
    """Serve until told to stop."""
    os.umask(0o077)
    try:
        from ..service.serve import run_server
    except ModuleNotFoundError as error:
        raise Unavailable(f"A server needs the package '{error.name}'; install it with: "
                          "pip install 'text2ct[server]'.") from error
    options = options_of(args)
    key, stop = (_key_of_parent(sys.stdin), threading.Event()) if args.with_parent else (None, None)
    if stop is not None:
        threading.Thread(target=_end_with_parent, args=(sys.stdin, stop), name="parent", daemon=True).start()

    def ready(address: str) -> None:
        if args.announce == "json":
            told = {"ready": True, "url": address, "pid": os.getpid(), "version": __version__}
            print(json.dumps(told), flush=True)
        else:
            console.line(f"Serving at {address}; everything is kept in {options.folder}. End with Ctrl+C.")

    return run_server(options, key, ready, stop)


def options_of(args: argparse.Namespace) -> Options:
    """The options that the command line says; what makes no sense is refused by `Options.check`."""
    kept = args.keep_gb * 2**30
    if not 0 < kept < 2**62:
        raise BadInput("Results must be kept for some time and in some space; give numbers above 0.")
    return Options(
        folder_of(args), args.host, args.port, args.cert, args.cert_key, args.behind_proxy,
        tuple(args.device or ("auto",)), tuple(args.allow_host), Limits(), Retention(args.keep_days, int(kept)),
        Patience())


def folder_of(args: argparse.Namespace) -> Path:
    """Where the server keeps what it must remember."""
    chosen: Path | None = getattr(args, "folder", None)
    return (chosen or home() / "service").expanduser().absolute()


def _key_of_parent(stdin: TextIO) -> str:
    key = stdin.readline(_MOST_KEY + 2).rstrip("\r\n")
    if not 16 <= len(key) <= _MOST_KEY or not key.isascii() or not key.isprintable() or " " in key:
        raise BadInput("With --with-parent the first line of stdin must be a one-time key of 16 to 200 characters.")
    return key


def _end_with_parent(stdin: TextIO, stop: threading.Event) -> None:
    """When stdin closes the parent is gone: end in good order, or after some seconds without it."""
    while stdin.read(4096):
        pass
    stop.set()
    hard = threading.Timer(_GONE_S, os._exit, (0,))
    hard.daemon = True
    hard.start()


def _add_key(args: argparse.Namespace, console: Console) -> int:
    from ..service.keys import Keys
    key = Keys(folder_of(args)).add(args.name, args.most_queued)
    console.line(key)
    console.note(f"This is the key of '{args.name}'. It is shown only now; keep it safe.")
    console.data({"name": args.name, "key": key})
    return 0


def _list_keys(args: argparse.Namespace, console: Console) -> int:
    from ..plain import to_plain
    from ..service.keys import Keys
    names = Keys(folder_of(args)).names()
    for known in names:
        queued = "" if known.most_queued is None else f"  at most {known.most_queued} waiting"
        console.line(f"{known.name:<24} {known.created}{queued}")
    if not names:
        console.line("No keys yet; make one with: text2ct serve keys add NAME.")
    console.data([to_plain(known) for known in names])
    return 0


def _revoke_key(args: argparse.Namespace, console: Console) -> int:
    from ..service.keys import Keys
    Keys(folder_of(args)).revoke(args.name)
    console.line(f"The key of '{args.name}' opens nothing any more.")
    console.data({"revoked": args.name})
    return 0
