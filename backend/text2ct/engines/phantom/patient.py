"""Who the phantom is: everything about a patient and the scan that the seed decides, before any report is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .shapes import stream


@dataclass(frozen=True)
class Patient:
    """A person, a breath and a scan protocol. Scales are relative to a man of middle size."""

    seed: int
    sex: Literal["female", "male"]
    age: int
    width: float
    depth: float
    height: float
    fat_mm: float
    muscle: float
    inspiration_mm: float
    kyphosis: float
    contrast: bool
    blood_hu: float
    right_blood_hu: float
    liver_hu: float
    spleen_hu: float
    kidney_hu: float
    lung_hu: float
    gravity_hu: float
    heart: float
    aorta: float
    cortex_hu: float
    marrow_hu: float
    muscle_hu: float
    noise_hu: float
    sharpness: float
    slice_blur: float
    table: bool

    @classmethod
    def of(cls, seed: int) -> Patient:
        """The patient of a seed."""
        rng = stream(seed, "patient")
        u = rng.uniform
        female = rng.random() < 0.48
        age = int(np.clip(rng.normal(58, 14), 22, 90))
        size = u(0.94, 1.04) * (0.94 if female else 1.0)
        corpulence = float(rng.beta(1.6, 2.4))
        contrast = bool(rng.random() < 0.4)
        blood = u(150, 290) if contrast else u(36, 46)
        old = (age - 22) / 68
        return cls(
            seed=seed, sex="female" if female else "male", age=age,
            width=size * u(0.97, 1.03), depth=size * u(0.96, 1.05) * (1 + 0.04 * old), height=size * u(0.96, 1.04),
            fat_mm=(5 + 22 * corpulence) * (1.15 if female else 1.0), muscle=u(0.8, 1.1) * (0.8 if female else 1.0),
            inspiration_mm=u(-10, 10), kyphosis=u(0.7, 1.1) + 0.4 * old, contrast=contrast,
            blood_hu=blood, right_blood_hu=blood * u(0.85, 1.2) if contrast else blood,
            liver_hu=u(95, 120) if contrast else u(50, 64), spleen_hu=u(105, 130) if contrast else u(43, 52),
            kidney_hu=u(140, 190) if contrast else u(28, 36), lung_hu=u(-882, -848), gravity_hu=u(16, 34),
            heart=u(0.92, 1.03), aorta=u(0.9, 1.04) + 0.12 * old, cortex_hu=u(640, 820) - 160 * old,
            marrow_hu=u(190, 260) - 90 * old, muscle_hu=u(50, 62), noise_hu=u(7, 15), sharpness=u(0.15, 0.85),
            slice_blur=u(0.35, 0.8), table=bool(rng.random() < 0.85))

    @property
    def scale(self) -> float:
        """How large organs are, for radii."""
        return float(np.cbrt(self.width * self.depth * self.height))

    def place(self, points: ArrayLike) -> NDArray[np.float64]:
        """Points of the middle-sized man, where they are in this one."""
        placed: NDArray[np.float64] = np.asarray(points, float) * [self.width, self.depth, self.height]
        return placed

    def level(self, z: ArrayLike) -> NDArray[np.float64]:
        """Heights of the middle-sized man, where they are in this one."""
        return np.asarray(z, float) * self.height

    def spine(self, z: ArrayLike) -> NDArray[np.float64]:
        """How far back the middle of the vertebral bodies is at a height."""
        at = [-212, -140, -60, 10, 80, 130, 192]
        bow = 7 * (self.kyphosis - 1)
        back = [36, 40, 48 + bow, 53 + bow, 46 + bow / 2, 36, 24]
        spine: NDArray[np.float64] = np.interp(np.asarray(z, float) / self.height, at, back) * self.depth
        return spine
