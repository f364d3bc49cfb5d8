"""`text2ct engines`: what can be run here, from the catalog."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from ..engines import catalog
from ..engines.terms import Engine, Limits, Preset, WeightSet
from ..geometry import times
from ..plain import to_plain
from ..weights.store import present
from .console import Console


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("engines", parents=[common], help="what can be run, and under which licence",
                                 description="List engines with their tasks, presets, weight sets and licences.")
    parser.add_argument("name", nargs="?", help="show all about one engine")
    parser.add_argument("--markdown", action="store_true", help="as the table of the README")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    chosen = [catalog.engine(args.name)] if args.name else list(catalog.ENGINES.values())
    if args.markdown:
        console.line(markdown_table())
        return 0
    for entry in chosen:
        for line in _lines(entry, whole=bool(args.name) or console.verbose):
            console.line(line)
    console.data([to_plain(entry) for entry in chosen])
    return 0


def markdown_table() -> str:
    """The engines as a Markdown table; the README carries it."""
    rows = ["| Engine | What it does | Weights and their licence | State |", "|---|---|---|---|"]
    for entry in catalog.ENGINES.values():
        weights = "; ".join(f"[{w.licence.id}]({w.licence.url}), {_size(w)}" for w in entry.weight_sets
                            if not w.ships or present(entry, w))
        state = _state(entry) if entry.ready else "weights only" if weights else "not in this release"
        none = "none needed" if entry.ready else "none published"
        rows.append(f"| {entry.title} | {entry.summary} | {weights or none} | {state} |")
    return "\n".join(rows)


def _state(entry: Engine) -> str:
    if not entry.ready:
        return "not in this release"
    with_us = any(weights.ships and present(entry, weights) for weights in entry.weight_sets)
    return "ready" if with_us or not entry.weight_sets else "ready, given weights"


def _size(weights: WeightSet) -> str:
    return f"{weights.id} ships with it" if weights.ships else f"{weights.bytes / 1e9:.1f} GB"


def _lines(entry: Engine, whole: bool) -> list[str]:
    lines = [f"{entry.id:<16} {'/'.join(entry.tasks):<16} {_state(entry):<20} {entry.summary}"]
    if not whole:
        return lines
    lines += _preset_lines(entry.presets, entry.limits)
    for name, values in entry.lesion_vocabulary.items():
        lines.append(f"  lesion {name:<10} {', '.join(values)}")
    for weights in entry.weight_sets:
        size = "ships with text2ct" if present(entry, weights) else "not in this copy"
        lines.append(f"  weights {weights.id:<9} {size if weights.ships else f'{weights.bytes / 1e9:.2f} GB'}, "
                     f"{weights.licence.id}: {weights.licence.summary}")
        lines += [f"    {weights.notes}"] if weights.notes else []
        lines += [f"  {line}" for line in _preset_lines(weights.presets, entry.limits_of(weights.id))]
    return lines


def _preset_lines(presets: Mapping[str, Preset], limits: Limits) -> list[str]:
    return [f"  preset {name:<10} {times(preset.shape)} at {times(preset.spacing)} mm, {preset.summary}, "
            f"{limits.memory(preset.shape) / 1e9:.1f} GB" for name, preset in presets.items()]
