"""The parser on sentences written by hand, as radiologists write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from judge import FILES, judge, load

ENOUGH = 0.95


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_findings_negations_sides_lobes_and_sizes_are_understood(path: Path) -> None:
    score = judge(load(path))
    rows = ("* all", "* kind and certainty", "* certainty absent", "* certainty uncertain", "* side", "* lobe",
            "* size_mm")
    worst = min(min(score.precision(row), score.recall(row)) for row in rows)
    assert worst >= ENOUGH, score.table() + "\n\n" + "\n".join(score.wrong)


def test_there_are_enough_sentences_to_judge_by() -> None:
    first, later = (load(path) for path in FILES)
    assert len(first) >= 300
    assert len(later) >= 120
    assert not {case["text"] for case in first} & {case["text"] for case in later}
