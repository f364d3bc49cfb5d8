"""Connecting in PythonQt's two manners, with the checks that Slicer leaves out.

`button.connect("clicked(bool)", f)` and `button.clicked.connect(f)`. A signature that
the real class does not have only prints a line in Slicer; here it raises. The slot gets
at most as many arguments as it takes, enums arrive as numbers, and an exception in it
is noted and goes no further, as the call that fired the signal returns normally.
"""

from __future__ import annotations

import enum
import inspect
import sys
import traceback
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PySide6 import QtCore
from shiboken6 import getCppPointer

from .errors import StandInError, slips

if TYPE_CHECKING:
    from .pythonqt import Face

_RAW = QtCore.QObject.__getattribute__
_RAW_CONNECT = QtCore.QObject.connect
_META_OBJECT = QtCore.QObject.metaObject


def _relay(slot: Callable[..., Any], signature: str) -> Callable[..., None]:
    """A function between a signal and a slot."""
    offered = len([a for a in signature[signature.index("(") + 1:-1].split(",") if a])
    count = min(offered, _takes(slot))

    def relay(*arguments: Any) -> None:
        given = [int(a.value) if isinstance(a, enum.Enum) else a for a in arguments[:count]]
        try:
            slot(*given)
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            slips.note(error)

    return _ARITY[offered](relay)


# PySide looks at how many arguments a function takes to find the overload that is meant.
_ARITY: tuple[Callable[[Any], Callable[..., None]], ...] = (
    lambda f: lambda: f(), lambda f: lambda a: f(a), lambda f: lambda a, b: f(a, b),  # noqa: PLW0108
    lambda f: lambda a, b, c: f(a, b, c), lambda f: lambda a, b, c, d: f(a, b, c, d))  # noqa: PLW0108


def _takes(slot: Callable[..., Any]) -> int:
    """How many positional arguments a Python function takes; PythonQt counts those with a default too."""
    if not (inspect.isfunction(slot) or inspect.ismethod(slot)):
        return 99
    parameters = inspect.signature(slot).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return 99
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def _weak(slot: Callable[..., Any]) -> Callable[[], Any]:
    if inspect.ismethod(slot):
        return weakref.WeakMethod(slot)
    return weakref.ref(slot) if inspect.isfunction(slot) else lambda: slot


class _Connections:
    """Which relays stand for which slot, so that a slot can be disconnected; they live as long as Qt keeps them."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, str], list[tuple[Any, Callable[..., Any]]]] = {}

    def add(self, sender: Any, signature: str, slot: Callable[..., Any], fire: Callable[..., None]) -> None:
        known = self._known.setdefault((getCppPointer(sender)[0], signature), [])
        known[:] = [pair for pair in known if pair[0]() is not None]
        known.append((weakref.ref(fire), _weak(slot)))

    def take(self, sender: Any, signature: str, slot: Callable[..., Any] | None) -> list[Callable[..., None]]:
        known = self._known.get((getCppPointer(sender)[0], signature), [])
        found = [pair for pair in known if slot is None or slot == pair[1]()]
        for pair in found:
            known.remove(pair)
        return [fire for reference, _ in found if (fire := reference()) is not None]


_connections = _Connections()


def _normalised(signature: Any) -> str:
    if not isinstance(signature, str) or "(" not in signature:
        raise StandInError(f"a signal is named by its signature, such as 'clicked(bool)', and not by {signature!r}")
    text = QtCore.QMetaObject.normalizedSignature(signature)
    return text if isinstance(text, str) else bytes(text).decode()


def _instance(sender: Any, face: Face, signature: str) -> Any:
    """PySide's signal for a signature, or an error that says which there are."""
    name = signature.split("(")[0]
    if signature not in face.signals.get(name, ()):
        have = ", ".join(face.signals.get(name, ())) or "no signal of that name"
        raise StandInError(f"signal '{signature}' does not exist on {face.name}; it has {have}")
    modelled = getattr(type(sender), "_signals", {}).get(signature)
    if modelled is not None:
        return _RAW(sender, modelled)
    if _META_OBJECT(sender).indexOfSignal(signature) < 0:
        if face.is_model:
            raise StandInError(f"signal '{signature}' of {face.name} has no model in the stand-in")
        raise StandInError(f"signal '{signature}' of {face.name} does not exist in Qt 6")
    return _RAW(sender, name)


def _slot(arguments: tuple[Any, ...]) -> Callable[..., Any]:
    if len(arguments) == 2 and isinstance(arguments[1], str):
        receiver, name = arguments
        return getattr(receiver, name.split("(")[0])
    if len(arguments) != 1 or not callable(arguments[0]):
        raise StandInError(f"a signal is connected to something that can be called, and not to {arguments!r}")
    return arguments[0]


def connect(sender: Any, face: Face, signature: str, *receiver: Any) -> bool:
    """sender.connect("signal(types)", callable), or with a receiver and the name of its slot."""
    if isinstance(signature, QtCore.QObject):   # PySide itself, in QTimer.singleShot
        return bool(_RAW_CONNECT(signature, *receiver))
    signature = _normalised(signature)
    slot = _slot(receiver)
    fire = _relay(slot, signature)
    _instance(sender, face, signature).connect(fire)
    _connections.add(sender, signature, slot, fire)
    return True


def disconnect(sender: Any, face: Face, signature: str, *receiver: Any) -> bool:
    """Whether there was such a connection."""
    signature = _normalised(signature)
    instance = _instance(sender, face, signature)
    found = _connections.take(sender, signature, _slot(receiver) if receiver else None)
    for fire in found:
        instance.disconnect(fire)
    return bool(found)


def fire(sender: Any, signature: str, *arguments: Any) -> None:
    """Emit the signal of a model."""
    modelled = getattr(type(sender), "_signals", {}).get(signature, signature.split("(")[0])
    _RAW(sender, modelled).emit(*arguments)


class BoundSignal:
    """`object.signal`: connects, disconnects, and fires when called."""

    def __init__(self, sender: Any, face: Face, name: str) -> None:
        self._sender, self._face, self._name = sender, face, name

    def connect(self, slot: Callable[..., Any]) -> bool:
        return connect(self._sender, self._face, self._signature(), slot)

    def disconnect(self, *slot: Callable[..., Any]) -> bool:
        return disconnect(self._sender, self._face, self._signature(), *slot)

    def emit(self, *arguments: Any) -> None:
        _instance(self._sender, self._face, self._signature(len(arguments))).emit(*arguments)

    __call__ = emit

    def _signature(self, count: int | None = None) -> str:
        """The one overload that is meant; those that differ only by left-out defaults are one."""
        types = {s: [a for a in s[s.index("(") + 1:-1].split(",") if a] for s in self._face.signals[self._name]}
        if count is not None:
            types = {s: t for s, t in types.items() if len(t) == count}
        longest = max(types, key=lambda s: len(types[s]), default="")
        if not longest or any(t != types[longest][:len(t)] for t in types.values()):
            raise StandInError(f"{self._face.name}.{self._name} has several signatures ({', '.join(types)}): "
                               "connect it by the one that is meant, as text")
        return longest
