"""slicer.parameterNodeWrapper: a class with typed attributes over a parameter node, joined to widgets.

Own and small: the attribute types, limits and widget types that Slicer's wrapper takes
are the same, and anything else is refused here as there. `parameterPack` is not here.
"""

from __future__ import annotations

import enum
import inspect
import itertools
import json
import pathlib
import types
import typing
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

import slicer
import vtk

from .errors import StandInError
from .parameter_widgets import Connector, connector_for


@dataclass(frozen=True)
class Default:
    """The value of a parameter that was never set."""

    value: Any


@dataclass(frozen=True)
class WithinRange:
    """Limits of a number; a slider needs them."""

    minimum: float
    maximum: float

    def check(self, value: Any) -> None:
        if value is not None and not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is not within {self.minimum} and {self.maximum}")


@dataclass(frozen=True)
class Minimum:
    minimum: float

    def check(self, value: Any) -> None:
        if value < self.minimum:
            raise ValueError(f"{value} is below {self.minimum}")


@dataclass(frozen=True)
class Maximum:
    maximum: float

    def check(self, value: Any) -> None:
        if value > self.maximum:
            raise ValueError(f"{value} is above {self.maximum}")


@dataclass(frozen=True)
class Choice:
    choices: list[Any]

    def check(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"{value!r} is not one of {self.choices}")


@dataclass(frozen=True)
class Decimals:
    value: int


@dataclass(frozen=True)
class SingleStep:
    value: float


@dataclass(frozen=True)
class Parameter:
    """One attribute of the wrapped class."""

    name: str
    hint: Any                 # the type as it was written
    kind: Any                 # the type without None and notes
    optional: bool
    default: Any
    notes: tuple[Any, ...]

    @property
    def is_node(self) -> bool:
        return inspect.isclass(self.kind) and issubclass(self.kind, vtk.vtkObject)

    def limits(self) -> tuple[float | None, float | None]:
        """The lowest and the highest number, where such a note says one."""
        return (next((n.minimum for n in self.notes if isinstance(n, (WithinRange, Minimum))), None),
                next((n.maximum for n in self.notes if isinstance(n, (WithinRange, Maximum))), None))

    def check(self, value: Any) -> None:
        if value is None and (self.optional or self.is_node):
            return
        expected = float if self.kind is float and isinstance(value, int) and not isinstance(value, bool) else self.kind
        base = get_origin(expected) or expected
        if (expected is not float and not isinstance(value, base)) or (self.kind is int and isinstance(value, bool)):
            raise TypeError(f"{self.name} takes {self.kind}, and not {value!r}")
        for note in self.notes:
            if hasattr(note, "check"):
                note.check(value)

    # ---- as text in the node

    def to_text(self, value: Any) -> str:
        if value is None:
            return "None"
        if isinstance(value, enum.Enum):
            return value.name
        return json.dumps(value) if get_origin(self.kind) in (list, dict, tuple) else str(value)

    def from_text(self, text: str) -> Any:
        if text == "None" and self.optional:
            return None
        if self.kind is bool:
            return text == "True"
        if inspect.isclass(self.kind) and issubclass(self.kind, enum.Enum):
            return self.kind[text]
        if get_origin(self.kind) in (list, dict, tuple):
            value = json.loads(text)
            return tuple(value) if get_origin(self.kind) is tuple else value
        return self.kind(text)


SIMPLE = (bool, int, float, str, pathlib.Path)


def _read(hint: Any, name: str) -> tuple[Any, bool, tuple[Any, ...]]:
    """A type without its notes and without None, whether None may be, and the notes."""
    kind, *notes = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    optional = False
    if get_origin(kind) in (Union, types.UnionType):
        kinds = [k for k in get_args(kind) if k is not type(None)]
        optional = len(kinds) < len(get_args(kind))
        kind = kinds[0] if len(kinds) == 1 else _common(kinds)
    base = get_origin(kind) or kind
    if not (base in (*SIMPLE, list, dict, tuple)
            or (inspect.isclass(base) and issubclass(base, (enum.Enum, vtk.vtkObject, pathlib.PurePath)))):
        raise StandInError(f"{name}: {kind} is no type that parameterNodeWrapper takes")
    return kind, optional, tuple(notes)


def _parameter(owner: type, name: str, hint: Any) -> Parameter:
    kind, optional, notes = _read(hint, f"{owner.__name__}.{name}")
    empty = _empty(get_origin(kind) or kind, optional)
    default = vars(owner).get(name, next((n.value for n in notes if isinstance(n, Default)), empty))
    parameter = Parameter(name, hint, kind, optional, default, notes)
    parameter.check(default)
    return parameter


def createGuiConnector(widget: Any, datatype: Any) -> Connector:
    """What joins a widget to a parameter of this type."""
    kind, optional, notes = _read(datatype, "parameter")
    return connector_for(widget, Parameter("parameter", datatype, kind, optional, None, notes))


def _common(kinds: list[Any]) -> Any:
    if all(inspect.isclass(k) and issubclass(k, slicer.vtkMRMLNode) for k in kinds):
        return slicer.vtkMRMLNode
    raise StandInError(f"a union of {kinds} has no model in the stand-in")


def _empty(base: Any, optional: bool) -> Any:
    if optional or issubclass(base, vtk.vtkObject):
        return None
    if issubclass(base, enum.Enum):
        return next(iter(base))
    return base()


class _Attribute:
    """The descriptor of one parameter."""

    def __init__(self, parameter: Parameter) -> None:
        self.parameter = parameter

    def __get__(self, wrapper: Any, owner: Any = None) -> Any:
        return self if wrapper is None else wrapper.getValue(self.parameter.name)

    def __set__(self, wrapper: Any, value: Any) -> None:
        wrapper.setValue(self.parameter.name, value)


class _Wrapper:
    """What the decorator adds to the class."""

    _parameters: dict[str, Parameter]

    def __init__(self, parameterNode: Any, prefix: str | None = None) -> None:
        self.parameterNode = parameterNode
        self._connections: dict[int, dict[str, Connector]] = {}
        self._tags, self._writes = itertools.count(), False
        self._prefix = f"{prefix}." if prefix else ""
        for parameter in self._parameters.values():
            if not parameter.is_node and not parameterNode.GetParameter(self._prefix + parameter.name):
                parameterNode.SetParameter(self._prefix + parameter.name, parameter.to_text(parameter.default))

    def getValue(self, name: str) -> Any:
        parameter = self._parameters[name]
        if parameter.is_node:
            return self.parameterNode.GetNodeReference(self._prefix + name)
        return parameter.from_text(self.parameterNode.GetParameter(self._prefix + name))

    def setValue(self, name: str, value: Any) -> None:
        parameter = self._parameters[name]
        parameter.check(value)
        if not parameter.is_node:
            self.parameterNode.SetParameter(self._prefix + name, parameter.to_text(value))
            return
        if value is not None and value.GetScene() is None:
            raise ValueError(f"{name}: the node is not in the scene")
        self.parameterNode.SetNodeReferenceID(self._prefix + name, value.GetID() if value is not None else None)

    def default(self, name: str) -> Any:
        return self._parameters[name].default

    @classmethod
    def dataType(cls, name: str) -> Any:
        return cls._parameters[name].hint

    def AddObserver(self, event: Any, answer: Any, *more: Any) -> int:
        return int(self.parameterNode.AddObserver(event, answer, *more))

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def HasObserver(self, *what: Any) -> bool:
        return bool(self.parameterNode.HasObserver(*what))

    def StartModify(self) -> int:
        return int(self.parameterNode.StartModify())

    def EndModify(self, before: int) -> None:
        self.parameterNode.EndModify(before)

    def Modified(self) -> None:
        self.parameterNode.Modified()

    # ---- widgets

    def connectGui(self, ui: Any) -> None:
        """Join each widget with the dynamic property SlicerParameterName to its parameter.

        Nothing is returned, as in Slicer, so what is joined here cannot be parted again.
        """
        named = {widget.property("SlicerParameterName"): widget for widget in vars(ui).values()}
        self.connectParametersToGui({name: widget for name, widget in named.items() if name})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        """Join widgets to parameters; the tag parts them again."""
        unknown = set(mapping) - set(self._parameters)
        if unknown:
            raise ValueError(f"no parameters of these names: {sorted(unknown)}")
        joined = {name: connector_for(widget, self._parameters[name]) for name, widget in mapping.items()}
        tag = next(self._tags)
        self._connections[tag] = joined
        for name, connector in joined.items():
            connector.write(self.getValue(name))
            connector.onChanged(self._hearing(name, connector))
        self.AddObserver("ModifiedEvent", _weakly(self._write_all))   # stays, as in Slicer
        return tag

    def disconnectGui(self, tag: int) -> None:
        for connector in self._connections.pop(tag, {}).values():
            connector.onChanged(None)

    def _hearing(self, name: str, connector: Connector) -> Callable[[], None]:
        def hear() -> None:
            with slicer.util.NodeModify(self):
                if not self._writes:
                    self.setValue(name, connector.read())

        return hear

    def _write_all(self) -> None:
        """Any change of the node writes every parameter to its widget, also to the one that the user is at."""
        if self._writes:
            return
        self._writes = True
        try:
            for joined in list(self._connections.values()):
                for name, connector in joined.items():
                    connector.write(self.getValue(name))
        finally:
            self._writes = False


def _weakly(method: Callable[[], None]) -> Callable[..., None]:
    """An observer that does not keep the object of this method: VTK and Python would lose count of such a ring."""
    held = weakref.WeakMethod(method)

    def observe(*caller_and_event: Any) -> None:
        alive = held()
        if alive is not None:
            alive()

    return observe


def parameterNodeWrapper(cls: type) -> type:
    """The decorator."""
    hints = typing.get_type_hints(cls, include_extras=True)
    parameters = {name: _parameter(cls, name, hint) for name, hint in hints.items()}
    body = {name: value for name, value in vars(cls).items()
            if name not in ("__dict__", "__weakref__", "__annotations__")}
    body.update({name: _Attribute(parameter) for name, parameter in parameters.items()}, _parameters=parameters)
    return type(cls.__name__, (_Wrapper,), body)
