"""What must hold for any text: no error, spans inside, the same in capitals, and nothing said of bystanders."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from judge import FILES, load

from text2ct.report import words
from text2ct.report.finding import Finding
from text2ct.report.parser import understand
from text2ct.report.vocabulary import KINDS

SENTENCES = [case["text"] for path in FILES for case in load(path)]
PIECES = [*words.NO_BEFORE, *words.NO_AFTER, *words.DOUBT_BEFORE, *words.SIDES, *words.LEVELS, "lobe", "lobes", "lung",
          "7", "3-5 mm", "2.5 x 1,4 cm", "and", "or", ",", ".", ";", ":", "\n", "?", "but", "with", "in the", "of the",
          *[name for kind in KINDS.values() for name in kind.names]]


def without_spans(text: str) -> list[Finding]:
    return [replace(f, span=(0, 0)) for f in understand(text).findings]


def check_spans(text: str) -> None:
    found = understand(text)
    for a, b in [f.span for f in found.findings] + list(found.not_understood):
        assert 0 <= a < b <= len(text)
        assert text[a:b].strip()


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_read_without_an_error_and_spans_lie_within(text: str) -> None:
    check_spans(text)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_any_salad_of_known_words_is_read_and_its_values_are_sensible(pieces: list[str]) -> None:
    text = " ".join(pieces)
    check_spans(text)
    for finding in understand(text).findings:
        kind = KINDS[finding.kind]
        assert finding.certainty in ("present", "absent", "uncertain")
        assert kind.sided or finding.side is None
        assert kind.lobar or finding.lobe == ()
        assert finding.size_mm is None or (kind.sized and 0 < finding.size_mm <= 600)
        sides = {words.SIDE_OF[lobe] for lobe in finding.lobe}
        assert not sides or finding.side == "bilateral" or sides == {finding.side}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=3))
def test_capitals_say_the_same_as_small_letters(sentences: list[str]) -> None:
    text = "\n\n".join(sentences)
    assert without_spans(text.upper()) == without_spans(text.lower()) == without_spans(text)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SENTENCES), st.sampled_from(sorted(KINDS)))
def test_denying_another_kind_changes_nothing_else(sentence: str, other: str) -> None:
    before = without_spans(sentence)
    if other in {f.kind for f in before} or "lesion" in sentence:
        return
    after = without_spans(f"{sentence}\n\nNo {KINDS[other].names[0]}.")
    assert after[:-1] == before
    assert (after[-1].kind, after[-1].certainty) == (other, "absent")
