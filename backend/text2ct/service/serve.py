"""A server from its options: everything is opened, wired, run, and closed again in the right order.

Start: the folder is locked, the log opened, leftovers of an earlier process swept away;
the supervisor then finds the jobs that were unfinished, and last of all the socket
answers. End (a signal, `stop`, or the parent's death): no new connections, event
streams end, answers under way get a few seconds, workers stop, their jobs go back into
the queue for the next start.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from ..errors import BadInput, Text2CTError
from .app import make_app
from .bell import Bell
from .blobs import Blobs
from .disk import InUse, locked, private_folder
from .door import OneTimeKey
from .keys import Keys
from .listening import HttpServer, address_of, allow_descriptors, http_config, listen
from .log import LOG, close_log, open_log, report_defect
from .options import Options
from .results import Results
from .retention import sweep
from .sqlite_store import SqliteStore
from .store import Store
from .supervisor import Supervisor

_SWEEP_S = 600.0
_LOCK_S = 15.0


def run_server(options: Options, one_time_key: str | None = None, ready: Callable[[str], None] | None = None,
               stop: threading.Event | None = None, *, loader: str = "") -> int:
    """Serve until a signal or `stop` says otherwise; `ready` is told the address once it answers.

    With a one-time key nobody comes in without it, or without a stored one. `loader` is for tests and
    other Python code: which code the workers run for an engine (see `Supervisor`).
    """
    stored = Keys(options.folder)
    options.check(stored.any())
    keys = OneTimeKey(stored, one_time_key) if one_time_key else stored
    with ExitStack() as opened:
        opened.enter_context(_alone(options.folder))
        open_log(options.folder)
        opened.callback(close_log)
        store = SqliteStore(options.folder / "jobs.sqlite")
        opened.callback(store.close)
        blobs = Blobs(options.folder / "blobs", options.limits)
        results = Results(options.folder / "results")
        allow_descriptors()
        bound = listen(options)
        opened.callback(bound.close)
        results.sweep()
        bell = Bell()
        supervisor = Supervisor(options, store, blobs, results, bell.ring, loader=loader)
        app = make_app(options, store, blobs, results, keys, supervisor, bell)
        address = address_of(bound, options)
        server = HttpServer(_config(app, options), bell, lambda: ready(address) if ready else None)
        supervisor.start()
        opened.callback(supervisor.stop)
        opened.enter_context(_beside("housekeeping", partial(_clean, options, store, results, blobs)))
        if stop is not None:
            opened.enter_context(_beside("stop", partial(_obey, stop, server)))
        LOG.info("serving at %s", address)
        asyncio.run(server.serve([bound]))
        LOG.info("ending")
    return 0


def _config(app: object, options: Options):  # type: ignore[no-untyped-def]
    config = http_config(app, options)
    try:
        config.load()
    except (ssl.SSLError, OSError) as error:
        raise BadInput(f"The certificate or its key cannot be used ({error.strerror or error}); give PEM files that "
                       "belong together with --cert and --cert-key.") from error
    return config


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two servers never share a folder. One that is just ending gets time for it."""
    path, deadline = private_folder(folder) / "server.lock", time.monotonic() + _LOCK_S
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(locked(path))
                break
            except InUse:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        yield


@contextmanager
def _beside(name: str, work: Callable[[threading.Event], None]) -> Iterator[None]:
    """While the block runs, `work` runs in a thread of its own; it is told by the event that the block is over."""
    over = threading.Event()
    thread = threading.Thread(target=work, args=(over,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10.0)


def _obey(stop: threading.Event, server: HttpServer, over: threading.Event) -> None:
    """End the server when `stop` is set."""
    while not over.is_set():
        if stop.wait(0.2):
            server.should_exit = True
            return


def _clean(options: Options, store: Store, results: Results, blobs: Blobs, over: threading.Event) -> None:
    """Drop now and then what is too old or too much."""
    while True:
        try:
            gone = sweep(store, results, blobs, options.retention, time.time())
            if gone.jobs or gone.blob_bytes:
                LOG.info("dropped %d jobs, %d bytes of results, %d of blobs", len(gone.jobs), gone.result_bytes,
                         gone.blob_bytes)
        except (OSError, Text2CTError) as error:
            report_defect("cleaning up", error)
        if over.wait(_SWEEP_S):
            return
