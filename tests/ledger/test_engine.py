"""The ledger as an engine: a report and a CT in, entries, a score and an account out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from text2ct.engines.ledger.engine import LedgerEngine
from text2ct.engines.phantom.drawing import Drawing
from text2ct.engines.run import run
from text2ct.errors import BadRequest, Cancelled
from text2ct.provenance import text_sha256
from text2ct.report.finding import Finding
from text2ct.requests import CancelToken, GenerateCT, ScoreCT, Watch

EFFUSION = Finding("pleural_effusion", side="right", severity="large")
REPORT = "Large right pleural effusion. No pneumothorax. Large left pleural effusion."


def test_a_report_is_scored_by_what_the_ct_shows(phantom: Callable[..., Drawing]) -> None:
    result = run(ScoreCT(phantom(EFFUSION).ct, REPORT))
    verdicts = {(e.finding.kind, e.finding.side): e.agrees for e in result.ledger}
    assert verdicts[("pleural_effusion", "right")] is True
    assert verdicts[("pleural_effusion", "left")] is False
    assert verdicts[("pneumothorax", None)] is True
    assert result.score == pytest.approx(2 / 3)
    assert result.provenance.engine == "ledger"
    assert result.provenance.report_sha256 == text_sha256(REPORT)
    assert result.provenance.created


def test_a_report_of_things_nobody_can_measure_has_no_score(phantom: Callable[..., Drawing]) -> None:
    result = run(ScoreCT(phantom(EFFUSION).ct, "Rib fracture on the left."))
    assert result.score is None


def test_it_refuses_what_is_no_question(phantom: Callable[..., Drawing]) -> None:
    with pytest.raises(BadRequest, match="scores a CT"):
        LedgerEngine().run(GenerateCT("Normal chest."), Watch())


def test_it_stops_when_asked_to(phantom: Callable[..., Drawing]) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        LedgerEngine().run(ScoreCT(phantom(EFFUSION).ct, REPORT), Watch(cancel=token))
