"""Positions -> curves: each edge as cubic Bezier segments in the layout's (along, across) coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import hypot

from tensorprog.interpret.diagram.detours import HOOK, HOOK_STEP, LANE_FIRST, LANE_STEP, STUB
from tensorprog.interpret.diagram.glyphs import CIRCLE, SQUARE, THICKNESS, Point
from tensorprog.interpret.diagram.placed import LABEL_GAP, Detour, Link, Placed, is_gate

Segments = tuple[tuple[str, tuple[Point, ...]], ...]
STRAIGHT_SLOPE = 0.8
QUARTER = 0.5523


@dataclass(frozen=True)
class Stop:
    """A point that a curve passes in a given direction (a unit vector along an axis)."""

    at: Point
    toward: Point


def through(stops: Sequence[Stop]) -> Segments:
    """A smooth curve through the stops: quarter ellipses where it turns, S-curves where it does not."""
    segments: list[tuple[str, tuple[Point, ...]]] = [("M", (stops[0].at,))]
    for a, b in pairwise(stops):
        run = (b.at[0] - a.at[0], b.at[1] - a.at[1])
        turning = abs(a.toward[0] * b.toward[0] + a.toward[1] * b.toward[1]) < 0.5
        share = QUARTER if turning else 0.5
        reach = lambda d: share * abs(run[0] * d[0] + run[1] * d[1])  # noqa: B023, E731
        p = (a.at[0] + a.toward[0] * reach(a.toward), a.at[1] + a.toward[1] * reach(a.toward))
        q = (b.at[0] - b.toward[0] * reach(b.toward), b.at[1] - b.toward[1] * reach(b.toward))
        segments.append(("C", (p, q, b.at)))
    return tuple(segments)


def line(a: Point, b: Point) -> Segments:
    return ("M", (a,)), ("L", (b,))


def point_on(segments: Segments, share: float) -> tuple[Point, Point]:
    """The point at a share of a curve's pieces, and the direction there (a unit vector)."""
    pieces = len(segments) - 1
    k = min(int(share * pieces), pieces - 1)
    t = share * pieces - k
    start = segments[k][1][-1]
    letter, points = segments[k + 1]
    controls = (start, *points) if letter == "C" else (start, start, points[-1], points[-1])
    position, velocity = _bezier(controls, t)
    size = hypot(*velocity) or 1.0
    return position, (velocity[0] / size, velocity[1] / size)


def _bezier(controls: Sequence[Point], t: float) -> tuple[Point, Point]:
    a, b, c, d = controls
    weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
    slopes = (-3 * (1 - t) ** 2, 3 * (1 - t) ** 2 - 6 * t * (1 - t), 6 * t * (1 - t) - 3 * t * t, 3 * t * t)
    at = tuple(sum(w * p[i] for w, p in zip(weights, (a, b, c, d), strict=True)) for i in (0, 1))
    by = tuple(sum(w * p[i] for w, p in zip(slopes, (a, b, c, d), strict=True)) for i in (0, 1))
    return (at[0], at[1]), (by[0], by[1])


def routes(placed: Placed) -> dict[Link, Segments]:
    """The curve of every edge."""
    detours = placed.detours
    curved = _curved(placed)

    def route(link: Link) -> Segments:
        if link in placed.stubs:
            return _stub(placed, link)
        return _across_rows(placed, link, detours[link]) if link in detours else _within_row(placed, link, link not in curved)

    return {link: route(link) for link in placed.links}


def _curved(placed: Placed) -> set[Link]:
    """The edges that cannot be straight, and with them those that multiply the same vector: a fan is of one kind."""
    bent = [k for k in placed.links if placed.bends.get(k) or not _may_be_straight(placed, k, _leaving(placed, k), _arriving(placed, k))]
    fans = {k.source for k in bent if k.kind == "product"}
    return {*bent, *(k for k in placed.links if k.kind == "product" and k.source in fans)}


def _radius(placed: Placed, item: str) -> float:
    return (SQUARE if placed.graph.vertex[item].kind == "scalar" else CIRCLE) / 2


def _leaving(placed: Placed, link: Link) -> Point:
    """Where an edge leaves its source: a gate's short side, or the front of a node."""
    x, y = placed.at[link.source]
    d = placed.ahead(link.source)
    if link.kind == "output":
        return x + d * THICKNESS / 2, y + placed.ports[link.source, link.target]
    return x + d * _radius(placed, link.source), y


def _arriving(placed: Placed, link: Link) -> Point:
    """Where an edge ends: a port of a gate's long side, or the back of a node."""
    x, y = placed.at[link.target]
    d = placed.ahead(link.target)
    if link.kind == "input":
        return x - d * THICKNESS / 2, y + placed.ports[link.source, link.target]
    return x - d * _radius(placed, link.target), y


def _within_row(placed: Placed, link: Link, straight: bool) -> Segments:
    start, end = _leaving(placed, link), _arriving(placed, link)
    if straight:
        return _trimmed(placed, link, start, end)
    bends = placed.bends.get(link, ())
    d = placed.ahead(link.source)
    out, into = placed.columns[placed.rank[link.source]], placed.columns[placed.rank[link.target]]
    edge_out, edge_in = (out.right, into.left) if d > 0 else (out.left, into.right)
    points = [start, (edge_out, start[1]), *bends, (edge_in, end[1]), end]
    kept = [p for k, p in enumerate(points) if k == 0 or abs(p[0] - points[k - 1][0]) > 0.01]
    return through([Stop(p, (d, 0.0)) for p in kept])


def _may_be_straight(placed: Placed, link: Link, start: Point, end: Point) -> bool:
    """Slanted edges are straight, as in the paper, where that keeps them off the names."""
    rise = end[1] - start[1]
    slope = abs(rise) / max(1.0, abs(end[0] - start[0]))
    labels_below = placed.graph.rows[placed.row(link.source)].labels == "below"
    near_name = link.source if (rise < 0) == labels_below else link.target
    if is_gate(near_name):
        return slope <= STRAIGHT_SLOPE and link.kind == "product"
    reach = placed.room[near_name].right if (near_name == link.source) == (placed.ahead(link.source) > 0) else placed.room[near_name].left
    return slope <= STRAIGHT_SLOPE and slope * reach <= CIRCLE / 2 + LABEL_GAP - 0.8 and (link.kind == "product" or slope < 0.2)


def _trimmed(placed: Placed, link: Link, start: Point, end: Point) -> Segments:
    """A straight edge meets a circle on its radius."""
    if link.kind != "product":
        return line(start, end)
    (ax, ay), (bx, by) = placed.at[link.source], placed.at[link.target]
    length = hypot(bx - ax, by - ay)
    ux, uy = (bx - ax) / length, (by - ay) / length
    ra, rb = _radius(placed, link.source), _radius(placed, link.target)
    return line((ax + ux * ra, ay + uy * ra), (bx - ux * rb, by - uy * rb))


def _stub(placed: Placed, link: Link) -> Segments:
    """A short wire into the gate."""
    x, y = _arriving(placed, link)
    return line((x - placed.ahead(link.target) * STUB, y), (x, y))


def _across_rows(placed: Placed, link: Link, detour: Detour) -> Segments:
    """Out of the node towards the other row, along a lane between the rows, and around into the input side of the gate."""
    v = -1.0 if detour.from_above else 1.0
    facing = placed.row_span[placed.row(link.target)][1 if detour.from_above else 0]
    level = facing - v * (LANE_FIRST + LANE_STEP * detour.lane)
    end, d = _arriving(placed, link), placed.ahead(link.target)
    side = end[0] - d * (HOOK + HOOK_STEP * detour.turn)
    first = _way_out(placed, link, v, level)
    h = 1.0 if side > first[-1].at[0] else -1.0
    corner = min(9.0, abs(side - first[-1].at[0]) / 2)
    top = placed.at[link.target][1] - v * placed.room[link.target].up
    stops = [
        *first,
        Stop((first[-1].at[0] + h * corner, level), (h, 0.0)),
        Stop((side - h * min(corner, 7.0), level), (h, 0.0)),
        Stop((side, (level + top) / 2 if abs(top - end[1]) < HOOK else top), (0.0, v)),
        Stop((side, end[1] - v * HOOK), (0.0, v)),
        Stop(end, (d, 0.0)),
    ]
    return through(stops)


def _way_out(placed: Placed, link: Link, v: float, level: float) -> list[Stop]:
    """Straight out of the node where its column is free as far as the lane, else through the gap beside its column."""
    x, y = placed.at[link.source]
    column = [o for o in placed.at if placed.rank[o] == placed.rank[link.source] and 0 < (placed.at[o][1] - y) * v < (level - y) * v]
    if not column:
        return [Stop((x, y + v * _radius(placed, link.source)), (0.0, v))]
    side = placed.columns[placed.rank[link.source]].right + 3.0 + 2.4 * ((len(column) - 1) % 4)
    return [Stop((x + _radius(placed, link.source), y), (1.0, 0.0)), Stop((side, y + v * 8.0), (0.0, v))]


def bounds(points: Sequence[Point]) -> tuple[float, float, float, float]:
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    return min(xs), min(ys), max(xs), max(ys)
