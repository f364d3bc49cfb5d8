"""Someone who reads a large result one byte at a time: it waits on the disk, not in the server's memory."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from kept_files import write_result
from playhouse import until
from serving import Served, in_thread

from text2ct.service.results import Results

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at open files in /proc")
SIZE = 40 << 20


def finished(server: Served, content: bytes) -> str:
    """A job whose CT is this, as far as anybody can see."""
    job: str = server.post_job().json()["id"]
    assert server.store is not None
    assert server.store.next() is not None
    assert server.store.saving(job)
    results = Results(server.folder / "results")
    workspace = results.workspace(job, 0)
    write_result(workspace, content)
    results.publish(job, workspace)
    assert server.store.finish(job, "done")
    return job


def read_so_far(file: Path) -> list[int]:
    """How far each open handle of a file in this process has come; the server is one of our threads."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if os.readlink(entry) == str(file):
                found.append(int(Path(f"/proc/self/fdinfo/{entry.name}").read_text().split()[1]))
        except OSError:
            continue
    return found


def test_a_result_is_read_from_the_disk_no_faster_than_its_reader_takes_it(tmp_path: Path) -> None:
    content = os.urandom(SIZE)
    with in_thread(tmp_path / "server", devices=()) as server:
        job = finished(server, content)
        file, place = server.folder / "results" / "final" / job / "ct.nrrd", urlsplit(server.url)
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect((place.hostname, place.port))
            slow.sendall(f"GET /v1/jobs/{job}/result/ct HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert b"".join(slow.recv(1) for _ in range(500)).startswith(b"HTTP/1.1 200")
            assert server.get(f"/v1/jobs/{job}/result/ct").content == content  # others are served meanwhile
            (come,) = read_so_far(file)
            assert come < SIZE // 4
        until(lambda: read_so_far(file) == [])
