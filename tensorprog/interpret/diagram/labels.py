"""Where the names of matrices stand: beside their dashed edges, clear of other edges, nodes, gates and names.

Greedy: edge by edge, the place with the least in its way. A matrix that has its own colour and is named elsewhere may stay unnamed on an edge
without a clear place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tensorprog.interpret.diagram.glyphs import LABEL_SIZE, Point, outline
from tensorprog.interpret.diagram.placed import Link, Placed
from tensorprog.interpret.diagram.routes import Segments, point_on
from tensorprog.interpret.diagram.spec import BLACK, Product

Box = tuple[float, float, float, float]
SHARES = (0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8)
FAN = (0.64, 0.6, 0.7, 0.56, 0.76, 0.82, *SHARES)  # where a fan of edges has opened
SAMPLES, AWAY, CLEAR = 24, 1.6, 0.6
CROSSED, COVERED = 1.0, 6.0  # cost of a sample of an edge, of a box, in the way
NEAR, BESIDE = 5.0, 0.4  # what stands as near as this on the left or right would be read in one go with the name; its cost
MATRIX_SIZE = LABEL_SIZE - 0.4


def matrix_places(placed: Placed, curves: Mapping[Link, Segments], taken: Sequence[Box]) -> dict[Product, Point]:
    """The centre of each matrix's name, in layout coordinates; `taken` are the boxes of nodes, gates and names."""
    samples = np.array([[point_on(c, k / SAMPLES)[0] for k in range(SAMPLES + 1)] for c in curves.values()]).reshape(len(curves), SAMPLES + 1, 2)
    number = {link: k for k, link in enumerate(curves)}
    boxes = list(taken)
    places: dict[Product, Point] = {}
    named: set[str] = set()
    for p in placed.graph.products:
        link = Link(p.source, p.target, "product")
        others = np.delete(samples, number[link], axis=0)
        fan = sum(other.source == p.source for other in curves) > 2
        candidates = list(_candidates(curves[link], _size(placed, p), FAN if fan else SHARES))
        costs = [_cost(box, others, boxes) + 0.01 * k for k, (_, box) in enumerate(candidates)]
        best = min(range(len(costs)), key=costs.__getitem__)
        if costs[best] >= CROSSED and p.colour != BLACK and p.matrix in named:
            continue
        place, box = candidates[best]
        places[p] = place
        boxes.append(box)
        named.add(p.matrix)
    return places


def _size(placed: Placed, p: Product) -> tuple[float, float]:
    """Along and across."""
    letters = outline(p.label, MATRIX_SIZE)
    return (letters.height, letters.width) if placed.graph.upward else (letters.width, letters.height)


def _candidates(curve: Segments, size: tuple[float, float], shares: Sequence[float]) -> Iterator[tuple[Point, Box]]:
    """Places above, then below, from the best share of the edge to the worst."""
    w, h = size
    for share in shares:
        (x, y), (ux, uy) = point_on(curve, share)
        if ux < 0:
            ux, uy = -ux, -uy
        away = AWAY + abs(ux) * h / 2 + abs(uy) * w / 2
        for side in (1.0, -1.0):
            cx, cy = x - side * uy * away, y + side * ux * away
            yield (cx, cy), (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)


def _cost(box: Box, points: NDArray[np.float64], boxes: Sequence[Box]) -> float:
    left, bottom, right, top = box[0] - CLEAR, box[1] - CLEAR, box[2] + CLEAR, box[3] + CLEAR
    x, y = points[..., 0], points[..., 1]
    crossed = int(np.count_nonzero((left < x) & (x < right) & (bottom < y) & (y < top)))
    level = [b for b in boxes if bottom < b[3] and b[1] < top]
    covered = sum(left < b[2] and b[0] < right for b in level)
    beside = sum(left - NEAR < b[2] and b[0] < right + NEAR for b in level)
    return CROSSED * crossed + COVERED * covered + BESIDE * beside
