"""What a kind of finding is: its name, its place in the body, its words, and what can be said of it.

The table of all kinds is `vocabulary`; this is the form its rows are written in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..geometry import Triple

Region = Literal["lungs", "airways", "pleura", "heart", "vessels", "mediastinum", "abdomen", "skeleton", "soft tissue",
                 "material"]
Scale = Literal["size", "degree"]


@dataclass(frozen=True)
class Kind:
    """One kind of finding. `scale` says which severity words fit it: small..large or mild..severe.

    `sided` and `lobar` say whether a side and lobes mean something for it, `sized`
    whether a diameter or thickness does. `standard` marks the 18 labels of CT-RATE.
    """

    id: str
    title: str
    region: Region
    summary: str
    color: Triple
    names: tuple[str, ...]
    patterns: tuple[str, ...] = ()
    normal: tuple[str, ...] = ()
    weak: tuple[str, ...] = ()
    sided: bool = False
    lobar: bool = False
    sized: bool = False
    scale: Scale | None = None
    stations: bool = False
    densities: tuple[str, ...] = ()
    margins: tuple[str, ...] = ()
    standard: bool = False
