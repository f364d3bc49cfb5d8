"""Weights from the hub: fetched in a file that a later run continues, checked, converted, then thrown away.

The hub's own package forgets a half-fetched file when its process ends, which costs
gigabytes on a weak line. So the hub is asked where and what the file is, and the bytes
come through here: a part file named by the hub's hash is continued with a Range
request, after a cut connection as well as after a restart.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import requests

from ..engines.terms import Engine, WeightFile, WeightSet
from ..errors import BadInput, Unavailable, WeightsError
from ..requests import Watch
from . import hub
from .convert import file_sha256
from .home import check_room, download_folder, made
from .store import Place, Record, keep

_PIECE = 32 << 10
_MB = 1_000_000
_ATTEMPTS = 5
_TIMEOUT_S = (10.0, 30.0)


def download_set(engine: Engine, weights: WeightSet, licence_accepted: str, watch: Watch,
                 keep_original: bool = False) -> list[Record]:
    """Fetch and convert all files of a weight set that are not here yet."""
    check_fetchable(engine, weights)
    if not licence_accepted:
        raise WeightsError(f"The licence {weights.licence.id} of {engine.id}/{weights.id} was not accepted; "
                           "read it and accept it with --accept-licence.")
    return [_one(Place(engine, weights, entry), licence_accepted, watch, keep_original) for entry in weights.files]


def check_fetchable(engine: Engine, weights: WeightSet) -> None:
    """Refuse a weight set that is not on the hub."""
    if weights.ships:
        raise BadInput(f"The weights {engine.id}/{weights.id} ship with text2ct; there is nothing to fetch.")
    if weights.source != "hub":
        raise BadInput(f"The weights {engine.id}/{weights.id} cannot be downloaded from here. {weights.notes}")


def _one(wanted: Place, licence_accepted: str, watch: Watch, keep_original: bool) -> Record:
    record = wanted.record()
    if record is not None:
        return record
    original, ours = _original(wanted, watch)
    try:
        record = keep(wanted, original, licence_accepted, watch, wanted.entry.sha256)
    except WeightsError:
        if ours:
            original.unlink(missing_ok=True)
        raise
    if ours and not keep_original:
        original.unlink(missing_ok=True)
    return record


def _original(wanted: Place, watch: Watch) -> tuple[Path, bool]:
    """The file as published, and whether it is ours to delete."""
    name = Path(wanted.entry.path).name
    target = download_folder(wanted.engine.id, wanted.weights.id) / name
    if target.is_file():
        return target, True
    if hub.offline():
        found = hub.cached(wanted.weights, wanted.entry)
        if found is not None:
            return found, False
    remote = hub.locate(wanted.weights, wanted.entry)
    _check_announced(wanted.entry, remote)
    found = hub.cached(wanted.weights, wanted.entry, remote.commit)
    if found is not None and found.stat().st_size == remote.bytes:
        return found, False
    made(target.parent)
    part = target.parent / f"{name}.{re.sub('[^0-9a-z]', '', remote.etag)[:16]}.part"
    here = part.stat().st_size if part.exists() else 0
    check_room(target.parent, remote.bytes - here + wanted.entry.bytes, f"Downloading {name}")
    _fetch(remote, part, name, watch)
    if remote.sha256 and file_sha256(part, watch, f"checking {name}") != remote.sha256:
        part.unlink()
        raise WeightsError(f"{name} arrived damaged: its hash is not the one that the hub announced; "
                           "run the command again.")
    part.replace(target)
    return target, True


def _check_announced(entry: WeightFile, remote: hub.HubFile) -> None:
    """A size far from the published one means another file; say so before fetching it."""
    if not 0.4 * entry.bytes <= remote.bytes <= 1.5 * entry.bytes + 16 * _MB:
        raise WeightsError(f"The hub announces {remote.bytes / 1e6:.1f} MB for {entry.path}, and "
                           f"{entry.bytes / 1e6:.1f} MB were published; it is not fetched: update text2ct.")
    if entry.sha256 and remote.sha256 and remote.sha256 != entry.sha256:
        raise WeightsError(f"The hub has another {entry.path} than the one that was published (sha256 "
                           f"{remote.sha256[:12]}..., not {entry.sha256[:12]}...); it is not fetched: update text2ct.")


def _fetch(remote: hub.HubFile, part: Path, name: str, watch: Watch) -> None:
    """Bring `part` to its full size; gives up when several attempts in a row brought nothing."""
    vain = 0
    with requests.Session() as session:
        while True:
            before = part.stat().st_size if part.exists() else 0
            if before > remote.bytes:
                part.unlink()
                before = 0
            if before == remote.bytes:
                return
            try:
                _fetch_rest(session, remote, part, before, name, watch)
            except requests.RequestException as error:
                reason = type(error).__name__
            else:
                reason = "the connection ended early"
            after = part.stat().st_size if part.exists() else 0
            if after == remote.bytes:
                return
            vain = 0 if after > before else vain + 1
            if vain >= _ATTEMPTS:
                raise Unavailable(f"The download of {name} broke off at {after / 1e6:.1f} of {remote.bytes / 1e6:.1f} "
                                  f"MB ({reason}); run the command again to continue from there.")
            time.sleep(min(0.1 * 2**vain, 3.0))


def _fetch_rest(session: requests.Session, remote: hub.HubFile, part: Path, start: int, name: str,
                watch: Watch) -> None:
    """One request for what is missing, appended to `part`."""
    headers = {"Accept-Encoding": "identity"}
    if remote.token:
        headers["Authorization"] = f"Bearer {remote.token}"
    if start:
        headers["Range"] = f"bytes={start}-"
    with session.get(remote.url, headers=headers, stream=True, timeout=_TIMEOUT_S) as response:
        mode = _judge(response, remote, start, name)
        done = start if mode == "ab" else 0
        try:
            with part.open(mode) as file:
                for piece in response.iter_content(_PIECE):
                    done += len(piece)
                    if done > remote.bytes:
                        break
                    file.write(piece)
                    if done % _MB < len(piece):
                        watch.at(f"downloading {name}", done // _MB, remote.bytes // _MB)
        except requests.RequestException:
            raise
        except OSError as error:
            raise Unavailable(f"{part.parent} cannot be written: {error.strerror or error}; free space and run the "
                              "command again to continue.") from error
    if done > remote.bytes:
        part.unlink()
        raise WeightsError(f"The server sends more of {name} than it announced; it is not kept, try again later.")


def _judge(response: requests.Response, remote: hub.HubFile, start: int, name: str) -> str:
    """How to write what the server is about to send: append to the part, or begin anew."""
    status = response.status_code
    if status in (401, 403):
        raise WeightsError(f"The hub refuses {name} to this machine ({status}); accept the terms of the repository and "
                           "log in with: hf auth login (or set HF_TOKEN)")
    if status == 404:
        raise WeightsError(f"{name} disappeared from the hub while it was fetched (404); run the command again.")
    if status == 206:
        sent = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if sent is None or int(sent[1]) != start or sent[2] not in ("*", str(remote.bytes)):
            raise WeightsError(f"The server sends another part of {name} than was asked for; run the command again.")
        return "ab"
    if status != 200:
        raise requests.HTTPError(f"status {status}", response=response)
    length = response.headers.get("Content-Length", "")
    if length.isdigit() and int(length) != remote.bytes:
        raise WeightsError(f"The server announced {remote.bytes} bytes for {name} and now sends {length}; "
                           "it is not kept, try again later.")
    return "wb"
