"""The order of items within each column: barycentre sweeps, then exchanges of neighbours, kept when they lower the number of crossings."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise

SWEEPS = 16


def ordered(column: Mapping[str, int], edges: Sequence[tuple[str, str]]) -> list[list[str]]:
    """The items of each column from top to bottom; `edges` join neighbouring columns."""
    if not column:
        return []
    left: dict[str, list[str]] = defaultdict(list)
    right: dict[str, list[str]] = defaultdict(list)
    for a, b in edges:
        a, b = (a, b) if column[a] < column[b] else (b, a)
        right[a].append(b)
        left[b].append(a)
    layers = _initial(column, left, right)
    best, fewest = layers, _crossings(layers, right)
    for sweep in range(SWEEPS):
        layers = _sweep(layers, left, right, forward=sweep % 2 == 0)
        layers = _exchanged(layers, left, right)
        count = _crossings(layers, right)
        if count < fewest:
            best, fewest = layers, count
    return best


def _initial(column: Mapping[str, int], left: Mapping[str, list[str]], right: Mapping[str, list[str]]) -> list[list[str]]:
    """Depth first, against the computation from its ends, so that what belongs together starts together."""
    layers: list[list[str]] = [[] for _ in range(max(column.values()) + 1)]
    seen: set[str] = set()
    ends = sorted((name for name in column if not right.get(name)), key=lambda name: -column[name])
    stack = [*reversed(ends)] or list(column)
    stack = [*reversed([name for name in column if name not in ends]), *stack]
    while stack:
        name = stack.pop()
        if name in seen:
            continue
        seen.add(name)
        layers[column[name]].append(name)
        stack.extend(reversed(left.get(name, [])))
    return layers


def _sweep(layers: list[list[str]], left: Mapping[str, list[str]], right: Mapping[str, list[str]], *, forward: bool) -> list[list[str]]:
    new = [list(layer) for layer in layers]
    near = left if forward else right
    columns = range(1, len(new)) if forward else range(len(new) - 2, -1, -1)
    for c in columns:
        index = {name: k for k, name in enumerate(new[c - 1 if forward else c + 1])}
        own = {name: float(k) for k, name in enumerate(new[c])}
        centre = {}
        for name in new[c]:
            beside = [index[b] for b in near.get(name, []) if b in index]
            centre[name] = sum(beside) / len(beside) if beside else own[name]
        new[c].sort(key=lambda name: (centre[name], own[name]))
    return new


def _exchanged(layers: list[list[str]], left: Mapping[str, list[str]], right: Mapping[str, list[str]]) -> list[list[str]]:
    """Exchange neighbours as long as that lowers the crossings with both neighbouring columns."""
    new = [list(layer) for layer in layers]
    for _ in range(4):
        better = False
        for c, layer in enumerate(new):
            sides = [
                (near, {name: k for k, name in enumerate(new[other])}) for near, other in ((left, c - 1), (right, c + 1)) if 0 <= other < len(new)
            ]
            for k in range(len(layer) - 1):
                a, b = layer[k], layer[k + 1]
                if sum(_pair(near[a], near[b], index) - _pair(near[b], near[a], index) for near, index in sides if a in near and b in near) > 0:
                    layer[k], layer[k + 1] = b, a
                    better = True
        if not better:
            break
    return new


def _pair(upper: Sequence[str], lower: Sequence[str], index: Mapping[str, int]) -> int:
    """Crossings between the edges of two items, `upper` those of the one that stands above."""
    return sum(index[u] > index[v] for u in upper for v in lower if u in index and v in index)


def _crossings(layers: Sequence[Sequence[str]], right: Mapping[str, list[str]]) -> int:
    total = 0
    for here, there in pairwise(layers):
        index = {name: k for k, name in enumerate(there)}
        ends = [sorted(index[b] for b in right.get(a, []) if b in index) for a in here]
        seen: list[int] = []
        for group in ends:
            total += sum(len(seen) - bisect_right(seen, e) for e in group)
            for e in group:
                insort(seen, e)
    return total
