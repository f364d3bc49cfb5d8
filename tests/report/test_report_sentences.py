"""The parser on sentences written by hand, as radiologists write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from judge import FILES, judge, load

ENOUGH = 0.95


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_whole_entries_are_understood(path: Path) -> None:
    score = judge(load(path))
    worst = min(score.precision("* all"), score.recall("* all"))
    assert worst >= ENOUGH, score.table() + "\n\n" + "\n".join(score.wrong)


def test_negations_doubts_sides_lobes_and_sizes_are_understood() -> None:
    score = judge(case for path in FILES for case in load(path))
    rows = ("* kind and certainty", "* certainty absent", "* certainty uncertain", "* side", "* lobe", "* size_mm")
    worst = min(min(score.precision(row), score.recall(row)) for row in rows)
    assert worst >= ENOUGH, score.table()


def test_there_are_enough_sentences_to_judge_by() -> None:
    texts = [[case["text"] for case in load(path)] for path in FILES]
    assert all(len(file) >= least for file, least in zip(texts, (300, 120, 220, 60, 40, 250, 90, 40, 35), strict=True))
    assert len({text for file in texts for text in file}) == sum(map(len, texts))
