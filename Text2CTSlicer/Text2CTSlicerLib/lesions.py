"""From a lesion request to nodes: one box after the other into the same CT, and what is added in the end.

Each box is a request of its own on the CT that the last one made, so several boxes in
one go are the same as one after the other by hand. The input node is never changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from . import nodes
from .context import Context
from .jobs import Delivery

if TYPE_CHECKING:
    from text2ct.geometry import Box
    from text2ct.requests import InsertLesion, Result


@dataclass(frozen=True)
class Plan:
    """The boxes to paint into, and the node that the CT came from."""

    boxes: tuple[Box, ...]
    source: slicer.vtkMRMLScalarVolumeNode


def deliver_mask(title: str, source: slicer.vtkMRMLScalarVolumeNode,
                 take: Callable[[slicer.vtkMRMLSegmentationNode], None]) -> Delivery:
    """The shape of a lesion as a segmentation that can be edited."""

    return Delivery(lambda made: add_mask(made, title, source, take))


def add_mask(made: Result, title: str, source: slicer.vtkMRMLScalarVolumeNode | None,
             take: Callable[[slicer.vtkMRMLSegmentationNode], None]) -> str:
    """A mask into the scene; it is taken to paint with when its CT is there."""
    like = _still(source)
    node = nodes.add_segmentation([replace(made.labels[-1], title="lesion")],
                                  f"{title} mask (seed {made.provenance.seed})", made.provenance, like)
    if like is None:
        return _("The mask is in '{name}'.").format(name=node.GetName()) + _gone(like)
    take(node)
    return _("The mask is in '{name}'; edit it in Segment Editor if you like, then press '2. Paint'.").format(
        name=node.GetName())


def paint_all(context: Context, request: InsertLesion, plan: Plan, title: str) -> None:
    """Paint into the first box, and when that is there into the next at the same place, then add the nodes."""
    backend = context.backend()
    _paint(replace(context, backend=lambda: backend), replace(request, box=plan.boxes[0]), plan, title, ())


def _paint(context: Context, request: InsertLesion, plan: Plan, title: str, before: tuple[Result, ...]) -> None:
    number = len(before) + 1
    name = title if len(plan.boxes) == 1 else _("{title}, box {number} of {count}").format(
        title=title, number=number, count=len(plan.boxes))

    def result(made: Result) -> str:
        results = (*before, made)
        if number < len(plan.boxes):
            following = replace(request, ct=made.ct, box=plan.boxes[number], seed=request.seed + 1)
            _paint(context, following, plan, title, results)
            return _("Box {number} is painted; going on.").format(number=number)
        return add_painted(context, results, title, plan.source)

    context.jobs.submit(context.backend(), request, name, Delivery(result))


def add_painted(context: Context, results: tuple[Result, ...], title: str,
                source: slicer.vtkMRMLScalarVolumeNode | None) -> str:
    """The CT after the last box, with the lesions of all boxes as segments."""
    last, like = results[-1], _still(source)
    layers = tuple(_numbered(layer, number, len(results)) for number, made in enumerate(results, 1)
                   for layer in made.labels if layer.title != "organs")
    added = nodes.add_result(replace(last, labels=layers), title, like)
    context.added(added)
    return _("Done: {name}. The input was not changed.").format(name=added.ct.GetName()) + _gone(like) + "".join(
        f" {note}" for made in results for note in made.notes)


def _numbered(layer, number: int, count: int):
    if count == 1:
        return layer
    segments = tuple(replace(s, name=f"{s.name} {number}", id=f"{s.id or s.name}_{number}") for s in layer.segments)
    return replace(layer, segments=segments, title=f"{layer.title} {number}")


def _still(node: slicer.vtkMRMLScalarVolumeNode | None) -> slicer.vtkMRMLScalarVolumeNode | None:
    """The input node, unless it was deleted or its scene was closed meanwhile."""
    return node if node is not None and node.GetScene() is not None else None


def _gone(like: slicer.vtkMRMLScalarVolumeNode | None) -> str:
    return "" if like is not None else " " + _("Its input is no longer in the scene.")
