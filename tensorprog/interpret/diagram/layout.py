"""Graph -> positions: a layered drawing (Sugiyama, Tagawa & Toda 1981; Gansner et al. 1993).

1. columns: each node and gate gets a rank along the computation; a linear program makes the edges short and puts a gradient under its forward twin
   (a row that is computed leftward has its differences reversed);
2. order: within each row, crossings between neighbouring columns are reduced by barycentre sweeps and exchanges;
3. heights: a second linear program keeps the edges straight, subject to the order and to the room that nodes and their names need;
4. columns get their widths, rows their offsets.

Edges longer than one column pass through `bends` that keep room for them. Coordinates are in points; `along` grows with the forward computation,
`across` grows upwards.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tensorprog.interpret.diagram.glyphs import CIRCLE, GATE_SIZE, LABEL_SIZE, NOTE_SIZE, PORT, THICKNESS, Point, long_side, outline
from tensorprog.interpret.diagram.names import roman
from tensorprog.interpret.diagram.order import ordered
from tensorprog.interpret.diagram.programming import Difference, centred, least_absolute
from tensorprog.interpret.diagram.spec import Gate, Graph

NODE_GAP, GATE_GAP, BEND_ROOM = 0.9, 6.0, 6.0
SOLID_GAP, DASHED_GAP, ROW_GAP = 13.0, 30.0, 34.0
LABEL_GAP = 1.6
SPINE = 8.0  # weight of gates on one level against that of a level edge
STRANGER_PORT = 6.5  # between the inputs that a gate reads from another row


@dataclass(frozen=True)
class Box:
    """Room that an item needs around its centre."""

    left: float
    right: float
    up: float
    down: float


@dataclass(frozen=True)
class Link:
    """An edge to be drawn: `kind` is "input" (node to gate), "output" (gate to node) or "product" (node to node)."""

    source: str
    target: str
    kind: str


@dataclass(frozen=True)
class Placed:
    """A graph with its positions. A gate is keyed by "gate:" and its name."""

    graph: Graph
    at: Mapping[str, Point]
    long: Mapping[str, float]
    ports: Mapping[tuple[str, str], float]
    bends: Mapping[Link, tuple[Point, ...]]
    rank: Mapping[str, int]
    column: Sequence[tuple[float, float]]
    boxes: Mapping[str, Box]
    row_span: Sequence[tuple[float, float]]
    links: tuple[Link, ...] = field(default=())


def gate_key(name: str) -> str:
    return "gate:" + name


def links_of(graph: Graph) -> tuple[Link, ...]:
    """Every edge of the drawing, in the order of the program."""
    solid = [
        link
        for g in graph.gates
        for link in (
            *(Link(name, gate_key(g.name), "input") for name in g.inputs),
            *(Link(gate_key(g.name), name, "output") for name in g.outputs),
        )
    ]
    return (*solid, *(Link(p.source, p.target, "product") for p in graph.products))


def place(graph: Graph) -> Placed:
    """Positions for everything in the graph."""
    links = links_of(graph)
    row = {v.name: v.row for v in graph.vertices} | {gate_key(g.name): g.row for g in graph.gates}
    rank = _ranks(graph, links, row)
    long = {gate_key(g.name): _long(g, row) for g in graph.gates}
    boxes = _boxes(graph, long, links)
    chains = {link: _chain(link, rank) for link in links if row[link.source] == row[link.target]}
    across: dict[str, float] = {}
    ports: dict[tuple[str, str], float] = {}
    spans: list[tuple[float, float]] = []
    floor = 0.0
    for r in range(len(graph.rows)):
        mine = {link: chain for link, chain in chains.items() if row[link.source] == r}
        items = [name for name in row if row[name] == r]
        strangers = {link: row[link.source] < r for link in links if row[link.target] == r != row[link.source]}
        strangers = dict(sorted(strangers.items(), key=lambda item: (rank[item[0].source], abs(across[item[0].source] - floor))))
        heights, row_ports = _heights(items, mine, strangers, rank, boxes, long)
        top = max((heights[i] + _box(i, boxes).up for i in heights), default=0.0)
        bottom = min((heights[i] - _box(i, boxes).down for i in heights), default=0.0)
        across |= {i: y + floor - top for i, y in heights.items()}
        spans.append((floor - (top - bottom), floor))
        ports |= row_ports
        floor -= top - bottom + ROW_GAP
    columns = _columns(graph, links, chains, rank, across, boxes)
    centre = [(left + right) / 2 for left, right in columns]
    at = {name: (centre[rank[name]], across[name]) for name in row}
    bends = {
        link: tuple((columns[c][side], across[bend]) for bend, c in chain[1:-1] for side in _sides(chain)) for link, chain in chains.items()
    }
    return Placed(graph, at, long, ports, bends, rank, columns, boxes, spans, links)


def _sides(chain: Sequence[tuple[str, int]]) -> tuple[int, int]:
    return (0, 1) if chain[-1][1] > chain[0][1] else (1, 0)


def _long(gate: Gate, row: Mapping[str, int]) -> float:
    """The long side has a port for every input; inputs from other rows need less room, but stay clear of the others."""
    own = sum(row[name] == gate.row for name in gate.inputs)
    others = len(gate.inputs) - own
    return long_side(own + 0.75 * others, gate.text, len(gate.outputs))


def _ranks(graph: Graph, links: Sequence[Link], row: Mapping[str, int]) -> dict[str, int]:
    """Columns: minimize the total length of edges, each at least 1 along its row's direction, gradients under their twins."""
    wants: list[Difference] = []
    for link in links:
        leftward = graph.rows[row[link.target]].leftward
        a, b = (link.target, link.source) if leftward else (link.source, link.target)
        if row[link.source] == row[link.target]:
            weight = {"input": 1.0, "output": 8.0, "product": 2.0}[link.kind]
            wants.append(Difference(a, b, 1.0, weight, at_least=1.0))
        else:
            wants.append(Difference(link.source, link.target, 1.0, 0.1))
    wants += [Difference(v.twin, v.name, 0.0, 6.0) for v in graph.vertices if v.twin in graph.vertex]
    ranks = {name: round(x) for name, x in least_absolute(list(row), wants).items()}
    lowest = min(ranks.values(), default=0)
    return {name: x - lowest for name, x in ranks.items()}


def _boxes(graph: Graph, long: Mapping[str, float], links: Sequence[Link]) -> dict[str, Box]:
    boxes: dict[str, Box] = {}
    r = CIRCLE / 2
    for v in graph.vertices:
        letters, note = outline(v.label), outline(_note(v.note), NOTE_SIZE)
        half = max(r, (letters.width + (note.width + 2 if v.note else 0)) / 2)
        room = r + LABEL_GAP + max(letters.height, LABEL_SIZE * 0.7)
        above = graph.rows[v.row].labels == "above"
        boxes[v.name] = Box(half, half, room if above else r, r if above else room)
    for g in graph.gates:
        key = gate_key(g.name)
        t, h = THICKNESS / 2 + (2.0 if g.bar else 0.0), long[key] / 2
        boxes[key] = Box(t, t, h, h)
    return boxes


def _note(text: str) -> str:
    return roman(text) if text else ""


def _box(item: str, boxes: Mapping[str, Box]) -> Box:
    return boxes.get(item, Box(0, 0, BEND_ROOM / 2, BEND_ROOM / 2))


def _chain(link: Link, rank: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """The link's ends and, between them, one bend for each column passed."""
    a, b = rank[link.source], rank[link.target]
    step = 1 if b >= a else -1
    between = tuple((f"bend:{link.source}>{link.target}@{c}", c) for c in range(a + step, b, step))
    return ((link.source, a), *between, (link.target, b))


def _heights(
    items: Sequence[str], chains: Mapping[Link, Sequence[tuple[str, int]]], strangers: Mapping[Link, bool], rank: Mapping[str, int],
    boxes: Mapping[str, Box], long: Mapping[str, float],
) -> tuple[dict[str, float], dict[tuple[str, str], float]]:
    """Heights within a row, and where on a gate's sides each edge ends; `strangers` are inputs from other rows (True: from above)."""
    column = {name: rank[name] for name in items} | {bend: c for chain in chains.values() for bend, c in chain}
    hops = [(a, b, link) for link, chain in chains.items() for (a, _), (b, _) in zip(chain, chain[1:], strict=False)]
    layers = ordered(column, [(a, b) for a, b, _ in hops])
    index = {name: k for layer in layers for k, name in enumerate(layer)}
    inputs: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
    outputs: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
    for a, b, link in hops:
        if link.kind == "input" and b == link.target:
            inputs[b].append((index[a], a, link.source))
        if link.kind == "output" and a == link.source:
            outputs[a].append((index[b], b, link.target))
    ports = _input_ports(inputs, strangers, long)
    for gate, entries in outputs.items():
        spread = 0.6 * long[gate] / len(entries)
        for k, (_, _, target) in enumerate(sorted(entries)):
            ports[gate, target] = ((len(entries) - 1) / 2 - k) * spread
    wants = [_straight(a, b, link, ports) for a, b, link in hops] + _spine(chains)
    for layer in layers:
        for a, b in zip(layer, layer[1:], strict=False):
            gap = _box(a, boxes).down + _box(b, boxes).up + _gap(a, b)
            wants.append(Difference(b, a, gap, 0.001, at_least=gap))
    return centred(least_absolute(list(column), wants), wants), ports


def _input_ports(
    inputs: Mapping[str, Sequence[tuple[int, str, str]]], strangers: Mapping[Link, bool], long: Mapping[str, float]
) -> dict[tuple[str, str], float]:
    """Where inputs enter: those of the same row spread over the long side, those of other rows close together at the end that faces them."""
    ports: dict[tuple[str, str], float] = {}
    for gate in {*inputs, *(link.target for link in strangers)}:
        own = [source for _, _, source in sorted(inputs.get(gate, ()))]
        above = [link.source for link, from_above in strangers.items() if link.target == gate and from_above]
        below = [link.source for link, from_above in strangers.items() if link.target == gate and not from_above]
        half = long[gate] / 2
        top, bottom = half - STRANGER_PORT * len(above), -half + STRANGER_PORT * len(below)
        if len(own) == 1:
            top, bottom = half, -half
        for k, source in enumerate(own):
            ports[source, gate] = top - (top - bottom) * (k + 0.5) / len(own)
        for k, source in enumerate(above):
            ports[source, gate] = half - STRANGER_PORT * (k + 0.8)
        for k, source in enumerate(below):
            ports[source, gate] = -half + STRANGER_PORT * (k + 0.8)
    return ports


def _gap(a: str, b: str) -> float:
    return GATE_GAP if a.startswith("gate:") and b.startswith("gate:") else NODE_GAP


def _straight(a: str, b: str, link: Link, ports: Mapping[tuple[str, str], float]) -> Difference:
    """The edge from a to b wants to be level, from and to the ports of gates."""
    start = ports.get((link.source, link.target), 0.0) if link.kind == "output" and a == link.source else 0.0
    end = ports.get((link.source, link.target), 0.0) if link.kind == "input" and b == link.target else 0.0
    bends = a.startswith("bend:") + b.startswith("bend:")
    weight = (1.0, 1.5, 3.0)[bends] * {"input": 2.0, "output": 8.0, "product": 1.0}[link.kind]
    return Difference(a, b, start - end, weight)


def _spine(chains: Mapping[Link, Sequence[tuple[str, int]]]) -> list[Difference]:
    """Gates that follow each other through one product want to stand on a line."""
    made_by = {link.target: link.source for link in chains if link.kind == "output"}
    products = {link.target: link.source for link in chains if link.kind == "product"}
    read_by = [(link.source, link.target) for link in chains if link.kind == "input"]
    return [
        Difference(made_by[products[node]], gate, 0.0, SPINE) for node, gate in read_by if node in products and products[node] in made_by
    ]


def _columns(
    graph: Graph, links: Sequence[Link], chains: Mapping[Link, Sequence[tuple[str, int]]], rank: Mapping[str, int], across: Mapping[str, float],
    boxes: Mapping[str, Box],
) -> list[tuple[float, float]]:
    """Left and right side of every column: wide enough for its items, apart enough for the edges and their labels."""
    count = max(rank.values(), default=0) + 1
    half = [max([0.0, *(max(boxes[i].left, boxes[i].right) for i, c in rank.items() if c == k)]) for k in range(count)]
    gaps = [SOLID_GAP] * count
    text = {(p.source, p.target): outline(p.label).width for p in graph.products}
    for link, chain in chains.items():
        for (a, ca), (b, cb) in zip(chain, chain[1:], strict=False):
            k = min(ca, cb)
            steep = min(44.0, 0.22 * abs(across[a] - across[b]))
            need = SOLID_GAP + steep
            if link.kind == "product":
                need = max(DASHED_GAP, text[link.source, link.target] + 14.0) - 6.0 + steep
            gaps[k] = max(gaps[k], need)
    columns: list[tuple[float, float]] = []
    x = 0.0
    for k in range(count):
        columns.append((x, x + 2 * half[k]))
        x += 2 * half[k] + gaps[k]
    return columns
