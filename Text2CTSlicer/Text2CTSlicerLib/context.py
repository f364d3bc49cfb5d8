"""What the panels share: the backend that is chosen, the jobs, the settings, where a sentence and a result go."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import qt
import slicer

from . import marks, nodes
from .backends import Backend, EngineChoice
from .jobs import Jobs
from .settings import Settings
from .tasks import Tasks

_MIDDLE_GREY = 128

LAST_SEED = 2**31 - 1  # what a QSpinBox can hold


@dataclass
class Context:
    """Made once a widget. `say` puts a sentence where the user looks, `added` shows a new result."""

    tasks: Tasks
    jobs: Jobs
    settings: Settings
    say: Callable[[str], None]
    backend: Callable[[], Backend | None]
    engines: Callable[[], tuple[EngineChoice, ...]]
    report: Callable[[], str] = lambda: ""
    added: Callable[[nodes.Added], None] = lambda added: None


def load(resource: str, layout: qt.QLayout) -> tuple[qt.QWidget, SimpleNamespace]:
    """A .ui file into a layout; the widget and its children by name."""
    widget = slicer.util.loadUI(resource)
    layout.addWidget(widget)
    widget.setMRMLScene(slicer.mrmlScene)
    return widget, slicer.util.childWidgetVariables(widget)


def fill(box: qt.QComboBox, choices: dict[str, str], otherwise: str = "") -> None:
    """Show these choices (id to words) in a menu, and keep the one that was chosen if it is still there.

    Else `otherwise` is chosen, or the first.
    """
    kept = box.currentData
    blocked = box.blockSignals(True)
    box.clear()
    for name, words in choices.items():
        box.addItem(words, name)
    found = box.findData(kept)
    box.setCurrentIndex(found if found >= 0 else max(0, box.findData(otherwise)))
    box.blockSignals(blocked)


def colours_for(widget: qt.QWidget) -> dict[str, str]:
    """Text colours that can be read on a widget, in a light theme and in a dark one."""
    return marks.DARK if widget.palette.color(qt.QPalette.Base).lightness() < _MIDDLE_GREY else marks.LIGHT


def chosen(box: qt.QComboBox, default: Any = "") -> Any:
    """The id of what is chosen in a menu."""
    return box.currentData if box.count > 0 else default


def another_seed() -> int:
    """A seed by chance, for the dice."""
    return secrets.randbelow(LAST_SEED)
