"""The service in a child process: there while we are, started again when it dies, and gone when we are.

Every process that a test begins carries a mark in its environment, which children
inherit; what is left behind is looked for by it in /proc, and at the port.
"""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playhouse import until

from text2ct import client, local_service
from text2ct.client import Service
from text2ct.engines.run import run
from text2ct.errors import Unavailable
from text2ct.local_service import LocalService, _first_free, _usual_folders
from text2ct.requests import GenerateCT, Progress, Result

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
SMALL = GenerateCT("Small right pleural effusion.", seed=3, shape=(48, 44, 40), spacing=(8, 8, 8))


@functools.cache
def made() -> Result:
    """What every run of SMALL must make."""
    return run(SMALL)


class Mark(str):
    """A word in the environment of processes, by which they are found."""

    def processes(self) -> dict[int, str]:
        """The command lines of all that carry it and are no zombies."""
        found = {}
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and self.encode() in (entry / "environ").read_bytes():
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
        return {pid: line for pid, line in found.items() if line}

    def server(self) -> int:
        """The process that really serves: Python, not a launcher of it."""
        (pid,) = (p for p, line in self.processes().items() if " serve " in line and not line.startswith("/bin/sh"))
        return pid

    def nothing_left(self, url: str) -> None:
        until(lambda: not self.processes(), 20)
        assert not answers(url)


def answers(url: str) -> bool:
    parts = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((str(parts.hostname), int(parts.port or 0))) == 0


@pytest.fixture
def mark() -> Iterator[Mark]:
    mark = Mark(f"T2CT{uuid.uuid4().hex}")
    yield mark
    for pid in mark.processes():
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def local(tmp_path: Path, mark: Mark) -> Iterator[LocalService]:
    local = LocalService(folder=tmp_path / "server", environment={"MARK": mark})
    yield local
    local.stop()


@pytest.fixture
def launcher(tmp_path: Path) -> str:
    """Like PythonSlicer: a program that starts the real Python as its child, and talks too much."""
    path = tmp_path / "launcher"
    path.write_text(f"#!/bin/sh\necho 'switching to the application'\nhead -c 400000 /dev/zero >&2\n"
                    f"'{sys.executable}' \"$@\"\nexit $?\n")
    path.chmod(0o755)
    return str(path)


def test_it_answers_only_to_its_own_key_which_no_list_of_processes_shows(local: LocalService, mark: Mark) -> None:
    service = local.start()
    key = local.address().key
    assert service.health()["status"] == "ok"
    assert service.jobs() == []
    for wrong in ("", "wrong", key[:-1]):
        with pytest.raises(client.WrongKey):
            Service(service.url, wrong).jobs()
    for pid in mark.processes():
        for file in ("cmdline", "environ"):
            assert key.encode() not in Path(f"/proc/{pid}/{file}").read_bytes()
    assert key not in repr(local.address())
    assert urlsplit(service.url).hostname == "127.0.0.1"


def test_stopped_it_leaves_no_process_and_no_port(local: LocalService, mark: Mark) -> None:
    service = local.start()
    assert service.run(SMALL).ct is not None
    url = service.url
    assert any("service.worker" in line for line in mark.processes().values())  # so it has the environment too
    local.stop()
    assert mark.processes() == {}
    assert not answers(url)
    with pytest.raises(client.Unreachable, match="was stopped; start it again"):
        service.health()
    assert local.start().health()["status"] == "ok"


def test_killed_in_the_middle_of_a_job_it_is_started_again_and_gives_the_same_voxels(
        local: LocalService, mark: Mark) -> None:
    service = local.start()
    before, killed, stages = local.address(), [], []

    def kill(step: Progress) -> None:
        stages.append(step.stage)
        if step.stage == "building the patient" and len(killed) < 2:
            killed.append(mark.server())
            os.kill(killed[-1], signal.SIGKILL)

    result = service.run(SMALL, kill)
    assert len(killed) == 2
    assert result.ct == made().ct
    assert local.address().url != before.url
    assert local.address().key != before.key
    assert [job.state for job in service.jobs()] == ["done"]
    assert mark.server() not in killed


def test_dead_it_is_started_again_once_however_many_ask(local: LocalService, mark: Mark) -> None:
    service = local.start()
    os.kill(mark.server(), signal.SIGKILL)
    heard: list[str] = []
    threads = [threading.Thread(target=lambda: heard.append(service.health()["status"])) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert heard == ["ok"] * 6
    assert mark.server()


PARENT = textwrap.dedent("""
    import json, sys, time
    from pathlib import Path
    from text2ct.local_service import LocalService
    from text2ct.requests import GenerateCT
    local = LocalService(sys.argv[1], Path(sys.argv[2]))
    service = local.start()
    job = service.submit(GenerateCT("Small right pleural effusion.", seed=3, shape=(48, 44, 40), spacing=(8, 8, 8)))
    while not any(event.kind == "progress" for event in job.events()):
        pass
    print(json.dumps({"url": service.url, "job": job.id}), flush=True)
    if sys.argv[3] == "falls": raise RuntimeError("a defect of somebody")
    time.sleep(600)
""")


@pytest.mark.parametrize(("end", "launched"), [("is killed", False), ("is killed", True), ("falls", False)])
def test_it_ends_with_its_parent_however_that_ends_and_the_job_is_found_again(
        tmp_path: Path, mark: Mark, launcher: str, end: str, launched: bool) -> None:
    folder, python = tmp_path / "server", launcher if launched else sys.executable
    parent = subprocess.Popen([sys.executable, "-c", PARENT, python, str(folder), end], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, env={**os.environ, "MARK": mark}, text=True)
    assert parent.stdout is not None
    told = json.loads(parent.stdout.readline())
    if end == "is killed":
        assert answers(told["url"])
        assert len(mark.processes()) >= 3
        os.kill(parent.pid, signal.SIGKILL)
    parent.wait(30)
    parent.stdout.close()
    mark.nothing_left(told["url"])
    with LocalService(folder=folder, environment={"MARK": mark}) as local:
        assert local.service.attach(told["job"]).follow().ct == made().ct
    mark.nothing_left(told["url"])


def test_a_launcher_that_is_killed_leaves_nothing_and_is_started_again(tmp_path: Path, mark: Mark,
                                                                       launcher: str) -> None:
    with LocalService(launcher, tmp_path / "server", environment={"MARK": mark}) as local:
        real, url = mark.server(), local.service.url
        (shell,) = (pid for pid, line in mark.processes().items() if line.startswith("/bin/sh"))
        os.kill(shell, signal.SIGKILL)
        until(lambda: real not in mark.processes(), 20)
        assert not answers(url)
        assert local.service.health()["status"] == "ok"
        assert mark.server() != real
    assert mark.processes() == {}


@pytest.mark.parametrize("orphaned", [False, True])
def test_one_that_hears_nothing_any_more_is_killed(tmp_path: Path, mark: Mark, launcher: str, orphaned: bool,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_service, "_TO_END", 1.0)
    local = LocalService(launcher, tmp_path / "server", environment={"MARK": mark})
    url = local.start().url
    os.kill(mark.server(), signal.SIGSTOP)
    if orphaned:
        (shell,) = (pid for pid, line in mark.processes().items() if line.startswith("/bin/sh"))
        os.kill(shell, signal.SIGKILL)
    local.stop()
    mark.nothing_left(url)


def test_ctrl_c_in_a_terminal_does_not_reach_it(local: LocalService, mark: Mark) -> None:
    local.start()
    assert all(os.getpgid(pid) != os.getpgid(0) for pid in mark.processes())


@pytest.mark.parametrize(("python", "arguments", "kind", "words"), [
    ("/no/such/python", (), Unavailable, "could not be started with /no/such/python"),
    ("/bin/false", (), client.Unreachable, r"ended before it was ready\. It said nothing\."),
    (sys.executable, ("--port", "70000"), client.Unreachable, "port 70000 is impossible"),
    (sys.executable, ("--frobnicate",), client.Unreachable, "frobnicate"),
    (sys.executable, ("--cert", "/no/cert"), client.Unreachable, "certificate and its key")])
def test_one_that_cannot_start_says_why_at_once(tmp_path: Path, mark: Mark, python: str, arguments: tuple[str, ...],
                                                kind: type[Exception], words: str) -> None:
    local = LocalService(python, tmp_path / "server", arguments, {"MARK": mark})
    with pytest.raises(kind, match=words) as caught:
        local.start()
    assert "Traceback" not in str(caught.value)
    assert "\n" not in str(caught.value)
    local.stop()
    assert mark.processes() == {}


def test_the_examples_of_the_page_about_the_client_are_python_and_the_first_one_runs(
        tmp_path: Path, mark: Mark, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TEXT2CT_HOME", str(tmp_path))
    monkeypatch.setenv("MARK", mark)
    page = (Path(__file__).resolve().parents[2] / "docs/client.md").read_text(encoding="utf-8")
    examples = [compile(text, "docs/client.md", "exec") for text in re.findall(r"```python\n(.*?)```", page, re.DOTALL)]
    assert len(examples) >= 5
    exec(examples[0], {})
    assert capsys.readouterr().out == "(128, 128, 64) ['organs', 'findings']\n"
    assert (tmp_path / "local-service/jobs.sqlite").exists()


def test_a_second_program_of_one_user_has_the_next_folder_and_keeps_it(tmp_path: Path, mark: Mark,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXT2CT_HOME", str(tmp_path))
    first, second, third = (tmp_path / name for name in ("local-service", "local-service-2", "local-service-3"))
    local = LocalService(environment={"MARK": mark})
    with _first_free(_usual_folders()) as taken:
        assert taken == first
        job = local.start().submit(SMALL).id
        assert local.folder == second
        with _first_free(_usual_folders()) as taken:
            assert taken == third
    os.kill(mark.server(), signal.SIGKILL)
    assert [one.id for one in local.service.jobs()] == [job]  # the first is free now, but its jobs are here
    assert local.folder == second
    local.stop()
    assert LocalService().folder == first
    with _first_free(_usual_folders()) as taken:
        assert taken == first


def test_a_folder_that_another_live_program_has_is_refused_at_once_and_free_when_that_one_is_killed(
        tmp_path: Path, mark: Mark) -> None:
    holding = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from text2ct.local_service import _first_free
        with _first_free([Path(sys.argv[1])]):
            print("held", flush=True)
            time.sleep(600)
    """)
    holder = subprocess.Popen([sys.executable, "-c", holding, str(tmp_path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    local = LocalService("/bin/false", tmp_path, environment={"MARK": mark})
    with pytest.raises(Unavailable, match="is in use by another text2ct server; stop that one or give another folder"):
        local.start()
    holder.kill()
    holder.communicate()
    for _ in range(2):  # one that cannot start holds nothing
        with pytest.raises(client.Unreachable, match="ended before it was ready"):
            LocalService("/bin/false", tmp_path, environment={"MARK": mark}).start()


def test_its_folder_is_private_and_its_log_does_not_grow_for_ever(tmp_path: Path, mark: Mark) -> None:
    local = LocalService("/bin/false", tmp_path / "server", environment={"MARK": mark})
    with pytest.raises(client.Unreachable):
        local.start()
    assert (tmp_path / "server").stat().st_mode & 0o077 == 0
    local.log.write_bytes(bytes(2 << 20))
    with pytest.raises(client.Unreachable):
        local.start()
    assert local.log.stat().st_size < 1000
