"""Small lesions drawn by rule into a CT that the weights have made.

A nodule is one or two cells of a latent; a flow that has learned lungs, fluid and collapse
well still loses it, or puts it into another lobe. The phantom draws nodules, masses, cavities
and bullae into any chest CT, in the lobe and of the size that the report names, and gives
their masks along. So weights may leave such kinds to it.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...report.finding import Finding
from ...requests import Watch
from ...volume import CTVolume
from ..phantom.base import draw_into
from ..phantom.drawing import Drawing

BY_RULE = ("lung_nodule", "lung_mass", "metastases", "granuloma", "cavity", "lung_cyst", "bulla")
"""The kinds that need no other anatomy than the lungs and lie in one place."""


def drawn_into(ct: CTVolume, findings: Sequence[Finding], seed: int, watch: Watch) -> Drawing:
    """The CT with these findings and their masks; the CT itself when there are none."""
    return draw_into(ct, findings, seed, watch) if findings else Drawing(ct, None)
