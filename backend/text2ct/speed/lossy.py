"""Shortcuts that change the picture to save time: each by its name, none by default.

What they cost is measured by `benchmarks/lossy.py` for a weight set; the account of a CT says
which were taken, since the sampler says what it does not do in full.

* cache: all but the first level of the UNet in every second evaluation only (`speed/cache.py`).
* interval: no guidance while nearly everything is noise, nor at the last details; such an
  evaluation asks about one sample in place of two.
* fewer: half the steps, with the second-order solver that asks once a step, on the exact grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..engines.text2ct.pipeline import Sampler
from ..requests import Shortcut

GUIDED_TIMES = (100.0, 900.0)


def shortened(sampler: Sampler, shortcuts: Sequence[Shortcut]) -> Sampler:
    """The sampler with these shortcuts taken."""
    if "cache" in shortcuts:
        sampler = replace(sampler, deep_every=2)
    if "interval" in shortcuts:
        sampler = replace(sampler, guidance_interval=GUIDED_TIMES)
    if "fewer" in shortcuts and sampler.steps > 1:
        sampler = replace(sampler, grid="exact", solver="multistep", steps=(sampler.steps + 1) // 2,
                          in_place_of=sampler.steps)
    return sampler
