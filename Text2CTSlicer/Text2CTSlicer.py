"""The Slicer module: a report goes in, a synthetic CT comes out; a box goes in, a lesion is painted.

Thin on purpose: the panels are wired together here, and all else is in Text2CTSlicerLib.
Requests run in another process or on a server, so Slicer stays usable meanwhile.
"""

from __future__ import annotations

import time
import unittest
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin
from Text2CTSlicerLib import accounts, backends, boxes, display, nodes, packages, reading, recovery, sample_data
from Text2CTSlicerLib.context import Context, load
from Text2CTSlicerLib.jobs import Delivery, Jobs
from Text2CTSlicerLib.panel_backend import BackendPanel
from Text2CTSlicerLib.panel_jobs import JobsPanel
from Text2CTSlicerLib.panel_lesion import LesionPanel
from Text2CTSlicerLib.panel_report import ReportPanel
from Text2CTSlicerLib.panel_result import ResultPanel
from Text2CTSlicerLib.parameters import Fields
from Text2CTSlicerLib.settings import RememberedJob, Settings
from Text2CTSlicerLib.tasks import Tasks


class Text2CTSlicer(ScriptedLoadableModule):
    """What Slicer shows about the module."""

    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Text2CT")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Image Synthesis")]
        self.parent.dependencies = []
        self.parent.contributors = ["The Text2CTSlicer authors"]
        self.parent.helpText = _(
            "Type a chest CT report and get a synthetic CT with labelled organs and findings; draw a box into a CT and "
            "get a lesion painted into a copy of it. The images are invented: they are for research and teaching, and "
            "never for diagnosis. Try it: choose a template, press Ctrl+Enter. "
            'See the <a href="https://github.com/Text2CTSlicer/Text2CTSlicer">documentation and tutorial</a>.')
        self.parent.acknowledgementText = _("Made by the Text2CTSlicer authors, under the Apache License 2.0.")
        icons = Path(__file__).resolve().parent / "Resources" / "Icons"
        slicer.app.connect("startupCompleted()", lambda: sample_data.register(icons))


class Text2CTSlicerWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panels, and what goes between them."""

    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: Text2CTSlicerLogic | None = None
        self.uis: dict = {}
        self._parts: list = []  # what must be closed, the last first
        self._fields: Fields | None = None

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        self.banner = qt.QLabel(_("<b>SYNTHETIC images.</b> Never for diagnosis."))
        self.banner.toolTip = _("Names, attributes and files of everything made here say that it is synthetic.")
        self.layout.addWidget(self.banner)
        try:
            packages.make_importable()
            self._build()
        except Exception as error:  # the module must open even when the package is broken, and say so
            self.banner.text = _("Text2CT cannot start: {error}").format(error=error)
            raise
        self.layout.addStretch(1)

    def _build(self) -> None:
        self.logic = Text2CTSlicerLogic()
        tasks, jobs, settings = self.logic.tasks, self.logic.jobs, self.logic.settings
        self._widgets, uis = [], {}
        for name in ("Backend", "Report", "Lesion", "Jobs", "Result"):
            widget, uis[name] = load(self.resourcePath(f"UI/{name}.ui"), self.layout)
            self._widgets.append(widget)
        self.jobs = JobsPanel(uis["Jobs"], jobs)
        self.backend = BackendPanel(uis["Backend"], tasks, jobs, settings, self._offer_changed)
        context = Context(tasks, jobs, settings, self.jobs.say, self.backend.backend, self.backend.engines,
                          lambda: uis["Report"].reportEdit.plainText, self._added)
        self.context = context
        self._parts = [self.backend, self.logic]
        templates = Path(self.resourcePath("Templates"))
        self.report = ReportPanel(uis["Report"], context, templates, self.backend.ready)
        self.lesion = LesionPanel(uis["Lesion"], context, self.backend.ready)
        self.result = ResultPanel(uis["Result"], context, self.backend.ready, self.backend.has)
        self.uis = uis
        self._parts += [self.lesion, self.report]
        for section, folded in ((uis["Report"].reportSection, self._report_folded),
                                (uis["Lesion"].lesionSection, self._lesion_folded)):
            section.connect("contentsCollapsed(bool)", folded)
        for event, heard in ((slicer.mrmlScene.StartCloseEvent, self._scene_closes),
                             (slicer.mrmlScene.EndCloseEvent, self._scene_closed)):
            self.addObserver(slicer.mrmlScene, event, heard)
        self._fields = Fields(uis.values())
        self._connect_parameters()

    def enter(self) -> None:
        """Take up again what was under way when Slicer was last left; nothing else is started."""
        if not self.uis:
            return
        self._connect_parameters()
        backend = self.backend.backend()
        lacking = packages.missing([packages.BASE, packages.SERVER])
        if backend is not None and not (backend.key == backends.PROCESS and lacking):
            self.logic.jobs.recover(backend, self._delivery_for)

    def exit(self) -> None:
        self._disconnect_parameters()

    def cleanup(self) -> None:
        """The module goes or is reloaded: nothing may call into it any more."""
        self.removeObservers()
        self._disconnect_parameters()
        while self._parts:
            self._parts.pop().close()

    def _report_folded(self, folded: bool) -> None:
        """One of the two flows is open at a time, so that its buttons stay close to the status line."""
        if not folded:
            self.uis["Lesion"].lesionSection.collapsed = True

    def _lesion_folded(self, folded: bool) -> None:
        if not folded:
            self.uis["Report"].reportSection.collapsed = True

    def _offer_changed(self) -> None:
        self.report.list_engines()
        self.lesion.list_engines()
        self.lesion.judge()

    def _added(self, added: nodes.Added) -> None:
        display.show(added.ct)
        self.uis["Result"].resultSection.collapsed = False
        self.result.choose(added.ct)

    def _delivery_for(self, job: RememberedJob) -> Delivery:
        return recovery.delivery_for(job, self.context, self.lesion.take_mask, self.result.measured)

    def _connect_parameters(self) -> None:
        self._fields.join(self.logic.getParameterNode())

    def _disconnect_parameters(self) -> None:
        if self._fields is not None:
            self._fields.part()

    def _scene_closes(self, caller, event) -> None:
        self._disconnect_parameters()

    def _scene_closed(self, caller, event) -> None:
        self._connect_parameters()
        self.lesion.judge()
        self.result.show()


class Text2CTSlicerLogic(ScriptedLoadableModuleLogic):
    """The jobs of the module, without a window."""

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        packages.make_importable()
        self.tasks, self.settings = Tasks(), Settings()
        self.jobs = Jobs(self.tasks, self.settings)

    def close(self) -> None:
        """Tell nobody any more; jobs of a service go on there."""
        self.jobs.close()
        self.tasks.close()


class Text2CTSlicerTest(ScriptedLoadableModuleTest):
    """Both flows with the phantom, through threads and requests into the scene."""

    TIMEOUT_SECONDS = 300

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()
        packages.make_importable()
        lacking = packages.missing([packages.BASE])
        if lacking:
            self.skipTest(_("Slicer's Python lacks {names}.").format(names=", ".join(lacking)))

    def runTest(self) -> None:
        """What "Reload and Test" calls; the test of a Slicer build finds the tests by their names."""
        try:
            for test in (self.test_a_report_becomes_a_ct, self.test_a_lesion_is_painted_into_a_box):
                self.setUp()
                test()
        except unittest.SkipTest as skipped:
            self.delayDisplay(_("Skipped: {why}").format(why=skipped))
            return
        self.delayDisplay(_("Test passed"))

    def test_a_report_becomes_a_ct(self) -> None:
        added = self._generated()
        assert added.ct.GetImageData().GetScalarRange()[0] < -900
        assert added.segmentation.GetSegmentation().GetNumberOfSegments() > 0
        assert accounts.verify(added.ct) == []
        assert accounts.verify(added.segmentation) == []

    def test_a_lesion_is_painted_into_a_box(self) -> None:
        from text2ct.requests import InsertLesion

        ct = self._generated().ct
        self.delayDisplay(_("Painting a lesion"))
        before = reading.ct_from(ct)
        box = boxes.box_of(boxes.new_box(ct), ct)
        made = self._run(InsertLesion(before, box, seed=2))
        added = nodes.add_result(made, "test lesion", ct)
        changed = reading.ct_from(added.ct).voxels != before.voxels
        assert changed.any()
        assert not changed[:2].any()
        assert (reading.affine_of(added.ct) == reading.affine_of(ct)).all()

    def _generated(self) -> nodes.Added:
        from text2ct.requests import GenerateCT

        self.delayDisplay(_("Generating a draft CT"))
        made = self._run(GenerateCT("Moderate right pleural effusion. No pneumothorax.", preset="draft", seed=1))
        return nodes.add_result(made, "test")

    def _run(self, request):
        logic, made = Text2CTSlicerLogic(), []
        delivery = Delivery(lambda result: made.append(result) or "made")
        logic.jobs.submit(backends.Here(), request, "test", delivery)
        end = time.monotonic() + self.TIMEOUT_SECONDS
        while logic.jobs.running() and time.monotonic() < end:
            slicer.app.processEvents()
            time.sleep(0.02)
        (job,) = logic.jobs.rows()
        logic.close()
        assert made, job.sentence
        return made[0]
