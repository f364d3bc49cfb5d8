"""What a CT shows: its ledger with a jump to each place, its account, its proof, and its way out as DICOM."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from . import accounts, display, export, reading
from .context import Context
from .jobs import Delivery

if TYPE_CHECKING:
    from text2ct.requests import Result

_COLUMNS = ("Finding", "Asked", "Shown", "As asked", "Measured")


class ResultPanel:
    """Shows the result that is chosen."""

    def __init__(self, ui: SimpleNamespace, context: Context) -> None:
        self._ui, self._context = ui, context
        self._rows: list[accounts.Row] = []
        ui.ledgerTree.setHeaderLabels([_(column) for column in _COLUMNS])
        ui.resultSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.show)
        ui.ledgerTree.connect("itemClicked(QTreeWidgetItem*,int)", self._jump)
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
            item = qt.QTreeWidgetItem()
            for column, text in enumerate((row.finding, row.asked, row.shown, row.as_asked, row.measured)):
                item.setText(column, text)
                item.setToolTip(column, row.method)
            tree.addTopLevelItem(item)
        for column in range(len(_COLUMNS)):
            tree.resizeColumnToContents(column)
        stamp = accounts.stamp_of(ct)
        self._ui.madeLabel.text = f"{stamp.provenance.notice}. {stamp.provenance.sentence()}" if stamp else (
            _("Not made here.") if ct is not None else "")
        for button in (self._ui.verifyButton, self._ui.exportButton):
            button.enabled = stamp is not None
        self._ui.measureButton.enabled = ct is not None

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
        try:
            request = ScoreCT(reading.ct_from(ct), report)
        except Text2CTError as error:
            self._context.say(str(error))
            return
        self._context.jobs.submit(self._context.backend(), request, _("measuring {name}").format(name=ct.GetName()),
                                  Delivery(lambda made: self._measured(ct, made)))

    def export(self) -> None:
        """Ask for a folder and write DICOM into it, without stopping Slicer."""
        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder for the DICOM files"))
        if folder:
            self.export_to(Path(folder))

    def export_to(self, folder: Path) -> None:
        from text2ct.errors import Text2CTError

        ct = self._ui.resultSelector.currentNode()
        try:
            parcel = export.prepare(ct, accounts.tied(ct)[0])
        except Text2CTError as error:
            self._context.say(str(error))
            return
        self._context.say(_("Writing DICOM to {folder}...").format(folder=folder))
        self._context.tasks.start(lambda tell: export.write(parcel, folder), self._exported,
                                  lambda error, trace: self._context.say(str(error)))

    def _exported(self, written: list[Path]) -> None:
        self._context.say(_("Written, marked synthetic: {names}.").format(names=", ".join(map(str, written))))

    def _measured(self, ct: slicer.vtkMRMLScalarVolumeNode, made: Result) -> str:
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
