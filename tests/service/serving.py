"""Real servers for tests: in a process of their own, as users start them, or in a thread, with limits of a test's own.

Real uvicorn, real SQLite, real workers with the phantom engine, on loopback.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from text2ct.service import serve
from text2ct.service.app import make_app
from text2ct.service.bell import Bell
from text2ct.service.options import Limits, Options
from text2ct.service.store import Store

SMALL = {"task": "generate", "report": "Small right pleural effusion.", "shape": [48, 40, 32], "spacing": [8, 9, 10]}
KEY = "a-one-time-key-for-tests-0123456789"
WAIT_S = 60.0


@dataclass(frozen=True)
class Served:
    """A running server and how to speak to it."""

    url: str
    folder: Path
    key: str = ""
    pid: int = 0
    store: Store | None = None
    bell: Bell | None = None

    def ask(self, method: str, path: str, *, key: str | None = None, headers: Mapping[str, str] | None = None,
            **more: Any) -> requests.Response:
        key = self.key if key is None else key
        sent = {**({"Authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
        return requests.request(method, self.url + path, headers=sent, timeout=WAIT_S, **more)

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.ask("GET", path, **more)

    def post_job(self, request: Mapping[str, Any] = SMALL, volumes: Mapping[str, str] | None = None,
                 **more: Any) -> requests.Response:
        return self.ask("POST", "/v1/jobs", json={"request": request, "volumes": volumes or {}}, **more)

    def done_job(self, request: Mapping[str, Any] = SMALL, volumes: Mapping[str, str] | None = None) -> str:
        """The id of a job that has ended well."""
        job: str = self.post_job(request, volumes).json()["id"]
        view = self.ended(job)
        assert view["state"] == "done", view
        return job

    def ended(self, job: str, **more: Any) -> dict[str, Any]:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            view: dict[str, Any] = self.get(f"/v1/jobs/{job}", **more).json()
            if view["state"] in ("done", "failed", "cancelled"):
                return view
            time.sleep(0.05)
        raise AssertionError(f"job {job} did not end: {view}")


@contextmanager
def in_thread(folder: Path, limits: Limits | None = None, one_time_key: str | None = None,
              **more: Any) -> Iterator[Served]:
    """A server off the main thread."""
    stop, ready, address, inside = threading.Event(), threading.Event(), [], []
    options = Options(folder, port=0, limits=limits or Limits(), **more)

    def note(url: str) -> None:
        address.append(url)
        ready.set()

    def app_of(options: Options, store: Store, *parts: Any) -> Any:
        inside.append((store, parts[-1]))
        return make_app(options, store, *parts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serve, "make_app", app_of)
        thread = threading.Thread(target=serve.run_server, args=(options, one_time_key, note, stop))
        thread.start()
        assert ready.wait(WAIT_S)
    try:
        yield Served(address[0], folder, one_time_key or "", os.getpid(), *inside[0])
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """`text2ct serve` with a parent, in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "text2ct", "serve", "--with-parent", "--announce", "json", "--port", "0", "--folder",
         str(folder), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdin is not None
    process.stdin.write(KEY + "\n")
    process.stdin.flush()
    return process


@contextmanager
def in_process(folder: Path, *arguments: str) -> Iterator[Served]:
    """A server as another program starts it."""
    process = start(folder, *arguments)
    try:
        yield announced(process, folder)
    finally:
        process.communicate(timeout=20)


def announced(process: subprocess.Popen[str], folder: Path) -> Served:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    told = json.loads(line)
    assert told["ready"] is True
    return Served(told["url"], folder, KEY, told["pid"])
