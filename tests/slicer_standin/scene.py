"""The MRML half of a running Slicer: the real scene with the real logics, from slicer-core.

Two things of the application are added to what the package does: a subject hierarchy
item for each node that is shown there, and the cache that reading a scene bundle needs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
import vtk

LOGICS = {"Terminologies": "vtkSlicerTerminologiesModuleLogic", "Volumes": "vtkSlicerVolumesLogic",
          "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic", "Annotations": "vtkSlicerAnnotationModuleLogic",
          "Segmentations": "vtkSlicerSegmentationsModuleLogic", "Markups": "vtkSlicerMarkupsLogic",
          "Models": "vtkSlicerModelsLogic", "CropVolume": "vtkSlicerCropVolumeLogic",
          "VolumeRendering": "vtkSlicerVolumeRenderingLogic", "Transforms": "vtkSlicerTransformLogic",
          "Sequences": "vtkSlicerSequencesLogic", "Texts": "vtkSlicerTextsLogic", "Tables": "vtkSlicerTablesLogic",
          "Units": "vtkSlicerUnitsLogic", "Cameras": "vtkSlicerCamerasModuleLogic"}
IN_HIERARCHY = ("vtkMRMLVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLMarkupsNode", "vtkMRMLModelNode",
                "vtkMRMLTransformNode", "vtkMRMLTextNode", "vtkMRMLTableNode", "vtkMRMLSequenceNode",
                "vtkMRMLPlotChartNode", "vtkMRMLSequenceBrowserNode")


class World:
    """The scene, the application's logic and the logics of the modules."""

    def __init__(self, folder: Path, share: Path | None = None) -> None:
        self.scene = slicer.vtkMRMLScene()
        self.application_logic = slicer.vtkSlicerApplicationLogic()
        self.logics: dict[str, Any] = {}
        self._keep: list[Any] = []
        self._make_cache(folder)
        self._make_logics(share)
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene, True)
        self.scene.AddObserver(self.scene.NodeAddedEvent, self._file_into_hierarchy)
        self.scene.AddObserver(self.scene.NodeAboutToBeRemovedEvent, self._take_from_hierarchy)

    def _make_cache(self, folder: Path) -> None:
        cache, manager, logic = slicer.vtkCacheManager(), slicer.vtkDataIOManager(), slicer.vtkDataIOManagerLogic()
        (folder / "RemoteIO").mkdir(exist_ok=True)
        cache.SetRemoteCacheDirectory(str(folder / "RemoteIO"))
        cache.SetMRMLScene(self.scene)
        self.scene.SetCacheManager(cache)
        manager.SetCacheManager(cache)
        self.scene.SetDataIOManager(manager)
        logic.SetMRMLScene(self.scene)
        logic.SetMRMLApplicationLogic(self.application_logic)
        logic.SetAndObserveDataIOManager(manager)
        self._keep += [cache, manager, logic]

    def _make_logics(self, share: Path | None) -> None:
        application = self.application_logic
        application.SetMRMLScene(self.scene)
        application.GetColorLogic().SetMRMLScene(self.scene)
        application.GetColorLogic().AddDefaultColorNodes()
        application.SetModuleLogic("Colors", application.GetColorLogic())
        application.SetSliceLogics(vtk.vtkCollection())
        application.SetViewLogics(vtk.vtkCollection())
        self.logics["Colors"] = application.GetColorLogic()
        loud = vtk.vtkLogger.GetCurrentVerbosityCutoff()
        if share is None:   # else the terminologies complain that their files are not there
            vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)
        for name, kind in LOGICS.items():
            logic = getattr(slicer, kind)()
            if share is not None and hasattr(logic, "SetModuleShareDirectory"):
                logic.SetModuleShareDirectory(str(share / "terminologies" if name == "Terminologies" else share))
            logic.SetMRMLScene(self.scene)
            logic.SetMRMLApplicationLogic(application)
            application.SetModuleLogic(name, logic)
            self.logics[name] = logic
        vtk.vtkLogger.SetStderrVerbosity(loud)
        for factory in (slicer.vtkMRMLSliceViewDisplayableManagerFactory,
                        slicer.vtkMRMLThreeDViewDisplayableManagerFactory):
            factory.GetInstance().SetMRMLApplicationLogic(application)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _file_into_hierarchy(self, scene: Any, event: str, node: Any) -> None:
        """In Slicer the plugins of the subject hierarchy do this, and they are Qt."""
        if node.GetHideFromEditors() or not any(node.IsA(kind) for kind in IN_HIERARCHY) or scene.IsImporting():
            return
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        if hierarchy is not None and not hierarchy.GetItemByDataNode(node):
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _take_from_hierarchy(self, scene: Any, event: str, node: Any) -> None:
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        if hierarchy is None or hierarchy is node or scene.IsClosing():
            return
        item = hierarchy.GetItemByDataNode(node)
        if item:
            hierarchy.RemoveItem(item, False, False)

    def clear(self) -> None:
        """An empty scene, as after File / Close scene."""
        self.scene.Clear(False)
