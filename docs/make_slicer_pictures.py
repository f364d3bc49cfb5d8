"""Draws the pictures of the Slicer module: its panel as it stands after both flows, and the views as Slicer draws them.

    python docs/make_slicer_pictures.py [--to FOLDER]

No Slicer is needed. The panel runs in the stand-in of the tests, so its frame and its
buttons look plainer than in Slicer; the slice and 3D views are Slicer's own displayable
managers, drawn offscreen. The patient is the phantom.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PANEL_WIDTH = 430
VIEW = (340, 300)
BAR = 18
VIEW_COLOURS = {"Red": "#f34a33", "Green": "#6eb04b", "Yellow": "#edd54c", "1": "#8c8ce1"}
REPORT = ("Moderate right pleural effusion. 22 mm spiculated nodule in the left upper lobe. No pneumothorax. "
          "Possible consolidation in the left lower lobe. The heart is not enlarged. Unchanged zorgle.")


def start() -> Any:
    """The stand-in of Slicer, as the tests start it."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    place = ROOT / "tests" / "slicer_standin" / "__init__.py"
    spec = importlib.util.spec_from_file_location("slicer_standin", place, submodule_search_locations=[
        str(place.parent)])
    if spec is None or spec.loader is None:
        raise SystemExit(f"{place} is not there: draw the pictures in a whole checkout")
    sys.modules["slicer_standin"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["slicer_standin"])
    from slicer_standin import boot

    stand_in = boot.start()
    stand_in.app.userSettings().setValue("Text2CTSlicer/backend", json.dumps("here"))
    return stand_in


def open_module(stand_in: Any) -> Any:
    """The module's widget, shown."""
    from slicer_standin.drive import settle

    module = stand_in.load(ROOT / "Text2CTSlicer" / "Text2CTSlicer.py")
    module.open()
    settle()
    return module


def run(module: Any, button: Any) -> None:
    """Press a button and wait for what it makes."""
    from slicer_standin import drive

    drive.click(button)
    jobs = module.widget.logic.jobs
    drive.turn_until(lambda: not jobs.running(), 600)
    if jobs.rows()[-1].state != "done":
        raise SystemExit(jobs.rows()[-1].sentence)
    drive.settle()


def panel(module: Any, top: str = "", end: str = "") -> Any:
    """The panel as an image, from the widget `top` to the widget `end`."""
    from slicer_standin.drive import settle

    window = module._window
    window.resize(PANEL_WIDTH, 2000)
    settle()
    settle()
    widget = module.widgetRepresentation()
    widget.layout().activate()
    image = widget.grab().toImage()
    return image


def sliced(stand_in: Any, name: str, at: tuple[float, float, float], title: str) -> Any:
    """A slice view through a point, under a bar in the colour that Slicer gives it."""
    from slicer_standin.views import SliceView

    view = SliceView(stand_in, name, VIEW)
    view.fit()
    view.jump(*at)
    image = _image(view.image())
    view.close()
    return _under_bar(image, VIEW_COLOURS[name], title)


def in_3d(stand_in: Any, title: str) -> Any:
    from slicer_standin.views import VolumeView

    view = VolumeView(stand_in, size=VIEW)
    view.fit()
    image = _image(view.image())
    view.close()
    return _under_bar(image, VIEW_COLOURS["1"], title)


def tiled(rows: list[list[Any]], gap: int = 3) -> Any:
    """Images in rows, on black."""
    from PySide6 import QtGui

    width = max(sum(i.width() + gap for i in row) for row in rows) - gap
    height = sum(max(i.height() for i in row) + gap for row in rows) - gap
    whole = QtGui.QImage(width, height, QtGui.QImage.Format_RGB32)
    whole.fill(QtGui.QColor("#202428"))
    painter, y = QtGui.QPainter(whole), 0
    for row in rows:
        x = 0
        for image in row:
            painter.drawImage(x, y, image)
            x += image.width() + gap
        y += max(i.height() for i in row) + gap
    painter.end()
    return whole


def save(image: Any, path: Path) -> None:
    from text2ct.provenance import SYNTHETIC

    image.setText("Comment", SYNTHETIC)
    if not image.save(str(path)):
        raise SystemExit(f"{path} could not be written")
    print(path, image.width(), "x", image.height(), path.stat().st_size // 1000, "kB")


def _image(pixels: Any) -> Any:
    from PySide6 import QtGui

    pixels = np.ascontiguousarray(pixels[:, :, :3])
    rows, columns, _ = pixels.shape
    return QtGui.QImage(pixels.tobytes(), columns, rows, 3 * columns, QtGui.QImage.Format_RGB888).copy()


def _under_bar(image: Any, colour: str, title: str) -> Any:
    from PySide6 import QtCore, QtGui

    whole = QtGui.QImage(image.width(), image.height() + BAR, QtGui.QImage.Format_RGB32)
    whole.fill(QtGui.QColor(colour))
    painter = QtGui.QPainter(whole)
    painter.drawText(QtCore.QRect(6, 0, image.width() - 12, BAR), QtCore.Qt.AlignVCenter, title)
    painter.drawImage(0, BAR, image)
    painter.end()
    return whole


def report_pictures(stand_in: Any, to: Path) -> None:
    """A report becomes a CT: the panel, and the views of its result."""
    import slicer

    module = open_module(stand_in)
    report = module.widget.uis["Report"]
    report.reportEdit.plainText = REPORT
    report.seedBox.value = 7
    module.widget.report.read()
    run(module, report.generateButton)
    save(panel(module), to / "slicer-report.png")
    ct = module.widget.uis["Result"].resultSelector.currentNode()
    from Text2CTSlicerLib import accounts

    labels, ledger, _ = accounts.tied(ct)
    labels.CreateClosedSurfaceRepresentation()
    place = next(r.place for r in accounts.ledger_rows(ledger) if "nodule" in r.finding)
    views = [sliced(stand_in, name, place, name) for name in ("Red", "Green", "Yellow")]
    save(tiled([[views[0], in_3d(stand_in, "3D")], views[1:]]), to / "slicer-views.png")


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the pictures of the Slicer module.")
    parser.add_argument("--to", type=Path, default=Path(__file__).parent / "pictures", help="folder for the pictures")
    to = parser.parse_args().to
    stand_in = start()
    from slicer_standin import views

    if not views.can_render():
        raise SystemExit(views.NO_OPENGL)
    report_pictures(stand_in, to)


if __name__ == "__main__":
    main()
