"""`text2ct weights`: what weights there are and which are here; fetch, check, bring in and remove them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..engines import catalog
from ..engines.terms import Engine, WeightSet
from ..errors import BadInput, WeightsError
from ..requests import Watch
from ..weights.store import Place, check_importable, identify, keep, place, places, remove, verify
from .console import Console

_HELP = """examples:
  text2ct weights list
  text2ct weights download text2ct
  text2ct weights import LMNet.ckpt
  text2ct weights verify text2ct
  text2ct weights remove text2ct/published"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """Offer the command and its five verbs."""
    parser = commands.add_parser("weights", help="list, fetch, check, bring in and remove weights", epilog=_HELP,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, text: str, act: Callable[[argparse.Namespace, Console], int]) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, parents=[common], help=text, description=text)
        made.set_defaults(run=run, act=act)
        return made

    verb("list", "which weights there are, and which are on this machine", _list)
    fetch = verb("download", "fetch the weights of an engine and convert them", _download)
    fetch.add_argument("what", metavar="ENGINE[/SET]")
    fetch.add_argument("--keep", action="store_true", help="keep the downloaded originals too")
    check = verb("verify", "compare the weights on this machine with their hashes", _verify)
    check.add_argument("what", metavar="ENGINE[/SET]", nargs="?", default="")
    bring = verb("import", "bring in a checkpoint file that you have", _import)
    bring.add_argument("file", type=Path, metavar="FILE")
    bring.add_argument("--as", dest="target", default="", metavar="ENGINE/SET/FILE", help="which file it is")
    for one in (fetch, bring):
        one.add_argument("--accept-licence", action="store_true", help="accept the licence without being asked")
    drop = verb("remove", "delete weights from this machine", _remove)
    drop.add_argument("what", metavar="ENGINE[/SET]")


def run(args: argparse.Namespace, console: Console) -> int:
    """Do what the verb says."""
    act: Callable[[argparse.Namespace, Console], int] = args.act
    return act(args, console)


def _list(args: argparse.Namespace, console: Console) -> int:
    rows = [_row(one) for one in places(catalog.ENGINES.values())]
    console.data(rows)
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        size = f"{row['bytes'] / 1e6:8.1f} MB" if row["bytes"] else " " * 11
        state = "ships with text2ct" if row["state"] == "here" and row["source"] == "package" else row["state"]
        console.line(f"{row['name']:<{width}}  {size}  {state:<18}  {row['licence']}")
    return 0


def _download(args: argparse.Namespace, console: Console) -> int:
    from ..weights.download import check_fetchable, download_set

    engine, weights = _weight_set(args.what)
    check_fetchable(engine, weights)
    accepted = _accepted(engine, weights, args.accept_licence, console)
    with console.progress() as sink:
        download_set(engine, weights, accepted, Watch(sink), args.keep)
    return _say([Place(engine, weights, entry) for entry in weights.files], console)


def _verify(args: argparse.Namespace, console: Console) -> int:
    chosen = _places(args.what) if args.what else places(catalog.ENGINES.values())
    here = [one for one in chosen if one.record() is not None]
    if args.what and not here:
        raise WeightsError(f"No weights of {args.what} are on this machine; get them with: {chosen[0].how_to_get()}")
    rows: list[dict[str, Any]] = []
    failures: list[str] = []
    with console.progress() as sink:
        for one in here:
            try:
                verify(one, Watch(sink))
                rows.append({**_row(one), "state": "verified"})
            except WeightsError as error:
                failures.append(str(error))
                rows.append({**_row(one), "state": "changed", "problem": str(error)})
    console.data(rows)
    for row in rows:
        console.line(f"{row['name']}: {row['state']}")
    if not rows:
        console.line("No weights are on this machine.")
    if failures:
        raise WeightsError(" ".join(failures))
    return 0


def _import(args: argparse.Namespace, console: Console) -> int:
    if not args.file.is_file():
        raise BadInput(f"{args.file} is not a file; give the checkpoint that you have.")
    everything = places(catalog.ENGINES.values())
    wanted = _place(args.target) if args.target else identify(args.file, everything)
    check_importable(wanted)
    accepted = _accepted(wanted.engine, wanted.weights, args.accept_licence, console)
    with console.progress() as sink:
        record = keep(wanted, args.file, accepted, Watch(sink))
    if wanted.entry.sha256 and not record.published:
        console.note(f"Note: the tensors of {args.file.name} fit {wanted.name}, "
                     "but its bytes are not those that were published.")
    return _say([wanted], console)


def _remove(args: argparse.Namespace, console: Console) -> int:
    chosen = _places(args.what)
    if "/" not in args.what:  # all that was fetched; what ships with us was not
        chosen = [one for one in chosen if not one.weights.ships]
    freed = sum(remove(one) for one in chosen)
    console.data({"removed": args.what, "bytes": freed})
    console.line(f"Removed {args.what}: {freed / 1e6:.1f} MB freed." if freed else f"{args.what} was not here.")
    return 0


def _accepted(engine: Engine, weights: WeightSet, flag: bool, console: Console) -> str:
    """When the licence was accepted; shows it and asks where it was not yet."""
    from ..weights.licences import accept, accepted_when, licence_text

    when = accepted_when(engine, weights)
    if when:
        return when
    console.note(licence_text(engine, weights))
    if not flag:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise WeightsError(f"The licence {weights.licence.id} was not accepted; read it at {weights.licence.url} "
                               "and run the command again with --accept-licence.")
        sys.stderr.write("Type 'yes' to accept: ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() != "yes":
            raise WeightsError(f"The licence {weights.licence.id} was not accepted; nothing was fetched.")
    return accept(engine, weights)


def _say(chosen: list[Place], console: Console) -> int:
    rows = [_row(one) for one in chosen]
    console.data(rows)
    for row in rows:
        console.line(f"{row['name']}: {row['path']}")
    return 0


def _row(one: Place) -> dict[str, Any]:
    record = one.record()
    row: dict[str, Any] = {"name": one.name, "state": "here" if record else "absent", "bytes": one.entry.bytes,
                           "licence": one.weights.licence.id, "source": one.weights.source}
    if record is None:
        return {**row, "get": one.how_to_get()}
    return {**row, "bytes": record.bytes, "path": str(one.path), "sha256": record.sha256,
            "source_sha256": record.source_sha256, "published": record.published, "converted": record.converted}


def _weight_set(what: str) -> tuple[Engine, WeightSet]:
    engine_id, _, set_id = what.partition("/")
    engine = catalog.engine(engine_id)
    if not engine.weight_sets:
        raise BadInput(f"The engine {engine.id} needs no weights, or none are published.")
    return engine, engine.weight_set(set_id)


def _places(what: str) -> list[Place]:
    engine, weights = _weight_set(what)
    chosen = [weights] if "/" in what else list(engine.weight_sets)
    return [Place(engine, one, entry) for one in chosen for entry in one.files]


def _place(target: str) -> Place:
    parts = target.split("/")
    if len(parts) != 3:
        raise BadInput(f"'{target}' names no file; give ENGINE/SET/FILE as 'text2ct weights list' shows them.")
    engine, _ = _weight_set(f"{parts[0]}/{parts[1]}")
    return place(engine, parts[1], parts[2])
