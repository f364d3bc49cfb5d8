"""The jobs and what happened last: status line, progress, cancel, log."""

from __future__ import annotations

from types import SimpleNamespace

import qt
import slicer
from slicer.i18n import tr as _

from .jobs import RUNNING, Job, Jobs

_HEADERS = ("Job", "Where", "How far")


class JobsPanel:
    """Shows the jobs of the session and stops them."""

    def __init__(self, ui: SimpleNamespace, jobs: Jobs) -> None:
        self._ui, self._jobs = ui, jobs
        ui.jobsTree.setHeaderLabels([_(header) for header in _HEADERS])
        ui.jobsTree.connect("itemSelectionChanged()", self._show_log)
        ui.cancelButton.connect("clicked(bool)", self.cancel)
        ui.copyLogButton.connect("clicked(bool)", lambda: slicer.app.clipboard().setText(ui.logEdit.plainText))
        ui.clearJobsButton.connect("clicked(bool)", jobs.forget_ended)
        jobs.changed.append(self.show)
        self.show()

    def say(self, sentence: str) -> None:
        """Put a sentence where the user looks."""
        self._ui.statusLabel.text = sentence

    def cancel(self) -> None:
        """Stop the marked job, or else the newest one that runs."""
        running = [job.key for job in self._jobs.rows() if job.state == RUNNING]
        marked = self._marked()
        if running:
            self._jobs.cancel(marked if marked in running else running[-1])

    def show(self) -> None:
        rows = self._jobs.rows()
        running = [job for job in rows if job.state == RUNNING]
        self._list(rows)
        self._ui.cancelButton.enabled = self._ui.cancelButton.visible = self._ui.progressBar.visible = bool(running)
        if running:
            job = running[0]
            self._ui.progressBar.maximum = job.total if job.total > 1 else 0
            self._ui.progressBar.value = min(job.step, job.total)
            self.say(f"{job.title}: {_far(job)}" + (
                _(" ({count} more)").format(count=len(running) - 1) if len(running) > 1 else ""))
        elif rows:
            self.say(rows[-1].sentence)
        self._show_log()

    def _list(self, rows: list[Job]) -> None:
        tree = self._ui.jobsTree
        if tree.topLevelItemCount != len(rows):
            tree.clear()
            for _job in rows:
                tree.addTopLevelItem(qt.QTreeWidgetItem())
        for number, job in enumerate(rows):
            item = tree.topLevelItem(number)
            item.setData(0, qt.Qt.UserRole, job.key)
            for column, text in enumerate((job.title, job.backend, _far(job))):
                item.setText(column, text)
                item.setToolTip(column, text)
        tree.resizeColumnToContents(0)

    def _marked(self) -> int | None:
        items = self._ui.jobsTree.selectedItems()
        return items[0].data(0, qt.Qt.UserRole) if items else None

    def _show_log(self) -> None:
        rows = self._jobs.rows()
        key = self._marked() or (rows[-1].key if rows else None)
        log = self._jobs.log(key) if key is not None else ""
        if self._ui.logEdit.plainText != log:
            self._ui.logEdit.plainText = log


def _far(job: Job) -> str:
    """How far a job is, in a few words."""
    if job.state != RUNNING:
        return job.sentence
    step = f" {job.step}/{job.total}" if job.total > 1 else ""
    left = _(", about {seconds:.0f} s left").format(seconds=job.seconds_left) if job.seconds_left is not None else ""
    return f"{job.stage}{step}, {job.seconds:.0f} s{left}"
