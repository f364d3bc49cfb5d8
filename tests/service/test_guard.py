"""Who is let in and what is thrown out: keys, names, origins, versions, broken HTTP, slow and lying clients."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import KEY, SMALL, Served, in_thread

from text2ct.service import body, listening
from text2ct.service.door import Door, OneTimeKey
from text2ct.service.guard import host_name
from text2ct.service.keys import Keys
from text2ct.service.options import Limits, Options
from text2ct.service.refusal import Refused


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a one-time key and two stored ones, and without workers."""
    folder = tmp_path_factory.mktemp("locked") / "server"
    with in_thread(folder, Limits(wrong_keys_a_minute=1000), KEY, devices=(), hosts=("ct.example",)) as server:
        yield server


@pytest.fixture(scope="module")
def keys(locked: Served) -> dict[str, str]:
    stored = Keys(locked.folder)
    return {name: stored.add(name) for name in ("anna", "ben")}


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Served]:
    """A server of a test's own: servers in one process share one log, which the newest has."""
    with in_thread(tmp_path / "server", one_time_key=KEY, devices=()) as server:
        yield server


def code(answer: requests.Response) -> tuple[int, str]:
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "id"}
    return answer.status_code, error["code"]


def log_of(server: Served) -> str:
    return (server.folder / "logs" / "server.log").read_text()


def raw(server: Served, data: bytes, close: bool = False) -> bytes:
    """What the server says to these bytes, until it closes or is silent."""
    with talking(server) as connection:
        connection.sendall(data)
        if close:
            connection.shutdown(socket.SHUT_WR)
        return heard(connection)


def talking(server: Served) -> socket.socket:
    place = urlsplit(server.url)
    return socket.create_connection((place.hostname, place.port), 5)


def heard(connection: socket.socket, seconds: float = 0.6) -> bytes:
    connection.settimeout(seconds)
    said = b""
    try:
        while piece := connection.recv(65536):
            said += piece
    except (TimeoutError, ConnectionResetError):
        pass
    return said


def refusal_in(said: bytes) -> tuple[int, str]:
    head, _, text = said.partition(b"\r\n\r\n")
    assert b"text2ct-wire: 1" in head.lower()
    return int(head.split()[1]), json.loads(text)["error"]["code"]


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/capabilities", "/metrics", "/v1/openapi.json", "/nothing"])
@pytest.mark.parametrize("header", ["", "Bearer wrong", "Bearer", "Basic " + KEY, KEY, "Bearer " + KEY[:-1],
                                    "Bearer é"])
def test_without_the_right_key_only_health_answers(locked: Served, path: str, header: str) -> None:
    answer = requests.get(locked.url + path, headers={"Authorization": header.encode("latin-1")}, timeout=9)
    assert code(answer) == (401, "unknown_key")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert locked.get("/v1/health", key="nothing").json()["needs_key"] is True


def test_a_key_is_heard_whatever_the_case_of_bearer_but_not_when_two_are_given(locked: Served) -> None:
    assert locked.get("/v1/jobs", headers={"Authorization": f"bEARER {KEY}"}).status_code == 200
    twice = ("GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\n"
             f"Authorization: Bearer {KEY}\r\nAuthorization: Bearer x\r\n\r\n")
    assert refusal_in(raw(locked, twice.encode())) == (401, "unknown_key")


def test_a_job_is_as_if_it_were_not_there_for_every_other_key(locked: Served, keys: dict[str, str]) -> None:
    blob = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    job = locked.post_job(key=keys["anna"], headers={"Idempotency-Key": "same"}).json()["id"]
    assert locked.ask("PUT", f"/v1/blobs/{blob}", data=b"abc", key=keys["anna"]).status_code == 201
    for path in ("", "/events", "/request", "/result/result", "/result/preview"):
        assert code(locked.get(f"/v1/jobs/{job}{path}", key=keys["ben"])) == (404, "not_found")
    assert code(locked.ask("DELETE", f"/v1/jobs/{job}", key=keys["ben"])) == (404, "not_found")
    assert locked.get("/v1/jobs", key=keys["ben"]).json() == {"jobs": [], "next": None}
    assert locked.ask("HEAD", f"/v1/blobs/{blob}", key=keys["ben"]).status_code == 404
    assert locked.post_job(key=keys["ben"], headers={"Idempotency-Key": "same"}).json()["id"] != job
    assert locked.get(f"/v1/jobs/{job}", key=keys["anna"]).json()["state"] == "queued"


def test_a_revoked_key_opens_nothing_and_revoking_the_last_one_does_not_open_the_server(tmp_path: Path) -> None:
    stored = Keys(tmp_path / "server")
    key = stored.add("anna")
    with in_thread(tmp_path / "server", devices=()) as server:
        assert server.get("/v1/jobs", key=key).status_code == 200
        stored.revoke("anna")
        assert code(server.get("/v1/jobs", key=key)) == (401, "unknown_key")
        (tmp_path / "server" / "keys.json").unlink()
        assert code(server.get("/v1/jobs")) == (401, "unknown_key")


def test_a_key_made_while_an_open_server_runs_closes_it(tmp_path: Path) -> None:
    with in_thread(tmp_path / "server", devices=()) as server:
        assert server.get("/v1/jobs").status_code == 200
        key = Keys(tmp_path / "server").add("anna")
        assert code(server.get("/v1/jobs")) == (401, "unknown_key")
        assert server.get("/v1/jobs", key=key).status_code == 200


def test_who_guesses_keys_is_not_listened_to_for_a_while(tmp_path: Path) -> None:
    with in_thread(tmp_path / "server", Limits(wrong_keys_a_minute=3), KEY, devices=()) as server:
        other = Keys(server.folder).add("anna")
        assert server.get("/v1/jobs").status_code == 200
        assert [server.get("/v1/jobs", key=f"guess{n}").status_code for n in range(5)] == [401, 401, 401, 429, 429]
        late = server.get("/v1/jobs", key=other)
        assert code(late) == (429, "slow_down")
        assert int(late.headers["Retry-After"]) > 0
        assert server.get("/v1/jobs").status_code == 200  # this key was right from here before
        assert "guess" not in log_of(server)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_wrong_keys_are_counted_by_address_for_a_minute(tmp_path: Path) -> None:
    clock = Clock()
    options = Options(tmp_path, limits=Limits(wrong_keys_a_minute=2))
    door = Door(options, OneTimeKey(Keys(tmp_path), KEY), clock)

    def tried(key: str, address: str) -> str:
        try:
            return door.owner([f"Bearer {key}".encode()], address)
        except Refused as error:
            return error.code

    wrong = ["unknown_key", "unknown_key", "slow_down"]
    assert [tried("x", "10.0.0.1") for _ in range(3)] == wrong
    assert [tried("x", f"2001:db8::{n}") for n in range(3)] == wrong
    assert tried(KEY, "10.0.0.1") == "slow_down"
    assert tried(KEY, "10.0.0.2") == "local"
    assert tried(KEY, "2001:db8:0:1::1") == "local"
    clock.now = 61
    assert tried(KEY, "10.0.0.1") == "local"
    assert [tried("x", "10.0.0.1") for _ in range(3)] == wrong
    assert tried(KEY, "10.0.0.1") == "local"


@pytest.mark.parametrize(("host", "status"), [
    ("localhost", 200), ("127.0.0.1:1", 200), ("[::1]:8042", 200), ("CT.Example.:443", 200), ("evil.example", 422),
    ("127.0.0.1.evil.example", 422), ("", 422), ("[", 422), ("localhost@evil.example", 422),
    ("evil.example#localhost", 422)])
def test_only_names_of_this_server_are_answered(locked: Served, host: str, status: int) -> None:
    answer = locked.get("/v1/jobs", headers={"Host": host})
    assert answer.status_code == status
    assert status == 200 or "--allow-host" in answer.json()["error"]["message"]


@given(st.text(max_size=30))
def test_any_host_header_has_a_name_or_none(host: str) -> None:
    assert isinstance(host_name(host), str)


@pytest.mark.parametrize(("origin", "status"), [("https://evil.example", 422), ("null", 422),
                                                ("http://localhost:3000", 200), ("https://ct.example", 200)])
def test_pages_of_other_origins_may_not_ask(locked: Served, origin: str, status: int) -> None:
    answer = locked.get("/v1/jobs", headers={"Origin": origin})
    assert answer.status_code == status
    assert not any(name.lower().startswith("access-control") for name in answer.headers)
    preflight = locked.ask("OPTIONS", "/v1/jobs", headers={"Origin": "http://localhost",
                                                           "Access-Control-Request-Method": "POST"})
    assert preflight.status_code == 405


def test_another_wire_version_is_refused_with_both_numbers(locked: Served) -> None:
    answer = locked.get("/v1/jobs", headers={"Text2CT-Wire": "2"})
    assert code(answer) == (400, "version")
    assert re.search(r"'2'.* 1;", answer.json()["error"]["message"])
    assert locked.get("/v1/jobs", headers={"Text2CT-Wire": "1"}).status_code == 200
    assert locked.get("/v1/health", headers={"Text2CT-Wire": "2"}).json()["wire"] == 1


def test_every_answer_carries_the_security_headers_and_no_banner(locked: Served) -> None:
    for answer in (locked.get("/v1/health"), locked.get("/v1/jobs"), locked.get("/v1/jobs", key="wrong"),
                   locked.get("/nothing"), locked.get("/v1/jobs", headers={"Host": "evil"})):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Text2CT-Wire"] == "1"
        assert not {"Server", "X-Powered-By"} & set(answer.headers)


def test_a_defect_tells_its_id_and_the_log_tells_the_rest_without_a_word_of_the_report(
        logged: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "cannot store Frau Miller with cardiomegaly"

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(logged.store, "add", broken)
    answer = logged.post_job({**SMALL, "report": "Frau Miller: cardiomegaly."})
    assert code(answer) == (500, "defect")
    error = answer.json()["error"]
    assert error["message"] == f"A defect of the server; its log has the details under {error['id']}."
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    log = log_of(logged)
    assert "RuntimeError" in log[log.index(error["id"]):]
    assert "in broken" in log
    assert not re.search("Miller|cardiomegaly", log)


def test_reports_and_keys_are_never_logged(logged: Served) -> None:
    logged.post_job({**SMALL, "report": "Unmistakable zebrafish."})
    logged.post_job({**SMALL, "report": "Unmistakable zebrafish.", "zebra": 1})
    logged.get("/zebra?zebra=zebra")
    logged.get("/v1/jobs", key="t2ct_wrong")
    log = log_of(logged)
    assert log.count(" refused as ") == 3
    assert not re.search("(?i)zebra|t2ct_|" + KEY, log)


GET = b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n"
BROKEN = {
    "no http": b"GARBAGE\r\n\r\n", "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "no host": b"GET /v1/health HTTP/1.1\r\n\r\n", "bad length": GET + b"Content-Length: ten\r\n\r\n",
    "negative length": GET + b"Content-Length: -1\r\n\r\n",
    "two lengths": GET + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "unknown coding": GET + b"Transfer-Encoding: gzip\r\n\r\n", "large head": GET + b"X: " + b"x" * 100_000,
    "bad chunk": b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_http_is_refused_in_the_same_shape(locked: Served, name: str) -> None:
    status, reason = refusal_in(raw(locked, BROKEN[name]))
    assert (status, reason) in ((400, "bad_request"), (401, "unknown_key"))
    assert locked.get("/v1/health").status_code == 200


@settings(max_examples=60, deadline=None)
@given(head=st.binary(max_size=80),
       name=st.sampled_from([b"Range", b"Content-Range", b"Last-Event-ID", b"Host", b"Cookie", b"Expect",
                             b"Connection", b"Upgrade", b"Content-Length"]),
       value=st.text(alphabet=st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=40))
def test_whatever_bytes_come_no_answer_is_a_5xx_and_the_server_stays(locked: Served, head: bytes, name: bytes,
                                                                   value: str) -> None:
    line = name + b": " + value.encode("latin-1")
    key = b"Authorization: Bearer " + KEY.encode()
    asked = b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\n" + key + b"\r\n" + line + b"\r\n\r\n"
    for data in (head + b"\r\n\r\n", asked):
        said = raw(locked, data, close=True)
        assert not said or (said.startswith(b"HTTP/1.1 ") and said[9:10] in b"234"), said
    assert locked.get("/v1/health").status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_is_still_sending_hears_why_it_is_refused(locked: Served, chunked: bool) -> None:
    body = b" " * (8 << 20)
    for key, status in (("wrong", 401), (KEY, 413)):
        answer = locked.ask("POST", "/v1/jobs", key=key, headers={"Content-Type": "application/json"},
                            data=(body[n:n + 65536] for n in range(0, len(body), 65536)) if chunked else body)
        assert answer.status_code == status
        assert answer.headers["Connection"] == "close"


def test_a_client_that_waits_to_be_asked_for_its_body_is_refused_before_it_sends_it(locked: Served) -> None:
    said = raw(locked, b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
                       b"Content-Length: 9999999\r\n\r\n")
    assert refusal_in(said) == (401, "unknown_key")


def test_slow_heads_and_stalled_bodies_are_cut(locked: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "HEADER_S", 0.4)
    monkeypatch.setattr(body, "PATIENCE_S", 0.4)
    with talking(locked) as slow:
        for _ in range(10):
            try:
                slow.sendall(b"G")
            except OSError:
                break
            time.sleep(0.1)
        assert heard(slow) == b""
        with pytest.raises(OSError):  # noqa: PT011
            for _ in range(3):
                slow.sendall(b"x")
                time.sleep(0.1)
    head = (f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
            "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
    with talking(locked) as stalled:
        stalled.sendall(head.encode())
        assert refusal_in(heard(stalled, 8)) == (422, "bad_request")


def test_behind_a_proxy_addresses_are_those_that_the_proxy_saw(tmp_path: Path) -> None:
    key = Keys(tmp_path / "server").add("anna")
    limits = Limits(wrong_keys_a_minute=2)
    with in_thread(tmp_path / "server", limits, devices=(), behind_proxy=True) as server:
        tried = [server.get("/v1/jobs", key="x", headers={"X-Forwarded-For": f"{n}.9.9.9, 10.0.0.1"}).status_code
                 for n in range(3)]
        assert tried == [401, 401, 429]
        assert server.get("/v1/jobs", key=key, headers={"X-Forwarded-For": "10.0.0.1, 10.0.0.2"}).status_code == 200


def test_no_packet_of_an_answer_waits_for_the_one_before_to_be_acknowledged(locked: Served,
                                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    made, at_once = listening.Connection.connection_made, []

    def noted(self: listening.Connection, transport: Any) -> None:
        made(self, transport)
        at_once.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(listening.Connection, "connection_made", noted)
    assert locked.get("/v1/jobs").status_code == 200
    assert len(at_once) == 1
    assert at_once[0] != 0


def test_over_the_most_connections_new_ones_are_closed_and_old_ones_stay(locked: Served,
                                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "MOST_CONNECTIONS", 3)
    with requests.Session() as first, talking(locked), talking(locked):
        assert first.get(locked.url + "/v1/health", timeout=9).status_code == 200
        with talking(locked) as late:
            assert heard(late, 5) == b""
        assert first.get(locked.url + "/v1/health", timeout=9).status_code == 200
