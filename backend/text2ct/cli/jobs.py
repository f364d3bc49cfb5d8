"""`text2ct jobs`: the jobs on a server; they go on whether or not anybody looks."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import BadInput
from ..plain import to_plain
from .asking import KEY_VARIABLE, add_server_options, server_of
from .console import Console
from .outputs import add_output_options, check_output, names_a_file, write_result

if TYPE_CHECKING:
    from ..client import RemoteJob, Service
    from ..service.wire import JobView

_HELP = f"""examples (the key stands in {KEY_VARIABLE}, or in a file given with --key-file):
  text2ct jobs list --server https://gpu.example.org:8042
  text2ct jobs follow 3f2a --server https://gpu.example.org:8042
  text2ct jobs fetch 3f2a -o result --server https://gpu.example.org:8042"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """Offer the command and its five verbs."""
    parser = commands.add_parser("jobs", help="list, show, follow, fetch and cancel jobs on a server", epilog=_HELP,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, text: str, act: Callable[[argparse.Namespace, Console], int]) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, parents=[common], help=text, description=text)
        made.set_defaults(run=run, act=act)
        add_server_options(made, required=True)
        return made

    lister = verb("list", "your newest jobs, the newest first", _list)
    lister.add_argument("--most", type=int, default=20, metavar="N", help="how many (default: 20)")
    for one in (verb("show", "how a job stands", _show), verb("follow", "watch a job until it ends", _follow),
                verb("cancel", "stop a job", _cancel)):
        one.add_argument("id", metavar="JOB", help="the id of a job, or its beginning")
    fetch = verb("fetch", "bring the result of a job here", _fetch)
    fetch.add_argument("id", metavar="JOB", help="the id of a job, or its beginning")
    add_output_options(fetch)


def run(args: argparse.Namespace, console: Console) -> int:
    """Do what the verb says."""
    act: Callable[[argparse.Namespace, Console], int] = args.act
    return act(args, console)


def _list(args: argparse.Namespace, console: Console) -> int:
    if args.most < 1:
        raise BadInput(f"{args.most} jobs cannot be listed; give a number above 0.")
    jobs = _server(args).jobs(args.most)
    for job in jobs:
        console.line(f"{job.id}  {job.created[:19]}  {job.task:<8}  {job.engine:<16}  {_state(job)}")
    if not jobs:
        console.line("There are no jobs.")
    console.data([to_plain(job) for job in jobs])
    return 0


def _show(args: argparse.Namespace, console: Console) -> int:
    _tell(_job(args).view(), console)
    return 0


def _follow(args: argparse.Namespace, console: Console) -> int:
    job = _job(args)
    try:
        with console.progress() as sink:
            job.wait(sink, previews=False)
    except KeyboardInterrupt:
        console.note(f"The job goes on; see it again with: text2ct jobs follow {job.id}.")
        return 130
    _tell(job.view(), console)
    return 0


def _fetch(args: argparse.Namespace, console: Console) -> int:
    check_output(args)
    job = _job(args)
    result = job.result()
    if names_a_file(args.output) and result.ct is None and not result.labels:
        raise BadInput("This result holds no image; name a folder for its account.")
    write_result(args, job.request(), result, console)
    return 0


def _cancel(args: argparse.Namespace, console: Console) -> int:
    _tell(_job(args).cancel(), console)
    return 0


def _server(args: argparse.Namespace) -> Service:
    server = server_of(args)
    if server is None:
        raise BadInput("No server was given; name it with --server URL.")
    return server


def _job(args: argparse.Namespace) -> RemoteJob:
    """The job with this id, or the only one of the newest whose id begins so."""
    from ..client import NoSuchJob
    server = _server(args)
    try:
        return server.attach(args.id)
    except NoSuchJob:
        found = [job.id for job in server.jobs() if args.id and job.id.startswith(args.id)]
        if len(found) == 1:
            return server.attach(found[0])
        if found:
            raise BadInput(f"{len(found)} jobs begin with '{args.id}'; give more of the id.") from None
        raise


def _tell(job: JobView, console: Console) -> None:
    console.line(f"{job.id}  {job.task} by {job.engine}: {_state(job)}")
    for what, moment in (("handed over", job.created), ("begun", job.started), ("ended", job.finished)):
        if moment:
            console.line(f"  {what:<12} {moment}")
    console.data(to_plain(job))


def _state(job: JobView) -> str:
    if job.error is not None:
        return f"{job.state}: {job.error.message}" + (f" (error {job.error.id})" if job.error.id else "")
    if job.state == "queued" and job.place:
        return f"queued, place {job.place}"
    if job.state == "running" and job.total:
        return f"running, {job.stage} {job.step}/{job.total}"
    return job.state
