"""The tables of the embedded store, and how an older file becomes a new one.

`MIGRATIONS` only ever grows: the file's `user_version` says how many of its steps
have been done. They run in one transaction, so a file is never between two versions.

Request texts may be large and are wanted rarely; they have a table of their own so
that lists of jobs stay small to read. Of the kinds "progress" and "preview" a job
has one event at most, which the unique index `newest` makes true.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ..errors import Unavailable

MIGRATIONS: tuple[tuple[str, ...], ...] = ((
    """CREATE TABLE jobs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'saving', 'done', 'failed', 'cancelled')),
        task TEXT NOT NULL,
        engine TEXT NOT NULL,
        volumes TEXT NOT NULL,
        key TEXT NOT NULL,
        body TEXT NOT NULL,
        created REAL NOT NULL,
        started REAL,
        finished REAL,
        stage TEXT NOT NULL DEFAULT '',
        step INTEGER NOT NULL DEFAULT 0,
        total INTEGER NOT NULL DEFAULT 0,
        attempt INTEGER NOT NULL DEFAULT 0,
        crashes INTEGER NOT NULL DEFAULT 0,
        cancel_asked INTEGER NOT NULL DEFAULT 0,
        error TEXT,
        told INTEGER NOT NULL DEFAULT 0,
        logged INTEGER NOT NULL DEFAULT 0,
        ended INTEGER)""",
    "CREATE UNIQUE INDEX jobs_by_key ON jobs (owner, key) WHERE key != ''",
    "CREATE INDEX jobs_by_state ON jobs (state, owner, number)",
    "CREATE INDEX jobs_by_owner ON jobs (owner, number)",
    "CREATE INDEX jobs_by_end ON jobs (ended) WHERE ended IS NOT NULL",
    "CREATE TABLE texts (number INTEGER PRIMARY KEY, request TEXT NOT NULL)",
    """CREATE TABLE events (
        job INTEGER NOT NULL,
        number INTEGER NOT NULL,
        kind TEXT NOT NULL,
        data TEXT NOT NULL,
        PRIMARY KEY (job, number)) WITHOUT ROWID""",
    "CREATE UNIQUE INDEX newest ON events (job, kind) WHERE kind IN ('progress', 'preview')",
    "CREATE TABLE turns (owner TEXT PRIMARY KEY, turn INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TRIGGER final_stays BEFORE UPDATE OF state ON jobs
        WHEN OLD.state IN ('done', 'failed', 'cancelled')
        BEGIN SELECT RAISE(ABORT, 'a final state never changes'); END""",
),)


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Bring the file to the newest version; refuse one that a newer program wrote."""
    db.execute("BEGIN IMMEDIATE")
    try:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise Unavailable(f"{path} was written by a newer text2ct (its version is {version}, this one knows "
                              f"{len(MIGRATIONS)}); use the newer one, or give another folder.")
        for step in range(version, len(MIGRATIONS)):
            for statement in MIGRATIONS[step]:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {step + 1}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
