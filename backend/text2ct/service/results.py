"""Results as folders that appear whole: `final/<job>` is there with all its parts, or not at all.

A worker writes into a workspace of its own, `work/<job>-<attempt>`. The server then
checks it against its `result.json`, syncs every file, and renames the folder to its
final name. A rename is one step, so whoever looks sees nothing or all, also after a
power failure. Whichever attempt comes first stays; a later one has the same voxels.

A part named "ct" lies in "ct.nrrd", labels in "labels-0.seg.nrrd"; while the job runs
its previews are "preview-1.nrrd" and so on, and go when it is published.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from pathlib import Path

from ..errors import BadRequest
from ..plain import from_plain
from .disk import bytes_in, files_in, full_disk_refused, private_folder, sync_file, sync_folder
from .refusal import Refused
from .wire import JSON_MEDIA, LABELS_MEDIA, RESULT_PART, PartView, ResultView

RESULT_FILE = "result.json"
MOST_JSON = 64 << 20


def file_name(part: PartView) -> str:
    """In which file of the folder a part lies."""
    return part.name + (".seg.nrrd" if part.media == LABELS_MEDIA else ".nrrd")


class Results:
    """All results of a server, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._final, self._work = private_folder(folder / "final"), private_folder(folder / "work")

    def workspace(self, job_id: str, attempt: int) -> Path:
        """A fresh folder for one attempt at a job."""
        path = self._work / f"{_checked(job_id)}-{int(attempt)}"
        if path.exists():
            shutil.rmtree(path)
        return private_folder(path)

    def publish(self, job_id: str, workspace: Path) -> None:
        """Make what the worker wrote the result of the job; a result that is already there stays."""
        final = self._final / _checked(job_id)
        if not final.exists():
            with full_disk_refused():
                _make_lasting(workspace, _verified(workspace))
                try:
                    os.replace(workspace, final)
                except OSError:
                    if not final.exists():
                        raise
                sync_folder(self._final)
        shutil.rmtree(workspace, ignore_errors=True)

    def view(self, job_id: str) -> ResultView | None:
        """The result without its volumes, when there is one."""
        try:
            return _read_view(self._final / _checked(job_id))
        except FileNotFoundError:
            return None

    def part(self, job_id: str, name: str) -> tuple[Path, PartView] | None:
        """The file of a part and what it is; the part "result" is the JSON itself."""
        folder, view = self._final / _checked(job_id), self.view(job_id)
        if view is None:
            return None
        if name == RESULT_PART:
            path = folder / RESULT_FILE
            text = path.read_bytes()
            return path, PartView(RESULT_PART, JSON_MEDIA, len(text), hashlib.sha256(text).hexdigest())
        found = next((part for part in view.parts if part.name == name), None)
        return (folder / file_name(found), found) if found else None

    def preview(self, job_id: str) -> Path | None:
        """The newest picture of a running job."""
        found = [(int(attempt[1]), int(preview[1]), Path(entry.path))
                 for attempt, folder in self._workspaces(job_id) for entry in files_in(folder)
                 if (preview := re.fullmatch(r"preview-(\d{1,9})\.nrrd", entry.name))]
        return max(found)[2] if found else None

    def discard(self, job_id: str) -> None:
        """Remove the result and the workspaces of a job. What is being removed is not seen half."""
        final = self._final / _checked(job_id)
        if final.exists():
            os.replace(final, self._work / f"dropped-{secrets.token_hex(8)}")
        for _, folder in self._workspaces(job_id):
            shutil.rmtree(folder, ignore_errors=True)
        self._sweep("dropped-")

    def sweep(self) -> None:
        """Remove what an earlier process left unfinished. For the start only: no worker may be writing."""
        self._sweep("")

    def bytes_of(self, job_id: str) -> int:
        """How much disk the result takes."""
        return bytes_in(self._final / _checked(job_id))

    def _workspaces(self, job_id: str) -> list[tuple[re.Match[str], Path]]:
        named = re.compile(_checked(job_id) + r"-(\d+)")
        matches = ((named.fullmatch(path.name), path) for path in self._work.iterdir())
        return [(match, path) for match, path in matches if match]

    def _sweep(self, prefix: str) -> None:
        for path in self._work.iterdir():
            if path.name.startswith(prefix):
                shutil.rmtree(path, ignore_errors=True)


def _checked(job_id: str) -> str:
    if not re.fullmatch("[0-9a-f]{1,64}", job_id):
        raise Refused("not_found", "There is no such job.")
    return job_id


def _read_view(folder: Path) -> ResultView:
    path = folder / RESULT_FILE
    if path.stat().st_size > MOST_JSON:
        raise BadRequest(f"{RESULT_FILE} is larger than {MOST_JSON} bytes.")
    return from_plain(ResultView, json.loads(path.read_text("utf-8")))


def _verified(workspace: Path) -> ResultView:
    """What the worker says it wrote, when that is so."""
    try:
        view = _read_view(workspace)
    except FileNotFoundError:
        raise Refused("failed", f"The worker's result is incomplete: {RESULT_FILE} is missing.") from None
    except (ValueError, RecursionError, BadRequest) as error:
        raise Refused("failed", f"The worker's result can't be read: {error}") from error
    names = [part.name for part in view.parts]
    for part in view.parts:
        if not re.fullmatch("[a-z][a-z0-9-]{0,39}", part.name) or names.count(part.name) > 1 \
                or part.name in (RESULT_PART, "preview"):
            raise Refused("failed", f"The worker's result has a part with the impossible name '{part.name[:40]}'.")
        path = workspace / file_name(part)
        if path.is_symlink() or not path.is_file() or path.stat().st_size != part.bytes:
            raise Refused("failed", f"The worker's result is incomplete: the part '{part.name}' is missing or cut off.")
    return view


def _make_lasting(workspace: Path, view: ResultView) -> None:
    """Only what the result lists stays, and that is synced."""
    wanted = {RESULT_FILE, *(file_name(part) for part in view.parts)}
    for path in workspace.iterdir():
        if path.name in wanted:
            sync_file(path)
        elif path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    sync_folder(workspace)
