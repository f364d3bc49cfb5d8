"""Draws the icon of the extension: lines of a report, one of them a finding, and the axial slice that shows it.

Run it after a change, with text2ct installed: python docs/make_icon.py. It writes both
places where Slicer looks for the icon.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from text2ct.formats import png

SIZE, FINE = 128, 4
ROOT = Path(__file__).resolve().parent.parent
PLACES = (ROOT / "Text2CTSlicer.png", ROOT / "Text2CTSlicer" / "Resources" / "Icons" / "Text2CTSlicer.png")

BACKGROUND = (22, 44, 66)
TEXT = (236, 240, 244)
TISSUE, LUNG, BONE, HEART, FINDING = (176, 184, 190), (36, 40, 46), (246, 244, 236), (206, 210, 214), (255, 176, 46)

Mask = NDArray[np.bool_]


def ellipse(x: float, y: float, wide: float, high: float, turn: float = 0.0) -> Mask:
    """Points inside an ellipse; all lengths in pixels of the icon, `turn` in degrees."""
    rows, columns = grid()
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    u, v = columns - x, rows - y
    return ((u * c + v * s) / wide) ** 2 + ((v * c - u * s) / high) ** 2 <= 1


def bar(x: float, y: float, length: float, thick: float) -> Mask:
    """A line of text: a bar with round ends."""
    rows, columns = grid()
    along = np.clip(columns, x, x + length)
    return (columns - along) ** 2 + (rows - y) ** 2 <= (thick / 2) ** 2


def grid() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    points = (np.arange(SIZE * FINE) + 0.5) / FINE
    return points[:, None], points[None, :]


def draw() -> NDArray[np.uint8]:
    """The icon as RGB, drawn fine and averaged down."""
    picture = np.full((SIZE * FINE, SIZE * FINE, 3), BACKGROUND, float)
    layers = [
        (bar(20, 18, 88, 7), TEXT),
        (bar(20, 31, 30, 7), TEXT),
        (bar(60, 31, 48, 7), FINDING),
        (bar(20, 44, 60, 7), TEXT),
        (ellipse(64, 87, 51, 33), TISSUE),
        (ellipse(38, 87, 18, 24, 8), LUNG),
        (ellipse(91, 87, 17, 24, -8), LUNG),
        (ellipse(71, 78, 15, 13, 35), HEART),
        (ellipse(64, 107, 8, 7), BONE),
        (ellipse(64, 108, 3, 2.5), TISSUE),
        (ellipse(34, 80, 6.5, 6.5), FINDING),
    ]
    for mask, color in layers:
        picture[mask] = color
    return picture.reshape(SIZE, FINE, SIZE, FINE, 3).mean((1, 3)).round().astype(np.uint8)


if __name__ == "__main__":
    for place in PLACES:
        png.write(draw(), place, {"Software": "text2ct"})
