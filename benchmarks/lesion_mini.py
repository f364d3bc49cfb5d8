"""How well small lesion weights do what is asked: density, volume, seam, seconds.

    python benchmarks/lesion_mini.py FOLDER_OF_WEIGHTS CT [CT ...] [--places 20] [--out TABLE.json]

In each place, in lung and in soft tissue in turn, five lesions are made from one seed and differ only in the
density asked for. Measured is what was written into the CT: the mean HU inside the mask, whether the five stand in
the order asked for, the volume against the wanted one, and, at the surface where the change ends, the mean step from
voxel to voxel against that of the same surface in the untouched CT. Volumes differ from place to place. Name CTs that
the weights have not seen in training.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from text2ct.engines.lesiondiffusion.blending import mean_step, within_reach
from text2ct.engines.lesiondiffusion.patch import insert
from text2ct.engines.lesiondiffusion.sampling import Sampler
from text2ct.engines.lesiondiffusion.weight_files import Weights, mini_files
from text2ct.engines.lesiondiffusion.working import reach
from text2ct.formats.files import read_ct
from text2ct.geometry import Box
from text2ct.requests import InsertLesion, Watch
from text2ct.speed.lesion import kind_for
from text2ct.volume import CTVolume

DENSITIES = ("ground glass", "hypodense", "isodense", "hyperdense", "calcified")  # rising
EDGES_MM = (10.0, 15.0, 20.0, 28.0, 36.0)
SHARE = 0.5  # of the box's volume that is asked for


@dataclass(frozen=True)
class Made:
    """One lesion: what was asked for, and what came of it."""

    ct: str
    tissue: str
    edge_mm: float
    density: str
    asked_hu: float
    mean_hu: float
    wanted_ml: float
    volume_ml: float
    seam: float
    rim: float
    seconds: float

    @property
    def volume_error(self) -> float:
        return abs(self.volume_ml / self.wanted_ml - 1)


def places(ct: CTVolume, count: int, rng: np.random.Generator) -> list[tuple[str, NDArray[np.float64]]]:
    """Points well inside the lungs and inside soft tissue, in turn."""
    spacing = np.asarray(ct.spacing)
    smooth = ndimage.gaussian_filter(ct.voxels.astype(np.float32), 3.0 / spacing)
    kinds = {"lung": (smooth > -950) & (smooth < -600), "soft": (smooth > 0) & (smooth < 150)}
    kinds = {name: ndimage.distance_transform_edt(where, ct.spacing) > 8 for name, where in kinds.items()}
    found = []
    for number in range(count):
        name = ("lung", "soft")[number % 2]
        where = np.argwhere(kinds[name])
        if len(where):
            found.append((name, ct.grid.to_ras(where[rng.integers(len(where))].astype(float))))
    return found


def lesion(ct: CTVolume, name: str, tissue: str, at: NDArray[np.float64], edge: float, density: str, seed: int,
           weights: Weights, sampler: Sampler) -> Made:
    r, a, s = at.tolist()
    wanted = SHARE * edge**3 / 1000
    organ = "lung lower lobe right" if tissue == "lung" else "liver"
    request = InsertLesion(ct, Box((r, a, s), (edge, edge, edge)), engine="lesiondiffusion", seed=seed, attributes=(
        ("density", density), ("size", f"{wanted:.3f} ml"), ("lesion location", organ)))
    started = time.perf_counter()
    done = insert(request, weights, sampler, Watch())
    seconds = time.perf_counter() - started
    assert done.ct is not None
    stated = dict(done.attributes)["CT value"]
    cut = tuple(map(slice, *reach(done.mask, ct.grid, 12.0)))
    mask, new, old = done.mask[cut], done.ct.voxels[cut].astype(np.float32), ct.voxels[cut].astype(np.float32)
    touched = within_reach(mask, ct.spacing)
    return Made(name, tissue, edge, density, float(stated.split()[0]), float(new[mask].mean()), wanted,
                float(mask.sum() * ct.grid.voxel_ml), mean_step(new, touched) / max(mean_step(old, touched), 1e-6),
                mean_step(new, mask) / max(mean_step(old, mask), 1e-6), seconds)


def in_order(five: list[Made]) -> int:
    """How many of the lesions of a place stand right against all others there."""
    hu = [one.mean_hu for one in five]
    return sum(all((hu[a] < hu[b]) == (a < b) for b in range(len(hu)) if b != a) for a in range(len(hu)))


def said(made: list[Made]) -> dict[str, float]:
    """The numbers of a run."""
    groups = [made[n:n + len(DENSITIES)] for n in range(0, len(made), len(DENSITIES))]
    errors = np.array([one.volume_error for one in made])
    off = np.array([one.mean_hu - one.asked_hu for one in made])
    return {"lesions": len(made), "in order": sum(map(in_order, groups)) / len(made),
            "places wholly in order": sum(in_order(five) == len(five) for five in groups) / len(groups),
            "volume within 25 %": float((errors <= 0.25).mean()), "largest volume error": float(errors.max()),
            "median HU error": float(np.median(np.abs(off))), "90 % of HU errors below": float(np.quantile(np.abs(off),
            0.9)), "seam within 1.5": float(np.mean([one.seam <= 1.5 for one in made])),
            "largest seam": max(one.seam for one in made), "slowest lesion s": max(one.seconds for one in made),
            "mean lesion s": float(np.mean([one.seconds for one in made]))}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("cts", type=Path, nargs="+")
    parser.add_argument("--places", type=int, default=20)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.places < len(args.cts):
        parser.error(f"--places {args.places} is less than one for each of the {len(args.cts)} CTs")
    torch.set_num_threads(1)
    device = torch.device("cpu")
    weights, sampler = mini_files(args.weights, device, kind_for(device, False)), Sampler("dpm++2m", args.steps)
    made: list[Made] = []
    for number, path in enumerate(args.cts):
        ct, rng = read_ct(path, round_values=True), np.random.default_rng(number)
        for turn, (tissue, at) in enumerate(places(ct, args.places // len(args.cts), rng)):
            edge = EDGES_MM[(turn + number) % len(EDGES_MM)]
            five = [lesion(ct, path.name, tissue, at, edge, density, 100 * number + turn, weights, sampler)
                    for density in DENSITIES]
            made += five
            print(f"{path.name[:24]:24} {tissue:4} {edge:4.0f} mm  " + "  ".join(
                f"{one.density[:6]} {one.mean_hu:6.0f} ({one.asked_hu:5.0f})" for one in five)
                + f"  ml {five[0].volume_ml / five[0].wanted_ml:.2f}  seam {max(o.seam for o in five):.2f}"
                + f"  {five[0].seconds:.1f} s", flush=True)
    for name, value in said(made).items():
        print(f"{name:24} {value:.3g}")
    if args.out:
        args.out.write_text(json.dumps([asdict(one) for one in made], indent=1))


if __name__ == "__main__":
    main()
