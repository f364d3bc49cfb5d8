"""Licences of weights: shown before the first use, accepted once, remembered."""

from __future__ import annotations

import json

from ..engines.terms import Engine, WeightSet
from ..formats.atomic import replacing
from ..provenance import now
from .home import made, set_folder

_NAME = "licence.json"


def licence_text(engine: Engine, weights: WeightSet) -> str:
    """What a person must know before taking these weights."""
    licence = weights.licence
    lines = [f"{weights.title} (engine {engine.title})", f"Licence: {licence.id}, {licence.url}", licence.summary,
             "Commercial use: " + ("allowed." if licence.commercial else "not allowed."), weights.notes]
    return "\n".join(line for line in lines if line)


def accepted_when(engine: Engine, weights: WeightSet) -> str:
    """When this licence was accepted here; empty when it was not."""
    try:
        plain = json.loads((set_folder(engine.id, weights.id) / _NAME).read_text(encoding="utf-8"))
        return str(plain["accepted"]) if plain["licence"] == weights.licence.id else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def accept(engine: Engine, weights: WeightSet) -> str:
    """Remember the user's word."""
    when = now()
    path = made(set_folder(engine.id, weights.id)) / _NAME
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({"licence": weights.licence.id, "url": weights.licence.url, "accepted": when}),
                             encoding="utf-8")
    return when
