"""A graph with positions: what the layout hands to the curves.

Coordinates are in points: the first grows with the forward computation, the second upwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tensorprog.interpret.diagram.glyphs import Point
from tensorprog.interpret.diagram.spec import Graph

LABEL_GAP, NOTE_GAP = 1.6, 2.0  # between a node and its name, a name and its axes


@dataclass(frozen=True)
class Room:
    """The room that an item needs around its centre."""

    left: float
    right: float
    up: float
    down: float


@dataclass(frozen=True)
class Column:
    """Where a column of the drawing begins, has its nodes, and ends."""

    left: float
    centre: float
    right: float


@dataclass(frozen=True)
class Link:
    """An edge to be drawn: from node to gate, from gate to node, or from node to node."""

    source: str
    target: str
    kind: Literal["input", "output", "product"]


@dataclass(frozen=True)
class Detour:
    """Along which lane in front of the target's row, and how wide around the gate; 0 is innermost. `from_above`: where the source stands."""

    lane: int
    turn: int
    from_above: bool


@dataclass(frozen=True)
class Placed:
    """A graph with its positions. Items are nodes, by name, and gates, by `gate_key`.

    Attributes:
        at: the centre of every item.
        rank: its column.
        long: the long side of every gate.
        ports: (source, target) -> how far above the gate's middle the edge meets it.
        bends: where an edge passes the columns between its ends.
        row_span: bottom and top of every row.
        detours: how edges between rows go.
        stubs: edges between rows that are told by the name of their source, where too many would run side by side.
    """

    graph: Graph
    links: tuple[Link, ...]
    at: Mapping[str, Point]
    rank: Mapping[str, int]
    room: Mapping[str, Room]
    long: Mapping[str, float]
    ports: Mapping[tuple[str, str], float]
    bends: Mapping[Link, tuple[Point, ...]]
    columns: Sequence[Column]
    row_span: Sequence[tuple[float, float]]
    detours: Mapping[Link, Detour]
    stubs: Mapping[Link, str]

    def row(self, item: str) -> int:
        return self.graph.gate[item[len(GATE) :]].row if item.startswith(GATE) else self.graph.vertex[item].row

    def ahead(self, item: str) -> float:
        """+1 where the item's row is computed rightward, -1 leftward."""
        return -1.0 if self.graph.rows[self.row(item)].leftward else 1.0


GATE = "gate:"


def gate_key(name: str) -> str:
    """The item of a gate."""
    return GATE + name


def is_gate(item: str) -> bool:
    return item.startswith(GATE)


def links_of(graph: Graph) -> tuple[Link, ...]:
    """Every edge of the drawing, in the order of the program."""
    solid = [
        link
        for g in graph.gates
        for link in (*(Link(name, gate_key(g.name), "input") for name in g.inputs), *(Link(gate_key(g.name), name, "output") for name in g.outputs))
    ]
    return (*solid, *(Link(p.source, p.target, "product") for p in graph.products))
