"""A program's picture in the graphical notation: draw(program) -> Diagram (Yang & Littwin 2021, Figures 1-7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path as File

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.diagram.backward import drawable
from tensorprog.interpret.diagram.canvas import render
from tensorprog.interpret.diagram.describe import Style, describe, without_makers
from tensorprog.interpret.diagram.dot import to_dot
from tensorprog.interpret.diagram.layout import place
from tensorprog.interpret.diagram.marks import Scene
from tensorprog.interpret.diagram.placed import Placed, gate_key
from tensorprog.interpret.diagram.scene import compose
from tensorprog.interpret.diagram.spec import Graph, Panel, Path, Row
from tensorprog.interpret.diagram.svg import to_svg
from tensorprog.interpret.diagram.unfold import written_out
from tensorprog.language.program import Network, Program
from tensorprog.transform.backprop import Backprop, backprop

FORMATS = ("svg", "png", "pdf", "dot")


@dataclass(frozen=True)
class Diagram:
    """A drawing: its specification, and what is made from it on demand. In a notebook it shows itself."""

    graph: Graph

    @cached_property
    def placed(self) -> Placed:
        return place(self.graph)

    @cached_property
    def scene(self) -> Scene:
        return compose(self.placed)

    @cached_property
    def dot(self) -> str:
        """The drawing in the DOT language, with positions: `neato -Tsvg` draws it."""
        return to_dot(self.placed)

    @cached_property
    def svg(self) -> str:
        """The drawing as SVG, with the exact geometry of the paper's figures."""
        return to_svg(self.scene)

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, file: str | File, *, dpi: float = 300.0) -> File:
        """Write the drawing; the file's ending chooses SVG, PNG, PDF or DOT.

        Raises:
            InvalidProgram: another ending.
        """
        path = File(file)
        match path.suffix:
            case ".svg":
                path.write_text(self.svg, encoding="utf-8")
            case ".dot":
                path.write_text(self.dot, encoding="utf-8")
            case ".png":
                path.write_bytes(render(self.scene, "png", dpi=dpi))
            case ".pdf":
                path.write_bytes(render(self.scene, "pdf"))
            case other:
                raise InvalidProgram(f"[draw] cannot write {path.name}: {other or 'no ending'} is none of {', '.join('.' + f for f in FORMATS)}.")
        return path


def draw(
    source: Program | Network | Backprop,
    *,
    backward: bool = False,
    style: Style = "strict",
    unfold: bool = False,
    legend: bool = False,
    highlight: Sequence[Sequence[str] | Path] = (),
    given: Sequence[str] = (),
    panels: Sequence[Panel] = (),
    upward: bool = False,
    rows: Sequence[Row] = (),
    twins: Mapping[str, str] | None = None,
    turn: bool = True,
    line: float = 760.0,
    labels: Mapping[str, str] | None = None,
    file: str | File | None = None,
) -> Diagram:
    """The picture of a program, or of a network's body.

    Args:
        backward: draw the backward pass of a network under its forward pass, computed from right to left. A `Backprop` is always drawn so.
        style: circles of gradients by the instruction that makes them ("strict"), or like their forward twins, as IIb Fig. 6 does ("paper").
        unfold: one node a position, instead of one for each family with its axes written beside it.
        legend: name the glyphs under the drawing.
        highlight: paths, each a sequence of variable names x, h, x, h, ..
        given: variables to be drawn without what makes them; what then leads nowhere else is left out.
        panels: shaded boxes.
        upward: compute from bottom to top, as IIb Fig. 5 (forward pass only).
        rows: rows of the drawing from top to bottom, in place of the usual ones; variables that none names are in the first.
        twins: gradient -> forward variable, for a program that holds its own backward pass.
        turn: the green arrow around forward and backward pass.
        line: points after which a long drawing goes on below, broken at a column with a single variable a row.
        labels: mathtext for some variables' names, in place of their typeset names; what follows " = " stands beside the node only. For
            "gate:x": what is written in the gate that makes x.
        file: also save it there; the ending says how.

    Raises:
        InvalidProgram: backward without a network, a highlighted path or a label that is not in the program, a file ending that is unknown.
    """
    graph = without_makers(_graph(source, backward, style, unfold, labels or {}, rows, twins or {}), given)
    for path in highlight:
        graph = replace(graph, paths=(*graph.paths, path if isinstance(path, Path) else Path(tuple(path))))
    graph = replace(graph, panels=tuple(panels), legend=legend, upward=upward, turn=graph.turn and turn, line=line)
    _check_names(graph, labels or {})
    diagram = Diagram(graph)
    if file is not None:
        diagram.save(file)
    return diagram


def _graph(
    source: Program | Network | Backprop,
    backward: bool,
    style: Style,
    unfold: bool,
    labels: Mapping[str, str],
    rows: Sequence[Row],
    twins: Mapping[str, str],
) -> Graph:
    if isinstance(source, Backprop) or (backward and isinstance(source, Network)):
        made = drawable(source if isinstance(source, Backprop) else backprop(source), unfold=unfold)
        return describe(made.program, twins=made.twins, rows=rows or made.rows, style=style, names=labels, captions=made.captions)
    if backward:
        raise InvalidProgram("[draw] a program has no readout, so no backward pass. Draw a network, or backprop(program, cotangents).")
    program = source.program if isinstance(source, Network) else source
    return describe(written_out(program) if unfold else program, twins=twins, rows=rows or (Row(),), style=style, names=labels)


def _check_names(graph: Graph, labels: Mapping[str, str]) -> None:
    for use, names in (("path", [n for p in graph.paths for n in p.names]), ("panel", [n for p in graph.panels for n in p.names]), ("label", labels)):
        for name in names:
            if name not in graph.vertex and not (use == "label" and name in map(gate_key, graph.gate)):
                raise InvalidProgram(f"[draw] the {use} names {name!r}, which is not drawn; drawn are {', '.join(graph.vertex)}.")
