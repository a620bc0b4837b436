"""Edges between rows: from a forward vector into the backward gate that reads it, along lanes between the rows (IIb, Fig. 6).

Where more of them would run side by side than an eye can follow, each is a short wire with the name of the vector, as in circuit diagrams.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tensorprog.interpret.diagram.glyphs import THICKNESS, outline
from tensorprog.interpret.diagram.placed import Detour, Link
from tensorprog.interpret.diagram.spec import Graph

HOOK, HOOK_STEP = 7.0, 3.2  # how far an edge turns behind the gate that it enters, and how much further the next one
LANE_FIRST, LANE_STEP, LANE_AIR = 5.0, 3.6, 29.0
LANES = 12  # that can be told apart
STUB, STUB_GAP, STUB_SIZE = 5.0, 1.4, 5.6  # a wire that ends in a name, the gap between them, the size of the name


def plan(
    between: Sequence[Link], row: Mapping[str, int], x: Mapping[str, float], ports: Mapping[tuple[str, str], float], ahead: Callable[[str], float]
) -> dict[Link, Detour]:
    """Lanes and turns such that edges into one gate enclose each other, and edges on one lane do not meet.

    Args:
        between: the edges whose ends are in different rows.
        ahead: +1 for a gate computed rightward, -1 leftward.
    """
    inner_first = sorted(between, key=lambda link: (x[link.target], -abs(ports.get((link.source, link.target), 0.0))))
    lanes: dict[tuple[int, bool], list[list[tuple[float, float]]]] = {}
    turns: dict[tuple[int, float, bool], int] = {}
    detours: dict[Link, Detour] = {}
    for link in inner_first:
        target, from_above = row[link.target], row[link.source] < row[link.target]
        ends = (x[link.source], x[link.target] - ahead(link.target) * (THICKNESS / 2 + HOOK))
        span = (min(ends) - 2, max(ends) + 2)
        taken = lanes.setdefault((target, from_above), [])
        lane = 1 + max((k for k, used in enumerate(taken) if any(span[0] <= b and a <= span[1] for a, b in used)), default=-1)
        taken[lane:] = [[*(taken[lane] if lane < len(taken) else []), span], *taken[lane + 1 :]]
        gate = (target, x[link.target], from_above)
        detours[link] = Detour(lane, turns.get(gate, 0), from_above)
        turns[gate] = detours[link].turn + 1
    return detours


def channel(detours: Mapping[Link, Detour], row: Mapping[str, int], upper: int) -> float:
    """The height of the space between a row and the next, with room for its lanes."""
    lanes = [
        detour.lane + 1
        for link, detour in detours.items()
        if (row[link.target] == upper + 1 and detour.from_above) or (row[link.target] == upper and not detour.from_above)
    ]
    return LANE_AIR + LANE_FIRST + LANE_STEP * max(lanes, default=0)


def turn_room(edges: int) -> float:
    """The width that edges take which turn into gates of one column."""
    return HOOK + HOOK_STEP * (edges - 1) + LANE_FIRST


def stubs_of(graph: Graph, between: Sequence[Link], rank: Mapping[str, int]) -> dict[Link, str]:
    """The edges between a forward and a backward pass by the names of their sources, if more than `LANES` of them pass one column."""
    spans = [sorted((rank[link.source], rank[link.target])) for link in between]
    most = max((sum(a <= c <= b for a, b in spans) for c in set(rank.values())), default=0)
    if not graph.turn or len(graph.rows) > 2 or most <= LANES:
        return {}
    return {link: graph.vertex[link.source].label.split(" = ")[0] for link in between}


def stub_length(name: str) -> float:
    """A short wire and its name."""
    return STUB + STUB_GAP + outline(name, STUB_SIZE).width
