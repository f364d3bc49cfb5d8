"""The door of the phantom: a request in, a labelled CT and its account out. No weights, no GPU."""

from __future__ import annotations

from ...digest import voxel_digest
from ...errors import BadRequest
from ...geometry import Grid
from ...provenance import ALTERED, SYNTHETIC, Provenance, now, text_sha256
from ...report.finding import Finding
from ...requests import GenerateCT, InsertLesion, Request, Result, Watch
from .. import catalog
from .drawing import Drawing, draw

_ENGINE = "phantom"


class PhantomEngine:
    """Draws a chest from a report, findings into a given CT, or a lesion into a box."""

    def run(self, request: Request, watch: Watch) -> Result:
        if isinstance(request, GenerateCT):
            return self._generate(request, watch)
        if isinstance(request, InsertLesion):
            return self._insert(request, watch)
        raise BadRequest(f"The phantom cannot do '{request.task}'; it draws chests and lesions.")

    def _generate(self, request: GenerateCT, watch: Watch) -> Result:
        from ...report.parser import understand

        watch.at("reading the report", 0, 1)
        findings = understand(request.report).findings
        drawing: Drawing
        if request.base is not None:
            from .base import draw_into

            drawing = draw_into(request.base, findings, request.seed, watch)
            if not drawing.drawn:
                raise BadRequest("The report states nothing that can be drawn into this CT, so it would stay as it is; "
                                 "name a finding of lungs, airways or pleura.")
        else:
            drawing = draw(findings, request.seed, grid_of(request), watch)
        provenance = Provenance(
            engine=_ENGINE, task=request.task, seed=request.seed, sampler="rules", preset=request.preset,
            report_sha256=text_sha256(request.report), created=now(),
            base_digest=voxel_digest(request.base) if request.base is not None else "",
            notice=SYNTHETIC if request.base is None else ALTERED)
        notes = tuple(f"The phantom cannot draw this here and left it out: {_said(finding)}."
                      for finding in drawing.not_drawn)
        return Result(provenance, drawing.ct, drawing.labels, notes=notes)

    def _insert(self, request: InsertLesion, watch: Watch) -> Result:
        from .lesion import insert

        ct, labels = insert(request, watch)
        provenance = Provenance(
            engine=_ENGINE, task=request.task, seed=request.seed, sampler="rules", preset=request.preset,
            report_sha256=text_sha256(request.text), base_digest=voxel_digest(request.ct), created=now(),
            notice=ALTERED)
        return Result(provenance, ct, (labels,))


def _said(finding: Finding) -> str:
    return " ".join([finding.kind.replace("_", " "), *([finding.side] if finding.side else []), *finding.lobe])


def grid_of(request: GenerateCT) -> Grid:
    """The grid of a request: its own, or that of its preset, in the middle of the patient, pointing LPS."""
    preset = catalog.engine(_ENGINE).preset(request.preset)
    shape = request.shape or preset.shape
    spacing = request.spacing or preset.spacing
    if request.shape and not request.spacing:
        span = [n * s for n, s in zip(preset.shape, preset.spacing, strict=True)]
        spacing = (span[0] / shape[0], span[1] / shape[1], span[2] / shape[2])
    return Grid.centred(shape, spacing, "LPS")
