"""What the tests of the flows share: a panel that runs inside Slicer or in a local process, and a small CT."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer_standin import drive

SHORT = 240.0
REPORT = "Moderate right pleural effusion. No pneumothorax."


def run_in(place: str) -> None:
    """Choose a backend as if it had been chosen in an earlier session."""
    slicer.app.userSettings().setValue("Text2CTSlicer/backend", json.dumps(place))


def write(panel: Any, report: str) -> None:
    panel.uis["Report"].reportEdit.plainText = report
    panel.report.read()


def finish(panel: Any, turn_until: Callable[..., Any], seconds: float = SHORT) -> Any:
    """Wait until no job runs; how the event loop turned meanwhile."""
    return turn_until(lambda: not panel.logic.jobs.running(), seconds)


def status(panel: Any) -> str:
    return str(panel.uis["Jobs"].statusLabel.text)


def generate(panel: Any, turn_until: Callable[..., Any], report: str = REPORT) -> Any:
    """A CT in the scene, made by pressing the button."""
    write(panel, report)
    drive.click(panel.uis["Report"].generateButton)
    turning = finish(panel, turn_until)
    assert status(panel).startswith("Done"), panel.logic.jobs.rows()
    return turning


def volumes() -> list[Any]:
    return [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if "SYNTHETIC" in node.GetName()]


def small_ct(dtype: Any = np.int16, size: int = 48) -> Any:
    """A volume node with noise like soft tissue, oblique and anisotropic, that was not made by us."""
    rng = np.random.default_rng(0)
    values = rng.normal(40, 12, (size, size + 4, size - 6)).astype(dtype)
    node = slicer.util.addVolumeFromArray(values, name="Patient")
    a = np.deg2rad(9)
    matrix = np.array([[-np.cos(a), np.sin(a), 0, 30], [np.sin(a), np.cos(a), 0, -20], [0, 0, 1.5, 5], [0, 0, 0, 1]])
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    node.CreateDefaultDisplayNodes()
    return node


def box_in(panel: Any, ct: Any, size: float = 14.0) -> Any:
    """Choose a CT in the lesion panel, and a box in its middle."""
    panel.uis["Lesion"].lesionSection.collapsed = False
    panel.uis["Lesion"].inputSelector.setCurrentNode(ct)
    drive.settle()
    drive.click(panel.uis["Lesion"].addBoxButton)
    roi = panel.uis["Lesion"].boxSelector.currentNode()
    roi.SetSize(size, size, size)
    drive.settle()
    return roi


def servers() -> list[int]:
    """Processes that are a local service, found as an administrator would."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
                parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            if b"serve" in words and b"--with-parent" in words and _is_ours(parent):
                found.append(int(folder.name))
    return found


def _is_ours(pid: int) -> bool:
    """Whether a process is this one or a child of it."""
    while pid > 1:
        if pid == os.getpid():
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return False
