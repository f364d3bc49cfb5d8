"""A reader of pickle streams that makes descriptions of tensors and plain values, and nothing else.

A pickle is a small program. Here its instructions are listed by `pickletools`, which
never executes, and interpreted by a machine that knows plain containers, numbers,
texts and the few meanings of `allowed`. It imports nothing, calls nothing that the
file names, and everything it makes is bounded: the stream, the number of
instructions, the size of a number.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import WeightsError
from .allowed import REBUILD_FROM_TYPE, REBUILDERS, Name, Role, meaning, refused
from .tensors import MAX_SIZE, NumberType, whole_numbers

MAX_STREAM = 64 << 20
MAX_INSTRUCTIONS = 2_000_000
_MAX_NUMBER_BITS = 128
_BROKEN = "The description of the weights inside the file is damaged or forged"


@dataclass(frozen=True, slots=True)
class StorageRef:
    """A block of numbers that the file keeps elsewhere, under `key`."""

    key: str
    kind: NumberType
    elements: int


@dataclass(frozen=True, slots=True)
class PickledTensor:
    """A tensor as the pickle describes it: a view on a storage."""

    storage: StorageRef
    kind: NumberType
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class Inert:
    """Stands where a foreign object was; it holds nothing."""

    __slots__ = ()


INERT = Inert()


@dataclass(frozen=True, slots=True)
class Pickle:
    """What a stream held, the storages that it speaks of, and how many bytes it took."""

    value: Any
    storages: Mapping[str, StorageRef]
    bytes: int


def read_pickle(data: bytes, most: int = MAX_INSTRUCTIONS) -> Pickle:
    """The pickle at the start of `data`, of at most so many instructions."""
    if len(data) > MAX_STREAM:
        raise WeightsError(f"The description of the weights takes {len(data) / 1e6:.0f} MB; "
                           f"more than {MAX_STREAM / 1e6:.0f} MB is refused.")
    stream = io.BytesIO(data)
    machine = _Machine()
    try:
        for count, (instruction, argument, _) in enumerate(pickletools.genops(stream)):
            if count > most:
                raise WeightsError(f"The description of the weights has more than {most} instructions; "
                                   "it is refused.")
            if instruction.name == "STOP":
                break
            machine.do(instruction.name, argument)
    except (ValueError, OverflowError) as error:
        raise WeightsError(f"{_BROKEN} ({str(error)[:80]}).") from None
    return Pickle(machine.pop(), machine.storages, stream.tell())


class _Machine:
    """The stack, the marks and the memo of a pickle; one method for each family of instructions."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self.storages: dict[str, StorageRef] = {}

    def do(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self.push(_CONSTANTS.get(name, argument))
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        else:
            raise WeightsError(f"The file uses the pickle instruction {name}, which weights never need; it is refused.")

    def push(self, value: Any) -> None:
        if type(value) is int and value.bit_length() > _MAX_NUMBER_BITS:
            raise WeightsError(f"The file holds a whole number of {value.bit_length()} bits; it is refused.")
        self._stack.append(value)

    def pop(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise WeightsError(f"{_BROKEN} (it takes a value that is not there).")
        return self._stack.pop()

    def top(self) -> Any:
        value = self.pop()
        self._stack.append(value)
        return value

    def protocol(self, version: int) -> None:
        if not 0 <= version <= 5:
            raise WeightsError(f"The file is a pickle of protocol {version}, which is not known; it is refused.")

    def mark(self) -> None:
        self._marks.append(len(self._stack))

    def pop_to_mark(self) -> list[Any]:
        if not self._marks:
            raise WeightsError(f"{_BROKEN} (it goes back to a mark that is not there).")
        at = self._marks.pop()
        items = self._stack[at:]
        del self._stack[at:]
        return items

    def drop(self) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self.pop()

    def keep(self, index: int) -> None:
        self._memo[index] = self.top()

    def recall(self, index: int) -> None:
        if index not in self._memo:
            raise WeightsError(f"{_BROKEN} (it recalls a value that was never kept).")
        self.push(self._memo[index])

    def pack(self, count: int) -> None:
        items = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(items)))

    def extend(self, items: list[Any]) -> None:
        target = self.top()
        if type(target) is list:
            target.extend(items)
        elif type(target) is not Inert:
            raise WeightsError(f"{_BROKEN} (it appends to something that is no list).")

    def fill(self, items: list[Any]) -> None:
        target = self.top()
        if type(target) is dict:
            _put(target, items)
        elif type(target) is not Inert:
            raise WeightsError(f"{_BROKEN} (it puts a key into something that is no dictionary).")

    def pair(self) -> list[Any]:
        value, key = self.pop(), self.pop()
        return [key, value]

    def named(self, both: str) -> None:
        module, _, name = both.partition(" ")
        self.push(meaning(module, name))

    def named_by_stack(self) -> None:
        name, module = self.pop(), self.pop()
        if type(module) is not str or type(name) is not str:
            raise WeightsError(f"{_BROKEN} (it names a class by something that is no text).")
        self.push(meaning(module, name))

    def stored(self) -> None:
        storage = _storage(self.pop())
        if self.storages.setdefault(storage.key, storage) != storage:
            raise WeightsError("The file describes one storage in two ways; it is damaged or forged.")
        self.push(storage)

    def call(self) -> None:
        arguments, what = self.pop(), self.pop()
        if type(what) is not Name or type(arguments) is not tuple:
            raise WeightsError("The file calls something that is not a plain name; it is refused and nothing was run.")
        self.push(_called(what, arguments))

    def make(self, arguments: Any) -> None:
        what = self.pop()
        if type(what) is not Name or what.role not in (Role.MAPPING, Role.INERT):
            raise WeightsError("The file makes an object that weights never need; it is refused and nothing was run.")
        self.push({} if what.role is Role.MAPPING else INERT)

    def make_with_keywords(self) -> None:
        self.pop()
        self.make(self.pop())

    def build(self) -> None:
        self.pop()
        if type(self.top()) not in (dict, Inert):
            raise WeightsError("The file gives a state to something that can have none; it is refused.")


def _put(target: dict[Any, Any], items: list[Any]) -> None:
    if len(items) % 2:
        raise WeightsError(f"{_BROKEN} (a key has no value).")
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[key if type(key) in (str, int, float, bool, bytes, type(None)) else INERT] = value


def _storage(identity: Any) -> StorageRef:
    """The storage that a persistent id speaks of."""
    if type(identity) is not tuple or len(identity) not in (5, 6) or identity[0] != "storage":
        raise WeightsError("The file refers to something outside that is no storage of numbers; it is refused.")
    kind, key, elements = identity[1], identity[2], identity[4]
    if type(kind) is not Name or kind.role is not Role.STORAGE or kind.numbers is None or type(key) is not str:
        raise WeightsError("The file refers to a storage in a way that makes no sense; it is refused.")
    if len(identity) == 6 and identity[5] is not None:
        raise WeightsError("The file was written by a very old PyTorch (storage views); "
                           "save it anew with a current one.")
    if type(elements) is not int or not 0 <= elements <= MAX_SIZE:
        raise WeightsError("The file declares a storage of an impossible size; it is refused.")
    return StorageRef(key, kind.numbers, elements)


def _called(what: Name, arguments: tuple[Any, ...]) -> Any:
    if what.role is Role.INERT:
        return INERT
    if what.role is Role.TENSOR:
        return _rebuilt(what.full, arguments)
    if what.role is Role.MAPPING:
        return _mapping(arguments)
    if what.role is Role.SIZE and len(arguments) == 1:
        return whole_numbers(arguments[0], "shape")
    if what.role is Role.COPIER and arguments and type(arguments[0]) is Name and arguments[0].role is Role.INERT:
        return INERT
    raise refused(what.full)


def _mapping(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """A dictionary of nothing, of another one (which it then is), or of a list of pairs (which it uses up).

    Nothing is copied: a short stream must not be able to ask for the same long copy again and again.
    """
    made: dict[Any, Any] = {}
    content = arguments[0] if len(arguments) == 1 else ()
    if type(content) is dict:
        return content
    if type(content) is list:
        for item in content:
            if type(item) not in (list, tuple) or len(item) != 2:
                raise WeightsError(f"{_BROKEN} (a dictionary is made of something that is no pair).")
            _put(made, list(item))
        content.clear()
    return made


def _rebuilt(full: str, arguments: tuple[Any, ...]) -> PickledTensor:
    """The description that one of torch's own rebuilding functions would have made into a tensor."""
    if full == REBUILD_FROM_TYPE:
        inner = arguments[0] if len(arguments) == 4 else None
        if type(inner) is not Name or inner.full not in REBUILDERS or type(arguments[2]) is not tuple:
            raise WeightsError("The file rebuilds a tensor by something that is no tensor function; it is refused.")
        return _rebuilt(inner.full, arguments[2])
    if "_parameter" in full:
        if not arguments or type(arguments[0]) is not PickledTensor:
            raise WeightsError("The file makes a parameter of something that is no tensor; it is refused.")
        return arguments[0]
    if len(arguments) < 4 or type(arguments[0]) is not StorageRef:
        raise WeightsError("The file makes a tensor of something that is no storage of numbers; it is refused.")
    storage, offset, shape, stride = arguments[:4]
    kind = storage.kind
    if full.endswith("_v3"):
        named = arguments[6] if len(arguments) > 6 else None
        if type(named) is not Name or named.role is not Role.NUMBERS or named.numbers is None:
            raise WeightsError("The file makes a tensor of numbers of an unknown kind; it is refused.")
        kind = named.numbers
    (offset,) = whole_numbers((offset,), "offset")
    shape, stride = whole_numbers(shape, "shape"), whole_numbers(stride, "stride", MAX_SIZE**2)
    if len(shape) != len(stride):
        raise WeightsError("The file gives a tensor whose shape and stride do not fit together; it is refused.")
    return PickledTensor(storage, kind, offset, shape, stride)


def _dictionary(machine: _Machine) -> None:
    items = machine.pop_to_mark()
    machine.push({})
    machine.fill(items)


def _ignore_set(machine: _Machine) -> None:
    machine.pop_to_mark()
    if type(machine.top()) is not Inert:
        raise WeightsError(f"{_BROKEN} (it adds to something that is no set).")


def _frozen_set(machine: _Machine) -> None:
    machine.pop_to_mark()
    machine.push(INERT)


_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = frozenset({
    *_CONSTANTS, "INT", "LONG", "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING",
    "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "UNICODE", "SHORT_BINUNICODE",
    "BINUNICODE", "BINUNICODE8"})
_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda m, a: m.protocol(a),
    "FRAME": lambda m, a: None,
    "MARK": lambda m, a: m.mark(),
    "POP": lambda m, a: m.drop(),
    "POP_MARK": lambda m, a: m.pop_to_mark().clear(),
    "DUP": lambda m, a: m.push(m.top()),
    "BYTEARRAY8": lambda m, a: m.push(bytes(a)),
    "EMPTY_LIST": lambda m, a: m.push([]),
    "LIST": lambda m, a: m.push(m.pop_to_mark()),
    "APPEND": lambda m, a: m.extend([m.pop()]),
    "APPENDS": lambda m, a: m.extend(m.pop_to_mark()),
    "EMPTY_TUPLE": lambda m, a: m.push(()),
    "TUPLE": lambda m, a: m.push(tuple(m.pop_to_mark())),
    "TUPLE1": lambda m, a: m.pack(1),
    "TUPLE2": lambda m, a: m.pack(2),
    "TUPLE3": lambda m, a: m.pack(3),
    "EMPTY_DICT": lambda m, a: m.push({}),
    "DICT": lambda m, a: _dictionary(m),
    "SETITEM": lambda m, a: m.fill(m.pair()),
    "SETITEMS": lambda m, a: m.fill(m.pop_to_mark()),
    "EMPTY_SET": lambda m, a: m.push(INERT),
    "ADDITEMS": lambda m, a: _ignore_set(m),
    "FROZENSET": lambda m, a: _frozen_set(m),
    "GET": lambda m, a: m.recall(a),
    "BINGET": lambda m, a: m.recall(a),
    "LONG_BINGET": lambda m, a: m.recall(a),
    "PUT": lambda m, a: m.keep(a),
    "BINPUT": lambda m, a: m.keep(a),
    "LONG_BINPUT": lambda m, a: m.keep(a),
    "MEMOIZE": lambda m, a: m.keep(len(m._memo)),
    "GLOBAL": lambda m, a: m.named(a),
    "STACK_GLOBAL": lambda m, a: m.named_by_stack(),
    "BINPERSID": lambda m, a: m.stored(),
    "REDUCE": lambda m, a: m.call(),
    "NEWOBJ": lambda m, a: m.make(m.pop()),
    "NEWOBJ_EX": lambda m, a: m.make_with_keywords(),
    "BUILD": lambda m, a: m.build(),
}
