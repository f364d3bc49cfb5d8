"""A process that keeps writing until it is killed; it says on stdout what it was told to be so.

`python doomed.py jobs FOLDER` adds jobs, runs and publishes them as a server would;
`python doomed.py blob FOLDER OWNER SIZE` sends one blob in pieces.
"""

from __future__ import annotations

import hashlib
import sys
from itertools import count
from pathlib import Path

from kept_files import PLENTY, sha, write_result

from text2ct.service.blobs import Blobs
from text2ct.service.options import Limits
from text2ct.service.results import Results
from text2ct.service.sqlite_store import SqliteStore

PIECE = 1 << 18


def voxels(job_id: str) -> bytes:
    """What the result of this job is, whoever makes it and however often."""
    return hashlib.sha256(job_id.encode()).digest() * 8000


def contents(size: int) -> bytes:
    return hashlib.sha512(b"an image").digest() * (size // 64)


def say(*words: object) -> None:
    print(*words, flush=True)


def write_jobs(folder: Path) -> None:
    store, results = SqliteStore(folder / "jobs.sqlite"), Results(folder / "results")
    for n in count():
        say("added", store.add(f"o{n % 3}", "generate", "phantom", f"text {n}", {}, "", 10_000, 10_000).id)
        job = store.next()
        assert job is not None
        for step in range(5):
            store.progress(job.id, "drawing", step, 5, 0.1)
        if n % 7 == 3:
            store.requeue(job.id, "The worker died.", crashed=True)
            continue
        if n % 7 == 5:
            store.finish(job.id, "cancelled")
            say("ended", job.id, "cancelled")
            continue
        workspace = results.workspace(job.id, job.attempt)
        write_result(workspace, voxels(job.id))
        store.saving(job.id)
        results.publish(job.id, workspace)
        store.finish(job.id, "done")
        say("ended", job.id, "done")


def send_blob(folder: Path, owner: str, size: int) -> None:
    blobs, data = Blobs(folder, Limits()), contents(size)
    start = min(blobs.offset(owner, sha(data)), size - 1)
    while start < size:
        with blobs.receive(owner, sha(data), start, size, PLENTY) as receiving:
            for at in range(start, min(start + PIECE, size), 5000):
                receiving.write(data[at:min(at + 5000, start + PIECE)])
            start = receiving.offset
        say("have", start)


if __name__ == "__main__":
    if sys.argv[1] == "jobs":
        write_jobs(Path(sys.argv[2]))
    else:
        send_blob(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
