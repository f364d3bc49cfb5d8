"""The embedded store: one SQLite file that any thread, and a second process, may use at once.

How it keeps its promises:

- A change is one transaction, taken with BEGIN IMMEDIATE, so that what it read still
  holds when it writes. One connection writes, one reads; with a write-ahead log (WAL)
  a reader never waits for the disk.
- What somebody was told to be so is synced before the call returns: a job accepted,
  cancelled, ended, queued again or forgotten. All else (a job taken, progress, previews, log lines) is
  written without a sync: a killed process loses none of it, and after a power failure
  the job is found one step further back in its life and run again, to the same voxels.
- Event numbers that clients have seen in that lost moment must not be given out again.
  So each opening of the file jumps `JUMP` numbers ahead for jobs that are not ended.
- Turns: the owner whose turn is longest past comes next, with his oldest job.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

from ..errors import Unavailable
from ..plain import to_plain
from .disk import FULL, check_room, private_folder
from .refusal import Refused
from .schema import migrate
from .store import Job
from .wire import FINAL, ErrorView, Event, EventKind, State

LASTING, PASSING = "FULL", "NORMAL"  # SQLite's names for a commit that is synced, and one that is not
JUMP = 1_000_000  # more events than the log holds between two syncs
MOST_LOG_LINES = 2_000
LAST_LINE = {"line": "Further lines are left out."}
BUSY_SECONDS = 30.0
MOST = 2**62  # a number from outside may be larger than SQLite's
_COLUMNS = ("j.id, j.number, j.owner, j.state, j.task, j.engine, j.volumes, j.created, j.started, j.finished, j.stage, "
            "j.step, j.total, j.attempt, j.crashes, j.cancel_asked, j.error")
_JOB = f"SELECT {_COLUMNS}, t.request FROM jobs j JOIN texts t USING (number) "
_LEAN = f"SELECT {_COLUMNS}, '' AS request FROM jobs j "
_ENDED = "('done', 'failed', 'cancelled')"
_NOT_ENDED = "('queued', 'running', 'saving')"
_LINE = """SELECT j.owner, MIN(j.number) AS oldest, COUNT(*) AS waiting FROM jobs j LEFT JOIN turns t USING (owner)
    WHERE j.state = 'queued' GROUP BY j.owner ORDER BY COALESCE(t.turn, 0), oldest"""


class _Live(NamedTuple):
    """What a change of a job starts from."""

    number: int
    state: State
    cancel_asked: bool
    owner: str


class SqliteStore:
    """store.Store in the file `path`. `clock` gives seconds since 1970, for people to read only."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock, self._path = clock, path
        self._writing, self._reading = threading.Lock(), threading.Lock()
        private_folder(path.parent)
        with _sentences(path):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._writer = _connect(path)
            try:
                self._writer.execute("PRAGMA journal_mode = WAL")
                migrate(self._writer, path)
                with self._change() as db:
                    db.execute(f"UPDATE jobs SET told = told + {JUMP} WHERE state IN {_NOT_ENDED}")
                self._reader = _connect(path)
            except BaseException:
                self._writer.close()
                raise

    def add(self, owner: str, task: str, engine: str, request: str, volumes: Mapping[str, str], key: str,
            most_queued: int, most_queued_by_owner: int) -> Job:
        check_room(self._path.parent, len(request))
        named = json.dumps(dict(volumes), sort_keys=True)
        body = _fingerprint(task, engine, request, named)
        with self._change() as db:
            known = db.execute("SELECT id, body FROM jobs WHERE owner = ? AND key = ? AND key != ''",
                               (owner, key)).fetchone()
            if known:
                if known["body"] != body:
                    raise Refused("conflict", "This Idempotency-Key was already used for another request; "
                                  "give each request a key of its own.")
                return _one(db, known["id"])
            _check_line(db, owner, most_queued, most_queued_by_owner)
            added = db.execute(
                "INSERT INTO jobs (id, owner, state, task, engine, volumes, key, body, created) "
                "VALUES (?, ?, 'queued', ?, ?, ?, ?, ?, ?)",
                (secrets.token_hex(16), owner, task, engine, named, key, body, self._clock()))
            number = cast(int, added.lastrowid)
            db.execute("INSERT INTO texts VALUES (?, ?)", (number, request))
            _tell(db, number, "state", {"state": "queued", "place": _place(db, owner, number)})
            return _one(db, db.execute("SELECT id FROM jobs WHERE number = ?", (number,)).fetchone()["id"])

    def get(self, job_id: str, owner: str | None = None) -> Job | None:
        if not _is_id(job_id):
            return None
        rows = self._read(_JOB + "WHERE j.id = ? AND (? IS NULL OR j.owner = ?)", (job_id, owner, owner))
        return _job(rows[0]) if rows else None

    def jobs(self, owner: str | None, states: Sequence[State] = (), limit: int = 100,
             before: int | None = None) -> list[Job]:
        wanted: dict[str, tuple[Any, ...]] = {"j.number < ?": (MOST if before is None else _bounded(before),)}
        if owner is not None:
            wanted["j.owner = ?"] = (owner,)
        if states:
            wanted[f"j.state IN ({', '.join('?' * len(states))})"] = tuple(states)
        values = (value for values in wanted.values() for value in values)
        rows = self._read(_LEAN + f"WHERE {' AND '.join(wanted)} ORDER BY j.number DESC LIMIT ?",
                          (*values, max(0, _bounded(limit))))
        return [_job(row) for row in rows]

    def place(self, job: Job) -> int | None:
        with self._reading, _sentences(self._path):
            self._reader.execute("BEGIN")  # all that is read in it is of one moment
            try:
                return _place(self._reader, job.owner, job.number)
            finally:
                self._reader.execute("COMMIT")

    def next(self) -> Job | None:
        with self._change(lasting=False) as db:
            first = db.execute(_LINE + " LIMIT 1").fetchone()
            if first is None:
                return None
            db.execute("UPDATE jobs SET state = 'running', started = ? WHERE number = ?",
                       (self._clock(), first["oldest"]))
            db.execute("INSERT OR REPLACE INTO turns SELECT ?, COALESCE(MAX(turn), 0) + 1 FROM turns",
                       (first["owner"],))
            _tell(db, first["oldest"], "state", {"state": "running"})
            return _job(db.execute(_JOB + "WHERE j.number = ?", (first["oldest"],)).fetchone())

    def progress(self, job_id: str, stage: str, step: int, total: int, seconds: float) -> None:
        with self._change(lasting=False) as db:
            job = _live(db, job_id)
            if job and job.state == "running":
                db.execute("UPDATE jobs SET stage = ?, step = ?, total = ? WHERE number = ?",
                           (stage, step, total, job.number))
                _tell(db, job.number, "progress", {"stage": stage, "step": step, "total": total, "seconds": seconds})

    def event(self, job_id: str, kind: EventKind, data: Mapping[str, Any]) -> None:
        if kind == "end" or kind not in get_args(EventKind):
            raise ValueError(f"an event of the kind {kind} is not for others to tell")
        with self._change(lasting=False) as db:
            job = _live(db, job_id)
            if not job:
                return
            if kind == "log":
                db.execute("UPDATE jobs SET logged = logged + 1 WHERE number = ?", (job.number,))
                (lines,) = db.execute("SELECT logged FROM jobs WHERE number = ?", (job.number,)).fetchone()
                if lines > MOST_LOG_LINES:
                    return
                data = LAST_LINE if lines == MOST_LOG_LINES else data
            _tell(db, job.number, kind, data)

    def saving(self, job_id: str) -> bool:
        with self._change(lasting=False) as db:
            job = _live(db, job_id)
            if job is None or job.state != "running":
                return False
            db.execute("UPDATE jobs SET state = 'saving' WHERE number = ?", (job.number,))
            _tell(db, job.number, "state", {"state": "saving"})
            return True

    def finish(self, job_id: str, state: State, error: ErrorView | None = None) -> bool:
        if state not in FINAL:
            raise ValueError(f"{state} is not the end of a job")
        with self._change() as db:
            job = _live(db, job_id)
            if job:
                self._end(db, job, state, error)
            return job is not None

    def requeue(self, job_id: str, note: str, crashed: bool) -> None:
        with self._change() as db:
            job = _live(db, job_id)
            if job is None or job.state == "queued":
                return
            if job.cancel_asked:
                self._end(db, job, "cancelled", None)
                return
            db.execute("UPDATE jobs SET state = 'queued', started = NULL, stage = '', step = 0, total = 0, "
                       "attempt = attempt + 1, crashes = crashes + ? WHERE number = ?", (int(crashed), job.number))
            db.execute("DELETE FROM events WHERE job = ? AND kind IN ('progress', 'preview')", (job.number,))
            if not crashed:
                db.execute("DELETE FROM turns WHERE owner = ?", (job.owner,))
            _tell(db, job.number, "state", {"state": "queued", "place": _place(db, job.owner, job.number),
                                            "note": note})

    def ask_cancel(self, job_id: str) -> State:
        with self._change() as db:
            job = _live(db, job_id)
            if job and job.state == "queued":
                self._end(db, job, "cancelled", None)
            elif job:
                db.execute("UPDATE jobs SET cancel_asked = 1 WHERE number = ?", (job.number,))
            return _one(db, job_id).state

    def unfinished(self) -> list[Job]:
        return [_job(row) for row in self._read(_LEAN + "WHERE j.state IN ('running', 'saving') ORDER BY j.number")]

    def events(self, job_id: str, after: int, limit: int = 500) -> list[Event]:
        if not _is_id(job_id):
            return []
        rows = self._read("SELECT e.number, e.kind, e.data FROM events e JOIN jobs j ON j.number = e.job "
                          "WHERE j.id = ? AND e.number > ? ORDER BY e.number LIMIT ?",
                          (job_id, _bounded(after), max(0, _bounded(limit))))
        return [Event(row["number"], row["kind"], json.loads(row["data"])) for row in rows]

    def finished(self) -> list[Job]:
        return [_job(row) for row in self._read(_LEAN + "WHERE j.ended IS NOT NULL ORDER BY j.ended")]

    def forget(self, job_ids: Iterable[str]) -> None:
        with self._change() as db:
            for job_id in job_ids:
                row = db.execute(f"SELECT number FROM jobs WHERE id = ? AND state IN {_ENDED}", (job_id,)).fetchone()
                for table, column in (("events", "job"), ("texts", "number"), ("jobs", "number")) if row else ():
                    db.execute(f"DELETE FROM {table} WHERE {column} = ?", (row["number"],))

    def counts(self) -> Mapping[State, int]:
        found = {row[0]: row[1] for row in self._read("SELECT state, COUNT(*) FROM jobs GROUP BY state")}
        return {state: found.get(state, 0) for state in get_args(State)}

    def blobs_in_use(self, owner: str) -> set[str]:
        rows = self._read(f"SELECT volumes FROM jobs WHERE state IN {_NOT_ENDED} AND owner = ?", (owner,))
        return {blob for row in rows for blob in json.loads(row["volumes"]).values()}

    def close(self) -> None:
        with self._writing, self._reading:
            self._reader.close()
            self._writer.close()

    @contextmanager
    def _change(self, lasting: bool = True) -> Iterator[sqlite3.Connection]:
        """One transaction; a lasting one is on the disk when the block ends."""
        with self._writing, _sentences(self._path):
            db = self._writer
            db.execute(f"PRAGMA synchronous = {LASTING if lasting else PASSING}")
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def _read(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        with self._reading, _sentences(self._path):
            return self._reader.execute(query, values).fetchall()

    def _end(self, db: sqlite3.Connection, job: _Live, state: State, error: ErrorView | None) -> None:
        said = to_plain(error) if error else None
        db.execute("UPDATE jobs SET state = ?, finished = ?, error = ?, "
                   "ended = (SELECT COALESCE(MAX(ended), 0) + 1 FROM jobs WHERE ended IS NOT NULL) WHERE number = ?",
                   (state, self._clock(), json.dumps(said) if said else None, job.number))
        _tell(db, job.number, "end", {"state": state, **({"error": said} if said else {})})


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA cache_size = -500")  # KiB; the system keeps the file's pages anyway
    db.execute("PRAGMA secure_delete = ON")  # the texts of forgotten jobs don't stay in free pages
    return db


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """What can go wrong with the file, as refusals and failures with a sentence."""
    try:
        yield
    except UnicodeEncodeError:
        raise Refused("bad_request", "The request holds characters that are no text (lone surrogates).") from None
    except sqlite3.OperationalError as error:
        if "disk is full" in str(error) or "disk I/O" in str(error):
            raise Refused("full", FULL) from error
        if "locked" in str(error):
            raise Refused("busy", "The job table is busy; try again in a moment.") from error
        raise Unavailable(f"{path} can't be used: {error}; see that it belongs to this user.") from error
    except OSError as error:
        raise Unavailable(f"{path} can't be used: {error.strerror}; see that it belongs to this user.") from error
    except sqlite3.DatabaseError as error:
        if "not a database" in str(error) or "malformed" in str(error):
            raise Unavailable(f"{path} is damaged or no job table of text2ct ({error}); restore it from a copy, "
                              "or give another folder.") from error
        raise


def _check_line(db: sqlite3.Connection, owner: str, most: int, most_by_owner: int) -> None:
    waiting = {row["owner"]: row["waiting"] for row in db.execute(_LINE)}
    if sum(waiting.values()) >= most:
        raise Refused("busy", f"{sum(waiting.values())} jobs are waiting, which is the most; try again later.")
    if waiting.get(owner, 0) >= most_by_owner:
        raise Refused("busy", f"{waiting[owner]} of your jobs are waiting, which is the most for one key; "
                      "wait for some, or cancel some.")


def _place(db: sqlite3.Connection, owner: str, number: int) -> int | None:
    """1 + the jobs that are taken earlier: in each round one of every owner who still has some, in order of turns."""
    if not db.execute("SELECT 1 FROM jobs WHERE number = ? AND state = 'queued'", (number,)).fetchone():
        return None
    rounds = int(db.execute("SELECT COUNT(*) FROM jobs WHERE state = 'queued' AND owner = ? AND number < ?",
                            (owner, number)).fetchone()[0])
    line: list[tuple[str, int]] = [(row["owner"], row["waiting"]) for row in db.execute(_LINE)]
    turn = [name for name, _ in line].index(owner)
    earlier = sum(min(waiting, rounds + 1) for _, waiting in line[:turn])
    later = sum(min(waiting, rounds) for _, waiting in line[turn + 1:])
    return 1 + rounds + earlier + later


def _live(db: sqlite3.Connection, job_id: str) -> _Live | None:
    row = db.execute(f"SELECT number, state, cancel_asked, owner FROM jobs WHERE id = ? AND state IN {_NOT_ENDED}",
                     (job_id,)).fetchone()
    return _Live(row["number"], row["state"], bool(row["cancel_asked"]), row["owner"]) if row else None


def _tell(db: sqlite3.Connection, number: int, kind: EventKind, data: Mapping[str, Any]) -> None:
    """The next event of a job; OR REPLACE lets the newest progress and preview take the place of the last."""
    db.execute("UPDATE jobs SET told = told + 1 WHERE number = ?", (number,))
    db.execute("INSERT OR REPLACE INTO events SELECT number, told, ?, ? FROM jobs WHERE number = ?",
               (kind, json.dumps(to_plain(data)), number))


def _one(db: sqlite3.Connection, job_id: str) -> Job:
    row = db.execute(_JOB + "WHERE j.id = ?", (job_id,)).fetchone() if _is_id(job_id) else None
    if row is None:
        raise Refused("not_found", "There is no such job.")
    return _job(row)


def _job(row: sqlite3.Row) -> Job:
    values = {name: row[name] for name in row.keys()}  # noqa: SIM118
    error = json.loads(values["error"]) if values["error"] else None
    return Job(**{**values, "volumes": json.loads(values["volumes"]), "cancel_asked": bool(values["cancel_asked"]),
                  "error": ErrorView(**error) if error else None})


def _fingerprint(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _is_id(text: str) -> bool:
    return re.fullmatch("[0-9a-f]{32}", text) is not None


def _bounded(number: int) -> int:
    return max(-MOST, min(MOST, number))
