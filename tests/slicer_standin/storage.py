"""slicer.app.coreIOManager(): files in and out through the real storage nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FILE_TYPES = {".seg.nrrd": "SegmentationFile", ".seg.nhdr": "SegmentationFile", ".seg.vtm": "SegmentationFile",
              ".mrk.json": "MarkupsFile", ".mrb": "SceneFile", ".mrml": "SceneFile", ".nrrd": "VolumeFile",
              ".nhdr": "VolumeFile", ".nii": "VolumeFile", ".nii.gz": "VolumeFile", ".mha": "VolumeFile",
              ".mhd": "VolumeFile", ".txt": "TextFile", ".ctbl": "ColorTableFile", ".h5": "TransformFile",
              ".tfm": "TransformFile", ".csv": "TableFile", ".tsv": "TableFile"}
NODE_CLASSES = {"SegmentationFile": "vtkMRMLSegmentationNode", "TextFile": "vtkMRMLTextNode",
                "TransformFile": "vtkMRMLTransformNode", "TableFile": "vtkMRMLTableNode",
                "ColorTableFile": "vtkMRMLColorTableNode"}


class qSlicerCoreIOManager:
    """What slicer.util.load... and save... call."""

    def __init__(self, scene: Any, logics: dict[str, Any]) -> None:
        self._scene, self._logics = scene, logics

    def fileType(self, name: str) -> str:
        endings = sorted((e for e in FILE_TYPES if str(name).lower().endswith(e)), key=len)
        return FILE_TYPES[endings[-1]] if endings else "NoFile"

    def fileWriterFileType(self, node: Any, file_format: str = "") -> str:
        kinds = {kind: name for name, kind in NODE_CLASSES.items()}
        found = next((name for kind, name in kinds.items() if node.IsA(kind)), None)
        return found or ("MarkupsFile" if node.IsA("vtkMRMLMarkupsNode") else "VolumeFile")

    def loadNodes(self, file_type: str, properties: dict[str, Any], loaded: Any = None, messages: Any = None) -> bool:
        path = str(properties["fileName"])
        if not Path(path).exists():
            return False
        if file_type == "SceneFile":
            return self._load_scene(path, bool(properties.get("clear", False)))
        node = self._load(file_type, path, properties)
        if node is not None and loaded is not None:
            loaded.AddItem(node)
        return node is not None

    def _load_scene(self, path: str, clear: bool) -> bool:
        if path.endswith(".mrb"):
            return bool(self._scene.ReadFromMRB(path, clear))
        self._scene.SetURL(path)
        return bool(self._scene.Connect() if clear else self._scene.Import())

    def _load(self, file_type: str, path: str, properties: dict[str, Any]) -> Any:
        name = str(properties.get("name") or Path(path).name.split(".")[0])
        if file_type == "VolumeFile":
            label = int(bool(properties.get("labelmap", False)))
            return self._logics["Volumes"].AddArchetypeVolume(path, name, label)
        if file_type == "MarkupsFile":
            identity = self._logics["Markups"].LoadMarkups(path, name)
            return self._scene.GetNodeByID(identity) if identity else None
        node = self._scene.AddNewNodeByClass(NODE_CLASSES[file_type], name)
        storage = node.CreateDefaultStorageNode()
        storage.UnRegister(None)
        self._scene.AddNode(storage)
        storage.SetFileName(path)
        if not storage.ReadData(node):
            self._scene.RemoveNode(node)
            self._scene.RemoveNode(storage)
            return None
        node.SetAndObserveStorageNodeID(storage.GetID())
        return node

    def saveNodes(self, file_type: str, properties: dict[str, Any], messages: Any = None) -> bool:
        path = str(properties["fileName"])
        if file_type == "SceneFile":
            return self._save_scene(path)
        node = self._scene.GetNodeByID(properties["nodeID"])
        storage = node.GetStorageNode()
        if storage is None:
            storage = node.CreateDefaultStorageNode()
            storage.UnRegister(None)
            self._scene.AddNode(storage)
            node.SetAndObserveStorageNodeID(storage.GetID())
        storage.SetFileName(path)
        if "useCompression" in properties:
            storage.SetUseCompression(int(properties["useCompression"]))
        return bool(storage.WriteData(node))

    def _save_scene(self, path: str) -> bool:
        if path.endswith(".mrb"):
            return bool(self._scene.WriteToMRB(path))
        if path.endswith(".mrml"):
            self._scene.SetURL(path)
            return bool(self._scene.Commit())
        return bool(self._scene.SaveSceneToSlicerDataBundleDirectory(path))

    def defaultSceneFileType(self) -> str:
        return "MRML Scene (.mrml)"


