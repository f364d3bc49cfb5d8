"""Where requests are run: choosing it, testing it, setting it up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import slicer
from slicer.i18n import tr as _

from . import packages, weights
from .backends import HERE, PROCESS, Backend, EngineChoice, Lamp, backend_of, catalog_engines
from .jobs import Delivery, Jobs
from .settings import Settings
from .tasks import Tasks

_NEW = "new"
_LAMPS = {True: "#2e7d32", False: "#c62828", None: "#9e9e9e"}


class BackendPanel:
    """The backend bar. `on_change` is called when the place or what it offers changes.

    A place that is no longer chosen is let go when its last job has ended; chosen again, it is the same one.
    """

    def __init__(self, ui: SimpleNamespace, tasks: Tasks, jobs: Jobs, settings: Settings,
                 on_change: Callable[[], None]) -> None:
        self._ui, self._tasks, self._jobs, self._settings, self._on_change = ui, tasks, jobs, settings, on_change
        self._backends: dict[tuple[str, str], Backend] = {}  # by place and key
        self._open: set[Backend] = set()
        self._catalog = catalog_engines()
        self._lamp: Lamp | None = None
        self._testing = 0
        ui.placeBox.connect("activated(int)", self._choose)
        ui.testButton.connect("clicked(bool)", self.test)
        ui.setUpButton.connect("clicked()", self.set_up)
        ui.weightsButton.connect("clicked(bool)", self.download_weights)
        ui.forgetButton.connect("clicked(bool)", self._forget)
        ui.addressEdit.connect("returnPressed()", self.test)
        ui.keyEdit.connect("returnPressed()", self.test)
        ui.backendSection.connect("contentsCollapsed(bool)", self._show)
        jobs.changed.append(self._let_go)
        self._list_places()
        self._show()

    def backend(self) -> Backend | None:
        """The chosen backend; None while the address of a new server is not given."""
        place = self._ui.placeBox.currentData
        if place == _NEW:
            return None
        named = place, self._settings.key(place)
        if named not in self._backends:
            self._backends[named] = backend_of(place, self._settings.key)
        self._open.add(self._backends[named])
        return self._backends[named]

    def engines(self) -> tuple[EngineChoice, ...]:
        """What the backend offers, as far as it was asked; before that, what the package beside the module has."""
        return self._lamp.engines if self._lamp is not None and self._lamp.engines else self._catalog

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
        trained = any(choice.id == engine and choice.needs_torch for choice in self._catalog)
        if self.has(self._groups(trained)):
            return True
        self._ui.backendSection.collapsed = False
        return False

    def has(self, groups: Sequence[packages.Group]) -> bool:
        """Whether these packages are installed; asks for what is missing."""
        return not self._lacks(groups) or self.set_up(groups)

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

    def download_weights(self) -> None:
        """Show the licence of what is not here yet, and download it if the user accepts."""
        wanted = weights.downloadable()
        if not wanted:
            self._ui.backendLabel.text = _("All weights that can be downloaded are here.")
            return
        if not self.has([packages.BASE, packages.WEIGHTS]):
            return
        for engine, one in wanted:
            if slicer.util.confirmOkCancelDisplay(weights.question(engine, one)):
                self._ui.weightsButton.enabled = False
                self._jobs.do(_("weights of {engine}").format(engine=engine.title), _("this computer"),
                              weights.download(engine, one), Delivery(self._downloaded, on_end=self._download_ended))
                return

    def close(self) -> None:
        """Let go of every place at once."""
        for backend in self._backends.values():
            backend.close()

    def _let_go(self) -> None:
        """Let go of places that are not chosen and have no jobs; that may take seconds, so in a thread."""
        chosen = self.backend()
        for backend in [one for one in self._open if one is not chosen and not self._jobs.uses(one)]:
            self._open.discard(backend)
            self._tasks.start(lambda tell, one=backend: self._close_unless_open(one), lambda done: None,
                              lambda error, trace: None)  # nobody waits for it

    def _close_unless_open(self, backend: Backend) -> None:
        if backend not in self._open:  # chosen again meanwhile
            backend.close()

    def _downloaded(self, done: None) -> str:
        self._offers_anew()
        return _("The weights are here and can be chosen.")

    def _download_ended(self) -> None:
        self._ui.weightsButton.enabled = True

    def _offers_anew(self) -> None:
        """Forget what was offered; it is looked up again."""
        self._catalog, self._lamp = catalog_engines(), None
        self._testing += 1
        self._ui.backendLabel.text = _("Not looked at yet.")
        self._show()
        self._on_change()

    def _tested(self, number: int, lamp: Lamp) -> None:
        if number != self._testing:
            return
        self._lamp = lamp
        room = f" {lamp.free_bytes / 1e9:.1f} GB free." if lamp.free_bytes else ""
        self._ui.backendLabel.text = lamp.sentence + room
        self._show()
        self._on_change()

    def _choose(self, index: int) -> None:
        key = self._ui.placeBox.itemData(index)
        server = key not in (HERE, PROCESS, _NEW)
        self._ui.addressEdit.text = key if server else ""
        self._ui.keyEdit.text = self._settings.key(key) if server else ""
        if key != _NEW:
            self._settings.backend = key
        self._let_go()
        self._offers_anew()

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
        self._list_places()
        self._let_go()
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
        self._ui.setUpButton.visible = self._ui.weightsButton.visible = not remote


def _is_this_computer(address: str) -> bool:
    """Whether an address without a scheme names this computer, where a server needs no certificate."""
    return address.startswith(("localhost", "127.", "[::1]"))
