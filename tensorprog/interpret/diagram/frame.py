"""Around the drawing: panels, the green arrow of forward and backward pass, the legend."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tensorprog.interpret.diagram import glyphs as g
from tensorprog.interpret.diagram.glyphs import Point, outline
from tensorprog.interpret.diagram.marks import WHITE, Box, Disc, Ink, Mark, Stroke, Text, box_of, closed, extent, moved
from tensorprog.interpret.diagram.names import roman
from tensorprog.interpret.diagram.placed import Placed, gate_key
from tensorprog.interpret.diagram.routes import Segments, bounds, line, point_on
from tensorprog.interpret.diagram.spec import BLACK, GREEN, Graph, Panel

AIR = 20.0  # between the lines of a broken drawing
SAMPLES, NUDGE = 60, 4.0  # of a curve; by how much words give way
TURN_AIR = 21.0  # that the arrow takes around its rows


def _extent(placed: Placed, items: Sequence[str]) -> Box:
    corners: list[Point] = []
    for item in items:
        (x, y), b = placed.at[item], placed.room[item]
        corners += [(x - b.left, y - b.down), (x + b.right, y + b.up)]
    return bounds(corners)


def panel(placed: Placed, what: Panel) -> list[Mark]:
    """A shaded box around some variables and the gates that make them, with its title."""
    gates = [gate_key(gate.name) for gate in placed.graph.gates if any(o in what.names for o in gate.outputs)]
    left, bottom, right, top = _extent(placed, [*what.names, *gates])
    pad, head = 9.0, 10.0 if what.title else 0.0
    if placed.graph.turn and any(placed.graph.rows[placed.graph.vertex[name].row].leftward for name in what.names):
        left, bottom, right, top = left - 2, bottom - TURN_AIR, right + TURN_AIR, top + TURN_AIR
    first = any(placed.graph.vertex[name].row == 0 for name in what.names)  # edges to the other rows leave on the side without the title
    low, high = bottom - pad - (0.0 if first else head), top + pad + (head if first else 0.0)
    corners = ((left - pad, low), (right + pad, low), (right + pad, high), (left - pad, high))
    marks: list[Mark] = [Stroke(closed(corners), Ink(what.colour), "panel", (("title", what.title),))]
    if what.title:
        letters = outline(roman(what.title), g.TITLE_SIZE)
        marks.append(Text(letters, (left - pad + 4 + letters.width / 2, high - 7 if first else low + 7), what.title, "title"))
    return marks


def turn(lines: Sequence[Sequence[Mark]]) -> list[list[Mark]]:
    """Each line of a drawing with the green arrow around it: forward above, backward below, and the turn itself at the end of the last line."""
    out: list[list[Mark]] = []
    floor = 0.0
    for k, marks in enumerate(lines):
        drop = floor - AIR - box_of(marks)[3] if k else 0.0
        own = [moved(mark, 0.0, drop) for mark in marks]
        around = [*_arrow(box_of(own), last=k == len(lines) - 1), *own]
        floor = box_of(around)[1] - AIR
        out.append(around)
    return out


def inner_turn(placed: Placed, curves: Iterable[Segments]) -> list[Mark]:
    """The arrow around each backward row and the row above it, in a drawing that has other rows too; its words stand clear of the curves."""
    points = [point_on(c, k / SAMPLES)[0] for c in curves for k in range(SAMPLES + 1)]
    below = [k for k, row in enumerate(placed.graph.rows) if row.leftward]
    boxes = [_extent(placed, [item for item in placed.at if placed.row(item) in (k - 1, k)]) for k in below]
    return [mark for box in boxes for mark in _cleared(_arrow(box, last=True), points)]


def _cleared(marks: Sequence[Mark], points: Sequence[Point]) -> list[Mark]:
    """Words moved to the right until no curve passes through them."""
    right = box_of(marks)[2]
    return [_clear(mark, points, right) if isinstance(mark, Text) else mark for mark in marks]


def _clear(mark: Text, points: Sequence[Point], end: float) -> Mark:
    left, bottom, right, top = extent(mark)
    across = [x for x, y in points if bottom - 1 < y < top + 1]
    steps = range(int(max(end - TURN_AIR - right, 0.0) / NUDGE) + 1)
    free = (NUDGE * k for k in steps if not any(left - 2 < x - NUDGE * k < right + 2 for x in across))
    return moved(mark, next(free, 0.0), 0.0)


def _arrow(box: Box, *, last: bool) -> list[Mark]:
    left, bottom, right, top = box
    up, down, far, r, tip = top + 8, bottom - 8, right + 20, 16.0, left - 2
    k = r * (1 - 0.5523)
    ink = Ink(None, GREEN, g.TURN_WIDTH)
    around: Segments = (
        ("M", ((left, up),)),
        ("L", ((far - r, up),)),
        ("C", ((far - k, up), (far, up - k), (far, up - r))),
        ("L", ((far, down + r),)),
        ("C", ((far, down + k), (far - k, down), (far - r, down))),
        ("L", ((tip + 6, down),)),
    )
    shafts = [around] if last else [line((left, up), (right - 4, up)), line((right + 2, down), (tip + 6, down))]
    heads = [_head((tip, down), -1.0)] + ([] if last else [_head((right + 2, up), 1.0)])
    forward, backward = (outline(roman(f"{way} propagation"), g.TITLE_SIZE) for way in ("forward", "backward"))
    return [
        *(Stroke(shaft, ink, "turn") for shaft in shafts),
        *(Stroke(head, Ink(GREEN), "turn-head") for head in heads),
        Text(forward, (left + forward.width / 2, up + 7), "forward propagation", "title", colour=GREEN),
        Text(backward, (left + backward.width / 2, down - 7), "backward propagation", "title", colour=GREEN),
    ]


def _head(tip: Point, d: float) -> Segments:
    x, y = tip
    return closed(((x, y), (x - 8 * d, y + 4), (x - 8 * d, y - 4)))


def legend(graph: Graph, box: Box) -> list[Mark]:
    """The glyphs that occur, with their names, in a line under the drawing; then the functions too long for their gates."""
    y, x = box[1] - 22, box[0] + 8
    marks: list[Mark] = []
    kinds = {v.kind for v in graph.vertices}
    gates = {"bar" if gate.bar else "outer" if gate.outer else "gate" for gate in graph.gates}
    every = (
        ("G-var", "G", "G" in kinds),
        ("X-var", "X", "X" in kinds),
        ("scalar", "scalar", "scalar" in kinds),
        ("Nonlin", "gate", "gate" in gates),
        ("Moment", "bar", "bar" in gates),
        ("OuterNonlin", "outer", "outer" in gates),
        ("MatMul", "product", bool(graph.products)),
    )
    for name, kind, used in every:
        if used:
            glyph, width = _sample(kind, x, y)
            letters = outline(roman(name), g.TITLE_SIZE)
            marks += [*glyph, Text(letters, (x + width + 4 + letters.width / 2, y), name, "legend")]
            x += width + letters.width + 20
    functions = {gate.text: gate.formula for gate in graph.gates if gate.formula}
    for k, (name, formula) in enumerate(functions.items()):
        letters = outline(f"{name} = {formula}", g.GATE_SIZE)
        marks.append(Text(letters, (box[0] + 8 + letters.width / 2, y - 20 - 14 * k), name, "legend"))
    return marks


def _sample(kind: str, x: float, y: float) -> tuple[list[Mark], float]:
    r = (g.CIRCLE - g.STROKE) / 2
    match kind:
        case "G" | "X":
            return [Disc((x + r, y), r, Ink(BLACK if kind == "X" else WHITE, BLACK, g.STROKE), "legend")], 2 * r
        case "scalar":
            s = g.SQUARE
            corners = ((x, y - s / 2), (x + s, y - s / 2), (x + s, y + s / 2), (x, y + s / 2))
            return [Stroke(closed(corners), Ink(WHITE, BLACK, g.STROKE), "legend")], s
        case "product":
            return [
                Stroke(line((x + 2 * r, y), (x + 26, y)), Ink(None, BLACK, g.STROKE, g.DASH), "legend"),
                Disc((x + r, y), r, Ink(BLACK, BLACK, g.STROKE), "legend"),
                Disc((x + 26 + r, y), r, Ink(WHITE, BLACK, g.STROKE), "legend"),
            ], 26 + 2 * r
        case _:
            long, t = 20.0, g.THICKNESS * 0.55
            a, b = x + 6, x + 6 + t
            corners = ((a, y + long / 2), (a, y - long / 2), (b, y - 0.3 * long), (b, y + 0.3 * long))
            legs = [((x, y + 5), (a, y + 5)), ((x, y - 5), (a, y - 5)), ((b, y), (b + 6, y))]
            glyph: list[Mark] = [Stroke(line(*leg), Ink(None, BLACK, g.EDGE), "legend") for leg in legs]
            glyph.append(Stroke(closed(corners), Ink(WHITE, BLACK, g.STROKE), "legend"))
            if kind != "gate":
                side = b if kind == "bar" else a
                glyph.append(Stroke(line((side, y - long / 2), (side, y + long / 2)), Ink(None, BLACK, g.BAR), "legend"))
            return glyph, t + 12
