"""What the sentences files do not ask: spans, sections, joining, and what is given back as not understood."""

from __future__ import annotations

import pytest

from text2ct.report.finding import Finding
from text2ct.report.parser import understand


def one(text: str) -> Finding:
    findings = understand(text).findings
    assert len(findings) == 1, findings
    return findings[0]


def words(text: str) -> list[str]:
    return [text[f.span[0]:f.span[1]] for f in understand(text).findings]


def test_spans_are_the_words_of_the_original_text() -> None:
    text = "Findings:  NO Pneumothorax;\n a 12 mm Ground-Glass nodule in the RUL."
    assert words(text) == ["Pneumothorax", "Ground-Glass nodule"]


def test_spans_hold_where_words_were_misspelled_or_not_ascii() -> None:
    assert words("Ödem değil – but a right plueral efusion.") == ["plueral efusion"]


def test_what_findings_and_impression_say_twice_is_one_entry_with_all_that_is_known() -> None:
    found = one("Findings: An 18 mm spiculated nodule in the left upper lobe. Impression: 1. LUL nodule, stable.")
    assert (found.lobe, found.size_mm, found.margin, found.change) == (("LUL",), 18.0, "spiculated", "unchanged")


def test_another_lobe_or_size_is_another_finding() -> None:
    found = understand("A 5 mm nodule in the RUL. A 9 mm nodule in the RUL. A 5 mm nodule in the LLL.").findings
    assert [(f.lobe, f.size_mm) for f in found] == [(("RUL",), 5.0), (("RUL",), 9.0), (("LLL",), 5.0)]


def test_a_following_sentence_can_give_the_size_and_place_of_the_largest() -> None:
    found = one("Several nodules in both lungs. The largest measures 8 mm in the right upper lobe.")
    assert (found.side, found.lobe, found.size_mm, found.count) == ("bilateral", ("RUL",), 8.0, 4)


@pytest.mark.parametrize("text", [
    "History: pneumothorax. Findings: normal.",
    "INDICATION: effusion?\nFINDINGS: The lungs are clear.",
    "Clinical information: known emphysema, cough. Technique: CT of the chest. Findings: Normal.",
    "Comparison: CT of 2020 with a left nodule.",
    "Recommendation: CT in 3 months for the nodule.",
])
def test_sections_that_do_not_describe_this_ct_give_no_finding(text: str) -> None:
    assert understand(text).findings == ()


def test_a_comparison_in_the_midst_ends_with_its_sentence() -> None:
    assert one("Comparison: none. Large left effusion.").side == "left"


def test_lines_of_keywords_are_findings_of_their_own() -> None:
    assert [(f.kind, f.side) for f in understand("effusion right\nnodule left\ncardiomegaly").findings] == [
        ("pleural_effusion", "right"), ("lung_nodule", "left"), ("cardiomegaly", None)]


def test_wrapped_lines_are_read_on() -> None:
    text = "There is a large and partly loculated pleural effusion that is found on the\nright side. Heart is normal."
    assert [(f.kind, f.side) for f in understand(text).findings] == [
        ("pleural_effusion", "right"), ("cardiomegaly", None)]


@pytest.mark.parametrize(("text", "said"), [
    ("Right renal agenesis.", "Right renal agenesis"),
    ("Gynecomastia is seen. No effusion.", "Gynecomastia is seen"),
    ("RUL nodule, likely hamartoma.", "hamartoma"),
    ("A 2 cm mass in the left breast.", "mass in the left breast"),
])
def test_what_has_no_kind_is_given_back_with_its_place(text: str, said: str) -> None:
    spans = understand(text).not_understood
    assert [text[a:b] for a, b in spans] == [said]


@pytest.mark.parametrize("text", [
    "", "   \n", "Trachea and main bronchi are open.", "No pathology in the upper abdomen.", "Normal chest CT.",
    "The lungs are clear.", "Thoracic oesophagus is unremarkable.", "Vertebral corpus heights are preserved.",
])
def test_normal_anatomy_is_neither_a_finding_nor_a_riddle(text: str) -> None:
    found = understand(text)
    assert (found.findings, found.not_understood) == ((), ())


@pytest.mark.parametrize("text", [
    "No fibrotic changes.", "No bronchiectatic changes.", "There are no emphysematous changes."])
def test_no_changes_of_a_kind_is_a_denial_and_not_stability(text: str) -> None:
    assert (one(text).certainty, one(text).change) == ("absent", None)


def test_a_small_lymph_node_is_none_of_note() -> None:
    assert understand("Mediastinal lymph nodes up to 7 mm.").findings == ()
    assert one("Mediastinal lymph nodes up to 17 mm.").size_mm == 17.0


def test_two_spellings_of_a_station_are_told_apart_from_sizes() -> None:
    found = one("Lymph node of 14 mm in station 4R.")
    assert (found.station, found.side, found.size_mm) == ("4R", "right", 14.0)
