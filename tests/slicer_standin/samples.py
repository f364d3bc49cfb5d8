"""The module SampleData: keeps what is registered, and downloads nothing."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

REGISTER = ("category", "sampleName", "uris", "fileNames", "nodeNames", "customDownloader", "thumbnailFileName",
            "loadFileType", "loadFileProperties", "checksums", "sampleDescription", "loadFiles")


class Samples:
    """`registered` lists the sources as they were given."""

    def __init__(self) -> None:
        self.registered: list[dict[str, Any]] = []

    def module(self, flavour: str) -> ModuleType:
        registered = self.registered

        class SampleDataLogic:
            @staticmethod
            def registerCustomSampleDataSource(**source: Any) -> None:
                unknown = set(source) - set(REGISTER)
                if unknown:
                    raise TypeError(f"registerCustomSampleDataSource() got an unexpected keyword argument {unknown}")
                registered.append(source)

            if flavour != "5.10":
                @staticmethod
                def registerCustomSampleDataCategory(category: str, **options: Any) -> None:
                    registered.append({"category": category} | options)

            def downloadSample(self, name: str) -> Any:
                """Runs the custom downloader of a registered source."""
                source = next(s for s in registered if s.get("sampleName") == name)
                downloader = source["customDownloader"]
                return downloader(source) if inspect.signature(downloader).parameters else downloader()

        module = ModuleType("SampleData")
        module.__dict__["SampleDataLogic"] = SampleDataLogic
        return module
