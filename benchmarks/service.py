"""How fast the service is, and how much memory its HTTP process takes: real servers, real clients, on loopback.

    python benchmarks/service.py                    # all of it
    python benchmarks/service.py --work result      # or: rates, memory

rates: requests a second over one connection and over eight, with 1,000 jobs in the table.
"CPU ms" counts the server's processor: on a shared machine it is the number to compare.

result: bringing a result of 512 x 512 x 128 over loopback, against copying its files and
against reading them from the disk. The best of several tries.

memory: the HTTP process after 100, 1,000 and 3,000 jobs, each posted, followed by its
events to the end, fetched and listed. Their engine does next to nothing: the HTTP
process does not know which one ran.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "backend"))

from text2ct.client import RemoteJob, Service  # noqa: E402
from text2ct.engines.terms import Engine  # noqa: E402
from text2ct.local_service import LocalService  # noqa: E402
from text2ct.provenance import Provenance  # noqa: E402
from text2ct.remote.transfers import download  # noqa: E402
from text2ct.requests import GenerateCT, Request, Result, Watch  # noqa: E402
from text2ct.service import parcels  # noqa: E402
from text2ct.service.options import Limits, Options  # noqa: E402
from text2ct.service.results import Results, file_name  # noqa: E402
from text2ct.service.wire import LABELS_MEDIA  # noqa: E402
from text2ct.volume import CTVolume  # noqa: E402

TINY = (24, 20, 16)
LARGE = (512, 512, 128)


class Instant:
    """An engine that returns at once."""

    def run(self, request: Request, watch: Watch) -> Result:
        assert isinstance(request, GenerateCT)
        watch.at("drawing", 1, 1)
        ct = CTVolume(np.full(TINY, request.seed % 1000, np.int16), np.diag([3.0, 3.0, 3.0, 1.0]))
        return Result(Provenance("phantom", "generate", request.seed), ct)


def instant(entry: Engine) -> Instant:
    return Instant()


def serve(folder: Path, workers: bool) -> int:
    """A server for `instant` jobs, or one where jobs only wait; until stdin ends."""
    from text2ct.service.serve import run_server
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    options = Options(folder, port=0, limits=Limits(queued_jobs=5000, queued_jobs_a_key=5000),
                      devices=("auto",) if workers else ())
    return run_server(options, ready=lambda url: print(url, flush=True), stop=stop, loader="service:instant")


@contextmanager
def served(folder: Path, workers: bool) -> Iterator[tuple[Service, int]]:
    """The same in a process of its own: a client of it, and its process id."""
    command = [sys.executable, str(HERE / "service.py"), "--serve", str(folder), *(["--workers"] if workers else [])]
    places = [str(HERE.parent / "backend"), str(HERE), os.environ.get("PYTHONPATH", "")]  # text2ct.py lies here too
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(places)}) as process:
        assert process.stdout is not None
        yield Service(process.stdout.readline().strip()), process.pid
        process.communicate()


def rates(folder: Path) -> dict[str, object]:
    with served(folder, workers=False) as (service, pid):
        for number in range(1000):
            service.submit(GenerateCT("Normal chest.", seed=number, shape=TINY), f"job-{number}")
        job = service.jobs(limit=1)[0].id
        paths = ("/v1/health", "/v1/capabilities", f"/v1/jobs/{job}", "/v1/jobs?limit=10", "/v1/jobs?limit=100")
        found: dict[str, object] = {}
        for path in paths:
            row = {f"{many} connections": rate(service.url, pid, path, many, 600) for many in (1, 8)}
            found[path.replace(job, "ID")] = row
        posting = time.perf_counter(), cpu_of(pid)
        for number in range(200):
            service.submit(GenerateCT("Normal chest.", seed=number, shape=TINY), f"more-{number}")
        found["POST /v1/jobs, by the client"] = per_request(200, *posting, pid)
        return found


def rate(url: str, pid: int, path: str, connections: int, requests: int) -> dict[str, float]:
    place = urlsplit(url)

    def ask(count: int) -> None:
        line = http.client.HTTPConnection(str(place.hostname), place.port)
        for _ in range(count):
            line.request("GET", path)
            answer = line.getresponse()
            body = answer.read()
            assert answer.status == 200, body
        line.close()

    ask(20)
    began = time.perf_counter(), cpu_of(pid)
    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(ask, [requests // connections] * connections))
    return per_request(requests, *began, pid)


def per_request(requests: int, began: float, cpu: float, pid: int) -> dict[str, float]:
    took = time.perf_counter() - began
    return {"a second": round(requests / took), "CPU ms": round(1000 * (cpu_of(pid) - cpu) / requests, 2)}


def result(folder: Path) -> dict[str, object]:
    with LocalService(folder=folder / "server", environment={"OMP_NUM_THREADS": "1"}) as local:
        job = local.service.submit(GenerateCT("Small right pleural effusion.", seed=1, shape=LARGE,
                                              spacing=(0.75, 0.75, 2.5)))
        began = time.perf_counter()
        job.wait()
        ran = time.perf_counter() - began
        found = compared(local.service, job, Results(local.folder / "results"), folder)
        return {"the job itself, s": round(ran, 1), **found}


def compared(service: Service, job: RemoteJob, results: Results, folder: Path) -> dict[str, object]:
    view = results.view(job.id)
    assert view is not None
    found = [results.part(job.id, part.name) for part in view.parts]
    files = [file for part in found if part is not None for file in part[:1]]
    beside = folder / "copy"
    beside.mkdir()

    def copy() -> None:
        for file in files:
            shutil.copyfile(file, beside / file.name)

    def carry() -> None:
        for part in view.parts:
            download(service._connection, f"/v1/jobs/{job.id}/result/{part.name}", part, beside / file_name(part),
                     lambda done, total: None)

    def read() -> None:
        for part, file in zip(view.parts, files, strict=True):
            (parcels.read_labels if part.media == LABELS_MEDIA else parcels.read_ct)(file, 1 << 30)

    took = {name: best(work) for name, work in (("copied", copy), ("carried and checked", carry), ("read", read),
                                                 ("job.result()", job.result))}
    return {"MB": round(sum(file.stat().st_size for file in files) / 1e6, 1),
            **{f"{name}, s": {k: round(v, 3) for k, v in one.items()} for name, one in took.items()},
            "carried / copied": round(took["carried and checked"]["wall"] / took["copied"]["wall"], 1),
            "result() - read, s": round(took["job.result()"]["wall"] - took["read"]["wall"], 3)}


def best(work: Callable[[], object], tries: int = 7) -> dict[str, float]:
    """Of the quickest try: seconds by the clock, and of our own processor."""
    rows = []
    for _ in range(tries):
        began, cpu = time.perf_counter(), time.process_time()
        work()
        rows.append((time.perf_counter() - began, time.process_time() - cpu))
    return {"wall": min(wall for wall, _ in rows), "own CPU": min(cpu for _, cpu in rows)}


def memory(folder: Path) -> dict[str, object]:
    with served(folder, workers=True) as (service, pid), ThreadPoolExecutor(4) as pool:
        found: dict[str, object] = {"at the start, MB": resident(pid)}
        for first, last in ((0, 100), (100, 1000), (1000, 3000)):
            list(pool.map(lambda number: through(service.url, number), range(first, last)))
            time.sleep(2)
            found[f"after {last} jobs, MB"] = resident(pid)
        found["peak, MB"] = resident(pid, "VmHWM")
        return found


def through(url: str, number: int) -> None:
    """One job as a client lives it."""
    service = Service(url)
    job = service.submit(GenerateCT("Normal chest.", seed=number, shape=TINY), f"job-{number}")
    assert [event.kind for event in job.events()][-1] == "end"
    assert job.result().ct is not None
    service.jobs()
    service.capabilities()
    service.close()


def cpu_of(pid: int) -> float:
    """Seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int, field: str = "VmRSS") -> float:
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return round(int(lines[field].split()[0]) / 1024, 1)


def main() -> int:
    works = {"rates": rates, "result": result, "memory": memory}
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", choices=works, action="append")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--workers", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve(args.serve, args.workers)
    print(json.dumps({"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(),
                      "python": platform.python_version(), "load": os.getloadavg()}))
    for name in args.work or works:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps({name: works[name](Path(folder))}, indent=1), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
