"""`text2ct serve` as people and programs start it: real processes, real signals, nothing left behind."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from serving import KEY, SMALL, Served, announced, in_process, in_thread, start

from text2ct.cli.main import main
from text2ct.errors import BadInput, Unavailable
from text2ct.service import serve
from text2ct.service.keys import Keys
from text2ct.service.options import Options
from text2ct.service.serve import run_server

LONG = {**SMALL, "shape": [512, 512, 256], "spacing": [0.75, 0.75, 1.25]}


@pytest.fixture(autouse=True)
def _same_umask() -> Iterator[None]:
    """The command narrows the mask of its process, which here is that of all tests."""
    mask = os.umask(0o022)
    os.umask(mask)
    yield
    os.umask(mask)


def text2ct(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def children(pid: int) -> list[int]:
    """The processes that a server started."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            found.append(int(entry.name))
    return found


def gone(pid: int, seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if (Path(f"/proc/{pid}") / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def running(server: Served, request: dict[str, object]) -> str:
    """A job that a worker is at."""
    job: str = server.post_job(request).json()["id"]
    deadline = time.monotonic() + 60
    while server.get(f"/v1/jobs/{job}").json()["state"] != "running" and time.monotonic() < deadline:
        time.sleep(0.02)
    return job


def test_the_http_process_stays_small_and_knows_no_torch_while_images_and_jobs_go_through_it(tmp_path: Path) -> None:
    with in_process(tmp_path / "server") as server:
        data = os.urandom(48 << 20)
        sent = server.ask("PUT", f"/v1/blobs/{hashlib.sha256(data).hexdigest()}", data=data)
        assert sent.status_code == 201
        job = server.done_job()
        for part in server.get(f"/v1/jobs/{job}/result/result").json()["parts"]:
            assert server.get(f"/v1/jobs/{job}/result/{part['name']}").status_code == 200
        assert server.get("/v1/openapi.json").status_code == server.get("/v1/capabilities").status_code == 200
        peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{server.pid}/status").read_text())
        assert peak is not None
        assert int(peak[1]) < 150 * 1024
        assert "text2ct_http_torch_imported 0\n" in server.get("/metrics").text
        assert "libtorch" not in Path(f"/proc/{server.pid}/maps").read_text()


def test_a_server_has_descriptors_for_all_the_connections_that_it_takes() -> None:
    resource = pytest.importorskip("resource", reason="this system has no such limits")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2500:
        pytest.skip("this machine allows fewer descriptors")
    run = ("import resource; from text2ct.service.listening import MOST_CONNECTIONS, allow_descriptors; "
           f"resource.setrlimit(resource.RLIMIT_NOFILE, (256, {hard})); allow_descriptors(); "
           "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 2 * MOST_CONNECTIONS)")
    assert subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=True).stdout == "True\n"


def test_a_stopped_server_ends_its_workers_and_the_next_one_ends_its_jobs(tmp_path: Path) -> None:
    process = start(tmp_path / "server")
    server = announced(process, tmp_path / "server")
    job = running(server, LONG)
    queued = server.post_job().json()["id"]
    workers = children(server.pid)
    assert workers
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=15)
    assert (process.returncode, errors) == (0, "")
    assert all(gone(worker) for worker in workers)
    with in_process(tmp_path / "server") as server:
        assert server.ask("DELETE", f"/v1/jobs/{job}").status_code == 200
        assert server.ended(job)["state"] == "cancelled"
        assert server.ended(queued)["state"] == "done"


@pytest.mark.parametrize("killed", [False, True])
def test_when_the_parent_is_gone_no_process_is_left(tmp_path: Path, killed: bool) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", "import sys, time; sys.path.insert(0, sys.argv[1]); from serving import *; "
         "p = start(Path(sys.argv[2])); s = announced(p, Path(sys.argv[2])); print(s.pid, flush=True); time.sleep(60)",
         str(Path(__file__).parent), str(tmp_path / "server")], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    workers = children(pid)
    parent.send_signal(signal.SIGKILL if killed else signal.SIGTERM)
    parent.communicate(timeout=15)
    assert gone(pid)
    assert all(gone(worker) for worker in workers)


CARELESS = [
    (["--host", "0.0.0.0"], "has no key yet"), (["--behind-proxy"], "has no key yet"),
    (["--cert", "x.pem"], "--cert-key"), (["--keep-days", "nan"], "above 0"),
    (["--keep-gb", "0"], "above 0"), (["--port", "70000"], "between 0 and 65535"),
    (["--with-parent"], "one-time key"), (["--cert", __file__, "--cert-key", __file__], "certificate")]


@pytest.mark.parametrize(("arguments", "words"), CARELESS)
def test_a_careless_server_is_not_started(tmp_path: Path, arguments: list[str], words: str,
                                          capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("short\n"))
    status = text2ct("serve", "--folder", tmp_path / "server", "--port", "0", *arguments)
    said = capsys.readouterr()
    assert (status, said.out) == (2, "")
    assert words in said.err.splitlines()[-1]
    assert "Traceback" not in said.err


def test_with_a_key_and_no_tls_only_loopback_is_served(tmp_path: Path) -> None:
    Keys(tmp_path / "server").add("anna")
    with pytest.raises(BadInput, match="unprotected"):
        run_server(Options(tmp_path / "server", "0.0.0.0", 0))


def test_a_taken_port_and_a_taken_folder_are_said_in_a_sentence(tmp_path: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "_LOCK_S", 0.3)
    with in_thread(tmp_path / "server", devices=()) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(Unavailable, match=f"port {port} is taken"):
            run_server(Options(tmp_path / "other", port=port))
        with pytest.raises(Unavailable, match="in use by another text2ct server"):
            run_server(Options(tmp_path / "server", port=0))
        assert server.get("/v1/jobs").status_code == 200
    with pytest.raises(Unavailable, match=r"cannot listen on 203\.0\.113\.7"):
        Keys(tmp_path / "other").add("anna")
        run_server(Options(tmp_path / "other", "203.0.113.7", behind_proxy=True))


def test_keys_are_made_shown_once_listed_and_revoked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = ("--folder", tmp_path / "server")
    assert text2ct("serve", "keys", "add", "anna", "--most-queued", 3, *folder) == 0
    key = capsys.readouterr().out.strip()
    assert key.startswith("t2ct_")
    assert text2ct("serve", "keys", "list", "--json", *folder) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(one["name"], one["most_queued"]) for one in listed] == [("anna", 3)]
    assert key not in (tmp_path / "server" / "keys.json").read_text()
    with in_thread(tmp_path / "server", devices=()) as server:
        assert [server.post_job(key=key).status_code for _ in range(4)] == [202, 202, 202, 429]
        assert text2ct("serve", "keys", "revoke", "anna", *folder) == 0
        assert server.get("/v1/jobs", key=key).status_code == 401
    for arguments, words in ((("add", "../x"), "can't be the name"), (("revoke", "nobody"), "no key named")):
        capsys.readouterr()
        assert text2ct("serve", "keys", *arguments, *folder) == 2
        said = capsys.readouterr()
        assert (said.out, words in said.err) == ("", True)


def test_a_server_with_a_certificate_speaks_tls_alone(tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here: no certificate can be made for this test")
    cert, cert_key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run([openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", cert_key, "-out", cert,
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                   check=True, capture_output=True)
    with in_process(tmp_path / "server", "--cert", str(cert), "--cert-key", str(cert_key)) as server:
        assert server.url.startswith("https://127.0.0.1:")
        answer = server.get("/v1/jobs", verify=str(cert))
        assert answer.json() == {"jobs": [], "next": None}
        assert "max-age" in answer.headers["Strict-Transport-Security"]
        with pytest.raises(requests.exceptions.SSLError):
            server.get("/v1/jobs")
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(server.url.replace("https", "http"), timeout=5)


def test_what_the_server_keeps_is_for_its_own_user_alone(tmp_path: Path) -> None:
    with in_process(tmp_path / "server") as server:
        server.done_job()
        paths = [server.folder, *server.folder.rglob("*")]
        open_to_others = [str(path) for path in paths if path.stat().st_mode & 0o077 and path.is_dir()]
        assert open_to_others == []
        assert all(path.stat().st_mode & 0o077 == 0 for path in paths if path.suffix in (".json", ".log", ".sqlite"))
        assert KEY not in "".join(path.read_text(errors="ignore") for path in paths if path.is_file())


def test_the_command_line_starts_without_the_packages_of_a_server(tmp_path: Path) -> None:
    blocked = ("import sys; sys.modules.update(fastapi=None, uvicorn=None); from text2ct.cli.main import main; "
               f"sys.exit(main(['serve', '--port', '0', '--folder', {str(tmp_path / 'server')!r}]))")
    done = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 6
    assert "pip install 'text2ct[server]'" in done.stderr
    quick = "import sys; import text2ct.cli.main; print([m for m in ('fastapi', 'uvicorn') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", quick], capture_output=True, text=True, check=True).stdout == "[]\n"
