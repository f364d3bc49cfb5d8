"""Where requests are run: choosing it, testing it, setting it up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import slicer
from slicer.i18n import tr as _

from . import packages
from .backends import HERE, PROCESS, Backend, EngineChoice, Lamp, backend_of, catalog_engines
from .settings import Settings
from .tasks import Tasks

_NEW = "new"
_LAMPS = {True: "#2e7d32", False: "#c62828", None: "#9e9e9e"}


class BackendPanel:
    """The backend bar. `on_change` is called when the place or what it offers changes."""

    def __init__(self, ui: SimpleNamespace, tasks: Tasks, settings: Settings, on_change: Callable[[], None]) -> None:
        self._ui, self._tasks, self._settings, self._on_change = ui, tasks, settings, on_change
        self._backend: Backend | None = None
        self._lamp: Lamp | None = None
        self._testing = 0
        ui.placeBox.connect("activated(int)", self._choose)
        ui.testButton.connect("clicked(bool)", self.test)
        ui.setUpButton.connect("clicked()", self.set_up)
        ui.forgetButton.connect("clicked(bool)", self._forget)
        ui.addressEdit.connect("returnPressed()", self.test)
        ui.keyEdit.connect("returnPressed()", self.test)
        ui.backendSection.connect("contentsCollapsed(bool)", self._show)
        self._list_places()
        self._show()

    def backend(self) -> Backend | None:
        """The chosen backend; None while the address of a new server is not given."""
        if self._backend is None:
            key = self._ui.placeBox.currentData
            if key == _NEW:
                return None
            self._backend = backend_of(key, self._settings.key)
        return self._backend

    def engines(self) -> tuple[EngineChoice, ...]:
        """What the backend offers, as far as it was asked; before that, what the package beside the module has."""
        return self._lamp.engines if self._lamp is not None and self._lamp.engines else catalog_engines()

    def set_up(self, groups: Sequence[packages.Group] = ()) -> bool:
        """Install what the chosen place needs, if the user says so; whether all is there now."""
        groups = groups or self._groups()
        if not self._lacks(groups):
            self._ui.backendLabel.text = " ".join(filter(None, [
                _("All that is needed here is installed."), packages.torch_state()]))
            return True
        if not slicer.util.confirmOkCancelDisplay(packages.question(groups)):
            self._ui.backendLabel.text = _("Nothing was installed.")
            return False
        self._ui.backendLabel.text = _("Installing...")
        problem = packages.install(groups)
        self._ui.backendLabel.text = problem or _("Installed.")
        return not problem

    def ready(self, engine: str = "") -> bool:
        """Whether a request may be handed over: asks for what is missing, at the first time of need."""
        if self.backend() is None:
            self._ui.backendLabel.text = _("Give the address of the server first.")
            self._ui.backendSection.collapsed = False
            return False
        trained = any(choice.id == engine and choice.needs_torch for choice in catalog_engines())
        groups = self._groups(trained)
        if not self._lacks(groups) or self.set_up(groups):
            return True
        self._ui.backendSection.collapsed = False
        return False

    def _groups(self, trained: bool = False) -> list[packages.Group]:
        """The packages that are needed here; what a server has is its owner's business."""
        place = self._ui.placeBox.currentData
        return [packages.BASE, *([packages.SERVER] if place == PROCESS else []),
                *([packages.TRAINED] if trained and place in (HERE, PROCESS) else [])]

    @staticmethod
    def _lacks(groups: Sequence[packages.Group]) -> bool:
        return bool(packages.missing(groups)) or (packages.TRAINED in groups and not packages.has_torch())

    def test(self) -> None:
        """Ask the place for its version and engines, without stopping Slicer."""
        if self._ui.placeBox.currentData not in (HERE, PROCESS) and not self._take_address():
            return
        backend = self.backend()
        if backend is None:
            return
        self._testing += 1
        number = self._testing
        self._lamp = None
        self._ui.backendLabel.text = _("Asking {place}...").format(place=backend.title)
        self._show()
        self._tasks.start(lambda tell: backend.check(), lambda lamp: self._tested(number, lamp),
                          lambda error, trace: self._tested(number, Lamp(False, str(error))))

    def close(self) -> None:
        if self._backend is not None:
            self._backend.close()

    def _tested(self, number: int, lamp: Lamp) -> None:
        if number != self._testing:
            return
        self._lamp = lamp
        room = f" {lamp.free_bytes / 1e9:.1f} GB free." if lamp.free_bytes else ""
        self._ui.backendLabel.text = lamp.sentence + room
        self._show()
        self._on_change()

    def _choose(self, index: int) -> None:
        self.close()
        self._backend = self._lamp = None
        self._testing += 1
        key = self._ui.placeBox.itemData(index)
        server = key not in (HERE, PROCESS, _NEW)
        self._ui.addressEdit.text = key if server else ""
        self._ui.keyEdit.text = self._settings.key(key) if server else ""
        if key != _NEW:
            self._settings.backend = key
        self._ui.backendLabel.text = _("Not looked at yet.")
        self._show()
        self._on_change()

    def _take_address(self) -> bool:
        """Remember the address and key that were typed, and choose them."""
        address = self._ui.addressEdit.text.strip().rstrip("/")
        if not address:
            self._ui.backendLabel.text = _("Give the address of the server, for example https://gpu.hospital.org:8042.")
            return False
        if "://" not in address:
            address = f"{'http' if _is_this_computer(address) else 'https'}://{address}"
        self._settings.remember_server(address, self._ui.keyEdit.text.strip())
        self._settings.backend = address
        self.close()
        self._backend = None
        self._list_places()
        return True

    def _forget(self) -> None:
        self._settings.forget_server(self._ui.placeBox.currentData)
        self._settings.backend = PROCESS
        self._list_places()
        self._choose(self._ui.placeBox.currentIndex)

    def _list_places(self) -> None:
        box = self._ui.placeBox
        box.clear()
        places = {PROCESS: _("a process on this computer"), HERE: _("inside this Slicer"),
                  **{address: address for address in self._settings.servers()}, _NEW: _("another server...")}
        for key, words in places.items():
            box.addItem(words, key)
        box.setCurrentIndex(max(0, box.findData(self._settings.backend)))
        if box.currentData not in (HERE, PROCESS, _NEW):
            self._ui.addressEdit.text = box.currentData
            self._ui.keyEdit.text = self._settings.key(box.currentData)

    def _show(self) -> None:
        key = self._ui.placeBox.currentData
        ok = self._lamp.ok if self._lamp is not None else None
        self._ui.backendSection.text = _("Where it runs: {place}").format(place=self._ui.placeBox.currentText)
        self._ui.lampLabel.text = f'<span style="color:{_LAMPS[ok]}">●</span>'
        remote = key not in (HERE, PROCESS)
        for widget in (self._ui.addressEdit, self._ui.keyEdit, self._ui.addressEditLabel, self._ui.keyEditLabel):
            widget.visible = remote
        self._ui.forgetButton.visible = remote and key != _NEW
        self._ui.setUpButton.visible = not remote


def _is_this_computer(address: str) -> bool:
    """Whether an address without a scheme names this computer, where a server needs no certificate."""
    return address.startswith(("localhost", "127.", "[::1]"))
