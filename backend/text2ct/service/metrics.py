"""Numbers for Prometheus, in its text format. Numbers only: no names of keys, no ids, no texts."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Iterable

from ..memory import own_bytes
from .running import Running

METRICS_MEDIA = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def metrics_text(server: Running) -> str:
    """All numbers of this server now."""
    workers = server.supervisor.workers()
    families = [
        _family("text2ct_jobs", "gauge", "Jobs in each state.",
                [({"state": state}, count) for state, count in server.store.counts().items()]),
        _family("text2ct_http_answers_total", "counter", "Answers by HTTP status.",
                [({"status": str(status)}, count) for status, count in sorted(server.tally.answers.items())]),
        _family("text2ct_event_streams", "gauge", "Open event streams.", [({}, server.streams.total)]),
        _family("text2ct_worker_alive", "gauge", "Whether the worker of a device runs.",
                [({"device": w.device}, int(w.alive)) for w in workers]),
        _family("text2ct_worker_busy", "gauge", "Whether the worker of a device has a job.",
                [({"device": w.device}, int(bool(w.job))) for w in workers]),
        _family("text2ct_worker_memory_bytes", "gauge", "Memory of the worker of a device.",
                [({"device": w.device}, w.memory) for w in workers]),
        _family("text2ct_worker_restarts_total", "counter", "How often the worker of a device was started again.",
                [({"device": w.device}, w.restarts) for w in workers]),
        _family("text2ct_disk_free_bytes", "gauge", "Free space where the server keeps its files.",
                [({}, shutil.disk_usage(server.options.folder).free)]),
        _family("text2ct_http_memory_bytes", "gauge", "Memory of the HTTP process.", [({}, own_bytes())]),
        _family("text2ct_http_threads", "gauge", "Threads of the HTTP process.", [({}, threading.active_count())]),
        _family("text2ct_http_torch_imported", "gauge", "Whether the HTTP process imported torch, which it must not.",
                [({}, int("torch" in sys.modules))]),
        _family("text2ct_uptime_seconds", "gauge", "Seconds since the server started.",
                [({}, round(server.tally.seconds, 1))]),
    ]
    return "".join(families)


def _family(name: str, kind: str, text: str, samples: Iterable[tuple[dict[str, str], float]]) -> str:
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        inside = ",".join(f'{key}="{said.translate(_ESCAPES)}"' for key, said in labels.items())
        lines.append(f"{name}{{{inside}}} {value}" if inside else f"{name} {value}")
    return "\n".join(lines) + "\n"
