"""From an order to the request with its images: parcels are read, bounded, and checked against their digests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from ..errors import BadRequest
from ..plain import Unseen
from ..requests import Request, from_json
from ..volume import LabelVolume, Volume
from . import parcels
from .messages import RunJob


def request_of(order: RunJob) -> Request:
    """The request as it was asked, voxels included."""
    paths = {image.digest: Path(image.path) for image in order.images}
    volumes: dict[str, Volume] = {}
    for digest, kind in _named(order.request):
        if digest in paths and digest not in volumes:
            volumes[digest] = _read(paths[digest], kind, order.most_voxels)
    return from_json(order.request, volumes)


def _named(request: str) -> Iterator[tuple[str, type[Volume]]]:
    """The digest and the kind of each image that the request speaks of."""
    plain, hollow = json.loads(request), from_json(request, Unseen())
    for field in fields(hollow):
        value = getattr(hollow, field.name)
        if isinstance(value, Volume):
            yield plain[field.name]["digest"], type(value)


def _read(path: Path, kind: type[Volume], most_voxels: int) -> Volume:
    try:
        return parcels.read_labels(path, most_voxels) if kind is LabelVolume else parcels.read_ct(path, most_voxels)
    except FileNotFoundError:
        raise BadRequest("An image of this request is no longer on the server; send it again.") from None
