"""What the panel's fields hold, kept in the scene so that a saved scene comes back as it was left.

Slicer's wrapper of a parameter node gives the values their types, and a connector for each
class of widget, which also takes the limits of a number from here and not from the panel's
file. Joining them is our own: Slicer's `connectGui` writes every value to its widget after
each key, which moves the caret and empties the list of what can be undone, and it returns
no tag to part them by.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from types import SimpleNamespace
from typing import Annotated

import slicer
import vtk
from slicer.parameterNodeWrapper import WithinRange, createGuiConnector, parameterNodeWrapper

from .context import LAST_SEED


@parameterNodeWrapper
class Parameters:
    """Each has the name that is the SlicerParameterName of its widget. Keys and servers are in the settings."""

    report: str
    seed: Annotated[int, WithinRange(0, LAST_SEED)] = 0
    variants: Annotated[int, WithinRange(1, 6)] = 1
    inputVolume: slicer.vtkMRMLScalarVolumeNode
    box: slicer.vtkMRMLMarkupsROINode
    lesionText: str
    lesionSeed: Annotated[int, WithinRange(0, LAST_SEED)] = 0
    lesionCandidates: Annotated[int, WithinRange(1, 32)] = 1
    lesionPublished: bool = False


class Fields:
    """The widgets of the parameters; while they are joined to a parameter node, each follows the other."""

    def __init__(self, uis: Iterable[SimpleNamespace]) -> None:
        named = ((widget.property("SlicerParameterName"), widget) for ui in uis for widget in vars(ui).values())
        self._connectors = {name: createGuiConnector(widget, Parameters.dataType(name))
                            for name, widget in named if name}
        self._parameters: Parameters | None = None  # kept when parted: it goes on observing its node
        self._tag: int | None = None

    def join(self, node: slicer.vtkMRMLScriptedModuleNode) -> None:
        """Show what the node has, and follow it until `part`."""
        if self._tag is not None:
            return
        self._parameters = Parameters(node)
        self._show()
        for name, connector in self._connectors.items():
            connector.onChanged(partial(self._keep, name))
        self._tag = self._parameters.AddObserver(vtk.vtkCommand.ModifiedEvent, self._show)

    def part(self) -> None:
        """Neither follows the other any more."""
        if self._tag is None:
            return
        self._parameters.RemoveObserver(self._tag)
        self._tag = None
        for connector in self._connectors.values():
            connector.onChanged(None)

    def _keep(self, name: str) -> None:
        self._parameters.setValue(name, self._connectors[name].read())

    def _show(self, *caller_and_event) -> None:
        """Write what differs, and nothing else: a widget that is being typed in stays untouched."""
        for name, connector in self._connectors.items():
            value = self._parameters.getValue(name)
            if connector.read() != value:
                connector.write(value)
