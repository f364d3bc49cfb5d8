"""Real slice and 3D views without a screen: what Slicer would draw, and a mouse in them.

The views are Slicer's displayable managers over VTK's offscreen window (EGL or OSMesa).
They show the nodes of the stand-in's layout, so what the module does there is seen here.
Where the machine has no OpenGL library, VTK ends the process; `can_render` asks a child
process first.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import slicer
import vtk
from vtkmodules.vtkInteractionStyle import vtkInteractorStyleUser
from vtkmodules.vtkRenderingCore import vtkActor2D, vtkImageMapper, vtkInteractorStyle3D

SLICE_MANAGERS = ("vtkMRMLModelSliceDisplayableManager", "vtkMRMLSegmentationsDisplayableManager2D",
                  "vtkMRMLMarkupsDisplayableManager", "vtkMRMLCrosshairDisplayableManager")
VOLUME_MANAGERS = ("vtkMRMLCameraDisplayableManager", "vtkMRMLViewDisplayableManager",
                   "vtkMRMLModelDisplayableManager", "vtkMRMLSegmentationsDisplayableManager3D",
                   "vtkMRMLMarkupsDisplayableManager")
NO_OPENGL = "this machine cannot render offscreen: apt-get install libegl1 libgl1-mesa-dri"
_PROBE = ("import vtk; w = vtk.vtkRenderWindow(); w.SetOffScreenRendering(1); "
          "w.AddRenderer(vtk.vtkRenderer()); w.Render()")


@cache
def can_render() -> bool:
    """Whether a window can be rendered here; a machine without OpenGL kills the process that tries."""
    environment = {"VTK_DEFAULT_OPENGL_WINDOW": "vtkEGLRenderWindow"} | dict(os.environ)
    tried = subprocess.run([sys.executable, "-c", _PROBE], env=environment, capture_output=True, timeout=60,
                           check=False)
    return tried.returncode == 0


class View:
    """A window with the displayable managers of one kind of view."""

    def __init__(self, application_logic: Any, factory: Any, managers: tuple[str, ...], size: tuple[int, int]) -> None:
        self.size = size
        self.window = vtk.vtkRenderWindow()
        self.window.ShowWindowOff()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(0)   # else translucent things are invisible under Mesa
        self.window.SetSize(*size)
        self.renderer = vtk.vtkRenderer()
        self.window.AddRenderer(self.renderer)
        self.interactor = vtk.vtkRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self.interactor.Initialize()
        makers = factory.GetInstance()
        makers.SetMRMLApplicationLogic(application_logic)
        for name in managers:
            if not makers.IsDisplayableManagerRegistered(name):
                makers.RegisterDisplayableManager(name)
        self.managers = slicer.vtkMRMLDisplayableManagerGroup()
        self.managers.SetRenderer(self.renderer)
        self.managers.Initialize(makers, self.renderer)

    def render(self) -> None:
        self.window.Render()

    def image(self) -> Any:
        """The picture as an array (rows from the top, columns, RGB)."""
        from vtk.util.numpy_support import vtk_to_numpy

        self.render()
        shot = vtk.vtkWindowToImageFilter()
        shot.SetInput(self.window)
        shot.ReadFrontBufferOff()
        shot.Update()
        picture = shot.GetOutput()
        columns, rows, _ = picture.GetDimensions()
        return vtk_to_numpy(picture.GetPointData().GetScalars()).reshape(rows, columns, -1)[::-1]

    def save(self, path: Path) -> Path:
        self.render()
        shot, writer = vtk.vtkWindowToImageFilter(), vtk.vtkPNGWriter()
        shot.SetInput(self.window)
        shot.ReadFrontBufferOff()
        path.parent.mkdir(parents=True, exist_ok=True)
        writer.SetFileName(str(path))
        writer.SetInputConnection(shot.GetOutputPort())
        writer.Write()
        return path

    # ---- the mouse; positions are pixels from the lower left corner

    def move(self, x: float, y: float) -> None:
        self.interactor.SetEventPosition(round(x), round(y))
        self.interactor.MouseMoveEvent()

    def click(self, x: float, y: float) -> None:
        self.move(x, y)
        self.interactor.LeftButtonPressEvent()
        self.interactor.LeftButtonReleaseEvent()
        self.render()

    def drag(self, begin: tuple[float, float], end: tuple[float, float], steps: int = 10) -> None:
        self.move(*begin)
        self.interactor.LeftButtonPressEvent()
        for step in range(1, steps + 1):
            part = step / steps
            self.move(*(b + (e - b) * part for b, e in zip(begin, end, strict=True)))
            self.render()
        self.interactor.LeftButtonReleaseEvent()
        self.render()

    def close(self) -> None:
        """Let go of the nodes and the window."""
        self.managers.SetMRMLDisplayableNode(None)
        self.window.Finalize()


class SliceView(View):
    """A slice view of the layout, such as "Red"."""

    def __init__(self, stand_in: Any, name: str = "Red", size: tuple[int, int] = (400, 400)) -> None:
        super().__init__(stand_in.world.application_logic, slicer.vtkMRMLSliceViewDisplayableManagerFactory,
                         SLICE_MANAGERS, size)
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        widget = stand_in.app.layoutManager().sliceWidget(name)
        self.logic, self.node = widget.sliceLogic(), widget.mrmlSliceNode()
        self.logic.ResizeSliceNode(*size)
        self._mapper, self._actor = vtkImageMapper(), vtkActor2D()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._actor.SetMapper(self._mapper)
        self._actor.GetProperty().SetDisplayLocationToBackground()
        self._under = self._layer_below()
        self.managers.SetMRMLDisplayableNode(self.node)
        self._style = slicer.vtkMRMLSliceViewInteractorStyle()
        self._style.SetSliceLogic(self.logic)
        self._style.SetDisplayableManagers(self.managers)
        self.interactor.SetInteractorStyle(vtkInteractorStyleUser())
        self._style.SetInteractor(self.interactor)

    def render(self) -> None:
        self._mapper.SetInputConnection(self.logic.GetImageDataConnection())
        has_image = self.logic.GetSliceCompositeNode().GetBackgroundVolumeID() is not None
        if has_image and not self._under.HasViewProp(self._actor):
            self._under.AddViewProp(self._actor)
        if not has_image:
            self._under.RemoveViewProp(self._actor)
        super().render()

    def _layer_below(self) -> Any:
        """A renderer for the image alone: in one layer with it, half transparent things would hide it."""
        below = vtk.vtkRenderer()
        below.InteractiveOff()
        self.window.SetNumberOfLayers(2)
        self.renderer.SetLayer(1)
        self.window.AddRenderer(below)
        return below

    def fit(self) -> None:
        self.logic.FitSliceToBackground()
        self.logic.SnapSliceOffsetToIJK()

    def jump(self, right: float, anterior: float, superior: float) -> None:
        self.node.JumpSliceByOffsetting(right, anterior, superior)

    def pixel_of(self, ras: tuple[float, float, float]) -> tuple[float, float]:
        """Where a point of the patient is drawn."""
        inverse = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.node.GetXYToRAS(), inverse)
        x, y, _, _ = inverse.MultiplyPoint((*ras, 1.0))
        return x, y

    def ras_of(self, x: float, y: float) -> tuple[float, float, float]:
        right, anterior, superior, _ = self.node.GetXYToRAS().MultiplyPoint((x, y, 0.0, 1.0))
        return right, anterior, superior


class VolumeView(View):
    """The 3D view of the layout."""

    def __init__(self, stand_in: Any, name: str = "1", size: tuple[int, int] = (400, 400)) -> None:
        super().__init__(stand_in.world.application_logic, slicer.vtkMRMLThreeDViewDisplayableManagerFactory,
                         VOLUME_MANAGERS, size)
        self._style = slicer.vtkMRMLThreeDViewInteractorStyle()
        self._style.SetDisplayableManagers(self.managers)
        self._style.SetInteractor(self.interactor)
        self.interactor.SetInteractorStyle(vtkInteractorStyle3D())
        self.node = stand_in.app.layoutManager().threeDWidget(name).mrmlViewNode()
        self.managers.SetMRMLDisplayableNode(self.node)

    def fit(self, direction: Any = None) -> None:
        """Look at everything, from the front."""
        camera = self.managers.GetDisplayableManagerByClassName("vtkMRMLCameraDisplayableManager").GetCameraNode()
        self.renderer.ResetCamera()
        camera.RotateTo(slicer.vtkMRMLCameraNode.Anterior if direction is None else direction)
        self.renderer.ResetCamera()
