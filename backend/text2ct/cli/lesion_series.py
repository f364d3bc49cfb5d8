"""More than one lesion by one command: those of a table in one CT, and one lesion at several times.

A table ends in one result: the CT with all lesions, a segment each, and the size of each
in the ledger. Times end in a folder with a result for each day, and an account of how the
lesion was drawn and by which law it grows. Both are judged as a whole before anything is
painted, and written only when all is done.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..account import account_of, ledger_lines, write_account
from ..errors import BadInput
from ..formats.atomic import replacing_folder
from ..plain import to_plain
from ..provenance import text_sha256
from ..requests import InsertLesion, Result
from ..verify import ACCOUNT
from .console import Console
from .outputs import fill_folder, names_a_file, write_result

if TYPE_CHECKING:
    from ..volume import LabelVolume

Run = Callable[[InsertLesion], Result]


def from_table(args: argparse.Namespace, like: InsertLesion, run: Run, console: Console) -> None:
    """All lesions of a table into one CT."""
    from ..engines.lesiondiffusion.sets import apart, insert_all, read_lesions

    requests = apart(read_lesions(args.table, like), args.overlapping)
    numbers = iter(range(1, len(requests) + 1))

    def told(request: InsertLesion) -> Result:
        console.note(f"Lesion {next(numbers)} of {len(requests)}")
        return run(request)

    results, ct, lesions = insert_all(requests, told)
    notes = tuple(f"Lesion {n}: {note}" for n, result in enumerate(results, 1) for note in result.notes)
    made = replace(results[-1].provenance, seed=results[0].provenance.seed,
                   base_digest=results[0].provenance.base_digest,
                   report_sha256=text_sha256("\n".join(request.text for request in requests if request.text)))
    asked = {"task": like.task, "lesions": [to_plain(request) for request in requests]}
    write_result(args, asked, Result(made, ct, (lesions,), _sizes(lesions), notes=notes), console)


def growing(args: argparse.Namespace, request: InsertLesion, run: Run, console: Console) -> None:
    """One lesion at several times, a result of its own for each day."""
    from ..engines.lesiondiffusion.series import Law, at_days

    if names_a_file(args.output):
        raise BadInput("--growth makes a CT for each day; give a folder to -o.")
    if len(set(args.days)) != len(args.days):
        raise BadInput("A day is named twice in --days; name each once.")
    drawn = None if request.mask is not None else run(replace(request, parts="mask"))
    first = request.mask if drawn is None else drawn.labels[0]
    assert first is not None
    requests = at_days(request, first, args.days, Law(args.growth, args.limit_ml))
    names = [f"day-{day:g}" for day in args.days]
    told: list[dict[str, Any]] = []
    for note in drawn.notes if drawn else ():
        console.line(note)
    with replacing_folder(args.output, args.overwrite) as folder:
        for name, one in zip(names, requests, strict=True):
            console.note(name)
            result = run(one)
            result = replace(result, ledger=_sizes(result.labels[-1]))
            (folder / name).mkdir()
            files = fill_folder(folder / name, args, one, result)
            told.append({"day": name, "provenance": to_plain(result.provenance), "ledger": to_plain(result.ledger),
                         "notes": list(result.notes), "files": [str(args.output / name / file) for file in files]})
            for line in [name, *result.notes, *ledger_lines(result)]:
                console.line(line)
        law = {"doubling_days": args.growth, "limit_ml": args.limit_ml, "days": args.days}
        asked = {"task": request.task, "growth": law, "lesion": to_plain(request)}
        write_account(account_of(asked, replace(drawn or result, ct=None), {}), folder / ACCOUNT)
    console.line(f"SYNTHETIC results in {args.output}: {', '.join(names)}")
    console.data(told)


def _sizes(lesions: LabelVolume) -> tuple[Any, ...]:
    """Diameter and volume of each lesion of a layer."""
    from ..engines.lesiondiffusion.measure import lesion_size, size_entries

    several = len(lesions.segments) > 1
    return tuple(entry for segment in lesions.segments if (lesions.voxels == segment.value).any()
                 for entry in size_entries(lesion_size(lesions.voxels == segment.value, lesions.grid),
                                           segment.name if several else ""))
