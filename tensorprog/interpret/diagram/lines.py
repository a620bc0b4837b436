"""Long drawings broken into lines, like text: at columns that hold a single variable a row, which is drawn again at the start of the next line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from tensorprog.interpret.diagram.marks import Mark, box_of, extent, moved
from tensorprog.interpret.diagram.placed import Link, Placed
from tensorprog.interpret.diagram.routes import Segments, bounds

LINE_GAP = 20.0
NODE_ROLES = frozenset({"G", "X", "scalar", "name", "axes", "path"})


def breaks(placed: Placed, curves: Mapping[Link, Segments], width: float) -> list[float]:
    """Where to break, from left to right, so that lines are at most `width` long where the drawing allows it, and about equally long."""
    first, last = placed.columns[0].left, placed.columns[-1].right
    if last - first <= width:
        return []
    clear = _clear(placed, curves)
    fewest = len(_greedy(clear, first, last, width))
    ends = [first, *clear, last]
    for narrower in sorted({b - a for a in ends for b in ends if a < b <= a + width}):
        found = _greedy(clear, first, last, narrower)
        if len(found) <= fewest and max(b - a for a, b in pairwise([first, *found, last])) <= narrower:
            return found
    return _greedy(clear, first, last, width)


def _clear(placed: Placed, curves: Mapping[Link, Segments]) -> list[float]:
    """Centres of the columns which no edge passes and which hold nodes only, at most one a row."""
    spans = [bounds([p for _, points in c for p in points]) for c in curves.values()]
    clear: list[float] = []
    for k, column in enumerate(placed.columns[1:-1], 1):
        here = [item for item, rank in placed.rank.items() if rank == k]
        rows = [placed.graph.vertex[item].row for item in here if item in placed.graph.vertex]
        alone = len(rows) == len(here) > 0 and len(set(rows)) == len(rows)
        if alone and not any(left < column.centre - 4 and column.centre + 4 < right for left, _, right, _ in spans):
            clear.append(column.centre)
    return clear


def _greedy(clear: Sequence[float], first: float, last: float, width: float) -> list[float]:
    found: list[float] = []
    start = first
    while last - start > width:
        after = [x for x in clear if x > start]
        if not after:
            break
        within = [x for x in after if x - start <= width]
        start = within[-1] if within else after[0]
        found.append(start)
    return found


def broken(placed: Placed, marks: Sequence[Mark], at: Sequence[float]) -> list[list[Mark]]:
    """The marks of each line, the lines below each other; a variable at a break stands at the end of one and the start of the next."""
    lines: list[list[Mark]] = []
    floor = 0.0
    for left, right in pairwise([float("-inf"), *at, float("inf")]):
        ends = {item for item, (x, _) in placed.at.items() if x in (left, right)}
        own = [mark for mark in marks if _on_line(mark, left, right, ends)]
        x0, _, _, top = box_of(own)
        lines.append([moved(mark, -x0, floor - top) for mark in own])
        floor = box_of(lines[-1])[1] - LINE_GAP
    return lines


def _on_line(mark: Mark, left: float, right: float, ends: set[str]) -> bool:
    x0, _, x1, _ = extent(mark)
    return left - 0.1 <= (x0 + x1) / 2 <= right + 0.1 or (mark.role in NODE_ROLES and dict(mark.data).get("name") in ends)
