"""Branching trees, grown to targets: pulmonary arteries and veins, bronchi, vessels of the liver.

Each target is joined to the node of the tree that is near and not a long way from
the root, by a branch that leaves its parent smoothly. Radii follow from the number
of ends a branch feeds (Murray's law), so vessels taper and thin out to the pleura.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers = NDArray[np.float64]
_DENSE = 6


@dataclass(frozen=True, eq=False)
class Tree:
    """Points along all branches, their radius (mm), and how many ends the branch there feeds."""

    points: Numbers
    radii: Numbers
    ends: Numbers

    @property
    def empty(self) -> bool:
        return len(self.points) == 0


def join(trees: list[Tree]) -> Tree:
    """Several trees as one."""
    return Tree(np.concatenate([t.points for t in trees]), np.concatenate([t.radii for t in trees]),
                np.concatenate([t.ends for t in trees]))


def grow(root: ArrayLike, targets: Numbers, leaf_radius: float, rng: np.random.Generator, step: float = 6.0,
         path_weight: float = 0.62, exponent: float = 2.6, largest: float = 8.0) -> Tree:
    """A tree from `root` to all targets."""
    start = np.asarray(root, float)
    order = np.argsort(np.linalg.norm(targets - start, axis=1) + rng.normal(0, 12, len(targets)))
    room = len(targets) * 12 + 400
    nodes, path, parent = np.zeros((room, 3)), np.zeros(room), np.full(room, -1)
    nodes[0], used, ends = start, 1, []
    for target in targets[order]:
        gap = nodes[:used] - target
        away = np.sqrt(np.einsum("ij,ij->i", gap, gap))
        near = int(np.argmin(away + path_weight * path[:used]))
        count = max(1, int(away[near] / step))
        if used + count >= room:
            break
        way = _branch(nodes, parent, near, target, count) + rng.normal(0, 0.35, (count, 3))
        nodes[used:used + count] = way
        parent[used:used + count] = [near, *range(used, used + count - 1)]
        path[used:used + count] = path[near] + away[near] * np.arange(1, count + 1) / count
        used += count
        ends.append(used - 1)
    return _thicken(nodes[:used], parent[:used], np.array(ends, int), leaf_radius, exponent, largest, rng)


def _branch(nodes: Numbers, parent: NDArray[np.int64], near: int, target: Numbers, count: int) -> Numbers:
    """Points from a node to a target that leave in the direction of the parent branch and bend over."""
    gap = target - nodes[near]
    length = float(np.linalg.norm(gap)) + 1e-9
    onward = gap / length if parent[near] < 0 else nodes[near] - nodes[parent[near]]
    onward = onward / (np.linalg.norm(onward) + 1e-9)
    sideways = onward - gap / length * float(onward @ gap / length)
    s = (np.arange(1, count + 1) / count)[:, None]
    way: Numbers = nodes[near] + gap * s + sideways * length * 0.6 * s * (1 - s)
    return way


def _thicken(nodes: Numbers, parent: NDArray[np.int64], ends: NDArray[np.int64], leaf: float, exponent: float,
             largest: float, rng: np.random.Generator) -> Tree:
    fed = np.zeros(len(nodes))
    fed[ends] = 1
    for n in range(len(nodes) - 1, 0, -1):
        fed[parent[n]] += fed[n]
    radius = np.minimum(leaf * np.maximum(fed, 1) ** (1 / exponent), largest)
    radius *= 1 + 0.08 * rng.normal(size=len(nodes)).clip(-1.5, 1.5)
    tail, head = nodes[1:], nodes[parent[1:]]
    thin, thick = radius[1:], np.minimum(radius[parent[1:]], radius[1:] * 1.25)
    at = (np.arange(_DENSE) / _DENSE)[:, None]
    points = (tail[:, None] * (1 - at) + head[:, None] * at).reshape(-1, 3)
    radii = (thin[:, None] * (1 - at.T) + thick[:, None] * at.T).reshape(-1)
    return Tree(points, radii, np.repeat(fed[1:], _DENSE))


def spread(rng: np.random.Generator, inside: NDArray[np.bool_], origin: tuple[float, float, float], step: float,
           count: int) -> Numbers:
    """Random points (x, y, z) in a mask of a lattice."""
    flat = np.flatnonzero(inside)
    if len(flat) == 0:
        return np.zeros((0, 3))
    z, y, x = np.unravel_index(rng.choice(flat, count), inside.shape)
    jitter = rng.uniform(-0.5, 0.5, (count, 3))
    points: Numbers = (np.stack([x, y, z], 1) + jitter) * step + np.asarray(origin)
    return points
