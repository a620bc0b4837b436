"""The heights within one row: edges as level as the order and the room of the items allow, by a linear program (Gansner et al. 1993, section 4)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise

from tensorprog.interpret.diagram.order import ordered
from tensorprog.interpret.diagram.placed import Link, Room, is_gate
from tensorprog.interpret.diagram.programming import Difference, centred, least_absolute

Chain = Sequence[tuple[str, int]]  # an edge's ends and its bends, each with its column
Ports = dict[tuple[str, str], float]

NODE_GAP, GATE_GAP = 0.9, 6.0
MATRIX_ROOM = 7.0  # between products, whose matrices have to be named
BEND = Room(0.0, 0.0, 2.0, 2.0)
STRANGER_PORT = 7.2  # between the inputs that a gate reads from another row: more than the height of a name with two scripts
BENDS = "bend:"
LINE = "line"  # the common level to which a row leans

# Weights of level edges, by kind and by how many of their ends are bends; of gates that follow each other through a product; of the common level.
BY_KIND = {"input": 2.0, "output": 8.0, "product": 1.0}
BY_BENDS = (1.0, 1.5, 3.0)
SPINE, LEVEL = 8.0, 0.12


def heights(
    rank: Mapping[str, int],
    chains: Mapping[Link, Chain],
    strangers: Mapping[Link, bool],
    moments: frozenset[str],
    room: Mapping[str, Room],
    long: Mapping[str, float],
    *,
    matrix_room: float = MATRIX_ROOM,
) -> tuple[dict[str, float], Ports]:
    """Heights of items and bends, and where on a gate's sides each edge ends.

    Args:
        rank: the columns of the row's items.
        strangers: inputs from other rows; True: from above.
        moments: the gates with a bar.
        matrix_room: added between products one above the other.
    """
    column = {**rank, **{bend: c for chain in chains.values() for bend, c in chain}}
    hops = [(a, b, link) for link, chain in chains.items() for (a, _), (b, _) in pairwise(chain)]
    layers = ordered(column, [(a, b) for a, b, _ in hops])
    index = {name: k for layer in layers for k, name in enumerate(layer)}
    ports = _input_ports(_sorted(hops, index, "input"), strangers, long) | _output_ports(_sorted(hops, index, "output"), long)
    products = {link.target for link in chains if link.kind == "product"}
    wants = [_level(a, b, link, ports) for a, b, link in hops] + _spine(chains, moments)
    for layer in layers:
        for a, b in pairwise(layer):
            gap = room.get(a, BEND).down + room.get(b, BEND).up
            gap += matrix_room if {a, b} <= products else GATE_GAP if is_gate(a) and is_gate(b) else NODE_GAP
            wants.append(Difference(b, a, gap, 0.001, at_least=gap))
    lean = [Difference(LINE, name, 0.0, LEVEL) for name in rank]
    solution = centred(least_absolute([*column, LINE], [*wants, *lean]), wants)
    return {name: solution[name] for name in column}, ports


def _sorted(hops: Sequence[tuple[str, str, Link]], index: Mapping[str, int], kind: str) -> dict[str, list[str]]:
    """For each gate the nodes at its input or output side, from top to bottom."""
    entries: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for a, b, link in hops:
        if kind == link.kind == "input" and b == link.target:
            entries[b].append((index[a], link.source))
        if kind == link.kind == "output" and a == link.source:
            entries[a].append((index[b], link.target))
    return {gate: [node for _, node in sorted(found)] for gate, found in entries.items()}


def _input_ports(inputs: Mapping[str, Sequence[str]], strangers: Mapping[Link, bool], long: Mapping[str, float]) -> Ports:
    """Inputs of the same row are spread over the long side, those of other rows stand close together at the end that faces them."""
    ports: Ports = {}
    for gate in dict.fromkeys((*inputs, *(link.target for link in strangers))):
        own = inputs.get(gate, ())
        above = [link.source for link, from_above in strangers.items() if link.target == gate and from_above]
        below = [link.source for link, from_above in strangers.items() if link.target == gate and not from_above]
        half = long[gate] / 2
        top, bottom = half - STRANGER_PORT * len(above), -half + STRANGER_PORT * len(below)
        if len(own) == 1 and bottom < -STRANGER_PORT / 2 and top > STRANGER_PORT / 2:
            top, bottom = half, -half
        ports |= {(source, gate): top - (top - bottom) * (k + 0.5) / len(own) for k, source in enumerate(own)}
        ports |= {(source, gate): half - STRANGER_PORT * (k + 0.8) for k, source in enumerate(above)}
        ports |= {(source, gate): -half + STRANGER_PORT * (k + 0.8) for k, source in enumerate(below)}
    return ports


def _output_ports(outputs: Mapping[str, Sequence[str]], long: Mapping[str, float]) -> Ports:
    return {(gate, node): 0.6 * long[gate] * ((len(own) - 1) / 2 - k) / len(own) for gate, own in outputs.items() for k, node in enumerate(own)}


def _level(a: str, b: str, link: Link, ports: Ports) -> Difference:
    """The piece of an edge from a to b wants to be level, from and to the ports of gates."""
    port = ports.get((link.source, link.target), 0.0)
    start = port if link.kind == "output" and a == link.source else 0.0
    end = port if link.kind == "input" and b == link.target else 0.0
    return Difference(a, b, start - end, BY_BENDS[a.startswith(BENDS) + b.startswith(BENDS)] * BY_KIND[link.kind])


def _spine(chains: Mapping[Link, Chain], moments: frozenset[str]) -> list[Difference]:
    """Gates that follow each other, through a product or past others (a residual branch), want to stand on a line."""
    made_by = {link.target: link.source for link in chains if link.kind == "output"}
    multiplied = {link.target: link.source for link in chains if link.kind == "product"}
    inputs = [(link, len(chain) > 2 and link.target not in moments) for link, chain in chains.items() if link.kind == "input"]
    before = [(link.source if past_others else multiplied.get(link.source), link.target) for link, past_others in inputs]
    return [Difference(made_by[x], gate, 0.0, SPINE) for x, gate in before if x in made_by]
