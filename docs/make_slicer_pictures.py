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
LARGE, SMALL = (320, 280), (262, 212)
CLOSE_MM = 130.0
BAR, GAP, GROUND = 18, 3, "#efefef"
VIEW_COLOURS = {"Red": "#f34a33", "Green": "#6eb04b", "Yellow": "#edd54c", "1": "#8c8ce1"}
REPORT = ("Moderate right pleural effusion. 22 mm spiculated nodule in the left upper lobe. No pneumothorax. "
          "Possible consolidation in the left lower lobe. The heart is not enlarged. Unchanged lipomatosis.")
LOBE, BOX_MM = "lung_upper_lobe_right", 36.0
WORDS = {"shape": "round", "margin": "spiculated", "density": "solid"}
Point = tuple[float, float, float]


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


def panel(module: Any) -> Any:
    """The whole panel as an image, as high as its contents."""
    from slicer_standin.drive import settle

    widget = module.widgetRepresentation()
    for _ in range(2):   # the height of texts is known only when the width is
        module._window.resize(PANEL_WIDTH, widget.layout().heightForWidth(PANEL_WIDTH - 20) + 4)
        settle()
    return widget.grab().toImage()


def sliced(stand_in: Any, name: str, at: Point, title: str, size: tuple[int, int] = LARGE, wide: float = 0) -> Any:
    """A slice view through a point, under a bar in the colour that Slicer gives it; `wide` mm, or the whole CT."""
    from slicer_standin.views import SliceView

    view = SliceView(stand_in, name, size)
    view.fit()
    if wide:
        view.node.SetFieldOfView(wide, wide * size[1] / size[0], view.node.GetFieldOfView()[2])
        view.node.JumpSliceByCentering(*at)
    view.jump(*at)
    image = _image(view.image())
    view.close()
    return _under_bar(image, VIEW_COLOURS[name], title)


def in_3d(stand_in: Any, title: str, size: tuple[int, int] = LARGE) -> Any:
    from slicer_standin.views import VolumeView

    view = VolumeView(stand_in, size=size)
    view.node.SetBoxVisible(0)
    view.node.SetAxisLabelsVisible(0)
    view.fit()
    view.renderer.GetActiveCamera().Zoom(1.25)
    image = _image(view.image())
    view.close()
    return _under_bar(image, VIEW_COLOURS["1"], title)


def tiled(rows: list[list[Any]]) -> Any:
    """Images in rows, on the colour of a panel."""
    from PySide6 import QtGui

    width = max(sum(i.width() + GAP for i in row) for row in rows) - GAP
    height = sum(max(i.height() for i in row) + GAP for row in rows) - GAP
    whole = QtGui.QImage(width, height, QtGui.QImage.Format_RGB32)
    whole.fill(QtGui.QColor(GROUND))
    painter, y = QtGui.QPainter(whole), 0
    for row in rows:
        x = 0
        for image in row:
            painter.drawImage(x, y, image)
            x += image.width() + GAP
        y += max(i.height() for i in row) + GAP
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


def report_pictures(stand_in: Any, module: Any, to: Path) -> None:
    """A report becomes a CT: the panel, and the views of its result."""
    report = module.widget.uis["Report"]
    report.reportEdit.plainText = REPORT
    report.presetBox.setCurrentIndex(report.presetBox.findData("standard"))
    report.seedBox.value = 7
    module.widget.report.read()
    run(module, report.generateButton)
    save(panel(module), to / "slicer-report.png")
    from Text2CTSlicerLib import accounts

    labels, ledger, _ = accounts.tied(module.widget.uis["Result"].resultSelector.currentNode())
    labels.CreateClosedSurfaceRepresentation()
    see_through(labels)
    place = next(row.place for row in accounts.ledger_rows(ledger) if "nodule" in row.finding)
    red, green, yellow = (sliced(stand_in, name, place, name) for name in ("Red", "Green", "Yellow"))
    save(tiled([[red, in_3d(stand_in, "3D")], [green, yellow]]), to / "slicer-views.png")
    labels.RemoveClosedSurfaceRepresentation()


def see_through(labels: Any) -> None:
    """Large organs become glass in 3D, so that the findings inside are seen."""
    for segment in labels.GetSegmentation().GetSegmentIDs():
        if segment.startswith(("lung", "costal", "sternum", "rib", "scapula", "clavicula")):
            labels.GetDisplayNode().SetSegmentOpacity3D(segment, 0.25)


def lesion_picture(stand_in: Any, module: Any, to: Path) -> None:
    """A box, and what was painted into it: the panel, both CTs, and their difference."""
    import slicer
    from slicer_standin.drive import click, settle
    from Text2CTSlicerLib import accounts, display

    ui, result = module.widget.uis["Lesion"], module.widget.uis["Result"]
    ui.lesionSection.collapsed = False
    settle()
    ct = ui.inputSelector.currentNode()
    organs = accounts.tied(ct)[0]
    ui.organSelector.setCurrentNode(organs)
    ui.organSelector.setCurrentSegmentID(LOBE)
    at = deepest(organs, ct)
    display.jump(at)
    click(ui.addBoxButton)
    ui.boxSelector.currentNode().SetSize(BOX_MM, BOX_MM, BOX_MM)
    for name, value in WORDS.items():
        menu = module.widget.lesion._menus[name]
        menu.setCurrentIndex(menu.findData(value))
    settle()
    organs.GetDisplayNode().SetVisibility(False)
    views = [[sliced(stand_in, name, at, f"{name}: before", SMALL, CLOSE_MM)] for name in ("Red", "Green")]
    run(module, ui.paintButton)
    painted = result.resultSelector.currentNode()
    organs.GetDisplayNode().SetVisibility(False)
    box = ui.boxSelector.currentNode().GetDisplayNode()
    box.SetHandlesInteractive(False)
    for row, name in zip(views, ("Red", "Green"), strict=True):
        row.append(sliced(stand_in, name, at, f"{name}: after", SMALL, CLOSE_MM))
    result.resultSection.collapsed = True
    left = panel(module)
    accounts.tied(painted)[0].CreateClosedSurfaceRepresentation()
    organs.GetDisplayNode().SetVisibility(True)
    difference = slicer.util.arrayFromVolume(painted).astype(int) - slicer.util.arrayFromVolume(ct)
    shown = slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, ct, "difference")
    slicer.util.updateVolumeFromArray(shown, difference.astype(np.int16))
    shown.GetDisplayNode().SetWindowLevel(1200, 0)
    slicer.util.setSliceViewerLayers(background=shown)
    organs.GetDisplayNode().SetVisibility(False)
    accounts.tied(painted)[0].GetDisplayNode().SetVisibility(False)
    views.append([sliced(stand_in, "Red", at, "Red: after minus before", SMALL, CLOSE_MM)])
    organs.CreateClosedSurfaceRepresentation()
    for labels in (organs, accounts.tied(painted)[0]):
        labels.GetDisplayNode().SetVisibility(True)
    see_through(organs)
    views[-1].append(in_3d(stand_in, "3D: after", SMALL))
    save(tiled([[left, tiled(views)]]), to / "slicer-lesion.png")


def deepest(labels: Any, ct: Any) -> Point:
    """The point of the lobe that is farthest from its surface."""
    from scipy.ndimage import distance_transform_edt
    from Text2CTSlicerLib import reading

    inside = reading.mask_array(labels, LOBE, ct)
    depth = distance_transform_edt(inside, sampling=ct.GetSpacing())
    ijk = np.unravel_index(int(np.argmax(depth)), depth.shape)
    r, a, s = (reading.affine_of(ct) @ [*ijk, 1])[:3].tolist()
    return r, a, s


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the pictures of the Slicer module.")
    parser.add_argument("--to", type=Path, default=Path(__file__).parent / "pictures", help="folder for the pictures")
    to = parser.parse_args().to
    stand_in = start()
    from slicer_standin import views

    if not views.can_render():
        raise SystemExit(views.NO_OPENGL)
    to.mkdir(parents=True, exist_ok=True)
    module = open_module(stand_in)
    report_pictures(stand_in, module, to)
    lesion_picture(stand_in, module, to)


if __name__ == "__main__":
    main()
