"""The Slicer module: a report goes in, a synthetic CT and its segmentation come out.

Thin on purpose. The engine runs in a child process (Text2CTSlicerLib/process), the
scene is filled by Text2CTSlicerLib/nodes, and what there is to choose comes from the
catalog of the package text2ct, which Text2CTSlicerLib/backend finds.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from Text2CTSlicerLib import backend, generation, nodes
from Text2CTSlicerLib.process import ChildProcess


class Text2CTSlicer(ScriptedLoadableModule):
    """What Slicer shows about the module."""

    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Text2CT")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Image Synthesis")]
        self.parent.dependencies = []
        self.parent.contributors = ["The Text2CTSlicer authors"]
        self.parent.helpText = _(
            "Type a chest CT report and get a synthetic CT with labelled organs and findings. "
            "The images are invented: they are for research and teaching, and never for diagnosis. "
            'See the <a href="https://github.com/Text2CTSlicer/Text2CTSlicer">documentation</a>.')
        self.parent.acknowledgementText = _("Made by the Text2CTSlicer authors, under the Apache License 2.0.")


class Text2CTSlicerWidget(ScriptedLoadableModuleWidget):
    """The panel: reads the widgets, starts and cancels, says how it goes."""

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/Text2CTSlicer.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)

        self.logic = Text2CTSlicerLogic()
        self.ui.reportEdit.connect("textChanged()", self._refresh)
        self.ui.generateButton.connect("clicked(bool)", self._generate)
        self.ui.cancelButton.connect("clicked(bool)", self._cancel)
        try:
            for name, words in self.logic.presets():
                self.ui.presetComboBox.addItem(words, name)
        except Exception as error:  # the panel must open even when the package is broken, and say so
            self._say(str(error))
        self._refresh()

    def cleanup(self) -> None:
        self.logic.abandon()

    def _refresh(self) -> None:
        running = self.logic.running
        can_start = bool(self.ui.reportEdit.plainText.strip()) and self.ui.presetComboBox.count > 0
        self.ui.generateButton.enabled = can_start and not running
        self.ui.cancelButton.enabled = running
        self.ui.progressBar.visible = running

    def _say(self, sentence: str) -> None:
        self.ui.statusLabel.text = sentence

    def _generate(self) -> None:
        if not self._packages_are_there():
            return
        order = generation.Order(self.ui.reportEdit.plainText, self.ui.seedSpinBox.value,
                                 self.ui.presetComboBox.currentData)
        self.ui.progressBar.maximum = 0
        self._say(_("Starting..."))
        try:
            self.logic.start(order, self._progressed, self._made, self._failed)
        except RuntimeError as error:
            self._say(str(error))
        self._refresh()

    def _packages_are_there(self) -> bool:
        """Whether text2ct can run; installs what is missing when the user says yes."""
        missing = backend.missing_packages()
        if not missing:
            return True
        names = ", ".join(missing)
        if not slicer.util.confirmOkCancelDisplay(
                _("Text2CT needs these Python packages, which Slicer does not have yet: {names}. "
                  "Download and install them now?").format(names=names)):
            self._say(_("Nothing was installed. Text2CT cannot run without {names}.").format(names=names))
            return False
        self._say(_("Installing {names}...").format(names=names))
        try:
            slicer.util.pip_install(missing)
        except Exception as error:  # pip fails in many ways; each is told, none may break the panel
            self._say(_("{names} could not be installed: {error}. Check the network connection, "
                        "and see the Python console for the whole story.").format(names=names, error=error))
            return False
        return True

    def _cancel(self) -> None:
        self._say(_("Cancelling..."))
        self.logic.cancel()

    def _progressed(self, progress) -> None:
        self.ui.progressBar.maximum = max(1, progress.total)
        self.ui.progressBar.value = progress.step
        self._say(_("{stage}, {seconds:.0f} s").format(stage=progress.stage, seconds=progress.seconds))

    def _made(self, ct_node, segmentation_node) -> None:
        slicer.util.setSliceViewerLayers(background=ct_node, fit=True)
        names = " and ".join(node.GetName() for node in (ct_node, segmentation_node) if node is not None)
        self._say(_("Done: {names}.").format(names=names))
        self._refresh()

    def _failed(self, sentence: str) -> None:
        self._say(sentence)
        self._refresh()


class Text2CTSlicerLogic(ScriptedLoadableModuleLogic):
    """Runs one generation at a time and puts its results into the scene."""

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self._process: ChildProcess | None = None
        self._folder: Path | None = None

    @property
    def running(self) -> bool:
        return self._process is not None

    def presets(self) -> list[tuple[str, str]]:
        """Name of each quality preset, and words for the menu."""
        backend.make_importable()
        return generation.presets()

    def start(self, order: generation.Order, on_progress: Callable, on_made: Callable, on_failed: Callable) -> None:
        """Begin to generate. One of `on_made(ct_node, segmentation_node)` and `on_failed(sentence)` is called later."""
        if self.running:
            raise RuntimeError(_("A CT is being generated already; wait for it or cancel it."))
        backend.make_importable()
        python = shutil.which("PythonSlicer")
        if python is None:
            raise RuntimeError(_("The program PythonSlicer was not found; repair the installation of Slicer."))
        listener = generation.Listener()

        def heard(data: bytes) -> None:
            for progress in listener.hear(data)[-1:]:
                on_progress(progress)

        def ended(exit_code: int) -> None:
            self._finish(exit_code, listener, on_made, on_failed)

        self._folder = Path(tempfile.mkdtemp(prefix="Text2CT-", dir=slicer.app.temporaryPath))
        self._process = ChildProcess(heard, ended)
        if not self._process.start(python, generation.prepare(order, backend.folder(), self._folder)):
            self._clear()
            raise RuntimeError(_("{python} could not be started; repair the installation of Slicer.").format(
                python=python))

    def cancel(self) -> None:
        """Ask the run to stop; `on_failed` tells when it has."""
        if self._process is not None:
            self._process.cancel()

    def abandon(self) -> None:
        """Stop at once and tell nobody."""
        if self._process is not None:
            self._process.abandon()
            self._clear()

    def add_to_scene(self, made: generation.Made):
        """The nodes of a result: the CT, and its segmentation or None when the engine made no labels."""
        what = f"CT ({made.provenance.engine}, seed {made.provenance.seed})"
        ct_node = nodes.add_ct(made.ct, what, made.provenance)
        labels = (nodes.add_segmentation(made.layers, f"{what} labels", made.provenance, ct_node)
                  if made.layers else None)
        return ct_node, labels

    def _finish(self, exit_code: int, listener: generation.Listener, on_made: Callable, on_failed: Callable) -> None:
        added, sentence = None, listener.sentence(exit_code)
        try:
            if exit_code == 0:
                added = self.add_to_scene(generation.read(self._folder))
        except Exception as error:  # whatever is wrong with the files, the panel must become free again
            sentence = _("The result could not be loaded: {error}").format(error=error)
        self._clear()
        if added is None:
            on_failed(sentence)
        else:
            on_made(*added)

    def _clear(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._process = self._folder = None


class Text2CTSlicerTest(ScriptedLoadableModuleTest):
    """A draft phantom, all the way through the child process into the scene."""

    TIMEOUT_SECONDS = 300

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        self.setUp()
        self.test_a_report_becomes_a_ct_and_a_segmentation()

    def test_a_report_becomes_a_ct_and_a_segmentation(self) -> None:
        logic = Text2CTSlicerLogic()
        missing = backend.missing_packages()
        if missing:
            self.delayDisplay(_("Skipped: Slicer's Python lacks {names}.").format(names=", ".join(missing)))
            return
        self.delayDisplay(_("Generating a draft CT"))
        made, failed = [], []
        order = generation.Order("Moderate right pleural effusion. No pneumothorax.", seed=1, preset="draft")
        logic.start(order, lambda progress: None, lambda *added: made.extend(added), failed.append)
        end = time.monotonic() + self.TIMEOUT_SECONDS
        while logic.running and time.monotonic() < end:
            slicer.app.processEvents()
            time.sleep(0.02)
        logic.abandon()
        assert failed == []
        ct_node, segmentation_node = made
        assert ct_node.GetName().startswith(nodes.PREFIX)
        assert ct_node.GetImageData().GetScalarRange()[0] < -900
        assert segmentation_node.GetSegmentation().GetNumberOfSegments() > 0
        self.delayDisplay(_("Test passed"))
