"""The data tap gives the same case for the same number, whoever asks, and never mixes its splits."""

from __future__ import annotations

from itertools import islice

import pytest

from text2ct.geometry import Grid
from text2ct.report.parser import understand
from text2ct_training.phantoms import PhantomTap

GRID = Grid.centred((40, 36, 24), (9.0, 9.0, 13.0))


def test_a_case_is_the_same_whenever_and_wherever_it_is_drawn() -> None:
    tap = PhantomTap(GRID, seed=4)
    first, again = tap.case(7), PhantomTap(GRID, seed=4, shard=1, shards=3).case(7)
    assert first.ct == again.ct
    assert first.report == again.report
    assert first.labels == again.labels
    assert tap.case(8).ct != first.ct
    assert PhantomTap(GRID, seed=5).case(7).ct != first.ct


def test_shards_share_out_all_cases_and_a_stopped_run_goes_on() -> None:
    numbers = [[case.index for case in islice(PhantomTap(GRID, shard=s, shards=3, start=4), 2)] for s in range(3)]
    assert sorted(n for shard in numbers for n in shard) == [4, 5, 6, 7, 8, 9]
    assert [case.index for case in islice(PhantomTap(GRID).from_case(11), 2)] == [11, 12]
    with pytest.raises(ValueError, match="count from 0"):
        PhantomTap(GRID, shard=3, shards=3)


def test_the_splits_have_other_patients_and_other_words() -> None:
    train, held_out = PhantomTap(GRID), PhantomTap(GRID, "held-out")
    assert {train.case(n).seed for n in range(3)}.isdisjoint(held_out.case(n).seed for n in range(3))
    assert train.case(0).report != held_out.case(0).report


def test_the_report_states_the_findings_that_are_drawn() -> None:
    tap = PhantomTap(GRID, seed=1)
    stated = 0
    for index in range(12):
        case = tap.case(index)
        present = {f.kind for f in understand(case.report).findings if f.certainty == "present"}
        assert {f.kind for f in case.findings} <= present
        stated += len(present)
        assert case.labels[0].title == "organs"
        assert all(layer.same_grid(case.ct) for layer in case.labels)
    assert stated > 6
