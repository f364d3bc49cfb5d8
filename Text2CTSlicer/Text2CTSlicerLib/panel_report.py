"""Report to CT: a report is typed and understood while it is typed, then becomes one or several CTs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from . import display, marks, nodes
from .backends import EngineChoice, for_task
from .context import LAST_SEED, Context, another_seed, chosen, colours_for, fill
from .jobs import Delivery

if TYPE_CHECKING:
    from text2ct.requests import Result

_QUIET_MS = 150


class ReportPanel:
    """The report editor and what makes a CT of it. `ready` asks for missing packages before a run."""

    def __init__(self, ui: SimpleNamespace, context: Context, templates: Path,
                 ready: Callable[[str], bool]) -> None:
        self._ui, self._context, self._ready = ui, context, ready
        self._templates = {path.stem: path for path in sorted(templates.glob("*.txt"))}
        self._reading = marks.Reading((), "")
        self._pause = qt.QTimer()
        self._pause.singleShot = True
        self._pause.setInterval(_QUIET_MS)
        self._pause.connect("timeout()", self.read)
        self._tips = _Tips(ui.reportEdit, self._words_at)
        self._shortcuts = [self._shortcut(keys) for keys in ("Ctrl+Return", "Ctrl+Enter")]
        ui.reportEdit.connect("textChanged()", self._typed)
        ui.reportSection.connect("contentsCollapsed(bool)", self.read)
        ui.templateBox.connect("activated(int)", self._take_template)
        ui.previousBox.connect("activated(int)", self._take_previous)
        ui.engineBox.connect("currentIndexChanged(int)", self._engine_chosen)
        ui.weightsBox.connect("currentIndexChanged(int)", self._weights_chosen)
        ui.diceButton.connect("clicked(bool)", self._roll)
        ui.generateButton.connect("clicked(bool)", self.generate)
        ui.keepReportsBox.checked = context.settings.keeps_reports
        ui.keepReportsBox.connect("toggled(bool)", self._keep)
        self._list_reports()
        self.list_engines()
        self.read()

    def close(self) -> None:
        """Nothing is read any more: the editor goes."""
        self._pause.stop()

    def list_engines(self) -> None:
        """Show the engines that the backend offers."""
        fill(self._ui.engineBox, {e.id: e.title for e in for_task(self._context.engines(), "generate")})
        self._engine_chosen()

    def read(self) -> None:
        """Understand the report and show how."""
        report = self._ui.reportEdit.plainText
        self._reading = marks.read(report)
        self._ui.reportEdit.setExtraSelections([self._selection(mark) for mark in self._reading.marks])
        self._ui.understoodLabel.text = self._reading.summary(colours_for(self._ui.reportEdit))
        unseen = marks.unseen(report, chosen(self._ui.engineBox), self._reading)
        self._ui.unseenLabel.text, self._ui.unseenLabel.visible = unseen, bool(unseen)
        self._ui.generateButton.enabled = bool(report.strip()) and self._ui.engineBox.count > 0

    def generate(self) -> None:
        """Hand over one request a variant."""
        from text2ct.requests import GenerateCT

        report = self._ui.reportEdit.plainText
        if not report.strip():
            self._context.say(_("The report is empty; write what the CT shall show, or choose a template."))
            return
        if self._ui.engineBox.count == 0 or not self._ready(chosen(self._ui.engineBox)):
            return
        self.read()
        self._context.settings.remember_report(report)
        self._list_reports()
        count, seed = self._ui.variantsBox.value, self._ui.seedBox.value
        group = _Group(count)
        for number in range(count):
            request = GenerateCT(report, engine=chosen(self._ui.engineBox), weights=chosen(self._ui.weightsBox),
                                 seed=(seed + number) % LAST_SEED, preset=chosen(self._ui.presetBox))
            delivery = deliver_ct(self._context, report, self._reading.title, group)
            self._context.jobs.submit(self._context.backend(), request, self._reading.title, delivery)

    def _shortcut(self, keys: str) -> qt.QShortcut:
        """These keys generate while the report is typed, and mean what they did elsewhere in Slicer."""
        shortcut = qt.QShortcut(qt.QKeySequence(keys), self._ui.reportEdit)
        shortcut.context = qt.Qt.WidgetWithChildrenShortcut
        shortcut.connect("activated()", self.generate)
        return shortcut

    def _words_at(self, position: int) -> str:
        return self._reading.at(position)

    def _selection(self, mark: marks.Mark) -> qt.QTextEdit.ExtraSelection:
        selection = qt.QTextEdit.ExtraSelection()
        cursor = self._ui.reportEdit.textCursor()
        cursor.setPosition(mark.start)
        cursor.setPosition(mark.end, qt.QTextCursor.KeepAnchor)
        style = qt.QTextCharFormat()
        style.setForeground(qt.QBrush(qt.QColor(colours_for(self._ui.reportEdit)[mark.kind])))
        style.setFontUnderline(mark.kind == marks.UNREAD)
        style.setFontStrikeOut(mark.kind == marks.ABSENT)
        selection.cursor, selection.format = cursor, style
        return selection

    def _typed(self) -> None:
        self._ui.generateButton.enabled = bool(self._ui.reportEdit.plainText.strip())
        self._pause.start()

    def _engine_chosen(self) -> None:
        engine = self._engine()
        fill(self._ui.weightsBox, engine.weights_words() if engine else {}, engine.chosen_weights if engine else "")
        for widget in (self._ui.weightsBox, self._ui.weightsBoxLabel):
            widget.visible = self._ui.weightsBox.count > 0
        self._weights_chosen()
        self._pause.start()

    def _weights_chosen(self) -> None:
        engine = self._engine()
        fill(self._ui.presetBox, dict(engine.presets_with(chosen(self._ui.weightsBox))) if engine else {})

    def _engine(self) -> EngineChoice | None:
        wanted = chosen(self._ui.engineBox)
        return next((engine for engine in self._context.engines() if engine.id == wanted), None)

    def _roll(self) -> None:
        self._ui.seedBox.value = another_seed()

    def _take_template(self, index: int) -> None:
        path = self._templates.get(self._ui.templateBox.itemData(index))
        if path is not None:
            self._ui.reportEdit.plainText = path.read_text(encoding="utf-8")
        self._ui.templateBox.setCurrentIndex(0)

    def _take_previous(self, index: int) -> None:
        if index > 0:
            self._ui.reportEdit.plainText = self._context.settings.reports()[index - 1]
        self._ui.previousBox.setCurrentIndex(0)

    def _keep(self, on: bool) -> None:
        self._context.settings.keeps_reports = on
        self._list_reports()

    def _list_reports(self) -> None:
        templates = {name: name.replace("-", " ") for name in self._templates}
        fill(self._ui.templateBox, {"": _("Templates..."), **templates})
        previous = self._context.settings.reports()
        fill(self._ui.previousBox, {"": _("Earlier reports..."), **{
            str(n): " ".join(report.split())[:60] for n, report in enumerate(previous)}})
        self._ui.previousBox.enabled = bool(previous)


class _Tips(qt.QObject):
    """Shows what a word of the report was taken for, where the mouse rests."""

    def __init__(self, edit: qt.QTextEdit, words: Callable[[int], str]) -> None:
        qt.QObject.__init__(self, edit)
        self._edit, self._words = edit, words
        edit.viewport().installEventFilter(self)

    def eventFilter(self, watched: qt.QObject, event: qt.QEvent) -> bool:
        if event.type() != qt.QEvent.ToolTip:
            return False
        words = self._words(self._edit.cursorForPosition(event.pos()).position())
        qt.QToolTip.showText(event.globalPos(), words or self._edit.toolTip)
        return True


class _Group:
    """The CTs of one press of the button: when the last is there, all are shown beside each other."""

    def __init__(self, count: int) -> None:
        self._left = count
        self.cts: list[slicer.vtkMRMLScalarVolumeNode] = []

    def ended(self) -> None:
        self._left -= 1
        cts = [ct for ct in self.cts if ct.GetScene() is not None]
        if self._left == 0 and len(cts) > 1:
            display.compare(cts)


def deliver_ct(context: Context, report: str, title: str, group: _Group | None = None) -> Delivery:
    """Put a generated CT into the scene and show it; while it forms, its preview."""
    shown: list[slicer.vtkMRMLScalarVolumeNode] = []
    before: list[slicer.vtkMRMLScalarVolumeNode | None] = []

    def preview(ct) -> None:
        node = nodes.show_preview(ct, shown[0] if shown else None)
        if not shown or shown[0] is not node:
            before[:] = before or [display.shown()]
            shown[:] = [node]
            display.show(node)

    def result(made: Result) -> str:
        added = nodes.add_result(made, title, report=report)
        context.added(added)
        if group is not None:
            group.cts.append(added.ct)
        return _("Done: {name}.").format(name=added.ct.GetName()) + "".join(f" {note}" for note in made.notes)

    def end() -> None:
        if shown:
            unfinished = display.shown() is shown[0]
            nodes.remove_node(shown[0])
            if unfinished and before[0] is not None and before[0].GetScene() is not None:
                display.show(before[0])
        if group is not None:
            group.ended()

    return Delivery(result, preview, end)
