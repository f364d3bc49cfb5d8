"""What a person reads when a service is not there, not a service, of another version, or broken.

Every server here is a real one on loopback. Whatever it does, one of few exceptions
with one sentence comes out, and never an error of the network's own making.
"""

from __future__ import annotations

import json
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_servers import WIRE, answering, free_port, saying_raw, send

from text2ct import client
from text2ct.client import Patience, Service
from text2ct.errors import BadInput, BadRequest, Text2CTError
from text2ct.remote.event_stream import parse
from text2ct.requests import GenerateCT
from text2ct.service.wire import Event

QUICK = Patience(connect=2, silence=0.4, gone=0.6, first=0.6, cancel=2)
REQUEST = GenerateCT("Normal chest.")


def failing(url: str, kind: type[Text2CTError], words: str, key: str = "") -> Text2CTError:
    """What asking this server raises; it is exactly of this kind and reads so."""
    with pytest.raises(Text2CTError, match=words) as caught:
        Service(url, key, patience=QUICK).capabilities()
    assert type(caught.value) is kind
    assert str(caught.value).endswith((".", ")"))
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value


def test_nothing_there_is_said() -> None:
    failing(f"http://127.0.0.1:{free_port()}", client.Unreachable, r"Nothing answers at http://127\.0\.0\.1:\d+; start")


def test_an_unknown_name_is_said() -> None:
    failing("https://no-such-host.invalid", client.Unreachable, "not known to this network|does not answer|broke")


def test_another_program_is_recognised() -> None:
    with answering(lambda h: send(h, 200, b"<html>Welcome to nginx</html>", {})) as url:
        failing(url, client.Unreachable, "it is no text2ct server")


def test_a_redirect_is_not_followed_so_that_the_key_goes_nowhere_else() -> None:
    heard: list[str | None] = []

    def hear(handler: BaseHTTPRequestHandler) -> None:
        heard.append(handler.headers.get("Authorization"))
        send(handler, 200, b"{}")

    with answering(hear) as elsewhere, answering(lambda h: send(h, 302, b"", {"Location": elsewhere})) as url:
        failing(url, client.Unreachable, r"HTTP 302\), but it is no text2ct server", "secret")
    assert heard == []


def test_another_version_is_said_with_both_numbers() -> None:
    with answering(lambda h: send(h, 200, b"{}", {"Text2CT-Wire": "2"})) as url:
        failing(url, client.VersionMismatch, r"speaks version 2 .* speaks version 1; update the older")


@pytest.mark.parametrize(("code", "status", "kind"), [
    ("busy", 429, client.Busy), ("slow_down", 429, client.Busy), ("too_large", 413, client.TooLarge),
    ("not_found", 404, client.NoSuchJob), ("bad_request", 422, BadRequest), ("version", 400, client.VersionMismatch),
    ("full", 507, client.Busy), ("defect", 500, client.ServiceError), ("new_in_2031", 418, client.ServiceError)])
def test_each_refusal_is_its_own_kind_with_the_servers_sentence(code: str, status: int,
                                                                kind: type[Text2CTError]) -> None:
    body = {"error": {"code": code, "message": "The queue is full: 500 jobs wait.", "id": "e-0123456789"}}
    with answering(lambda h: send(h, status, json.dumps(body).encode())) as url:
        error = failing(url, kind, "The queue is full: 500 jobs wait")
    assert getattr(error, "error_id", "e-0123456789") == "e-0123456789"
    assert ("e-0123456789" in str(error)) is (kind is client.ServiceError)


def test_a_wrong_key_and_a_missing_key_read_differently() -> None:
    body = json.dumps({"error": {"code": "unknown_key", "message": "No.", "id": ""}}).encode()
    with answering(lambda h: send(h, 401, body)) as url:
        failing(url, client.WrongKey, "wants a key")
        error = failing(url, client.WrongKey, "does not know this key, or it was revoked", "t2ct_secret")
    assert "t2ct_secret" not in str(error)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"error": 3}', b'{"error": {"code": []}}', b"\xff" * 9])
def test_a_refusal_without_a_readable_reason_is_still_a_sentence(body: bytes) -> None:
    with answering(lambda h: send(h, 413, body)) as url:
        failing(url, client.TooLarge, "refused .too_large, HTTP 413. and did not say why")


def test_a_proxy_without_its_server_is_waited_for_and_then_given_up() -> None:
    times: list[float] = []

    def away(handler: BaseHTTPRequestHandler) -> None:
        times.append(time.monotonic())
        if len(times) < 3:
            send(handler, 502, b"<h1>Bad gateway</h1>", {})
        else:
            send(handler, 200, b'{"version": "1"}')

    with answering(away) as url:
        assert Service(url, patience=QUICK).capabilities() == {"version": "1"}
    assert len(times) == 3
    with answering(lambda h: send(h, 503, b"", {})) as url:
        failing(url, client.Unreachable, r"is away, says the proxy .* Tried for 1 s\.")


def test_a_silent_server_is_not_waited_for_longer_than_patience_says() -> None:
    with answering(lambda h: time.sleep(30)) as url:
        failing(url, client.Unreachable, "does not answer in time.*Tried for")


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_an_answer_that_is_no_json_object_is_a_sentence(body: bytes) -> None:
    with answering(lambda h: send(h, 200, body)) as url:
        failing(url, client.Unreachable, "is no JSON object")


def test_an_answer_that_breaks_off_is_asked_for_again() -> None:
    tries: list[int] = []

    def broken(handler: BaseHTTPRequestHandler) -> None:
        tries.append(1)
        if len(tries) > 2:
            send(handler, 200, b'{"a": 1}')
            return
        send(handler, 200, b'{"a": 1}', {**WIRE, "Content-Length": "50"})
        handler.close_connection = True

    with answering(broken) as url:
        assert Service(url, patience=QUICK).capabilities() == {"a": 1}
    assert len(tries) == 3


def test_an_answer_without_end_is_not_taken_in() -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        send(handler, 500, b"", {**WIRE, "Transfer-Encoding": "chunked"})
        while True:
            handler.wfile.write(b"10000\r\n" + bytes(65536) + b"\r\n")

    with answering(endless) as url:
        failing(url, client.Unreachable, "does not end|broke")


def test_values_of_another_shape_are_a_sentence() -> None:
    with answering(lambda h: send(h, 200, b'{"id": "ab", "state": "sleeping"}')) as url, \
            pytest.raises(client.ServiceError, match=r"not understood .*other version"):
        Service(url, patience=QUICK).attach("ab")


def test_tls_that_is_none_is_said() -> None:
    with answering(lambda h: send(h, 200, b"{}")) as url:
        failing(url.replace("http:", "https:"), client.Unreachable, "could not prove who it is")


@pytest.mark.parametrize("url", ["", "gpu:8042", "ftp://gpu", "http://", "https://me:pw@gpu", "https://gpu:99999",
                                 "https://gpu?x=1", "file:///etc/passwd", "https://[::1"])
def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(BadInput, match="is no address of a server"):
        Service(url)


def test_reports_are_not_sent_unprotected_to_other_machines() -> None:
    with pytest.raises(BadInput, match="unprotected; use https"):
        Service("http://gpu.example.org:8042", "key")
    assert Service("http://gpu.example.org:8042/", "key", unprotected=True).url == "http://gpu.example.org:8042"
    for here in ("http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "http://127.3.2.1:1"):
        assert Service(here).url == here


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "schlüssel", "a\0b"])
def test_a_key_that_cannot_be_one_is_refused_at_once(key: str) -> None:
    with pytest.raises(BadInput, match="characters that no key has"):
        Service("http://127.0.0.1:1", key)


def test_the_key_is_taken_from_the_caller_and_from_no_file_of_passwords(tmp_path: Path,
                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    heard: list[str | None] = []

    def hear(handler: BaseHTTPRequestHandler) -> None:
        heard.append(handler.headers.get("Authorization"))
        send(handler, 200, b"{}")

    with answering(hear) as url:
        Service(url, " mine\n").health()
        Service(url).health()
    assert heard == ["Bearer mine", None]


def test_a_request_that_makes_no_sense_is_not_sent() -> None:
    with pytest.raises(BadRequest, match="report is empty"):
        Service(f"http://127.0.0.1:{free_port()}").submit(GenerateCT(" "))
    with pytest.raises(BadRequest, match="half a character"):
        Service(f"http://127.0.0.1:{free_port()}").submit(GenerateCT("effusion \ud800"))


@pytest.mark.parametrize("job", ["", "../x", "ab/cd", "AB", "x" * 90, "ü"])
def test_what_is_no_id_of_a_job_is_not_asked_for(job: str) -> None:
    with pytest.raises(client.NoSuchJob, match="is no id of a job"):
        Service(f"http://127.0.0.1:{free_port()}").attach(job)


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.builds(
    lambda status, headers, body: f"HTTP/1.1 {status} X\r\nText2CT-Wire: 1\r\n{headers}\r\n\r\n".encode() + body,
    st.integers(-5, 700), st.text("ab: \r\n0123", max_size=30), st.binary(max_size=80))))
def test_whatever_bytes_come_only_our_errors_come_out(data: bytes) -> None:
    impatient = Patience(connect=1, silence=0.3, gone=0, first=0)
    with saying_raw(data) as url:
        service = Service(url, patience=impatient)
        for ask in (service.capabilities, service.jobs, lambda: service.submit(REQUEST), lambda: service.run(REQUEST)):
            try:
                ask()
            except Text2CTError as error:
                assert str(error)


def test_events_are_asked_for_after_the_last_one_heard_and_told_once() -> None:
    asked: list[str | None] = []

    def stream(handler: BaseHTTPRequestHandler) -> None:
        if not handler.path.endswith("/events"):
            send(handler, 200, json.dumps({"id": "ab", "state": "running", "task": "generate", "engine": "phantom",
                                           "created": ""}).encode())
            return
        asked.append(handler.headers.get("Last-Event-ID"))
        kind = "end" if len(asked) == 3 else "log"
        send(handler, 200, b"".join(f"id: {n}\nevent: {kind if n == len(asked) else 'log'}\ndata: {{}}\n\n".encode()
                                    for n in range(1, len(asked) + 1)))  # forgetful: it tells all again

    with answering(stream) as url:
        events = list(Service(url, patience=QUICK).attach("ab").events())
    assert asked == [None, "1", "2"]
    assert [event.number for event in events] == [1, 2, 3]
    assert events[-1].kind == "end"


EVENTS = st.lists(st.tuples(st.integers(1, 10**12), st.sampled_from(["state", "progress", "log", "end"]),
                            st.dictionaries(st.text(max_size=5), st.text(max_size=8), max_size=3)), max_size=6)


@given(EVENTS, st.integers(1, 40), st.booleans())
def test_events_are_the_same_however_their_bytes_arrive(rows: list[tuple[int, str, dict[str, str]]], size: int,
                                                        windows: bool) -> None:
    text = "".join(f": alive\n\nid: {n}\nevent: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
                   for n, kind, data in rows)
    data = (text.replace("\n", "\r\n") if windows else text).encode()
    pieces = [data[at:at + size] for at in range(0, len(data), size)]
    assert [e for e in parse(pieces) if e] == [Event(n, kind, data) for n, kind, data in rows]  # type: ignore[arg-type]


@given(st.binary(max_size=300))
def test_any_bytes_as_events_are_events_or_our_error(data: bytes) -> None:
    try:
        assert all(event is None or isinstance(event, Event) for event in parse([data, b"\n\n"]))
    except client.Unreachable as error:
        assert "cannot be read" in str(error)
