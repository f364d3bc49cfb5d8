"""ScoreCT by measuring: understands the report, measures each finding, and keeps the account."""

from __future__ import annotations

from ...digest import voxel_digest
from ...errors import BadRequest
from ...provenance import MEASURED, Provenance, now, text_sha256
from ...report.ledger import measure, score
from ...report.parser import understand
from ...requests import Request, Result, ScoreCT, Watch


class LedgerEngine:
    """Needs no weights; the score is the share of decidable findings that the CT agrees with."""

    def run(self, request: Request, watch: Watch) -> Result:
        if not isinstance(request, ScoreCT):
            raise BadRequest(f"The ledger scores a CT against a report; it cannot do '{request.task}'.")
        watch.at("reading the report", 0, 1)
        understood = understand(request.report)
        entries = measure(request.ct, understood.findings, request.labels, watch)
        provenance = Provenance(
            engine="ledger", task="score", seed=0, report_sha256=text_sha256(request.report),
            base_digest=voxel_digest(request.ct), created=now(), synthetic=False, notice=MEASURED)
        return Result(provenance, ledger=entries, score=score(entries))
