"""The ledger: for each finding of a report, what a CT shows of it and how that was measured.

Any CT goes in; with organ labels the places are exact, without them they come from
HU and shape. What cannot be measured is said to be so: "can't tell" is an answer,
a guess is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..requests import Watch
from ..volume import CTVolume, LabelVolume
from .anatomy import Chest
from .finding import Answer, Finding, LedgerEntry
from .meters import focal, heart, others, parenchyma, pleura
from .meters.readings import Meter, Reading

METERS: Mapping[str, Meter] = {
    "pleural_effusion": pleura.pleural_effusion, "pneumothorax": pleura.pneumothorax,
    "consolidation": parenchyma.consolidation, "atelectasis": parenchyma.atelectasis,
    "lung_opacity": parenchyma.lung_opacity, "emphysema": parenchyma.emphysema,
    "lung_nodule": focal.lung_nodule, "lung_mass": parenchyma.lung_mass, "metastases": focal.metastases,
    "granuloma": focal.granuloma, "cavity": focal.cavity, "bulla": focal.bulla, "lung_cyst": focal.bulla,
    "cardiomegaly": heart.cardiomegaly, "pericardial_effusion": heart.pericardial_effusion,
    "coronary_artery_wall_calcification": heart.coronary_artery_wall_calcification,
    "arterial_wall_calcification": heart.arterial_wall_calcification, "aneurysm": heart.aneurysm,
    "hepatic_steatosis": others.hepatic_steatosis, "mediastinal_shift": others.mediastinal_shift,
    "hiatal_hernia": others.hiatal_hernia, "medical_material": others.medical_material,
    "mosaic_attenuation_pattern": others.mosaic_attenuation_pattern,
}
NO_LUNGS, NO_METER = "no lungs in the image", "no meter for this finding"


def measure(ct: CTVolume, findings: Sequence[Finding], organs: LabelVolume | None = None,
            watch: Watch | None = None) -> tuple[LedgerEntry, ...]:
    """One entry for each finding, in the order given."""
    if not findings:
        return ()
    watch = watch or Watch()
    watch.at("looking for the lungs", 0, 1)
    chest = Chest.of(ct, organs)
    entries = []
    for step, finding in enumerate(findings):
        watch.at("measuring", step, len(findings))
        entries.append(entry(finding, read(chest, finding)))
    watch.at("measuring", len(findings), len(findings))
    return tuple(entries)


def read(chest: Chest, finding: Finding) -> Reading:
    """The measurement for one finding."""
    meter = METERS.get(finding.kind)
    if meter is None:
        return Reading(None, NO_METER)
    if not chest.has_lungs:
        return Reading(None, NO_LUNGS)
    return meter(chest, finding)


def entry(finding: Finding, reading: Reading) -> LedgerEntry:
    """The answer to what was asked."""
    answers: Mapping[bool | None, Answer] = {True: "shown", False: "not shown", None: "can't tell"}
    agrees = None
    if reading.shown is not None and finding.certainty != "uncertain":
        agrees = reading.shown == (finding.certainty == "present")
    return LedgerEntry(finding, answers[reading.shown], reading.method, agrees, reading.value, reading.unit,
                       reading.place)


def score(entries: Sequence[LedgerEntry]) -> float | None:
    """The share of findings that agree, among those that could be decided."""
    decided = [e.agrees for e in entries if e.agrees is not None]
    return sum(decided) / len(decided) if decided else None
