"""Positions and curves -> marks on a page, in drawing order; what the writers of SVG, PNG and PDF have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tensorprog.interpret.diagram import glyphs as g
from tensorprog.interpret.diagram.glyphs import Outline, Point, outline
from tensorprog.interpret.diagram.labels import MATRIX_SIZE, matrix_places
from tensorprog.interpret.diagram.layout import LABEL_GAP, Link, Placed, gate_key
from tensorprog.interpret.diagram.names import roman
from tensorprog.interpret.diagram.routes import Segments, bounds, line, routes
from tensorprog.interpret.diagram.spec import BLACK, GREEN, GREY, Gate, Product, Vertex

WHITE = "#FFFFFF"
Data = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Ink:
    fill: str | None = None
    stroke: str | None = None
    width: float = 0.0
    dash: tuple[float, float] | None = None


@dataclass(frozen=True)
class Stroke:
    """A curve or polygon; `role` and `data` tell what it stands for."""

    segments: Segments
    ink: Ink
    role: str
    data: Data = ()


@dataclass(frozen=True)
class Disc:
    centre: Point
    radius: float
    ink: Ink
    role: str
    data: Data = ()


@dataclass(frozen=True)
class Text:
    """Letters whose box is centred at a point, turned by `quarter` quarter turns to the left; `halo` clears the lines behind."""

    letters: Outline
    centre: Point
    source: str
    role: str
    quarter: int = 0
    colour: str = BLACK
    halo: bool = False
    data: Data = ()


Mark = Stroke | Disc | Text


@dataclass(frozen=True)
class Scene:
    """Marks with y upwards, and the box that holds them all."""

    marks: tuple[Mark, ...]
    box: tuple[float, float, float, float]
    title: str


def compose(placed: Placed) -> Scene:
    """Everything to be drawn, from back to front."""
    graph = placed.graph
    curves = routes(placed)
    marks: list[Mark] = []
    for panel in graph.panels:
        marks += _panel(placed, panel.names, panel.title, panel.colour)
    if graph.turn:
        marks += _turn(placed)
    products = {(p.source, p.target): p for p in graph.products}
    marks += [_edge(link, c) for link, c in curves.items() if link.kind != "product"]
    marks += [_dashed(products[link.source, link.target], c) for link, c in curves.items() if link.kind == "product"]
    for gate in graph.gates:
        marks += _gate(placed, gate)
    for path in graph.paths:
        marks += _path(placed, curves, path.names, path.colour)
    for vertex in graph.vertices:
        marks.append(_node(placed, vertex))
    for path in graph.paths:
        on = [name for name in path.names if name in graph.vertex]
        marks += [Disc(placed.at[name], g.PATH_DISC / 2, Ink(fill=path.colour), "path", (("name", name),)) for name in on]
    for gate in graph.gates:
        if gate.text:
            letters = outline(gate.text, g.GATE_SIZE)
            marks.append(Text(letters, placed.at[gate_key(gate.name)], gate.text, "psi", quarter=1, data=(("gate", gate.name),)))
    marks += _matrices(placed, curves)
    for vertex in graph.vertices:
        marks += _label(placed, vertex)
    if graph.upward:
        marks = [_upright(mark) for mark in marks]
    if graph.legend:
        marks += _legend(placed, _box_of(marks))
    left, bottom, right, top = _box_of(marks)
    return Scene(tuple(marks), (left - 4, bottom - 4, right + 4, top + 4), graph.name)


# Glyphs.


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
    if gate.bar:
        x = centre[0] + d * g.THICKNESS / 2
        marks.append(Stroke(line((x, centre[1] - long / 2), (x, centre[1] + long / 2)), Ink(None, BLACK, g.BAR), "bar", data[:1]))
    return marks


def _edge(link: Link, curve: Segments) -> Stroke:
    return Stroke(curve, Ink(None, BLACK, g.EDGE), "edge", (("from", link.source), ("to", link.target)))


def _dashed(p: Product, curve: Segments) -> Stroke:
    data = (("from", p.source), ("to", p.target), ("matrix", p.matrix + ("^T" if p.transpose else "")))
    return Stroke(curve, Ink(None, p.colour, g.STROKE, g.DASH), "matmul", data)


def _matrices(placed: Placed, curves: dict[Link, Segments]) -> list[Mark]:
    """The names of the matrices beside their edges."""
    nodes = [mark for vertex in placed.graph.vertices for mark in (_node(placed, vertex), *_label(placed, vertex))]
    gates = [mark for gate in placed.graph.gates for mark in _gate(placed, gate)]
    taken = [extent(mark) for mark in (*nodes, *gates)]
    return [
        Text(
            outline(p.label, MATRIX_SIZE), place, p.label, "matrix", colour=p.colour, halo=True,
            data=(("matrix", p.matrix), ("from", p.source), ("to", p.target)),
        )
        for p, place in matrix_places(placed, curves, taken).items()
    ]


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
    shift = (note.width + 2) / 2 if note else 0.0
    marks: list[Mark] = [Text(letters, (x - shift, height), vertex.label, "name", halo=True, data=(("name", vertex.name),))]
    if note:
        at = (x - shift + letters.width / 2 + 2 + note.width / 2, height - letters.height / 2 + note.height / 2)
        marks.append(Text(note, at, vertex.note, "axes", colour=GREY, halo=True, data=(("name", vertex.name),)))
    return marks


def _path(placed: Placed, curves: dict[Link, Segments], names: Sequence[str], colour: str) -> list[Mark]:
    """The path's line over its dashed edges and through its gates."""
    ink = Ink(None, colour, g.PATH_WIDTH)
    marks: list[Mark] = []
    for a, b in zip(names, names[1:], strict=False):
        direct = Link(a, b, "product")
        if direct in curves:
            marks.append(Stroke(curves[direct], ink, "path", (("from", a), ("to", b))))
            continue
        gate = next((gate_key(gate.name) for gate in placed.graph.gates if a in gate.inputs and b in gate.outputs), None)
        if gate is None:
            raise ValueError(f"the path goes from {a} to {b}, but no instruction makes {b} from {a}")
        into, out = curves[Link(a, gate, "input")], curves[Link(gate, b, "output")]
        through_gate = ("L", (out[0][1][0],))
        marks.append(Stroke((*into, through_gate, *out[1:]), ink, "path", (("from", a), ("to", b))))
    return marks


# Around the drawing.


def _extent(placed: Placed, items: Sequence[str]) -> tuple[float, float, float, float]:
    corners: list[Point] = []
    for item in items:
        (x, y), b = placed.at[item], placed.boxes[item]
        corners += [(x - b.left, y - b.down), (x + b.right, y + b.up)]
    return bounds(corners)


def _panel(placed: Placed, names: Sequence[str], title: str, colour: str) -> list[Mark]:
    gates = [gate_key(gate.name) for gate in placed.graph.gates if any(o in names for o in gate.outputs)]
    left, bottom, right, top = _extent(placed, [*names, *gates])
    pad, head = 9.0, 10.0 if title else 0.0
    corners = ((left - pad, bottom - pad), (right + pad, bottom - pad), (right + pad, top + pad + head), (left - pad, top + pad + head))
    marks: list[Mark] = [Stroke(closed(corners), Ink(colour), "panel", (("title", title),))]
    if title:
        letters = outline(roman(title), g.TITLE_SIZE)
        marks.append(Text(letters, (left - pad + 4 + letters.width / 2, top + pad + 3), title, "title"))
    return marks


def _turn(placed: Placed) -> list[Mark]:
    """The green arrow around the forward row, back under the backward row."""
    left, bottom, right, top = _extent(placed, list(placed.at))
    up, down, far, r = top + 9, bottom - 9, right + 26, 16.0
    k = r * (1 - 0.5523)
    tip = left - 2
    curve: Segments = (
        ("M", ((left, up),)), ("L", ((far - r, up),)), ("C", ((far - k, up), (far, up - k), (far, up - r))),
        ("L", ((far, down + r),)), ("C", ((far, down + k), (far - k, down), (far - r, down))), ("L", ((tip + 6, down),)),
    )
    head = closed(((tip, down), (tip + 8, down + 4), (tip + 8, down - 4)))
    forward, backward = (outline(roman(f"{way} propagation"), g.TITLE_SIZE) for way in ("forward", "backward"))
    return [
        Stroke(curve, Ink(None, GREEN, g.TURN_WIDTH), "turn"),
        Stroke(head, Ink(GREEN), "turn-head"),
        Text(forward, (left + forward.width / 2, up + 8), "forward propagation", "title", colour=GREEN),
        Text(backward, (left + backward.width / 2, down - 8), "backward propagation", "title", colour=GREEN),
    ]


def _legend(placed: Placed, box: tuple[float, float, float, float]) -> list[Mark]:
    """The glyphs that occur, with their names, in a line under the drawing."""
    graph = placed.graph
    y, x = box[1] - 22, box[0] + 8
    marks: list[Mark] = []
    kinds = {v.kind for v in graph.vertices}
    bars = {gate.bar for gate in graph.gates}
    entries = [(n, k) for n, k in (("G-var", "G"), ("X-var", "X"), ("scalar", "scalar")) if k in kinds]
    entries += [(n, k) for n, k, used in (("Nonlin", "gate", False in bars), ("Moment", "bar", True in bars), ("MatMul", "product", bool(graph.products))) if used]
    for name, kind in entries:
        glyph, width = _sample(kind, x, y)
        letters = outline(roman(name), g.TITLE_SIZE)
        marks += [*glyph, Text(letters, (x + width + 4 + letters.width / 2, y), name, "legend")]
        x += width + letters.width + 20
    return marks


def _sample(kind: str, x: float, y: float) -> tuple[list[Mark], float]:
    r = (g.CIRCLE - g.STROKE) / 2
    match kind:
        case "G" | "X":
            return [Disc((x + r, y), r, Ink(BLACK if kind == "X" else WHITE, BLACK, g.STROKE), "legend")], 2 * r
        case "scalar":
            s = g.SQUARE
            return [Stroke(closed(((x, y - s / 2), (x + s, y - s / 2), (x + s, y + s / 2), (x, y + s / 2))), Ink(WHITE, BLACK, g.STROKE), "legend")], s
        case "product":
            return [
                Stroke(line((x + 2 * r, y), (x + 26, y)), Ink(None, BLACK, g.STROKE, g.DASH), "legend"),
                Disc((x + r, y), r, Ink(BLACK, BLACK, g.STROKE), "legend"), Disc((x + 26 + r, y), r, Ink(WHITE, BLACK, g.STROKE), "legend"),
            ], 26 + 2 * r
        case _:
            long, t = 20.0, g.THICKNESS * 0.55
            a, b = x + 6, x + 6 + t
            corners = ((a, y + long / 2), (a, y - long / 2), (b, y - 0.3 * long), (b, y + 0.3 * long))
            legs = [((x, y + 5), (a, y + 5)), ((x, y - 5), (a, y - 5)), ((b, y), (b + 6, y))]
            glyph: list[Mark] = [Stroke(line(*leg), Ink(None, BLACK, g.EDGE), "legend") for leg in legs]
            glyph.append(Stroke(closed(corners), Ink(WHITE, BLACK, g.STROKE), "legend"))
            if kind == "bar":
                glyph.append(Stroke(line((b, y - long / 2), (b, y + long / 2)), Ink(None, BLACK, g.BAR), "legend"))
            return glyph, t + 12


# Geometry of marks.


def closed(corners: Sequence[Point]) -> Segments:
    return (("M", (corners[0],)), *(("L", (p,)) for p in corners[1:]), ("Z", ()))


def _upright(mark: Mark) -> Mark:
    """The drawing turned so that the computation runs upwards; letters stay level."""
    turn = lambda p: (-p[1], p[0])  # noqa: E731
    match mark:
        case Stroke(segments, ink, role, data):
            return Stroke(tuple((letter, tuple(turn(p) for p in points)) for letter, points in segments), ink, role, data)
        case Disc(centre, radius, ink, role, data):
            return Disc(turn(centre), radius, ink, role, data)
        case Text(letters, centre, source, role, quarter, colour, halo, data):
            return Text(letters, turn(centre), source, role, 0 if quarter else quarter, colour, halo, data)


def extent(mark: Mark) -> tuple[float, float, float, float]:
    """The box of one mark."""
    match mark:
        case Stroke(segments, ink, _, _):
            left, bottom, right, top = bounds([p for _, points in segments for p in points])
            w = ink.width / 2
            return left - w, bottom - w, right + w, top + w
        case Disc((x, y), r, _, _, _):
            return x - r, y - r, x + r, y + r
        case Text(letters, (x, y), _, _, quarter, _, _, _):
            w, h = (letters.height, letters.width) if quarter % 2 else (letters.width, letters.height)
            return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def _box_of(marks: Sequence[Mark]) -> tuple[float, float, float, float]:
    boxes = [extent(mark) for mark in marks] or [(0.0, 0.0, 1.0, 1.0)]
    return min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes)
