"""PySide6's classes made to behave as PythonQt shows them in Slicer.

Each QObject class gets an own attribute lookup. It answers in this order: what a Python
subclass defines; a property, as a value; a signal that can be connected; a method. Any
other name is an AttributeError, for reading as for writing. Which properties and
signals there are comes from the measured facts, and for classes that were not measured
from Qt's own meta-object less what Qt 6 added.

The classes are patched in place and not wrapped, because Qt itself hands out objects
(a layout's item, a table's header) that would otherwise escape. So a process that has
called `patch` has no ordinary PySide6 any more, and these tests run in a process of
their own.
"""

from __future__ import annotations

import functools
import inspect
import os
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from PySide6 import QtCore, QtGui, QtNetwork, QtWidgets

from . import facts
from .errors import StandInError, require_main_thread, slips
from .signals import BoundSignal, connect, disconnect

MODULES = (QtCore, QtGui, QtWidgets, QtNetwork)
PROPERTY, SET_PROPERTY = QtCore.QObject.property, QtCore.QObject.setProperty
_META_OBJECT, _INHERITS = QtCore.QObject.metaObject, QtCore.QObject.inherits
# Properties with a virtual getter: asking the meta-object for one would ask Python for an override, and so on.
_VIRTUAL_GETTERS = {"sizeHint": QtWidgets.QWidget, "minimumSizeHint": QtWidgets.QWidget,
                    "text": QtWidgets.QProgressBar}
_VIRTUAL = {"initViewItemOption", "itemDelegateForIndex", "skipData", "multiData", "clearItemData", "event",
            "createSourceIndex", "handleEditorEvent", "updateGeometry", "resolveInterface"}
_CALLED_BY_QT = {"metaObject", "eventFilter", "event", "childEvent", "timerEvent", "connectNotify"}


@dataclass(frozen=True)
class Face:
    """What an object of a class shows to the module."""

    name: str
    python_names: frozenset[str]      # defined by a Python subclass of the module under test
    model_names: frozenset[str]       # defined by a model of a ctk or qMRML class
    properties: dict[str, facts.Property]
    signals: dict[str, list[str]]     # name -> signatures
    denied: frozenset[str]            # exists only in Qt 6
    is_model: bool
    is_subclass: bool
    measured: bool


_models: set[type] = set()


def model(cls: type) -> type:
    """Mark a class as the stand-in's model of a C++ class; the module may not add attributes to its objects."""
    _models.add(cls)
    _guard_handlers(cls)
    return cls


def _guard_handlers(cls: type) -> None:
    """An exception in an event handler is noted, and Qt goes on; PySide would lose it, or crash on it."""
    for name, function in list(vars(cls).items()):
        if inspect.isfunction(function) and (name.endswith("Event") or name in ("event", "eventFilter")):
            setattr(cls, name, _guarded(function))


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def handle(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:
            traceback.print_exc()
            slips.note(error)
            return False

    return handle


def is_cpp(cls: type) -> bool:
    """Whether PythonQt would show this class as one made in C++."""
    return cls.__module__.startswith(("PySide6.", f"{__package__}."))


@cache
def face_of(cls: type) -> Face:
    python = [c for c in cls.__mro__ if not is_cpp(c) and not c.__module__.startswith(("Shiboken", "builtins"))]
    for layer in python:
        _guard_handlers(layer)
    shown = next(c for c in cls.__mro__ if c in _models or c.__module__.startswith("PySide6."))
    models = [c for c in cls.__mro__ if c.__module__.startswith(f"{__package__}.")]
    qt_classes = [c for c in cls.__mro__ if c.__module__.startswith("PySide6.")]
    known = facts.of_class(shown.__name__)
    denied = frozenset().union(*(facts.qt6_names(c.__name__) for c in qt_classes)) - _VIRTUAL
    if known is not None:
        properties, signatures = known.properties, known.signals
    else:
        methods = frozenset().union(*(facts.qt6_properties(c.__name__) for c in qt_classes))
        properties, signatures = _from_meta_object(cls, denied | methods)
    signals: dict[str, list[str]] = {}
    for signature in sorted(signatures):
        signals.setdefault(signature.split("(")[0], []).append(signature)
    names = frozenset(n for c in python for n in vars(c))
    return Face(shown.__name__, names, frozenset(n for c in models for n in vars(c)), properties, signals, denied,
                is_model=bool(models), is_subclass=bool(python), measured=known is not None)


def _from_meta_object(cls: type, denied: frozenset[str]) -> tuple[dict[str, facts.Property], frozenset[str]]:
    meta = cls.staticMetaObject  # type: ignore[attr-defined]
    found = (meta.property(i) for i in range(meta.propertyCount()))
    properties = {p.name(): facts.Property(p.name(), str(p.typeName()), p.isWritable())
                  for p in found if p.name() not in denied}
    methods = (meta.method(i) for i in range(meta.methodCount()))
    signals = frozenset(bytes(m.methodSignature()).decode() for m in methods
                        if m.methodType() == QtCore.QMetaMethod.MethodType.Signal
                        and bytes(m.name()).decode() not in denied)
    return properties, signals


# ------------------------------------------------------------------ methods

class Method:
    """A C++ method: takes what PythonQt takes. No Python method, so that Qt never takes it for an override."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self._function, self.__name__ = function, name

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        require_main_thread(self.__name__)
        for argument in arguments:
            if isinstance(argument, os.PathLike):
                raise TypeError(f"{self.__name__}: PythonQt does not convert a path to a QString; use str()")
        return self._function(*map(plain, arguments), **named)


def plain(value: Any) -> Any:
    """numpy's numbers as Python's; PythonQt takes both."""
    return value.item() if type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0 else value


# ------------------------------------------------------------------ properties

def read_property(self: Any, face: Face, prop: facts.Property) -> Any:
    if isinstance(self, _VIRTUAL_GETTERS.get(prop.name, ())):
        return getattr(next(c for c in type(self).__mro__ if c.__module__.startswith("PySide6.")), prop.name)(self)
    if _META_OBJECT(self).indexOfProperty(prop.name) < 0:
        raise StandInError(f"{face.name}.{prop.name} exists in Slicer, but the stand-in has no model of it"
                           " (or Qt 6 dropped it)")
    value = PROPERTY(self, prop.name)
    if prop.type == "QStringList":
        return tuple(value or ())
    return value


def write_property(self: Any, face: Face, prop: facts.Property, value: Any) -> None:
    if not prop.writable:
        raise AttributeError(f"Property '{prop.name}' of type '{face.name}' is not writable")
    if _META_OBJECT(self).indexOfProperty(prop.name) < 0:
        raise StandInError(f"{face.name}.{prop.name} exists in Slicer, but the stand-in has no model of it")
    value = plain(value)
    try:
        if prop.type == "bool":
            value = bool(value)
        elif prop.type == "QString":
            value = value if isinstance(value, str) else str(value)
        elif prop.type == "int":
            value = int(getattr(value, "value", value))
        elif prop.type == "double":
            value = float(value)
        elif prop.type == "QStringList":
            value = [str(item) for item in value]
    except (TypeError, ValueError):
        raise AttributeError(_refused(face, prop, value)) from None
    meta = _META_OBJECT(self)
    expected = meta.property(meta.indexOfProperty(prop.name))
    if prop.type.startswith("Q") and expected.typeName() == prop.type and value is None:
        raise AttributeError(_refused(face, prop, value))
    if not SET_PROPERTY(self, prop.name, value):
        raise AttributeError(_refused(face, prop, value))


def _refused(face: Face, prop: facts.Property, value: Any) -> str:
    return f"Property '{prop.name}' of type '{face.name}' does not accept an object of type {type(value).__name__}"


# ------------------------------------------------------------------ lookup

def _lookup(original: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    def look(self: Any, name: str) -> Any:
        if name.startswith("__"):
            return original(self, name)
        face = face_of(type(self))
        require_main_thread(f"{face.name}.{name}")
        if name in face.python_names or name in _CALLED_BY_QT:
            return original(self, name)
        if name.startswith("_"):
            if face.is_model or face.is_subclass:
                return original(self, name)
            raise AttributeError(f"{face.name} has no attribute named '{name}'")
        if name in face.model_names and name not in face.properties and name not in face.signals:
            return original(self, name)
        if name in ("connect", "disconnect"):
            return _connector(self, face, connect if name == "connect" else disconnect)
        if name == "name":
            return PROPERTY(self, "objectName")
        prop = face.properties.get(name)
        if prop is not None:
            return read_property(self, face, prop)
        if name in face.signals:
            return BoundSignal(self, face, name)
        if name in face.denied:
            raise AttributeError(f"{face.name} has no attribute named '{name}': it came with Qt 6")
        if name in EXTRA_METHODS:
            return Method(EXTRA_METHODS[name].__get__(self), name)
        return _method(self, original, face, name)

    return look


def _method(self: Any, original: Callable[[Any, str], Any], face: Face, name: str) -> Any:
    try:
        value = original(self, name)
    except AttributeError:
        if face.is_subclass and name in vars(self):
            return vars(self)[name]
        if name.encode() in [bytes(n) for n in QtCore.QObject.dynamicPropertyNames(self)]:
            return PROPERTY(self, name)
        if name == "exec_":
            return Method(original(self, "exec"), name)
        known = facts.of_class(face.name)
        if known is not None and any(s.split("(")[0] == name for s in known.slots):
            raise StandInError(f"{face.name}.{name}() exists in Slicer, but the stand-in has no model of it") from None
        if face.is_model and not face.measured:
            raise StandInError(f"{face.name}.{name} has no model in the stand-in") from None
        raise AttributeError(f"{face.name} has no attribute named '{name}'") from None
    if isinstance(value, QtCore.SignalInstance):
        if (face.is_subclass and not face.measured) or name in face.python_names:
            return value
        raise AttributeError(f"{face.name} has no signal '{name}' in Qt 5.15 and Qt 6 alike")
    return Method(value, name) if callable(value) and not isinstance(value, type) else value


def _connector(self: Any, face: Face, action: Callable[..., bool]) -> Method:
    return Method(lambda *arguments: action(self, face, *arguments), action.__name__)


class Loading:
    """While PySide loads a .ui file it hangs the children on their panel as attributes; PythonQt does not."""

    depth = 0

    def __enter__(self) -> None:
        Loading.depth += 1

    def __exit__(self, *error: object) -> None:
        Loading.depth -= 1


def _put(self: Any, name: str, value: Any) -> None:
    if Loading.depth and isinstance(value, QtCore.QObject) and not name.startswith("_"):
        return
    if isinstance(value, QtCore.SignalInstance):   # PySide keeps the signals it has made
        vars(self)[name] = value
        return
    face = face_of(type(self))
    require_main_thread(f"{face.name}.{name}")
    prop = face.properties.get("objectName" if name == "name" else name)
    if prop is not None:
        write_property(self, face, prop, value)
    elif face.is_subclass or (face.is_model and name.startswith("_")):
        described = next((vars(c)[name] for c in type(self).__mro__ if name in vars(c)), None)
        if hasattr(described, "__set__"):
            described.__set__(self, value)
        else:
            vars(self)[name] = value
    elif name.encode() in [bytes(n) for n in QtCore.QObject.dynamicPropertyNames(self)]:
        SET_PROPERTY(self, name, value)
    else:
        raise AttributeError(f"'{name}' does not exist on {face.name} and creating new attributes on C++ objects"
                             " is not allowed")


# ------------------------------------------------------------------ what PythonQt adds to every QObject

def _class_name(self: Any) -> str:
    return face_of(type(self)).name


def _find_children(self: Any, kind: Any = QtCore.QObject, name: str = "") -> tuple[Any, ...]:
    def fits(child: Any) -> bool:
        is_kind = _INHERITS(child, kind) or _class_name(child) == kind if isinstance(kind, str) else (
            isinstance(child, kind))
        return is_kind and (not name or PROPERTY(child, "objectName") == name)

    return tuple(child for child in QtCore.QObject.findChildren(self, QtCore.QObject) if fits(child))


def _find_child(self: Any, kind: Any = QtCore.QObject, name: str = "") -> Any:
    return next(iter(_find_children(self, kind, name)), None)


def _children(self: Any) -> tuple[Any, ...]:
    return tuple(QtCore.QObject.children(self))


EXTRA_METHODS: dict[str, Any] = {"className": _class_name, "findChildren": _find_children, "findChild": _find_child,
                                 "children": _children}


def all_classes() -> Iterator[type]:
    """Every class of the four modules of Qt that Slicer's `qt` holds."""
    seen: set[type] = set()
    for module in MODULES:
        for name in dir(module):
            cls = getattr(module, name)
            if isinstance(cls, type) and cls.__module__.startswith("PySide6.") and cls not in seen:
                seen.add(cls)
                yield cls


def patch() -> None:
    """Give every QObject class its new lookup, and take Qt 6's names from the other classes."""
    classes = [c for c in all_classes() if issubclass(c, QtCore.QObject)]
    originals = [(c, c.__getattribute__) for c in classes]
    for cls, get in originals:
        cls.__getattribute__ = _lookup(get)  # type: ignore[method-assign, assignment]
        cls.__setattr__ = _put  # type: ignore[method-assign, assignment]
    for cls in all_classes():
        if not issubclass(cls, QtCore.QObject):
            for name in facts.qt6_names(cls.__name__) - _VIRTUAL - {"clone"}:
                if name in vars(cls):
                    delattr(cls, name)
