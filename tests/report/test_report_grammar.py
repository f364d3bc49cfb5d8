"""The report writer and the parser: what one writes the other reads, also with words kept from training."""

from __future__ import annotations

import numpy as np
import pytest

from text2ct.report import grammar, words
from text2ct.report.finding import Finding
from text2ct.report.grammar import random_findings, write_report
from text2ct.report.parser import understand
from text2ct.report.vocabulary import KINDS

REPORTS = 400


def said(findings: tuple[Finding, ...]) -> list[tuple[object, ...]]:
    stated = [f for f in findings if f.certainty != "absent"]
    return sorted(((f.kind, f.certainty, f.side, f.lobe, f.size_mm) for f in stated), key=str)


@pytest.mark.parametrize(("split", "share"), [("train", 0.99), ("held-out", 0.97)])
def test_the_parser_recovers_what_the_writer_wrote(split: grammar.Split, share: float) -> None:
    wrong = []
    for seed in range(REPORTS):
        rng = np.random.default_rng(seed)
        findings = random_findings(rng)
        text = write_report(findings, rng, split)
        if said(understand(text).findings) != said(findings):
            wrong.append(f"{text}\n  {said(findings)}\n  {said(understand(text).findings)}")
    assert len(wrong) <= (1 - share) * REPORTS, "\n".join(wrong)


def test_the_same_seed_writes_the_same_report_and_another_one_another() -> None:
    findings = (Finding("lung_nodule", side="left", lobe=("LUL",), size_mm=18.0), Finding("cardiomegaly"))
    texts = [write_report(findings, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_the_last_name_of_a_kind_is_kept_from_training() -> None:
    for id_ in ("pleural_effusion", "cardiomegaly", "hiatal_hernia"):
        last = KINDS[id_].names[-1]
        train = [write_report((Finding(id_),), np.random.default_rng(n), "train") for n in range(80)]
        held = [write_report((Finding(id_),), np.random.default_rng(n), "held-out") for n in range(80)]
        assert not any(last in text.lower() for text in train)
        assert any(last in text.lower() for text in held)


def test_absent_and_uncertain_findings_are_written_as_such() -> None:
    findings = (Finding("pneumothorax", "absent"), Finding("consolidation", "uncertain", side="right", lobe=("RLL",)))
    for seed in range(40):
        found = understand(write_report(findings, np.random.default_rng(seed))).findings
        certain = {f.kind: f.certainty for f in found}
        assert (certain["pneumothorax"], certain["consolidation"]) == ("absent", "uncertain")


def test_random_findings_cover_the_drawable_kinds_and_stay_plausible() -> None:
    rng = np.random.default_rng(5)
    sets = [random_findings(rng) for _ in range(600)]
    assert {len(s) for s in sets} == {0, 1, 2, 3, 4}
    every = [f for s in sets for f in s]
    assert len({f.kind for f in every}) == 27
    for finding in every:
        assert {words.SIDE_OF[lobe] for lobe in finding.lobe} <= {"left", "right"}
        if finding.kind == "lung_mass":
            assert finding.size_mm is not None
            assert finding.size_mm > 30
        if finding.kind == "lung_nodule":
            assert finding.size_mm is not None
            assert finding.size_mm <= 30
