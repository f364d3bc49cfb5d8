"""Lesion in a box: a box is drawn, an organ and attributes are chosen, a mask is made and painted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from . import boxes, display, nodes, reading
from .backends import for_task
from .context import Context, another_seed, chosen, fill
from .drawing import BoxDrawing
from .lesions import Plan, deliver_mask, paint_all

if TYPE_CHECKING:
    from text2ct.requests import InsertLesion

    from .backends import EngineChoice

_AS_IT_COMES = ""


class LesionPanel:
    """The box, the organ, the words, and the two steps."""

    def __init__(self, ui: SimpleNamespace, context: Context, ready: Callable[[str], bool]) -> None:
        self._ui, self._context, self._ready = ui, context, ready
        self._menus: dict[str, qt.QComboBox] = {}
        self._known_organ: tuple = ((), None)
        self._form = qt.QFormLayout(ui.attributesArea)
        self._form.setContentsMargins(0, 0, 0, 0)
        self._drawing = BoxDrawing(self._box_drawn, context.say)
        ui.lesionSection.connect("contentsCollapsed(bool)", self._opened)
        ui.maskSelector.setCurrentNode(None)
        ui.inputSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.judge)
        ui.boxSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._drawing.watch)
        ui.organSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.judge)
        ui.organSelector.connect("currentSegmentChanged(QString)", self.judge)
        ui.drawBoxButton.connect("clicked(bool)", lambda: self._drawing.draw(ui.inputSelector.currentNode()))
        ui.addBoxButton.connect("clicked(bool)", lambda: self._drawing.put(ui.inputSelector.currentNode()))
        ui.boxList.connect("itemChanged(QListWidgetItem*)", self.judge)
        ui.lesionEngineBox.connect("currentIndexChanged(int)", self._engine_chosen)
        ui.lesionDiceButton.connect("clicked(bool)", self._roll)
        ui.maskButton.connect("clicked(bool)", self.make_mask)
        ui.paintButton.connect("clicked(bool)", self.paint)
        self.list_engines()
        self.judge()

    def close(self) -> None:
        self._drawing.close()

    def list_engines(self) -> None:
        fill(self._ui.lesionEngineBox, {e.id: e.title for e in for_task(self._context.engines(), "lesion")})
        self._engine_chosen()

    def judge(self) -> None:
        """Say at once how the box lies to the image and the organ."""
        ct, box = self._ui.inputSelector.currentNode(), self._ui.boxSelector.currentNode()
        self._list_boxes()
        self._ui.lesionAdvanced.visible = self._samples()
        relation = self._relation(ct, box)
        self._ui.relationLabel.text = relation.sentence if relation else self._next_step(ct)
        possible = ct is not None and bool(self._chosen_boxes()) and self._ui.lesionEngineBox.count > 0
        self._ui.maskButton.enabled = self._ui.paintButton.enabled = possible

    def _opened(self, folded: bool) -> None:
        """Begin with the CT that is looked at."""
        if not folded and self._ui.inputSelector.currentNode() is None:
            self._ui.inputSelector.setCurrentNode(display.shown())
        self.judge()

    @staticmethod
    def _next_step(ct: slicer.vtkMRMLScalarVolumeNode | None) -> str:
        return _("Choose the CT to paint into.") if ct is None else _(
            "Draw a box around the place of the lesion, or choose one.")

    def make_mask(self) -> None:
        """Step 1: the shape alone, as a segment to look at and to edit."""
        self._run("mask")

    def paint(self) -> None:
        """Step 2: the lesion into a copy of the CT, in the shape of the mask where one is chosen."""
        shaped = self._ui.maskSelector.currentNode() is not None and len(self._chosen_boxes()) == 1
        self._run("paint" if shaped else "both")

    def _run(self, parts: str) -> None:
        from text2ct.errors import Text2CTError

        rois = self._chosen_boxes()
        if not rois or not self._ready(chosen(self._ui.lesionEngineBox)):
            return
        node = self._ui.inputSelector.currentNode()
        if len(rois) > 1 and self._mode(parts) == "published":
            self._context.say(_("The published mode makes the whole CT anew on another grid: paint one box at a time, "
                                "or switch it off under Advanced."))
            return
        try:
            request = self._request(node, rois[0], parts)
            plan = Plan(tuple(boxes.box_of(roi, node) for roi in rois), node)
        except Text2CTError as error:
            self._context.say(str(error))
            return
        title = _("lesion in {name}").format(name=nodes.called(node))
        if parts == "mask":
            delivery = deliver_mask(title, node, self.take_mask)
            self._context.jobs.submit(self._context.backend(), request, title, delivery)
        else:
            paint_all(self._context, request, plan, title)

    def _request(self, node: slicer.vtkMRMLScalarVolumeNode, roi: slicer.vtkMRMLMarkupsROINode,
                 parts: str) -> InsertLesion:
        from text2ct.requests import InsertLesion

        organs, organ = self._organ(node)
        masks, shape = self._ui.maskSelector.currentNode(), self._ui.maskSelector.currentSegmentID()
        mask = reading.labels_from(masks, node, [shape]) if masks is not None and shape and parts == "paint" else None
        words = tuple((name, chosen(menu)) for name, menu in self._menus.items() if chosen(menu) != _AS_IT_COMES)
        return InsertLesion(reading.ct_from(node), boxes.box_of(roi, node), engine=chosen(self._ui.lesionEngineBox),
                            seed=self._ui.lesionSeedBox.value, attributes=words,
                            text=self._ui.lesionTextEdit.text.strip(), organs=organs, organ=organ, mask=mask,
                            parts=parts, candidates=self._ui.candidatesBox.value if self._samples() else 1,
                            mode=self._mode(parts))

    def _samples(self) -> bool:
        """Whether the engine draws from chance by weights: only then do the advanced fields mean anything."""
        engine = self._engine()
        return bool(engine and engine.weights)

    def _mode(self, parts: str) -> str:
        """A mask alone is always made on the CT's own grid, where it can be edited."""
        return "published" if self._samples() and self._ui.publishedBox.checked and parts != "mask" else "patch"

    def _engine(self) -> EngineChoice | None:
        return next((e for e in self._context.engines() if e.id == chosen(self._ui.lesionEngineBox)), None)

    def _organ(self, node: slicer.vtkMRMLScalarVolumeNode):
        segmentation, segment = self._ui.organSelector.currentNode(), self._ui.organSelector.currentSegmentID()
        if segmentation is None or not segment:
            return None, ""
        key = (segmentation.GetID(), segment, segmentation.GetSegmentation().GetMTime(), node.GetID(), node.GetMTime())
        if self._known_organ[0] != key:
            self._known_organ = (key, reading.labels_from(segmentation, node, [segment]))
        labels = self._known_organ[1]
        return labels, labels.segments[0].name

    def _relation(self, ct, roi) -> boxes.Relation | None:
        from text2ct.errors import Text2CTError

        if ct is None or roi is None:
            return None
        try:
            labels, organ = self._organ(ct)
            return boxes.relation(boxes.box_of(roi, ct), labels, organ)
        except Text2CTError as error:
            return boxes.Relation("outside", 0.0, str(error))

    def take_mask(self, segmentation: slicer.vtkMRMLSegmentationNode) -> None:
        """Choose this mask for the next painting."""
        self._ui.maskSelector.setCurrentNode(segmentation)
        self._ui.maskSelector.setCurrentSegmentID(segmentation.GetSegmentation().GetNthSegmentID(0))

    def _chosen_boxes(self) -> Sequence[slicer.vtkMRMLMarkupsROINode]:
        """The ticked boxes, or else the one in the selector."""
        ticked = [self._ui.boxList.item(n) for n in range(self._ui.boxList.count)]
        ids = [item.data(qt.Qt.UserRole) for item in ticked if item.checkState() == qt.Qt.Checked]
        found = [slicer.mrmlScene.GetNodeByID(node_id) for node_id in ids]
        one = self._ui.boxSelector.currentNode()
        return [roi for roi in found if roi is not None] or ([one] if one is not None else [])

    def _list_boxes(self) -> None:
        """All boxes of the scene, ticked as they were; shown when there are several."""
        box_list = self._ui.boxList
        items = [box_list.item(n) for n in range(box_list.count)]
        ticked = {item.data(qt.Qt.UserRole) for item in items if item.checkState() == qt.Qt.Checked}
        rois = slicer.util.getNodesByClass("vtkMRMLMarkupsROINode")
        if [(i.data(qt.Qt.UserRole), i.text()) for i in items] != [(r.GetID(), r.GetName()) for r in rois]:
            blocked = box_list.blockSignals(True)
            box_list.clear()
            for roi in rois:
                item = qt.QListWidgetItem(roi.GetName(), box_list)
                item.setData(qt.Qt.UserRole, roi.GetID())
                item.setCheckState(qt.Qt.Checked if roi.GetID() in ticked else qt.Qt.Unchecked)
            box_list.blockSignals(blocked)
        box_list.visible = len(rois) > 1

    def _box_drawn(self, roi: slicer.vtkMRMLMarkupsROINode | None) -> None:
        if roi is not None and self._ui.boxSelector.currentNode() is not roi:
            self._ui.boxSelector.setCurrentNode(roi)
        self.judge()

    def _engine_chosen(self) -> None:
        """A menu for each attribute that the engine knows."""
        engine = self._engine()
        self._ui.lesionAdvanced.visible = self._samples()
        vocabulary = engine.lesion_vocabulary if engine else {}
        kept = {name: chosen(menu) for name, menu in self._menus.items()}
        while self._form.count():
            self._form.takeAt(0).widget().deleteLater()
        self._menus, before = {}, self._ui.lesionEngineBox
        for name, values in vocabulary.items():
            menu = qt.QComboBox()
            menu.sizeAdjustPolicy = qt.QComboBox.AdjustToMinimumContentsLengthWithIcon
            menu.minimumContentsLength = 10
            fill(menu, {_AS_IT_COMES: _("as it comes"), **{value: value for value in values}})
            menu.setCurrentIndex(max(0, menu.findData(kept.get(name, _AS_IT_COMES))))
            menu.toolTip = _("The {what} of the lesion.").format(what=name)
            label = qt.QLabel(f"{name.replace('_', ' ').capitalize()}:")
            label.setFixedWidth(self._ui.inputSelectorLabel.minimumWidth)
            label.wordWrap = True
            label.toolTip = menu.toolTip
            self._form.addRow(label, menu)
            qt.QWidget.setTabOrder(before, menu)
            before = self._menus[name] = menu

    def _roll(self) -> None:
        self._ui.lesionSeedBox.value = another_seed()
