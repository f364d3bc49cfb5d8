"""What a CT shows: its ledger with a jump to each place, its account, its proof, and its way out as DICOM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from . import accounts, display, export, marks, packages, reading
from .context import Context, colours_for
from .jobs import Delivery

if TYPE_CHECKING:
    from text2ct.requests import Result

_COLUMNS = ("Asked for", "Shown", "Measured")
_SIGNS = {accounts.NOT_AS_ASKED: "✗", accounts.UNKNOWN: "–"}
_FEWEST_LINES, _MOST_LINES = 3, 12


class ResultPanel:
    """Shows the result that is chosen. `ready` and `has` ask for missing packages: those of a run, and those named."""

    def __init__(self, ui: SimpleNamespace, context: Context, ready: Callable[[], bool],
                 has: Callable[[Sequence[packages.Group]], bool]) -> None:
        self._ui, self._context, self._ready, self._has = ui, context, ready, has
        self._rows: list[accounts.Row] = []
        ui.ledgerTree.setHeaderLabels([_(column) for column in _COLUMNS])
        ui.resultSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.show)
        ui.ledgerTree.header().setStretchLastSection(False)
        ui.ledgerTree.header().setSectionResizeMode(0, qt.QHeaderView.Stretch)
        ui.ledgerTree.connect("itemClicked(QTreeWidgetItem*,int)", self._jump)
        ui.ledgerTree.connect("itemActivated(QTreeWidgetItem*,int)", self._jump)
        ui.verifyButton.connect("clicked(bool)", self.verify)
        ui.measureButton.connect("clicked(bool)", self.measure)
        ui.exportButton.connect("clicked(bool)", self.export)
        self.show()

    def choose(self, ct: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        """Show this result."""
        self._ui.resultSelector.setCurrentNode(ct)
        self.show()

    def show(self) -> None:
        ct = self._ui.resultSelector.currentNode()
        self._rows = accounts.ledger_rows(accounts.tied(ct)[1])
        tree = self._ui.ledgerTree
        tree.clear()
        for row in self._rows:
            tree.addTopLevelItem(self._item(row))
        for column in range(1, len(_COLUMNS)):
            tree.resizeColumnToContents(column)
        lines = min(max(len(self._rows), _FEWEST_LINES), _MOST_LINES)
        line = max(tree.sizeHintForRow(0), tree.fontMetrics().height())
        tree.setFixedHeight(tree.header().sizeHint.height() + lines * line + 2 * tree.frameWidth)
        self._ui.show3DButton.setSegmentationNode(accounts.tied(ct)[0])
        stamp = accounts.stamp_of(ct)
        self._ui.madeLabel.text = f"{stamp.provenance.notice}. {stamp.provenance.sentence()}" if stamp else (
            _("Not made here.") if ct is not None else "")
        for button in (self._ui.verifyButton, self._ui.exportButton):
            button.enabled = stamp is not None
        self._ui.measureButton.enabled = ct is not None

    def _item(self, row: accounts.Row) -> qt.QTreeWidgetItem:
        """A line of the ledger; one that is not as asked is red and bold."""
        item = qt.QTreeWidgetItem()
        asked = {"absent": _("no {finding}"), "uncertain": _("perhaps {finding}")}.get(row.asked, "{finding}").format(
            finding=row.finding)
        shown = f"{_SIGNS.get(row.as_asked, '✓')} {row.shown}"
        tip = _("Asked: {asked}. As asked: {verdict}. Measured: {measured} ({method}).").format(
            asked=asked, verdict=row.as_asked, measured=row.measured or "-", method=row.method)
        for column, text in enumerate((asked, shown, row.measured)):
            item.setText(column, text)
            item.setToolTip(column, tip)
        if row.as_asked == accounts.NOT_AS_ASKED:
            bold = qt.QFont(self._ui.ledgerTree.font)
            bold.setBold(True)
            red = qt.QBrush(qt.QColor(colours_for(self._ui.ledgerTree)[marks.UNREAD]))
            for column in range(len(_COLUMNS)):
                item.setFont(column, bold)
                item.setForeground(column, red)
        return item

    def verify(self) -> None:
        """Say whether the CT and its labels are still what was made."""
        from text2ct.errors import Text2CTError

        ct = self._ui.resultSelector.currentNode()
        said = []
        for node in filter(None, (ct, accounts.tied(ct)[0])):
            try:
                changes = accounts.verify(node)
            except Text2CTError as error:
                changes = [str(error)]
            state = _("CHANGED: {what}").format(what="; ".join(changes)) if changes else _("unchanged")
            said.append(f"{node.GetName()}: {state}.")
        self._context.say(" ".join(said))

    def measure(self) -> None:
        """Measure the CT against the report in the editor."""
        from text2ct.errors import Text2CTError
        from text2ct.requests import ScoreCT

        ct, report = self._ui.resultSelector.currentNode(), self._context.report()
        if not report.strip():
            self._context.say(_("There is no report to measure against; write it above."))
            return
        if not self._ready():
            return
        try:
            request = ScoreCT(reading.ct_from(ct), report)
        except Text2CTError as error:
            self._context.say(str(error))
            return
        self._context.jobs.submit(self._context.backend(), request, _("measuring {name}").format(name=ct.GetName()),
                                  Delivery(lambda made: self.measured(ct, made)))

    def export(self) -> None:
        """Ask for a folder and write DICOM into it, without stopping Slicer."""
        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder for the DICOM files"))
        if folder:
            self.export_to(Path(folder))

    def export_to(self, folder: Path) -> None:
        from text2ct.errors import Text2CTError

        ct = self._ui.resultSelector.currentNode()
        try:
            parcel = export.prepare(ct, accounts.tied(ct)[0], folder)
        except Text2CTError as error:
            self._context.say(str(error))
            return
        if parcel.layers:
            self._has([packages.SEG])  # without it the labels are left out, and that is told
        self._context.say(_("Writing DICOM to {folder}...").format(folder=folder))
        self._context.tasks.start(lambda tell: export.write(parcel), self._exported,
                                  lambda error, trace: self._context.say(str(error)))

    def _exported(self, written: export.Written) -> None:
        said = _("Written, marked synthetic: {names}.").format(names=", ".join(map(str, written.paths)))
        if written.problem:
            lacking = packages.missing([packages.SEG])
            why = _("{names} is not installed.").format(names=", ".join(lacking)) if lacking else written.problem
            said += " " + _("The labels were not written: {why}").format(why=why)
        self._context.say(said)

    def measured(self, ct: slicer.vtkMRMLScalarVolumeNode, made: Result) -> str:
        """Keep what was measured of a CT with it."""
        if ct.GetScene() is None:
            return _("The CT is no longer in the scene; nothing was kept of its measurement.")
        table = accounts.add_ledger(made.ledger, slicer.mrmlScene.GenerateUniqueName(f"{ct.GetName()} ledger"))
        labels, _before, account = accounts.tied(ct)
        accounts.tie(ct, labels, table, account)
        self.show()
        return _("Measured: {count} findings.").format(count=len(made.ledger))

    def _jump(self, item: qt.QTreeWidgetItem, column: int) -> None:
        ct, row = self._ui.resultSelector.currentNode(), self._rows[self._ui.ledgerTree.indexOfTopLevelItem(item)]
        if row.place is None:
            self._context.say(_("'{finding}' has no place in this CT.").format(finding=row.finding))
        elif ct is not None:
            display.show(ct)
            display.jump(row.place, ct)
