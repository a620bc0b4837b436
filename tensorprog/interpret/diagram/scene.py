"""Positions and curves -> marks, in drawing order (Yang & Littwin 2021, Figures 1-7)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.diagram import glyphs as g
from tensorprog.interpret.diagram.detours import STUB_GAP, STUB_SIZE
from tensorprog.interpret.diagram.frame import inner_turn, legend, panel, turn
from tensorprog.interpret.diagram.glyphs import outline
from tensorprog.interpret.diagram.labels import MATRIX_SIZE, matrix_places
from tensorprog.interpret.diagram.lines import breaks, broken
from tensorprog.interpret.diagram.marks import WHITE, Disc, Ink, Mark, Scene, Stroke, Text, box_of, closed, extent, upright
from tensorprog.interpret.diagram.names import roman
from tensorprog.interpret.diagram.placed import LABEL_GAP, NOTE_GAP, Link, Placed, gate_key
from tensorprog.interpret.diagram.routes import Segments, line, routes
from tensorprog.interpret.diagram.spec import BLACK, GREY, Gate, Path, Product, Vertex

MARGIN = 4.0


def compose(placed: Placed) -> Scene:
    """Everything to be drawn, from back to front; a drawing longer than the graph's `line` goes on below."""
    graph = placed.graph
    curves = routes(placed)
    body = _body(placed, curves)
    at = [] if graph.upward or graph.panels or len(graph.rows) > 2 else breaks(placed, curves, graph.line)
    lines = broken(placed, body, at) if at else [[upright(mark) for mark in body] if graph.upward else body]
    if graph.turn:
        lines = turn(lines) if len(graph.rows) == 2 else [[*inner_turn(placed, curves.values()), *lines[0]], *lines[1:]]
    marks = [*(mark for p in graph.panels for mark in panel(placed, p)), *(mark for own in lines for mark in own)]
    if graph.legend:
        marks += legend(graph, box_of(marks))
    left, bottom, right, top = box_of(marks)
    return Scene(tuple(marks), (left - MARGIN, bottom - MARGIN, right + MARGIN, top + MARGIN), graph.name)


def _body(placed: Placed, curves: Mapping[Link, Segments]) -> list[Mark]:
    """Edges, gates, paths, nodes, and letters on top."""
    graph = placed.graph
    products = {(p.source, p.target): p for p in graph.products}
    discs = [Disc(placed.at[name], g.PATH_DISC / 2, Ink(fill=path.colour), "path", (("name", name),)) for path in graph.paths for name in path.names]
    return [
        *(_edge(link, c) for link, c in curves.items() if link.kind != "product"),
        *(_dashed(products[link.source, link.target], c) for link, c in curves.items() if link.kind == "product"),
        *(mark for gate in graph.gates for mark in _gate(placed, gate)),
        *(mark for path in graph.paths for mark in _path(placed, curves, path)),
        *(_node(placed, vertex) for vertex in graph.vertices),
        *discs,
        *(_psi(placed, gate) for gate in graph.gates if gate.text),
        *_matrices(placed, curves),
        *_stub_names(placed, curves),
        *(mark for vertex in graph.vertices for mark in _label(placed, vertex)),
    ]


def _node(placed: Placed, vertex: Vertex) -> Mark:
    x, y = placed.at[vertex.name]
    data = (("name", vertex.name),)
    if vertex.kind == "scalar":
        s = g.SQUARE / 2
        corners = ((x - s, y - s), (x + s, y - s), (x + s, y + s), (x - s, y + s))
        return Stroke(closed(corners), Ink(WHITE, BLACK, g.STROKE), "scalar", data)
    return Disc((x, y), (g.CIRCLE - g.STROKE) / 2, Ink(BLACK if vertex.kind == "X" else WHITE, BLACK, g.STROKE), vertex.kind, data)


def _gate(placed: Placed, gate: Gate) -> list[Mark]:
    key = gate_key(gate.name)
    d = -1.0 if placed.graph.rows[gate.row].leftward else 1.0
    centre, long = placed.at[key], placed.long[key]
    data = (("name", gate.name), ("psi", gate.meaning))
    marks: list[Mark] = [Stroke(closed(g.trapezoid(centre, long, (d, 0.0))), Ink(WHITE, BLACK, g.STROKE), "gate", data)]
    if gate.bar or gate.outer:
        x = centre[0] + (d if gate.bar else -d) * g.THICKNESS / 2
        marks.append(Stroke(line((x, centre[1] - long / 2), (x, centre[1] + long / 2)), Ink(None, BLACK, g.BAR), "bar", data[:1]))
    return marks


def _psi(placed: Placed, gate: Gate) -> Text:
    return Text(outline(gate.text, g.GATE_SIZE), placed.at[gate_key(gate.name)], gate.text, "psi", quarter=1, data=(("gate", gate.name),))


def _edge(link: Link, curve: Segments) -> Stroke:
    return Stroke(curve, Ink(None, BLACK, g.EDGE), "edge", (("from", link.source), ("to", link.target)))


def _dashed(p: Product, curve: Segments) -> Stroke:
    data = (("from", p.source), ("to", p.target), ("matrix", p.matrix + ("^T" if p.transpose else "")))
    return Stroke(curve, Ink(None, p.colour, g.STROKE, g.DASH), "matmul", data)


def _matrices(placed: Placed, curves: Mapping[Link, Segments]) -> list[Mark]:
    """The names of the matrices beside their edges."""
    nodes = [mark for vertex in placed.graph.vertices for mark in (_node(placed, vertex), *_label(placed, vertex))]
    gates = [mark for gate in placed.graph.gates for mark in _gate(placed, gate)]
    taken = [extent(mark) for mark in (*nodes, *gates, *_stub_names(placed, curves))]
    return [
        Text(
            outline(p.label, MATRIX_SIZE),
            place,
            p.label,
            "matrix",
            colour=p.colour,
            halo=not placed.graph.panels,
            data=(("matrix", p.matrix), ("from", p.source), ("to", p.target)),
        )
        for p, place in matrix_places(placed, curves, taken).items()
    ]


def _stub_names(placed: Placed, curves: Mapping[Link, Segments]) -> list[Mark]:
    """What the short wires carry, beside their ends."""
    marks: list[Mark] = []
    for link, name in placed.stubs.items():
        letters, (x, y) = outline(name, STUB_SIZE), curves[link][0][1][0]
        at = (x - placed.ahead(link.target) * (STUB_GAP + letters.width / 2), y)
        marks.append(Text(letters, at, name, "read", data=(("from", link.source), ("to", link.target))))
    return marks


def _label(placed: Placed, vertex: Vertex) -> list[Mark]:
    if not vertex.label:
        return []
    x, y = placed.at[vertex.name]
    above = 1.0 if placed.graph.rows[vertex.row].labels == "above" else -1.0
    letters = outline(vertex.label)
    note = outline(roman(vertex.note), g.NOTE_SIZE) if vertex.note else None
    if placed.graph.upward:
        return [Text(letters, (x, y + above * (g.CIRCLE / 2 + LABEL_GAP + letters.width / 2)), vertex.label, "name", data=(("name", vertex.name),))]
    height = y + above * (g.CIRCLE / 2 + LABEL_GAP + letters.height / 2)
    marks: list[Mark] = [Text(letters, (x, height), vertex.label, "name", halo=not placed.graph.panels, data=(("name", vertex.name),))]
    if note:
        at = (x + letters.width / 2 + NOTE_GAP + note.width / 2, height - letters.height / 2 + note.height / 2)
        marks.append(Text(note, at, vertex.note, "axes", colour=GREY, halo=not placed.graph.panels, data=(("name", vertex.name),)))
    return marks


def _path(placed: Placed, curves: Mapping[Link, Segments], path: Path) -> list[Mark]:
    """The path's line over its dashed edges and through its gates."""
    ink = Ink(None, path.colour, g.PATH_WIDTH)
    marks: list[Mark] = []
    for a, b in pairwise(path.names):
        direct = Link(a, b, "product")
        if direct in curves:
            marks.append(Stroke(curves[direct], ink, "path", (("from", a), ("to", b))))
            continue
        gate = next((gate_key(gate.name) for gate in placed.graph.gates if a in gate.inputs and b in gate.outputs), None)
        if gate is None:
            raise InvalidProgram(f"[path] the path goes from {a} to {b}, but no instruction makes {b} from {a}. Name every variable on the way.")
        into, out = curves[Link(a, gate, "input")], curves[Link(gate, b, "output")]
        through_gate = ("L", (out[0][1][0],))
        marks.append(Stroke((*into, through_gate, *out[1:]), ink, "path", (("from", a), ("to", b))))
    return marks
