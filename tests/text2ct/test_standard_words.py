"""Reports said again in standard words: the same words for the same findings, whatever stands around them."""

from __future__ import annotations

import numpy as np
import pytest

from text2ct.engines.text2ct.standard_words import lexicon, standard_words, word_ids
from text2ct.errors import BadRequest
from text2ct.report.finding import Finding
from text2ct.report.grammar import random_findings, write_report
from text2ct.report.parser import understand

KINDS = ("pleural_effusion", "pneumothorax", "consolidation", "lung_opacity", "atelectasis", "emphysema",
         "cardiomegaly", "pericardial_effusion", "hepatic_steatosis")


def words(report: str) -> str:
    return standard_words(understand(report).findings, KINDS)[0]


def test_findings_are_one_short_sentence_each() -> None:
    assert words("There is a huge pleural effusion on the right side. Early emphysema of both lungs.") == (
        "large right pleural effusion . small bilateral emphysema .")
    assert words("Consolidation in the lower lobe of the left lung.") == (
        "left consolidation in left lower lobe .")


@pytest.mark.parametrize(("report", "said"), [
    ("Severe emphysema.", "large bilateral emphysema ."), ("Pleural effusion.", "bilateral pleural effusion ."),
    ("Pneumothorax.", "right pneumothorax ."), ("Severe cardiomegaly.", "large cardiomegaly ."),
    ("Ground-glass opacity in the lingula.", "ground glass left lung opacity in lingula .")])
def test_a_side_that_a_report_leaves_open_is_said_as_the_phantom_draws_it(report: str, said: str) -> None:
    assert words(report) == said


def test_no_finding_is_said_in_a_form_that_no_training_has_heard() -> None:
    def form(sentence: str) -> tuple[bool, ...]:
        return tuple(word in sentence.split() for word in ("left", "right", "bilateral", "glass", "in"))

    rng = np.random.default_rng(2)
    heard = {(f.kind, form(standard_words([f], KINDS)[0])) for _ in range(3000) for f in random_findings(rng, KINDS)}
    for kind in KINDS:
        for lobe in ((), ("RUL",), ("LLL",), ("RUL", "LLL")):
            if not lobe or kind in ("consolidation", "lung_opacity", "atelectasis", "emphysema"):
                assert (kind, form(standard_words([Finding(kind, lobe=lobe)], KINDS)[0])) in heard


@pytest.mark.parametrize("report", ["Normal chest CT.", "No pneumothorax, no effusion.", "Possible pneumothorax.",
                                    "18 mm nodule in the right upper lobe."])
def test_what_is_denied_or_doubted_or_of_another_kind_is_not_said(report: str) -> None:
    assert words(report) == "normal chest ."


def test_the_order_of_the_report_does_not_matter() -> None:
    sentences = ["Small left pleural effusion.", "Severe cardiomegaly.", "Consolidation in the right upper lobe.",
                 "Large right pleural effusion.", "Consolidation in the left lower lobe."]
    rng = np.random.default_rng(0)
    said = {words(" ".join(rng.permutation(sentences))) for _ in range(12)}
    assert len(said) == 1
    assert said.pop().count(" .") == 5


def test_what_the_weights_do_not_know_is_handed_back_but_not_what_is_denied() -> None:
    findings = understand("Pneumothorax on the left. Nodule in the lingula. No fracture. Possible mass.").findings
    _, left = standard_words(findings, KINDS)
    assert [finding.kind for finding in left] == ["lung_nodule"]


def test_every_word_has_a_number_and_a_density_that_does_not_fit_is_left_out() -> None:
    known = lexicon(KINDS)
    assert "calcified" not in standard_words([Finding("pleural_effusion", density="calcified")], KINDS)[0]
    rng = np.random.default_rng(1)
    for _ in range(200):
        ids = word_ids(standard_words(random_findings(rng, KINDS), KINDS)[0], known, 64)
        assert len(ids) == 64
        assert ids[0] == len(known) + 1
        assert ids.count(len(known) + 2) == 1
    with pytest.raises(BadRequest, match="do not know the word 'nodule'"):
        word_ids("left nodule .", known, 16)


def test_words_that_do_not_fit_are_cut_and_the_end_mark_stays() -> None:
    known = lexicon(KINDS)
    ids = word_ids("normal chest . " * 10, known, 8)
    assert len(ids) == 8
    assert ids[-1] == len(known) + 2


def test_reports_in_words_never_trained_on_say_the_same_as_their_findings() -> None:
    for seed in range(150):
        rng = np.random.default_rng([7, seed])
        findings = random_findings(rng, KINDS)
        report = write_report(findings, rng, "held-out")
        assert words(report) == standard_words(findings, KINDS)[0], report
