"""What is remembered between sessions: the backend, servers and their keys, jobs under way, earlier reports.

In Slicer's own settings, never in the scene: a scene is passed on, a key must not be.
Reports may be patient data, so they are kept only when the user says so.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import qt
import slicer

GROUP = "Text2CTSlicer"
MOST_REPORTS = 20


@dataclass(frozen=True)
class RememberedJob:
    """A job that a service works on, and what shall become of its result."""

    id: str
    backend: str
    title: str
    task: str
    report: str = ""


class Settings:
    """One reader and writer for all that is remembered."""

    def __init__(self) -> None:
        self._store: qt.QSettings = slicer.app.userSettings()

    @property
    def backend(self) -> str:
        """ "process", "here", or the address of a server."""
        return str(self._get("backend", "process"))

    @backend.setter
    def backend(self, value: str) -> None:
        self._set("backend", value)

    def servers(self) -> list[str]:
        """Addresses of servers, the last used one first."""
        return [str(address) for address in self._get("servers", [])]

    def remember_server(self, address: str, key: str) -> None:
        self._set("servers", [address, *(known for known in self.servers() if known != address)])
        self._set("keys", {**self._get("keys", {}), address: key})

    def forget_server(self, address: str) -> None:
        self._set("servers", [known for known in self.servers() if known != address])
        self._set("keys", {known: key for known, key in self._get("keys", {}).items() if known != address})

    def key(self, address: str) -> str:
        return str(self._get("keys", {}).get(address, ""))

    def jobs(self) -> list[RememberedJob]:
        return [RememberedJob(**job) for job in self._get("jobs", [])]

    def remember_job(self, job: RememberedJob) -> None:
        kept = job if self.keeps_reports else RememberedJob(job.id, job.backend, job.title, job.task)
        self._set("jobs", [*(asdict(known) for known in self.jobs() if known.id != job.id), asdict(kept)])

    def forget_job(self, job_id: str) -> None:
        self._set("jobs", [asdict(known) for known in self.jobs() if known.id != job_id])

    @property
    def keeps_reports(self) -> bool:
        return bool(self._get("keepReports", False))

    @keeps_reports.setter
    def keeps_reports(self, value: bool) -> None:
        self._set("keepReports", bool(value))
        if not value:
            self._set("reports", [])

    def reports(self) -> list[str]:
        """Earlier reports, the newest first."""
        return [str(report) for report in self._get("reports", [])]

    def remember_report(self, report: str) -> None:
        if self.keeps_reports and report.strip():
            self._set("reports", [report, *(old for old in self.reports() if old != report)][:MOST_REPORTS])

    def _get(self, name: str, default: Any) -> Any:
        """Values stand as JSON: what QSettings gives back differs between systems and sessions."""
        try:
            value = json.loads(str(self._store.value(f"{GROUP}/{name}", "")))
        except ValueError:
            return default
        return value if isinstance(value, type(default)) else default

    def _set(self, name: str, value: Any) -> None:
        self._store.setValue(f"{GROUP}/{name}", json.dumps(value))
