"""The pop-ups of slicer.util: nobody is there to press a button, so they are recorded and answered by the test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import slicer.util
from PySide6 import QtWidgets

from . import pythonqt
from .errors import StandInError, require_main_thread


@dataclass(frozen=True)
class Shown:
    """One pop-up: which function showed it, and what it said."""

    kind: str
    text: str
    options: dict[str, Any] = field(default_factory=dict)


class Dialogs:
    """`shown` is what was said; `answer` is what the next questions get, a list being used up one by one."""

    CONFIRMATIONS = ("confirmOkCancelDisplay", "confirmYesNoDisplay", "confirmRetryCloseDisplay")
    DISPLAYS = ("infoDisplay", "warningDisplay", "errorDisplay")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.shown: list[Shown] = []
        self.answer: bool | list[bool] = True
        self.modal: Callable[[Any], int] | None = None
        self.file = ""

    @property
    def texts(self) -> list[str]:
        return [one.text for one in self.shown]

    def install(self) -> None:
        for kind in self.CONFIRMATIONS:
            setattr(slicer.util, kind, self._asking(kind))
        for kind in self.DISPLAYS:
            setattr(slicer.util, kind, self._showing(kind, None))
        slicer.util.messageBox = self._showing("messageBox", QtWidgets.QMessageBox.Ok)
        slicer.util.delayDisplay = self._showing("delayDisplay", None)
        slicer.util.showStatusMessage = self._showing("showStatusMessage", True)
        slicer.util.mainWindow = lambda: None

    def _note(self, kind: str, text: Any, options: dict[str, Any]) -> None:
        require_main_thread(f"slicer.util.{kind}")
        self.shown.append(Shown(kind, str(text), options))

    def _showing(self, kind: str, result: Any) -> Callable[..., Any]:
        def show(text: Any, *arguments: Any, **options: Any) -> Any:
            self._note(kind, text, options)
            return result

        return show

    def _asking(self, kind: str) -> Callable[..., bool]:
        def ask(text: Any, *arguments: Any, **options: Any) -> bool:
            self._note(kind, text, options)
            return bool(self.answer.pop(0)) if isinstance(self.answer, list) else self.answer

        return ask

    # ---- dialogs of Qt itself

    def install_qt(self) -> None:
        """Modal dialogs of Qt would wait for ever; they are recorded too, and `modal` or `file` answers."""
        box = QtWidgets.QMessageBox
        for name, yes in (("question", box.Yes), ("information", box.Ok), ("warning", box.Ok), ("critical", box.Ok)):
            setattr(box, name, staticmethod(self._static(name, yes)))
        for name in ("getOpenFileName", "getSaveFileName", "getExistingDirectory"):
            setattr(QtWidgets.QFileDialog, name, staticmethod(self._file_dialog(name)))
        pythonqt.EXTRA_METHODS.update(exec=_exec(self), exec_=_exec(self))

    def _static(self, name: str, yes: Any) -> Callable[..., Any]:
        def show(parent: Any, title: str, text: str, *arguments: Any, **options: Any) -> Any:
            self._note(f"QMessageBox.{name}", text, {"windowTitle": title})
            accepted = bool(self.answer.pop(0)) if isinstance(self.answer, list) else self.answer
            return yes if accepted else QtWidgets.QMessageBox.No

        return show

    def _file_dialog(self, name: str) -> Callable[..., str]:
        def show(parent: Any = None, caption: str = "", *arguments: Any, **options: Any) -> str:
            self._note(f"QFileDialog.{name}", caption, {})
            return self.file

        return show


def _exec(dialogs: Dialogs) -> Callable[..., Any]:
    def run(self: Any, *arguments: Any) -> Any:
        if not isinstance(self, (QtWidgets.QDialog, QtWidgets.QMenu)):
            return type(self).exec(self, *arguments)
        text = getattr(self, "text", "") if isinstance(self, QtWidgets.QMessageBox) else ""
        dialogs._note(f"{type(self).__name__}.exec", text or self.windowTitle, {})
        if dialogs.modal is None:
            raise StandInError(f"a modal {type(self).__name__} opened and the test answers none: set dialogs.modal")
        return dialogs.modal(self)

    return run
