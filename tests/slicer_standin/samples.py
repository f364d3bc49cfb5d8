"""The module SampleData: keeps what is registered, as strictly as the real one, and downloads nothing."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .errors import slips

_EACH = ("fileNames", "nodeNames", "loadFiles", "loadFileType", "checksums")


class SampleDataSource:
    """One sample of one or several files: each field has as many values as there are addresses."""

    def __init__(self, sampleName: str | None = None, sampleDescription: str | None = None, uris: Any = None,
                 fileNames: Any = None, nodeNames: Any = None, checksums: Any = None, loadFiles: Any = None,
                 customDownloader: Callable[[Any], Any] | None = None, thumbnailFileName: str | None = None,
                 loadFileType: Any = None, loadFileProperties: dict[str, Any] | None = None) -> None:
        self.sampleName, self.sampleDescription = sampleName, sampleDescription or sampleName
        self.customDownloader, self.thumbnailFileName = customDownloader, thumbnailFileName
        self.loadFileProperties = loadFileProperties or {}
        each = dict(zip(_EACH, (fileNames, nodeNames, loadFiles, loadFileType, checksums), strict=True))
        if isinstance(uris, str):
            uris, each = [uris], {name: [value] for name, value in each.items()}
        elif isinstance(uris, (list, tuple)):
            each = {name: [value] * len(uris) if _is_one_for_all(name, value) else value
                    for name, value in each.items()}
        for name, values in {"uris": uris, **each}.items():
            if not isinstance(values, (list, tuple)):
                raise TypeError(f"{name}: an object of type {type(values).__name__} is not iterable")
            if len(values) != len(uris):
                raise ValueError(f"{name} has {len(values)} values for {len(uris)} addresses")
        self.uris = uris
        self.__dict__.update(each)


def _is_one_for_all(name: str, value: Any) -> bool:
    return (value is None and name != "fileNames") or (name == "loadFileType" and isinstance(value, str))


class Samples:
    """`sources` has what was registered, by category; `titles` the categories that were registered themselves."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.sources: dict[str, list[SampleDataSource]] = {}
        self.titles: dict[str, str] = {}

    def press(self, name: str) -> None:
        """Press the button of a sample that brings its own downloader; an exception goes no further."""
        (source,) = [one for sources in self.sources.values() for one in sources if one.sampleName == name]
        assert source.customDownloader is not None
        try:
            source.customDownloader(source)
        except Exception as error:
            traceback.print_exc()
            slips.note(error)

    def module(self, flavour: str) -> ModuleType:
        samples = self

        class SampleDataLogic:
            @staticmethod
            def registerCustomSampleDataSource(
                    category: str = "Custom", sampleName: str | None = None, uris: Any = None, fileNames: Any = None,
                    nodeNames: Any = None, customDownloader: Any = None, thumbnailFileName: str | None = None,
                    loadFileType: Any = "VolumeFile", loadFiles: Any = None, loadFileProperties: Any = None,
                    checksums: Any = None) -> None:
                samples.sources.setdefault(category, []).append(SampleDataSource(
                    sampleName, None, uris, fileNames, nodeNames, checksums, loadFiles, customDownloader,
                    thumbnailFileName, loadFileType, loadFileProperties))

            if flavour != "5.10":
                @staticmethod
                def registerCustomSampleDataCategory(category: str, title: str | None = None) -> None:
                    samples.titles[category] = title or category

            @staticmethod
            def sampleDataSourcesByCategory(category: str | None = None) -> Any:
                return samples.sources if category is None else samples.sources.get(category, [])

        module = ModuleType("SampleData")
        module.__dict__.update(SampleDataLogic=SampleDataLogic, SampleDataSource=SampleDataSource)
        return module
