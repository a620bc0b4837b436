"""Graph with positions -> DOT: the exchange form, which `neato` draws and which tests compare as text.

Circles, squares and trapezoids are Graphviz's own shapes at the positions of the layout, MatMuls are dashed edges with labels, Moments have a double
outline. Attributes that Graphviz ignores (`psi`, `glyph`, `twin`) carry the meaning.
"""

from __future__ import annotations

from collections.abc import Mapping

from tensorprog.interpret.diagram.glyphs import CIRCLE, EDGE, SHORT_TO_LONG, SQUARE, STROKE, THICKNESS, Point
from tensorprog.interpret.diagram.placed import Placed, gate_key
from tensorprog.interpret.diagram.spec import Gate, Vertex

POINTS_PER_INCH = 72.0


def to_dot(placed: Placed) -> str:
    """The drawing in the DOT language."""
    graph = placed.graph
    lines = [f"digraph {_quoted(graph.name)} {{"]
    lines.append(f"  graph [layout=neato, inputscale=72, splines=true, outputorder=edgesfirst, rankdir={'BT' if graph.upward else 'LR'}]")
    lines.append(f'  node [label="", fontname="Latin Modern Math", fontsize=8, penwidth={STROKE}, fixedsize=true]')
    lines.append(f'  edge [dir=none, fontname="Latin Modern Math", fontsize=7.5, penwidth={EDGE}]')
    lines += [_vertex(placed, v) for v in graph.vertices]
    lines += [_gate(placed, gate) for gate in graph.gates]
    for gate in graph.gates:
        key = gate_key(gate.name)
        lines += [f"  {_quoted(name)} -> {_quoted(key)}" for name in gate.inputs]
        lines += [f"  {_quoted(key)} -> {_quoted(name)}" for name in gate.outputs]
    for p in graph.products:
        matrix = p.matrix + ("^T" if p.transpose else "")
        style = {"label": matrix, "style": "dashed", "penwidth": str(STROKE), "color": p.colour, "fontcolor": p.colour}
        lines.append(f"  {_quoted(p.source)} -> {_quoted(p.target)} {_attributes(style)}")
    for k, path in enumerate(graph.paths):
        lines.append(f"  // path {path.label or k + 1}: {' '.join(path.names)}")
    for panel in graph.panels:
        lines.append(f"  // panel {panel.title} ({panel.colour}): {' '.join(panel.names)}")
    return "\n".join([*lines, "}", ""])


def _vertex(placed: Placed, v: Vertex) -> str:
    size = (SQUARE if v.kind == "scalar" else CIRCLE) / POINTS_PER_INCH
    style = {
        "glyph": v.kind,
        "shape": "square" if v.kind == "scalar" else "circle",
        "width": f"{size:.3f}",
        "height": f"{size:.3f}",
        "style": "filled",
        "fillcolor": "black" if v.kind == "X" else "white",
        "xlabel": v.name + (f" [{v.note}]" if v.note else ""),
        "pos": _position(placed, placed.at[v.name]),
    }
    if v.twin:
        style["twin"] = v.twin
    return f"  {_quoted(v.name)} {_attributes(style)}"


def _gate(placed: Placed, gate: Gate) -> str:
    """A polygon of four sides whose shorter side is `distortion` narrower; `orientation` turns the long side to the inputs."""
    long = placed.long[gate_key(gate.name)]
    turned = 0 if placed.graph.upward else 90 if placed.graph.rows[gate.row].leftward else 270
    width, height = (long, THICKNESS) if placed.graph.upward else (THICKNESS, long)
    style = {
        "glyph": "Moment" if gate.bar else "OuterNonlin" if gate.outer else "Nonlin",
        "shape": "polygon",
        "sides": "4",
        "distortion": f"{SHORT_TO_LONG - 1:.1f}",
        "orientation": str(turned),
        "width": f"{width / POINTS_PER_INCH:.3f}",
        "height": f"{height / POINTS_PER_INCH:.3f}",
        "psi": gate.meaning,
        "style": "filled",
        "fillcolor": "white",
        "peripheries": "2" if gate.bar else "1",
        "pos": _position(placed, placed.at[gate_key(gate.name)]),
    }
    return f"  {_quoted(gate_key(gate.name))} {_attributes(style)}"


def _position(placed: Placed, p: Point) -> str:
    x, y = (-p[1], p[0]) if placed.graph.upward else p
    return f"{x:.1f},{y:.1f}!"


def _attributes(style: Mapping[str, str]) -> str:
    return "[" + ", ".join(f"{key}={_quoted(value)}" for key, value in style.items()) + "]"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
