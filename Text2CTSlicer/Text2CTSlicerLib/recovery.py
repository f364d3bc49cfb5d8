"""Results of jobs of an earlier session: the job's task and what the result holds say what becomes of it.

Of what a job was asked only its title is remembered. The CT that it worked on is looked
for in the scene by its digest, since the scene may have been loaded again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from . import nodes, reading
from .context import Context
from .jobs import Delivery
from .lesions import add_mask, add_painted
from .panel_report import deliver_ct
from .settings import RememberedJob

if TYPE_CHECKING:
    from text2ct.requests import Result


def delivery_for(job: RememberedJob, context: Context, take_mask: Callable[[slicer.vtkMRMLSegmentationNode], None],
                 measured: Callable[[slicer.vtkMRMLScalarVolumeNode, Result], str]) -> Delivery:
    """Who gets what comes of a remembered job. `take_mask` and `measured` are what the panels do with theirs."""
    if job.task == "generate":
        return deliver_ct(context, job.report, job.title)

    def result(made: Result) -> str:
        source = reading.volume_with(made.provenance.base_digest)
        if made.ct is not None:
            return add_painted(context, (made,), job.title, source)
        if job.task == "lesion":
            return add_mask(made, job.title, source, take_mask)
        if source is not None:
            return measured(source, made)
        added = nodes.add_result(made, job.title)
        return _("The measurement is in '{name}'. Its CT is not in the scene.").format(
            name=(added.ledger or added.account).GetName())

    return Delivery(result)
