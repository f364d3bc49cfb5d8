"""The event stream: nothing lost, nothing twice, in order, whatever the client and the threads behind it do."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import Served, in_thread

from text2ct.service import events, listening
from text2ct.service.bell import Bell
from text2ct.service.events import frame
from text2ct.service.options import Limits
from text2ct.service.wire import Event

Heard = tuple[int, str, dict[str, Any]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with in_thread(tmp_path_factory.mktemp("events") / "server") as server:
        yield server


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Served]:
    """No workers: the test itself plays the supervisor, on the real store."""
    with in_thread(tmp_path / "server", Limits(event_streams_a_key=3), devices=()) as server:
        yield server


def stream(server: Served, job: str, after: str = "") -> requests.Response:
    return server.get(f"/v1/jobs/{job}/events", stream=True, headers={"Last-Event-ID": after} if after else {})


def heard(text: str) -> list[Heard]:
    """The events of a stream, by the rules of server-sent events."""
    said = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            said.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return said


def started(server: Served) -> str:
    """A job that is running, as far as the store knows."""
    job: str = server.post_job().json()["id"]
    assert server.store is not None
    assert server.store.next() is not None
    return job


def finish(server: Served, job: str) -> None:
    assert server.store is not None
    assert server.bell is not None
    assert server.store.saving(job)
    assert server.store.finish(job, "done")
    server.bell.ring(job)


def test_a_stream_tells_a_job_from_its_queueing_to_its_end(served: Served) -> None:
    job = served.post_job().json()["id"]
    answer = stream(served, job)
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    said = heard(answer.text)
    numbers = [number for number, _, _ in said]
    assert numbers == sorted(set(numbers))
    assert [data["state"] for _, kind, data in said if kind == "state"][-2:] == ["running", "saving"]
    assert said[-1][1:] == ("end", {"state": "done"})


@settings(max_examples=20, deadline=None)
@given(cut=st.integers(0, 12))
def test_after_any_event_the_stream_goes_on_with_the_next(served: Served, cut: int) -> None:
    job = _done_once(served)
    whole = heard(stream(served, job).text)
    after = whole[min(cut, len(whole) - 1)][0]
    assert heard(stream(served, job, str(after)).text) == [event for event in whole if event[0] > after]
    assert heard(stream(served, job, str(10**17)).text) == []


def _done_once(server: Served) -> str:
    done = server.get("/v1/jobs?state=done&limit=1").json()["jobs"]
    return str(done[0]["id"]) if done else server.done_job()


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "9" * 19, "²"])
def test_a_last_event_id_that_is_no_number_is_refused(served: Served, after: str) -> None:
    answer = served.get(f"/v1/jobs/{_done_once(served)}/events", headers={"Last-Event-ID": after.encode("latin-1")})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bad_request")


@given(number=st.integers(0, 2**62), data=st.dictionaries(st.text(), st.text() | st.integers() | st.none(), max_size=5))
def test_any_text_in_an_event_stays_one_frame(number: int, data: dict[str, Any]) -> None:
    text = frame(Event(number, "log", data)).decode("ascii")
    assert heard(text) == [(number, "log", data)]
    assert text.count("\n") == 4
    assert "\r" not in text


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.text(max_size=20), max_size=30), drops=st.lists(st.integers(1, 400), max_size=4))
def test_a_reader_who_is_cut_off_again_and_again_hears_every_line_once(idle: Served, lines: list[str],
                                                                     drops: list[int]) -> None:
    job = started(idle)
    clean = [line.encode("utf-8", "replace").decode() for line in lines]
    writer = threading.Thread(target=_tell, args=(idle, job, clean))
    writer.start()
    said: list[Heard] = []
    for size in [*drops, 10**9]:
        said += _some(stream(idle, job, str(said[-1][0]) if said else ""), size)
    writer.join()
    assert [data["line"] for _, kind, data in said if kind == "log"] == clean
    assert said[-1][1] == "end"


def _tell(server: Served, job: str, lines: list[str]) -> None:
    assert server.store is not None
    assert server.bell is not None
    for line in lines:
        server.store.event(job, "log", {"line": line})
        server.bell.ring(job)
    finish(server, job)


def _some(answer: requests.Response, size: int) -> list[Heard]:
    """The events that stand whole in so many bytes; then the line breaks."""
    text = b""
    with answer:
        for piece in answer.iter_content(50):
            text += piece
            if len(text) >= size:
                break
    return heard(text.decode()[:text.decode().rfind("\n\n") + 2] if b"\n\n" in text else "")


def test_a_quiet_stream_says_now_and_then_that_it_is_alive(idle: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.1)
    job = idle.post_job().json()["id"]
    with stream(idle, job) as answer:
        lines = (line for line in answer.iter_lines() if line.startswith(b":"))
        assert [next(lines) for _ in range(4)] == [b": alive"] * 4
        idle.ask("DELETE", f"/v1/jobs/{job}")
        assert heard("\n".join(line.decode() for line in answer.iter_lines())) != []


def test_streams_are_limited_by_key_and_a_closed_one_makes_room(idle: Served) -> None:
    job = idle.post_job().json()["id"]
    first = [stream(idle, job) for _ in range(3)]
    reading = [answer.iter_lines() for answer in first]  # kept: a dropped iterator closes its connection
    for lines in reading:
        next(lines)
    over = stream(idle, job)
    assert (over.status_code, over.json()["error"]["code"]) == (429, "busy")
    first[0].close()
    deadline = time.monotonic() + 10
    while (again := stream(idle, job)).status_code == 429 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert again.status_code == 200
    for answer in (again, *first):
        answer.close()


def test_a_reader_of_one_byte_at_a_time_costs_neither_memory_nor_the_store(
        idle: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """12 MB of events wait for someone who reads 300 bytes: the server asks the store for no more than fits."""
    assert idle.store is not None
    job, read, asked = started(idle), idle.store.events, []

    def noted(job_id: str, after: int, limit: int = 500) -> list[Event]:
        asked.append(after)
        return read(job_id, after, limit)

    for n in range(1500):
        idle.store.event(job, "log", {"line": f"{n} {'x' * 8000}"})
    last = _last_number(read, job)
    monkeypatch.setattr(idle.store, "events", noted)
    place = urlsplit(idle.url)
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect((place.hostname, place.port))
        slow.sendall(f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert b"".join(slow.recv(1) for _ in range(300)).startswith(b"HTTP/1.1 200")
        time.sleep(1.0)
        assert len(asked) > 0
        assert max(asked) < last
        finish(idle, job)  # the store is free, and others are served
        lines = [data["line"] for _, kind, data in heard(stream(idle, job).text) if kind == "log"]
    assert [line.split()[0] for line in lines] == [str(n) for n in range(1500)]


def test_a_reader_who_takes_nothing_is_cut_off_and_its_place_is_free(
        idle: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "STALL_S", 0.5)
    assert idle.store is not None
    job = started(idle)
    for n in range(1500):
        idle.store.event(job, "log", {"line": f"{n} {'x' * 8000}"})
    place = urlsplit(idle.url)
    with socket.create_connection((place.hostname, place.port)) as silent:
        silent.sendall(f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert _streams(idle, 1)
        assert _streams(idle, 0)


def _streams(server: Served, number: int) -> bool:
    """Whether so many streams are open before long."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if f"text2ct_event_streams {number}\n" in server.get("/metrics").text:
            return True
        time.sleep(0.05)
    return False


def _last_number(read: Callable[[str, int, int], list[Event]], job: str) -> int:
    number = 0
    while events := read(job, number, 500):
        number = events[-1].number
    return number


def test_streams_end_when_the_server_does_and_go_on_at_the_next(tmp_path: Path) -> None:
    with in_thread(tmp_path / "server", devices=()) as server:
        job = server.post_job().json()["id"]
        answer = stream(server, job)
        lines = answer.iter_lines()
        first = heard("\n".join([next(lines).decode() for _ in range(6)]))
        reading = ThreadPoolExecutor(1).submit(lambda: list(lines))
        ending = time.monotonic()
    assert time.monotonic() - ending < 10
    assert not any(b"end" in line for line in reading.result(10))
    with in_thread(tmp_path / "server", devices=()) as server:
        server.ask("DELETE", f"/v1/jobs/{job}")
        rest = heard(stream(server, job, str(first[-1][0])).text)
    assert rest[-1][1:] == ("end", {"state": "cancelled"})


def test_a_stream_of_a_job_that_was_forgotten_ends(idle: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.1)
    job = idle.post_job().json()["id"]
    assert idle.store is not None
    with stream(idle, job) as answer:
        lines = answer.iter_lines()
        next(lines)
        monkeypatch.setattr(idle.store, "get", lambda *_: None)
        assert isinstance(list(lines), list)


@settings(max_examples=20, deadline=None)
@given(rings=st.integers(1, 200), threads=st.integers(1, 4))
def test_no_ring_of_any_thread_is_lost(rings: int, threads: int) -> None:
    """A counter stands for the store: who hears the bell reads it, and so must see its last value."""
    bell, count, lock = Bell(), [0], threading.Lock()

    def work() -> None:
        for _ in range(rings):
            with lock:
                count[0] += 1
            bell.ring("job")
            bell.ring("another")

    async def listen() -> None:
        with bell.listening("job") as listener:
            workers = [threading.Thread(target=work) for _ in range(threads)]
            for worker in workers:
                worker.start()
            while count[0] < rings * threads:
                assert await listener.wait(5)
            for worker in workers:
                worker.join()

    asyncio.run(listen())


def test_a_bell_rings_for_its_job_alone_and_for_all_when_it_closes() -> None:
    async def listen() -> tuple[bool, bool, bool]:
        bell = Bell()
        bell.ring("a")
        early = await bell.wait("a", 0.01)
        with bell.listening("a") as listener:
            bell.ring("b")
            other = await listener.wait(0.01)
            bell.close()
            return early, other, await listener.wait(1)

    assert asyncio.run(listen()) == (False, False, True)
