"""Who may come in: the key of a request, and how often an address may be wrong.

Without keys only a server on loopback, with no proxy in front, lets people in; they
are all "local". Whether keys are needed is decided once and can only become stricter:
revoking the last key, or losing the file, opens nothing.

An address that gave too many wrong keys is not listened to for a minute, except with
a key that was right from there before: one stale key behind a hospital's router must
not lock out everybody else there.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Protocol

from .options import Options
from .refusal import Refused

LOCAL = "local"
_BEARER = re.compile(rb"bearer +([\x21-\x7e]{1,200}) *", re.IGNORECASE)
_WINDOW_S = 60.0
_MOST_ADDRESSES = 10_000


class KeyRing(Protocol):
    """What a door needs of `keys.Keys`."""

    def owner(self, key: str) -> str | None: ...

    def any(self) -> bool: ...

    def most_queued(self, owner: str) -> int | None: ...


class OneTimeKey:
    """The key that a parent process gave on stdin, on top of the stored ones; its owner is "local"."""

    def __init__(self, keys: KeyRing, key: str) -> None:
        self._keys = keys
        self._sha = hashlib.sha256(key.encode()).digest()

    def owner(self, key: str) -> str | None:
        right = hmac.compare_digest(hashlib.sha256(key.encode()).digest(), self._sha)
        stored = self._keys.owner(key)
        return LOCAL if right else stored

    def any(self) -> bool:
        return True

    def most_queued(self, owner: str) -> int | None:
        return None if owner == LOCAL else self._keys.most_queued(owner)


class WrongKeys:
    """How many wrong keys came from each address lately. Bounded: the address heard of longest ago is forgotten."""

    def __init__(self, most_a_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most_a_minute
        self._clock = clock
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def note(self, address: str) -> None:
        times = self._times.setdefault(address, deque(maxlen=self._most))
        times.append(self._clock())
        self._times.move_to_end(address)
        while len(self._times) > _MOST_ADDRESSES:
            self._times.popitem(last=False)

    def too_many(self, address: str) -> bool:
        times = self._times.get(address)
        return times is not None and len(times) >= self._most and self._clock() - times[0] < _WINDOW_S


class Door:
    """Used from the event loop alone."""

    def __init__(self, options: Options, keys: KeyRing, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys = keys
        self._needs_key = keys.any() or not options.loopback or options.behind_proxy
        self._wrong = WrongKeys(options.limits.wrong_keys_a_minute, clock)
        self._right_before: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    @property
    def needs_key(self) -> bool:
        self._needs_key = self._needs_key or self._keys.any()
        return self._needs_key

    def owner(self, authorization: Sequence[bytes], address: str) -> str:
        """Whose request this is, or Refused."""
        if not self.needs_key:
            return LOCAL
        key = _bearer(authorization)
        if key is None:
            raise Refused("unknown_key", "This server needs a key; send it as 'Authorization: Bearer KEY'.")
        place = _network(address)
        known = (place, hashlib.sha256(key.encode()).digest())
        if self._wrong.too_many(place) and known not in self._right_before:
            raise Refused("slow_down", "Too many wrong keys came from this address; try again in a minute.")
        owner = self._keys.owner(key)
        if owner is None:
            self._wrong.note(place)
            self._right_before.pop(known, None)
            raise Refused("unknown_key", "This key is not known here, or was revoked; ask who runs the server for one.")
        self._right_before[known] = None
        self._right_before.move_to_end(known)
        if len(self._right_before) > _MOST_ADDRESSES:
            self._right_before.popitem(last=False)
        return owner


def _bearer(authorization: Sequence[bytes]) -> str | None:
    found = _BEARER.fullmatch(authorization[0]) if len(authorization) == 1 else None
    return found[1].decode("ascii") if found else None


def _network(address: str) -> str:
    """One IPv6 customer has 2**64 addresses; they count as one."""
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(known, ipaddress.IPv6Address) and known.ipv4_mapped is None:
        return str(ipaddress.ip_network((known, 64), strict=False))
    return str(known)
