"""The table of kinds: complete, and free of contradictions."""

from __future__ import annotations

import pytest

from text2ct.errors import BadInput
from text2ct.report.parser import understand
from text2ct.report.vocabulary import KINDS, kind

PROMISED = """medical_material arterial_wall_calcification cardiomegaly pericardial_effusion
coronary_artery_wall_calcification hiatal_hernia lymphadenopathy emphysema atelectasis lung_nodule lung_opacity
pulmonary_fibrotic_sequela pleural_effusion mosaic_attenuation_pattern peribronchial_thickening consolidation
bronchiectasis interlobular_septal_thickening pneumothorax lung_mass metastases granuloma bulla fracture
mediastinal_shift aneurysm hepatic_steatosis"""


def test_every_promised_kind_is_there_in_order() -> None:
    promised = PROMISED.split()
    assert list(KINDS)[:len(promised)] == promised
    assert [k.id for k in KINDS.values() if k.standard] == promised[:18]


@pytest.mark.parametrize("id_", KINDS)
def test_every_name_of_a_kind_alone_is_read_as_that_kind(id_: str) -> None:
    for name in KINDS[id_].names:
        assert [f.kind for f in understand(name).findings] == [id_], name
        assert [(f.kind, f.certainty) for f in understand(f"No {name}.").findings] == [(id_, "absent")], name


def test_colours_differ_and_lie_between_zero_and_one() -> None:
    colors = [k.color for k in KINDS.values()]
    assert len(set(colors)) == len(colors)
    assert all(0 <= c <= 1 for color in colors for c in color)


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadInput, match=r"no finding called 'goitre'.*cardiomegaly"):
        kind("goitre")
