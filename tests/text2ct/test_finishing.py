"""Soft tissue is evened, tones follow their curve, and nothing else is touched."""

from __future__ import annotations

import numpy as np

from text2ct.engines.text2ct.finishing import Finish, evened, finished, toned

SPACING = (3.0, 3.0, 5.0)


def chest(noise: float) -> np.ndarray:
    """Fluid and muscle side by side, between lung and bone, with noise in all of it."""
    hu = np.full((40, 30, 20), -850.0)
    hu[10:20], hu[20:30], hu[30:] = 8.0, 55.0, 400.0
    return (hu + np.random.default_rng(0).normal(0, noise, hu.shape)).astype(np.int16)


def test_noise_goes_and_the_hu_of_fluid_and_muscle_stay_apart() -> None:
    made = evened(chest(15.0), SPACING, 5.0).astype(float)
    fluid, muscle = made[12:18, 4:-4, 3:-3], made[22:28, 4:-4, 3:-3]
    assert fluid.std() < 6
    assert muscle.std() < 6
    assert abs(fluid.mean() - 8) < 4
    assert abs(muscle.mean() - 55) < 4


def test_lung_bone_and_their_borders_stay_to_the_last_digit() -> None:
    before = chest(15.0)
    after = evened(before, SPACING, 5.0)
    hard = (before <= -60) | (before >= 120)
    assert np.array_equal(after[hard], before[hard])
    assert (after[10:13].mean() - before[10:13].mean()) < 3
    assert after.dtype == np.int16


def test_nothing_happens_without_soft_tissue_or_without_a_length() -> None:
    air = np.full((8, 8, 8), -1000, np.int16)
    assert np.array_equal(evened(air, SPACING, 5.0), air)
    assert np.array_equal(evened(chest(15.0), SPACING, 0.0), chest(15.0))


def test_a_curve_of_tones_is_straight_between_its_points_and_keeps_its_ends() -> None:
    hu = np.array([-1000, -950, -900, -850, 0, 1000], np.int16).reshape(2, 3, 1)
    curve = ((-850.0, -850.0), (-900.0, -930.0), (-1000.0, -1000.0), (1000.0, 1000.0))
    assert toned(hu, curve).ravel().tolist() == [-1000, -965, -930, -850, 0, 1000]
    assert toned(hu, ()) is hu


def test_a_finish_says_what_it_did_and_none_does_nothing() -> None:
    assert finished(chest(15.0), SPACING, Finish()).tolist() == chest(15.0).tolist()
    assert Finish().said() == ()
    assert Finish(((0.0, 5.0),), 9.0).said() == ("HU by a measured curve", "soft tissue evened over 9 mm")
