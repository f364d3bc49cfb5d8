"""One entry for one thing: findings that a report states more than once are joined.

Impressions repeat what the findings section said, usually in fewer words. Two
statements of the same kind are one finding when nothing in them disagrees; what
one leaves open is filled from the other. Another side, lobe or size makes another
finding.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from .finding import Finding

_SIZE_TOLERANCE = 0.15


@dataclass(frozen=True)
class Statement:
    """A finding as one sentence states it; `another` says that it is not one named before.

    A `reading` is an opinion of what was described: pneumonia, of a consolidation.
    """

    finding: Finding
    part: int
    sentence: int
    another: bool = False
    reading: bool = False


def merged(statements: Iterable[Statement]) -> tuple[Finding, ...]:
    """The distinct findings in the order in which they are first named."""
    kept: list[Statement] = []
    for statement in statements:
        if _sums_up(statement, kept):
            continue
        same = [n for n, old in enumerate(kept) if _same(old, statement)]
        if not same:
            kept.append(statement)
            continue
        if len(same) > 1 and _is_general(statement.finding):
            continue
        best = max(same, key=lambda n: _agreement(kept[n].finding, statement.finding))
        kept[best] = replace(kept[best], finding=_joined(kept[best].finding, statement.finding))
    return tuple(s.finding for s in kept if not _is_overruled(s, kept))


def _same(old: Statement, new: Statement) -> bool:
    """Whether two statements can be about one thing."""
    a, b = old.finding, new.finding
    if a.kind != b.kind or new.another or ("absent" in (a.certainty, b.certainty) and a.certainty != b.certainty):
        return False
    if old.sentence == new.sentence and old.part == new.part and (_states_place(a) != _states_place(b)):
        return a.certainty != b.certainty or not (a.size_mm and b.size_mm)
    if a.side and b.side and a.side != b.side:
        return False
    if a.lobe and b.lobe and not (set(a.lobe) <= set(b.lobe) or set(b.lobe) <= set(a.lobe)):
        return False
    if a.lobe and b.lobe and a.lobe != b.lobe and old.part == new.part and a.size_mm != b.size_mm:
        return False
    if a.station and b.station and not (set(a.station.split(", ")) & set(b.station.split(", "))):
        return False
    if a.size_mm and b.size_mm:
        return abs(a.size_mm - b.size_mm) <= _SIZE_TOLERANCE * max(a.size_mm, b.size_mm)
    return True


def _sums_up(new: Statement, kept: list[Statement]) -> bool:
    """Whether "bilateral effusions" says again what was said of each side; or a reading what was described."""
    finding = new.finding
    earlier = [s.finding for s in kept if s.part != new.part and s.finding.certainty == finding.certainty]
    if new.reading and finding.certainty != "absent" and not _states_place(finding):
        return any(f.kind in ("consolidation", "lung_opacity") and f.certainty == "present" for f in (
            s.finding for s in kept if s.part != new.part))
    sides = {f.side for f in earlier if f.kind == finding.kind}
    return finding.side == "bilateral" and not finding.lobe and not finding.size_mm and {"left", "right"} <= sides


def _states_place(finding: Finding) -> bool:
    return bool(finding.lobe or finding.side)


def _is_general(finding: Finding) -> bool:
    return not (finding.lobe or finding.side or finding.size_mm or finding.station)


def _agreement(a: Finding, b: Finding) -> int:
    pairs = ((a.side, b.side), (a.lobe, b.lobe), (a.size_mm, b.size_mm), (a.severity, b.severity),
             (a.station, b.station))
    return sum(bool(x) and x == y for x, y in pairs)


def _joined(a: Finding, b: Finding) -> Finding:
    """The first statement, with what it leaves open taken from the second."""
    richer = b if len(b.lobe) > len(a.lobe) else a
    certainty = "present" if "present" in (a.certainty, b.certainty) else a.certainty
    return replace(
        a, certainty=certainty, side=richer.side or a.side or b.side, lobe=richer.lobe,
        station=_both(a.station, b.station), size_mm=a.size_mm or b.size_mm, severity=a.severity or b.severity,
        count=a.count or b.count, density=a.density or b.density, margin=a.margin or b.margin,
        change=a.change or b.change)


def _both(a: str | None, b: str | None) -> str | None:
    names = [*(a or "").split(", "), *(b or "").split(", ")]
    return ", ".join(dict.fromkeys(n for n in names if n)) or None


def _is_overruled(statement: Statement, all_: list[Statement]) -> bool:
    """A general denial beside a statement that the thing is or may be there: "no other nodule" and the like."""
    finding = statement.finding
    if finding.certainty != "absent" or not _is_general(finding):
        return False
    others = [s for s in all_ if s.finding.kind == finding.kind and s.finding.certainty != "absent"]
    if any(s.finding.certainty == "present" for s in others):
        return True
    return any(finding.change == "new" or (s.part == statement.part and s.sentence == statement.sentence)
               for s in others)
