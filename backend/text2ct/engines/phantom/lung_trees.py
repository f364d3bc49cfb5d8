"""Arteries, veins and bronchi of each lobe, and how they are painted into the lung."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .canvas import Canvas
from .frame import Floats, Slices
from .great_vessels import hilum
from .lungs import LOBES, Lungs
from .patient import Patient
from .shapes import box_around, stream, thin_tubes
from .trees import Tree, grow, join, spread

_ARTERIES = {"RUL": 420, "RML": 180, "RLL": 540, "LUL": 380, "lingula": 150, "LLL": 520}
_ROOTS = {"RUL": (-6, -2, 12), "RML": (-8, -8, -10), "RLL": (-6, 8, -18), "LUL": (4, -4, 12),
          "lingula": (8, -10, -6), "LLL": (4, 8, -20)}
AIRWAYS = 9
BRONCHUS_AIR, BRONCHUS_WALL = -985.0, 10.0


@dataclass(frozen=True, eq=False)
class LungTrees:
    """Vessels of both lungs as one tree, and the bronchi lobe by lobe."""

    arteries: Tree
    veins: Tree
    bronchi: dict[str, Tree]
    artery_hu: float
    vein_hu: float

    @classmethod
    def of(cls, patient: Patient, lungs: Lungs) -> LungTrees:
        arteries, veins, bronchi = [], [], {}
        for lobe, count in _ARTERIES.items():
            side = "left" if lobe in ("LUL", "lingula", "LLL") else "right"
            root = hilum(patient, side) + patient.place(_ROOTS[lobe])
            inside = lungs.lattice_lobes == 1 + LOBES.index(lobe)
            inside &= lungs.lattice_depth > 3
            rng = stream(patient.seed, f"vessels {lobe}")
            targets = _reach(lungs, rng, inside, count)
            if len(targets):
                arteries.append(grow(root, targets, 0.56, rng, step=6.0, largest=6.5))
                back = root + patient.place([0, 6, -8 if lobe in ("RLL", "LLL") else 2])
                veins.append(grow(back, _reach(lungs, rng, inside, count // 2), 0.6, rng, step=7.0, largest=5.5))
            bronchi[lobe] = grow_bronchi(patient.seed, lungs, lobe, hilum(patient, side), AIRWAYS)
        return cls(join(arteries), join(veins), bronchi, patient.right_blood_hu, patient.blood_hu)

    def paint(self, canvas: Canvas) -> None:
        """Vessels where lung is aerated, and the bronchi with their walls."""
        for tree, hu in ((self.arteries, self.artery_hu), (self.veins, self.vein_hu)):
            where = box_around(canvas.axes, tree.points, 8.0)
            if where is not None:
                cover = thin_tubes(canvas.axes[where], tree.points, tree.radii, canvas.width)
                canvas.raise_to(cover * canvas.lung[where], hu, where)
        tree = join(list(self.bronchi.values()))
        where = box_around(canvas.axes, tree.points, 8.0)
        if where is None:
            return
        paint_bronchi(canvas, tree, 1.0, 1.0, canvas.lung)


def paint_bronchi(canvas: Canvas, tree: Tree, wider: float, thicker: float,
                  only: Floats) -> tuple[Slices, Floats] | None:
    """Lumen and wall along a bronchial tree; returns how much of each voxel they fill."""
    where = box_around(canvas.axes, tree.points, 12.0)
    if where is None:
        return None
    axes = canvas.axes[where]
    lumen_radius = tree.radii * wider
    wall = (0.35 + 0.16 * tree.radii) * thicker
    outer = thin_tubes(axes, tree.points, lumen_radius + wall, canvas.width) * only[where]
    lumen = thin_tubes(axes, tree.points, lumen_radius, canvas.width) * only[where]
    rim = np.clip(outer - lumen, 0, 1)
    canvas.raise_to(rim * np.float32(min(1.0, 0.55 * thicker**0.5)), BRONCHUS_WALL, where)
    canvas.blend(lumen, BRONCHUS_AIR, where)
    return where, outer


def _reach(lungs: Lungs, rng: np.random.Generator, inside: NDArray[np.bool_], count: int) -> NDArray[np.float64]:
    return spread(rng, inside, lungs.right.origin, lungs.right.step, count)


def grow_bronchi(seed: int, lungs: Lungs, lobe: str, hilum_at: NDArray[np.float64], count: int) -> Tree:
    """The bronchi of one lobe from a hilum, `count` of them."""
    inside = (lungs.lattice_lobes == 1 + LOBES.index(lobe)) & (lungs.lattice_depth > 3)
    rng = stream(seed, f"bronchi {lobe} {count}")
    start = hilum_at + np.array(_ROOTS[lobe]) + [0, 3, 0]
    targets = _reach(lungs, rng, inside, count)
    if not len(targets):
        return Tree(np.zeros((0, 3)), np.zeros(0), np.zeros(0))
    return grow(start, start + (targets - start) * 0.78, 0.95, rng, step=5.0, exponent=2.9, largest=3.6)
