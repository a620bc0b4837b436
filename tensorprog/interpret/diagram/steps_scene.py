"""Triangle -> marks and DOT: training step by step, with the rules of what is added under the drawing."""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot

from tensorprog.interpret.diagram import glyphs as g
from tensorprog.interpret.diagram.glyphs import Outline, outline
from tensorprog.interpret.diagram.marks import WHITE, Box, Disc, Ink, Mark, Scene, Stroke, Text, box_of, closed
from tensorprog.interpret.diagram.names import roman
from tensorprog.interpret.diagram.placed import LABEL_GAP, NOTE_GAP
from tensorprog.interpret.diagram.routes import Segments, line
from tensorprog.interpret.diagram.spec import BLACK, BLUE, GREY, TEST_PANEL, TRAIN_PANEL
from tensorprog.interpret.diagram.steps import Rule
from tensorprog.interpret.diagram.triangle import PASS, Item, Triangle, Wire
from tensorprog.interpret.diagram.triangle import Box as Panel

MARGIN, RULE_STEP, RULE_AIR, RAIL_WIDTH = 4.0, 14.0, 20.0, 1.1
RAILS = ("rail", "join", "sum")


def steps_scene(t: Triangle) -> Scene:
    """Panels, wires, nodes, letters, rules, from back to front."""
    marks = [mark for p in t.panels for mark in _panel(p)]
    marks += [mark for w in sorted(t.wires, key=lambda w: w.role not in RAILS) for mark in _wire(w)]
    marks += [mark for i in t.items for mark in _item(t, i)]
    marks += _rules(t.steps.rules, box_of(marks))
    left, bottom, right, top = box_of(marks)
    return Scene(tuple(marks), (left - MARGIN, bottom - MARGIN, right + MARGIN, top + MARGIN), t.steps.name)


def _panel(p: Panel) -> list[Mark]:
    left, bottom, right, top = p.box
    corners = ((left, bottom), (right, bottom), (right, top), (left, top))
    ink = Ink(TEST_PANEL if p.last else TRAIN_PANEL)
    title = outline(roman(p.title), g.TITLE_SIZE)
    marks: list[Mark] = [
        Stroke(closed(corners), ink, "panel", (("title", p.title),)),
        Text(title, (left + 5 + title.width / 2, top - 8), p.title, "title"),
    ]
    if p.note:
        note = outline(roman(p.note), g.NOTE_SIZE + 0.6)
        at = (left + 11 + title.width + note.width / 2, top - 8 - (title.height - note.height) / 2)
        marks.append(Text(note, at, p.note, "axes", colour=GREY))
    return marks


def _wire(w: Wire) -> list[Mark]:
    ink = Ink(None, BLUE, RAIL_WIDTH) if w.role in RAILS else Ink(None, BLACK, g.EDGE)
    marks: list[Mark] = [Stroke(w.segments, ink, w.role, (("from", w.source), ("to", w.target)))]
    if w.arrow:
        (x, y), (a, b) = w.segments[-1][1][-1], w.segments[-2][1][-1]
        size, run = 5.0 if w.role in RAILS else 4.0, hypot(x - a, y - b)
        dx, dy = size * (x - a) / run, size * (y - b) / run
        head = ((x, y), (x - dx - 0.45 * dy, y - dy + 0.45 * dx), (x - dx + 0.45 * dy, y - dy - 0.45 * dx))
        marks.append(Stroke(closed(head), Ink(ink.stroke), "head"))
    return marks


def _item(t: Triangle, i: Item) -> list[Mark]:
    (x, y), data = i.at, (("name", i.name),)
    match i.glyph:
        case "pass":
            w, h = PASS[0] / 2, PASS[1] / 2
            return [
                Stroke(_rounded((x - w, y - h, x + w, y + h), 4.0), Ink(WHITE, BLACK, g.STROKE), "pass", data),
                Text(outline(roman(i.label), g.TITLE_SIZE), i.at, i.label, "psi", data=data),
            ]
        case "gate":
            long = g.long_side(2 if t.steps.labelled or t.steps.given else 1, i.label)
            bar = line((x - long / 2, y - g.THICKNESS / 2), (x + long / 2, y - g.THICKNESS / 2))
            return [
                Stroke(closed(g.trapezoid(i.at, long, (0.0, -1.0))), Ink(WHITE, BLACK, g.STROKE), "gate", data),
                Stroke(bar, Ink(None, BLACK, g.BAR), "bar", data),
                Text(outline(i.label, g.GATE_SIZE), i.at, i.label, "psi", data=data),
            ]
        case "scalar":
            s = g.SQUARE / 2
            corners = ((x - s, y - s), (x + s, y - s), (x + s, y + s), (x - s, y + s))
            return [Stroke(closed(corners), Ink(WHITE, BLACK, g.STROKE), "scalar", data), *_named(i)]
        case _:
            return [Disc(i.at, (g.CIRCLE - g.STROKE) / 2, Ink(BLACK, BLACK, g.STROKE), "X", data), *_named(i)]


def _named(i: Item) -> list[Mark]:
    (x, y), letters = i.at, outline(i.label)
    r = g.CIRCLE / 2
    match i.side:
        case "right":
            at = (x + r + LABEL_GAP + letters.width / 2, y)
        case "above":
            at = (x, y + r + LABEL_GAP + letters.height / 2)
        case _:
            at = (x, y - r - LABEL_GAP - letters.height / 2)
    marks: list[Mark] = [Text(letters, at, i.label, "name", data=(("name", i.name),))]
    if i.note:
        note = outline(i.note, g.NOTE_SIZE)
        beside = (at[0] + letters.width / 2 + NOTE_GAP + note.width / 2, at[1])
        marks.append(Text(note, beside, i.note, "axes", colour=GREY, data=(("name", i.name),)))
    return marks


def _rounded(box: Box, r: float) -> Segments:
    left, bottom, right, top = box
    k = r * (1 - 0.5523)
    return (
        ("M", ((left + r, bottom),)),
        ("L", ((right - r, bottom),)),
        ("C", ((right - k, bottom), (right, bottom + k), (right, bottom + r))),
        ("L", ((right, top - r),)),
        ("C", ((right, top - k), (right - k, top), (right - r, top))),
        ("L", ((left + r, top),)),
        ("C", ((left + k, top), (left, top - k), (left, top - r))),
        ("L", ((left, bottom + r),)),
        ("C", ((left, bottom + k), (left + k, bottom), (left + r, bottom))),
        ("Z", ()),
    )


def _rules(rules: Sequence[Rule], box: Box) -> list[Mark]:
    """A table: the glyph, what it is, what it adds, to what."""
    adds, to = outline(roman("adds"), g.TITLE_SIZE), outline(roman("to"), g.TITLE_SIZE)
    cells = [(outline(r.what), outline(r.adds), outline(r.to)) for r in rules]
    whats, added = (max((c[k].width for c in cells), default=0.0) for k in (0, 1))
    marks: list[Mark] = []
    for k, (rule, (what, term, target)) in enumerate(zip(rules, cells, strict=True)):
        x, y = box[0] + 8, box[1] - RULE_AIR - RULE_STEP * k
        glyph = "scalar" if rule.scalar else "X"
        s = g.SQUARE / 2
        square = Stroke(closed(((x - s, y - s), (x + s, y - s), (x + s, y + s), (x - s, y + s))), Ink(WHITE, BLACK, g.STROKE), "legend")
        disc = Disc((x, y), (g.CIRCLE - g.STROKE) / 2, Ink(BLACK, BLACK, g.STROKE), "legend")
        marks.append(square if glyph == "scalar" else disc)
        x += 10
        marks.append(_starting(x, y, what, rule.what))
        x += whats + 10
        marks.append(_starting(x, y, adds, "adds"))
        x += adds.width + 6
        marks.append(_starting(x, y, term, rule.adds))
        x += added + 8
        marks.append(_starting(x, y, to, "to"))
        marks.append(_starting(x + to.width + 6, y, target, rule.to))
    return marks


def _starting(x: float, y: float, letters: Outline, source: str) -> Text:
    return Text(letters, (x + letters.width / 2, y + (letters.box[1] + letters.box[3]) / 2 - 2.4), source, "legend")


def steps_dot(t: Triangle) -> str:
    """The drawing in the DOT language, with positions; attributes that Graphviz ignores carry the meaning."""
    shapes = {"pass": "box", "gate": "trapezium", "scalar": "square", "X": "circle"}
    lines = [f'digraph "{t.steps.name}" {{', "  graph [layout=neato, inputscale=72, splines=true]", '  node [label="", fontsize=8]']
    for i in t.items:
        fill = "black" if i.glyph == "X" else "white"
        label = "label" if i.glyph == "pass" else "xlabel"
        count = f', count="{i.note.split()[-1]}"' if i.note else ""
        style = f'glyph="{i.glyph}", shape="{shapes[i.glyph]}", style="filled", fillcolor="{fill}", {label}="{i.name}"{count}'
        lines.append(f'  "{i.name}" [{style}, pos="{i.at[0]:.1f},{i.at[1]:.1f}!"]')
    drawn = [w for w in t.wires if w.role not in RAILS]
    lines += [f'  "{w.source}" -> "{w.target}"' for w in drawn]
    for a in t.steps.additions:
        lines += [f'  "backward_{a.step}" -> "{a.key}_{a.step}_{a.time}"', f'  "{a.key}_{a.step}_{a.time}" -> "{a.way}_{a.time}"']
    for rule in t.steps.rules:
        lines.append(f"  // {rule.what} adds {rule.adds} to {rule.to}")
    return "\n".join([*lines, "}", ""])
