"""Every number that turns a measurement into an answer, and where it comes from.

They were chosen on phantoms drawn with seeds below 100000 and checked on real CTs;
the table in docs/ledger.md is made on other seeds. Some are what radiologists use
(cardiothoracic ratio, node size, liver HU) moved to what the method really measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    """From `shown` up a finding is shown; between `doubt` and `shown` nothing is said."""

    shown: float
    doubt: float | None = None
    source: str = ""


LIMITS: Mapping[str, Limit] = {
    "pleural_effusion": Limit(20.0, 8.0, "phantoms; normal real chests measure 0 ml"),
    "pneumothorax": Limit(9.0, 4.0, "phantoms; normal real chests measure 0 ml"),
    "consolidation": Limit(9.0, 4.0, "phantoms"),
    "atelectasis": Limit(12.0, 5.0, "phantoms"),
    "lung_opacity": Limit(50.0, 25.0, "phantoms; normal real lungs read up to 47 ml"),
    "ground glass above lung": Limit(130.0, source="half of a typical ground glass"),
    "emphysema": Limit(2.6, 2.0, "phantoms: 7 % true share of a mild emphysema reads as 2.6 % at 3 mm"),
    "cardiomegaly": Limit(0.527, 0.515, "phantoms: an axial ratio of 0.50 in the textbooks"),
    "pericardial_effusion": Limit(45.0, 8.0, "phantoms; normal real hearts read up to 39 ml at 4 mm"),
    "spot strength": Limit(0.08, source="weakest spot looked at"),
    "peripheral spot": Limit(0.102, source="phantoms: convexity times the share of free rim"),
    "central spot": Limit(0.113, source="phantoms: vessels of normal hila seldom reach it"),
    "convincing spot": Limit(0.114, source="phantoms: a nodule of 11 mm in voxels of 5 mm; no vessel reaches it"),
    "spot alone": Limit(0.6, source="phantoms and real CTs: a vessel's knot is less free"),
    "spot round": Limit(0.43, source="phantoms and a real CT at 4 mm"),
    "large spot": Limit(0.120, source="phantoms: consolidation seldom reaches it"),
    "large free spot": Limit(0.078, source="phantoms: the same where most of the rim is aerated"),
    "free lump": Limit(0.060, source="phantoms: an irregular mass"),
    "free lump share": Limit(0.8, source="phantoms: consolidation reaches 0.67"),
    "large spot alone": Limit(0.68, source="phantoms: consolidation reaches 0.67"),
    "ball core": Limit(-20.0, source="solid tissue"),
    "ball open": Limit(0.35, source="a third of its surface in lung is enough to see that it is round"),
    "ball spread": Limit(0.150, source="phantoms: half of the masses; round consolidation from 0.16 up"),
    "spot rim": Limit(-680.0, source="phantoms: haze around consolidation"),
    "solid mass ml": Limit(40.0, source="phantoms"),
    "solid mass reach": Limit(14.0, source="phantoms: radius of the largest ball in it"),
    "solid mass rim": Limit(60.0, source="HU above the same lung: phantoms' consolidation 70 and more, a real mass 5"),
    "pale mass": Limit(0.08, source="phantoms: 39 of 40 that are round; a veil reaches 0.07"),
    "pale mass open": Limit(0.58, source="phantoms: a crossing of vessels reaches 0.58"),
    "pale mass spread": Limit(0.295, source="phantoms: spicules reach 0.29, crossings of vessels begin at 0.31"),
    "leaning pale mass open": Limit(0.38, source="phantoms: masses at the pleura"),
    "leaning pale mass spread": Limit(0.18, source="phantoms: at 0.22 a collapsed lobe is found too"),
    "lung_nodule": Limit(6.0, source="smaller ones are not seen at 3 mm"),
    "lung_mass": Limit(27.0, source="30 mm by definition, less the error: a lobulated mass of 32 mm reads 28"),
    "largest nodule": Limit(31.5, source="30 mm by definition; phantoms: one of 29 mm reads up to 30"),
    "metastases": Limit(3.0, source="phantoms: more spots than chance and vessels give"),
    "granuloma hu": Limit(170.0, source="above soft tissue"),
    "cavity": Limit(8.6, 6.0, "phantoms: the air in it, not the wall"),
    "bulla": Limit(16.0, 10.0, "10 mm by definition; dark lung in front reads up to 15 mm"),
    "hole ml": Limit(0.15, source="phantoms"),
    "bulla share": Limit(2.6, source="emphysema with more dark lung is not told from bullae"),
    "cavity wall": Limit(0.6, source="most of the rim is soft tissue"),
    "coronary_artery_wall_calcification": Limit(0.03, source="one voxel"),
    "arterial_wall_calcification": Limit(0.03, source="one voxel"),
    "aneurysm": Limit(41.0, 38.0, "40 mm by definition"),
    "hepatic_steatosis": Limit(40.0, 44.0, "40 HU by convention"),
    "hepatic_steatosis contrast": Limit(66.0, 92.0, "phantoms; depends on the phase"),
    "mediastinal_shift": Limit(8.0, 5.5, "phantoms: without a shift -3 to 4 mm"),
    "hiatal_hernia": Limit(2.0, 0.8, "phantoms from 3 ml up; gas in a normal gullet reaches 1 ml"),
    "medical_material": Limit(2000.0, 1000.0, "bone in real CTs reaches 1800 HU"),
    "mosaic_attenuation_pattern": Limit(36.0, 32.0, "phantoms"),
}
