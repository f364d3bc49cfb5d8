"""Several threads, and two processes, on the same store at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from text2ct.service.sqlite_store import SqliteStore


def test_threads_share_a_store_without_taking_a_job_twice(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.sqlite")
    taken: list[str] = []
    failed: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for n in range(15):
                mine = store.add(name, "generate", "phantom", "{}", {}, f"{name}-{n}", 5000, 5000)
                store.jobs(name)
                job = store.next()
                if job:
                    taken.append(job.id)
                    store.progress(job.id, "drawing", 1, 2, 0.1)
                    store.place(mine)
                    assert store.finish(job.id, "done")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcdef"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    taken += [job.id for job in iter(store.next, None)]
    assert len(taken) == len(set(taken)) == 90
    store.close()


SECOND = """
import sys
from pathlib import Path
from text2ct.service.sqlite_store import SqliteStore
store = SqliteStore(Path(sys.argv[1]))
for n in range(60):
    store.add(sys.argv[2], "generate", "phantom", "{}", {}, f"k{n}", 5000, 5000)
    job = store.next()
    if job:
        store.progress(job.id, "drawing", 1, 2, 0.1)
        print(job.id, store.finish(job.id, "done"), flush=True)
store.close()
"""


def test_two_processes_that_open_the_same_new_file_share_it(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    children = [subprocess.Popen([sys.executable, "-c", SECOND, str(path), owner], stdout=subprocess.PIPE, text=True)
                for owner in ("ann", "bob")]
    lines = [line.split() for child in children for line in child.communicate(timeout=60)[0].splitlines()]
    assert [child.returncode for child in children] == [0, 0]
    assert {ended for _, ended in lines} == {"True"}
    store = SqliteStore(path)
    assert len({job_id for job_id, _ in lines}) == len(lines) == store.counts()["done"]
    assert sum(store.counts().values()) == 120
    store.close()
