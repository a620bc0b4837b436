"""Graph -> positions: a layered drawing (Sugiyama, Tagawa & Toda 1981; Gansner et al. 1993).

1. columns: each node and gate gets a rank along the computation; a linear program makes the edges short and puts a gradient under its forward twin
   (a row that is computed leftward has its differences reversed);
2. order and heights: within each row crossings are few and edges level (`order`, `heights`);
3. columns get their widths, rows their offsets.

Edges longer than one column pass through bends that keep room for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from tensorprog.interpret.diagram.detours import channel, plan, stub_length, stubs_of, turn_room
from tensorprog.interpret.diagram.glyphs import CIRCLE, LABEL_SIZE, NOTE_SIZE, THICKNESS, long_side, outline
from tensorprog.interpret.diagram.heights import BEND, BENDS, MATRIX_ROOM, NODE_GAP, Chain, Ports, heights
from tensorprog.interpret.diagram.names import roman
from tensorprog.interpret.diagram.placed import LABEL_GAP, NOTE_GAP, Column, Link, Placed, Room, gate_key, links_of
from tensorprog.interpret.diagram.programming import Difference, least_absolute
from tensorprog.interpret.diagram.spec import Gate, Graph, Vertex

SOLID_GAP, DASHED_GAP, DASHED_AIR = 13.0, 24.0, 8.0
STEEP, STEEP_MAX = 0.22, 44.0  # more room between columns for edges that climb
SHORT_EDGE = {"input": 1.0, "output": 8.0, "product": 2.0}
UNDER_TWIN, NEAR_READER = 6.0, 0.1
STRANGER, NAMED = 0.75, 0.4  # ports that an input from another row takes, and one told by name


def place(graph: Graph) -> Placed:
    """Positions for everything in the graph."""
    links = links_of(graph)
    row = {v.name: v.row for v in graph.vertices} | {gate_key(g.name): g.row for g in graph.gates}
    rank = _ranks(graph, links, row)
    chains = {link: _chain(link, rank) for link in links if row[link.source] == row[link.target]}
    stubs = stubs_of(graph, [link for link in links if link not in chains], rank)
    long = {gate_key(g.name): _long(g, row, NAMED if stubs else STRANGER) for g in graph.gates}
    room = {v.name: _node_room(graph, v) for v in graph.vertices} | {gate_key(g.name): _gate_room(graph, g, long, stubs) for g in graph.gates}
    depth: dict[str, float] = {}  # height within the row
    ports: Ports = {}
    sizes: list[tuple[float, float]] = []
    for r in range(len(graph.rows)):
        found, own_ports = _row(graph, r, row, rank, chains, room, long, depth)
        depth |= found
        ports |= own_ports
        low = min((y - room.get(i, BEND).down for i, y in found.items()), default=0.0)
        sizes.append((low, max((y + room.get(i, BEND).up for i, y in found.items()), default=0.0)))
    between = [link for link in links if link not in chains and link not in stubs]
    ahead = lambda item: -1.0 if graph.rows[row[item]].leftward else 1.0  # noqa: E731
    turns = Counter((rank[link.target] - (ahead(link.target) > 0), row[link.target], row[link.source] < row[link.target]) for link in between)
    columns = _columns(graph, chains, rank, depth, room, {gap: turn_room(count) for (gap, _, _), count in sorted(turns.items(), key=lambda t: t[1])})
    x = {item: columns[c].centre for item, c in rank.items()}
    detours = plan(between, row, x, ports, ahead)
    spans = _spans(sizes, [channel(detours, row, r) for r in range(len(sizes) - 1)])
    lift = [top - high for (_, top), (_, high) in zip(spans, sizes, strict=True)]
    at = {item: (x[item], depth[item] + lift[row[item]]) for item in row}
    bends = {
        link: tuple((side, depth[bend] + lift[row[link.source]]) for bend, c in chain[1:-1] for side in _sides(columns[c], chain))
        for link, chain in chains.items()
    }
    return Placed(graph, links, at, rank, room, long, ports, bends, columns, spans, detours, stubs)


def _row(
    graph: Graph,
    r: int,
    row: Mapping[str, int],
    rank: Mapping[str, int],
    chains: Mapping[Link, Chain],
    room: Mapping[str, Room],
    long: Mapping[str, float],
    depth: Mapping[str, float],
) -> tuple[dict[str, float], Ports]:
    """Heights and ports of one row, those of the rows above it known: their edges arrive in the order in which they come near."""
    own = {item: rank[item] for item in row if row[item] == r}
    mine = {link: c for link, c in chains.items() if row[link.source] == r}
    strangers = [link for link in links_of(graph) if row[link.target] == r != row[link.source]]
    strangers.sort(key=lambda link: (rank[link.source], depth.get(link.source, 0.0)))
    arriving = {link: row[link.source] < r for link in strangers}
    moments = frozenset(gate_key(g.name) for g in graph.gates if g.bar)
    return heights(own, mine, arriving, moments, room, long, matrix_room=NODE_GAP if graph.upward else MATRIX_ROOM)


def _spans(sizes: Sequence[tuple[float, float]], channels: Sequence[float]) -> list[tuple[float, float]]:
    """Bottom and top of every row, from the top of the drawing downwards."""
    spans: list[tuple[float, float]] = []
    top = 0.0
    for (low, high), below in zip(sizes, [*channels, 0.0], strict=True):
        spans.append((top - (high - low), top))
        top = spans[-1][0] - below
    return spans


def _ranks(graph: Graph, links: Sequence[Link], row: Mapping[str, int]) -> dict[str, int]:
    """Columns: the total length of edges is least, each at least 1 along its row's direction, gradients under their twins."""
    wants = [Difference(v.twin, v.name, 0.0, UNDER_TWIN) for v in graph.vertices if v.twin is not None and v.twin in graph.vertex]
    for link in links:
        if row[link.source] != row[link.target]:
            wants.append(Difference(link.source, link.target, 1.0, NEAR_READER))
            continue
        leftward = graph.rows[row[link.target]].leftward
        low, high = (link.target, link.source) if leftward else (link.source, link.target)
        wants.append(Difference(low, high, 1.0, SHORT_EDGE[link.kind], at_least=1.0))
    ranks = {name: round(x) for name, x in least_absolute(list(row), wants).items()}
    lowest = min(ranks.values(), default=0)
    return {name: x - lowest for name, x in ranks.items()}


def _long(gate: Gate, row: Mapping[str, int], stranger: float) -> float:
    """The long side has a port for every input; inputs from other rows stand closer."""
    own = sum(row[name] == gate.row for name in gate.inputs)
    return long_side(own + stranger * (len(gate.inputs) - own), gate.text, len(gate.outputs))


def _node_room(graph: Graph, v: Vertex) -> Room:
    """A node with its name above or below it, and the name's axes to its right."""
    r, letters = CIRCLE / 2, outline(v.label)
    half = max(r, letters.width / 2)
    right = max(half, letters.width / 2 + NOTE_GAP + outline(roman(v.note), NOTE_SIZE).width) if v.note else half
    name = r + LABEL_GAP + max(letters.height, LABEL_SIZE * 0.7)
    if graph.upward:
        return Room(max(r, letters.height / 2), max(r, letters.height / 2), r, r + LABEL_GAP + letters.width)
    return Room(half, right, name, r) if graph.rows[v.row].labels == "above" else Room(half, right, r, name)


def _gate_room(graph: Graph, gate: Gate, long: Mapping[str, float], stubs: Mapping[Link, str]) -> Room:
    """A gate, and on its long side the inputs that are told by name."""
    key = gate_key(gate.name)
    thick, half = THICKNESS / 2 + (2.0 if gate.bar else 0.0), long[key] / 2
    long_side = max([THICKNESS / 2 + stub_length(name) for link, name in stubs.items() if link.target == key], default=thick)
    left, right = (thick, long_side) if graph.rows[gate.row].leftward else (long_side, thick)
    return Room(left, right, half, half)


def _chain(link: Link, rank: Mapping[str, int]) -> Chain:
    """The link's ends and, between them, one bend for each column passed."""
    a, b = rank[link.source], rank[link.target]
    step = 1 if b >= a else -1
    between = tuple((f"{BENDS}{link.source}>{link.target}@{c}", c) for c in range(a + step, b, step))
    return ((link.source, a), *between, (link.target, b))


def _columns(
    graph: Graph,
    chains: Mapping[Link, Chain],
    rank: Mapping[str, int],
    across: Mapping[str, float],
    room: Mapping[str, Room],
    turning: Mapping[int, float],
) -> list[Column]:
    """The columns: wide enough for their items, apart enough for the edges, for those that turn between them, and for the matrices' names."""
    count = max(rank.values(), default=0) + 1
    gaps = [max(SOLID_GAP, turning.get(k, 0.0)) for k in range(count)]
    name = {(p.source, p.target): outline(p.label).width + DASHED_AIR for p in graph.products}
    for link, chain in chains.items():
        for (a, ca), (b, cb) in pairwise(chain):
            steep = min(STEEP_MAX, STEEP * abs(across[a] - across[b]))
            dashed = max(DASHED_GAP, name[link.source, link.target]) + 2 * steep if link.kind == "product" else 0.0
            gaps[min(ca, cb)] = max(gaps[min(ca, cb)], SOLID_GAP + steep, dashed)
    columns: list[Column] = []
    x = 0.0
    for k in range(count):
        items = [item for item, c in rank.items() if c == k]
        left, right = max((room[i].left for i in items), default=0.0), max((room[i].right for i in items), default=0.0)
        columns.append(Column(x, x + left, x + left + right))
        x += left + right + gaps[k]
    return columns


def _sides(column: Column, chain: Chain) -> tuple[float, float]:
    """The sides of a column in the order in which an edge passes them."""
    return (column.left, column.right) if chain[-1][1] > chain[0][1] else (column.right, column.left)
