"""From a report as typed by a radiologist to what the labels of the drawn CT show: the whole way at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from text2ct.engines.phantom.blob import largest_diameter
from text2ct.engines.phantom.drawing import Drawing
from text2ct.geometry import Grid
from text2ct.report.finding import Finding
from text2ct.report.parser import understand

REPORTS = ("held-out-reports.jsonl", "held-out-reports-2.jsonl")  # typed by two, the second before any run
LOBES = {"RUL": "lung_upper_lobe_right", "RML": "lung_middle_lobe_right", "RLL": "lung_lower_lobe_right",
         "LUL": "lung_upper_lobe_left", "LLL": "lung_lower_lobe_left"}
NEEDED = 58


def masks_by_kind(drawing: Drawing) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for layer in drawing.findings:
        for segment in layer.segments:
            kind = segment.id.split("_", 2)[2]
            mask = np.equal(layer.voxels, segment.value)
            found[kind] = found[kind] | mask if kind in found else mask
    return found


def disagreements(case: dict[str, Any], drawing: Drawing, lobes: Drawing) -> list[str]:
    """What the labels show otherwise than the report says."""
    found = masks_by_kind(drawing)
    grid, said = drawing.ct.grid, []
    extra = set(found) - {kind for kind, _, _ in case["shows"]} - set(case.get("may", []))
    said += [f"{kind} is drawn but not reported" for kind in sorted(extra)]
    for kind, place, size in case["shows"]:
        if kind not in found:
            said.append(f"{kind} is missing")
            continue
        mask = found[kind]
        left = float((grid.to_ras(np.argwhere(mask))[:, 0] < 0).mean())
        if (place == "left" and left < 0.8) or (place == "right" and left > 0.2):
            said.append(f"{kind} is on the wrong side")
        if place == "bilateral" and not 0.1 < left < 0.9:
            said.append(f"{kind} is on one side only")
        if place in LOBES and lobes.organs is not None and lobes.organs.mask(LOBES[place])[mask].mean() < 0.8:
            said.append(f"{kind} is outside the {place}")
        if size and abs(largest_diameter(mask, np.array(grid.spacing)) - size) > max(2.0, 0.15 * size):
            said.append(f"{kind} is {largest_diameter(mask, np.array(grid.spacing)):.0f} mm, not {size}")
    return said


@pytest.mark.parametrize("name", REPORTS)
def test_labels_agree_with_held_out_reports(name: str, with_findings: Callable[[list[Finding], Grid], Drawing]) -> None:
    fine, coarse = (Grid.centred(shape, spacing, "LPS") for shape, spacing in (
        ((112, 94, 96), (3.2, 3.2, 3.2)), ((90, 76, 62), (4.0, 4.0, 5.0))))
    healthy = {grid.shape: with_findings([], grid) for grid in (fine, coarse)}
    cases = [json.loads(line) for line in (Path(__file__).parent / name).read_text().splitlines()]
    wrong = {}
    for case in cases:
        grid = fine if any(size for _, _, size in case["shows"]) else coarse
        drawing = with_findings(list(understand(case["report"]).findings), grid)
        said = disagreements(case, drawing, healthy[grid.shape])
        if said:
            wrong[case["report"]] = said
    assert len(cases) == 60
    assert len(cases) - len(wrong) >= NEEDED, wrong
