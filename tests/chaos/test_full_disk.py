"""A disk that is really full: a server on a file system of ten megabytes, in surroundings of its own.

What a full disk does to each part is tested with injected failures beside that part. Here
the system itself says no, at whatever moment, and the server must live on.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from victim import Host, hosted

from text2ct.client import Busy, JobFailed, Patience, Service
from text2ct.requests import GenerateCT

MOUNT = 'mount -t tmpfs -o size=10m none "$0" && exec "$@"'
RESERVE = 1 << 20


def played(report: str, seed: int, size: int = 24) -> GenerateCT:
    return GenerateCT(report, seed=seed, preset="draft", shape=(size, size, size))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    folder = tmp_path / "disk" / "server"
    folder.mkdir(parents=True)
    within = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNT, str(folder)]
    if not shutil.which("unshare") or subprocess.run([*within, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this system lets nobody mount a small file system of his own")
    with hosted(folder.parent, within, [str(RESERVE)]) as host:
        host.start()
        yield host


def fill(host: Host, size: int) -> requests.Response:
    """Send images of this size until one is refused."""
    while True:
        data = os.urandom(size)
        answer = requests.put(f"{host.url}/v1/blobs/{hashlib.sha256(data).hexdigest()}", data, timeout=30)
        if answer.status_code != 201:
            return answer


def test_a_server_whose_disk_is_full_refuses_and_fails_in_sentences_loses_nothing_and_lives_on(host: Host) -> None:
    service = Service(host.url, patience=Patience(gone=30))
    before = service.submit(played("Samples.", 1))
    made = before.follow().ct
    endless = service.submit(played("Steps.", 2))
    next(event for event in endless.events() if event.kind == "progress")
    large = service.submit(played("Samples.", 3, 150))  # its four megabytes find no room once the disk is full
    for size in (500_000, 30_000, 4_000):
        refused = fill(host, size)
        assert (refused.status_code, refused.json()["error"]["code"]) == (507, "full")
    accepted = []
    with pytest.raises(Busy, match="disk or its quota is full"):
        for seed in range(100, 300):
            accepted.append(service.submit(played("Samples.", seed)))
            fill(host, 4_000)
    endless.cancel()
    with pytest.raises(JobFailed, match="disk is full"):
        large.follow()
    for job in accepted:
        kinds = [event.kind for event in job.events()]
        assert kinds.count("end") == 1
        assert job.view().state in ("done", "failed")
    assert before.result().ct == made
    seen = Path(f"/proc/{host.pid}/root{host.folder}")  # its file system is not mounted here
    assert list((seen / "results" / "work").iterdir()) == []
    for blob in (seen / "blobs").glob("*/*"):
        blob.unlink()
    after = service.submit(played("Samples.", 1))
    assert after.follow().ct == made
    service.close()
    host.stop()
