"""A program's picture in the graphical notation: draw(program) -> Diagram (Yang & Littwin 2021, Figures 1-7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path as File
from typing import Literal, overload

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.diagram.backward import drawable
from tensorprog.interpret.diagram.describe import Style, describe, without_makers
from tensorprog.interpret.diagram.dot import to_dot
from tensorprog.interpret.diagram.layout import place
from tensorprog.interpret.diagram.marks import Scene
from tensorprog.interpret.diagram.picture import Picture
from tensorprog.interpret.diagram.placed import Placed, gate_key
from tensorprog.interpret.diagram.scene import compose
from tensorprog.interpret.diagram.spec import Graph, Panel, Path, Row
from tensorprog.interpret.diagram.steps import Steps, steps_of
from tensorprog.interpret.diagram.steps_scene import steps_dot, steps_scene
from tensorprog.interpret.diagram.training import training_graph
from tensorprog.interpret.diagram.triangle import Triangle, triangle
from tensorprog.interpret.diagram.unfold import written_out
from tensorprog.language.program import Network, Program
from tensorprog.transform.backprop import Backprop, backprop
from tensorprog.transform.unroll import Unrolled


@dataclass(frozen=True)
class Diagram(Picture):
    """The drawing of a program."""

    graph: Graph

    @cached_property
    def placed(self) -> Placed:
        return place(self.graph)

    def composed(self) -> Scene:
        return compose(self.placed)

    def described(self) -> str:
        return to_dot(self.placed)


@dataclass(frozen=True)
class StepDiagram(Picture):
    """The drawing of training, step by step."""

    steps: Steps

    @cached_property
    def placed(self) -> Triangle:
        return triangle(self.steps)

    def composed(self) -> Scene:
        return steps_scene(self.placed)

    def described(self) -> str:
        return steps_dot(self.placed)


@overload
def draw(source: Unrolled, *, unfold: Literal[False] = False, file: str | File | None = None) -> StepDiagram: ...


@overload
def draw(
    source: Unrolled,
    *,
    unfold: Literal[True],
    style: Style = "strict",
    legend: bool = False,
    highlight: Sequence[Sequence[str] | Path] = (),
    given: Sequence[str] = (),
    turn: bool = True,
    labels: Mapping[str, str] | None = None,
    file: str | File | None = None,
) -> Diagram: ...


@overload
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
) -> Diagram: ...


def draw(
    source: Program | Network | Backprop | Unrolled,
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
) -> Diagram | StepDiagram:
    """The picture of a program, or of a network's body; of training that is unrolled, step by step.

    Args:
        backward: draw the backward pass of a network under its forward pass, computed from right to left. A `Backprop` is always drawn so.
        style: circles of gradients by the instruction that makes them ("strict"), or like their forward twins, as IIb Fig. 6 does ("paper").
        unfold: one node a position, instead of one for each family with its axes written beside it. Of training: the whole program, forward and
            backward pass of a training sample in one panel, the forward pass of a probe in another (IIb Fig. 7).
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
    if isinstance(source, Unrolled) and not unfold:
        diagram = StepDiagram(steps_of(source))
    else:
        graph = without_makers(_graph(source, backward, style, unfold, labels or {}, rows, twins or {}), given)
        paths = tuple(path if isinstance(path, Path) else Path(tuple(path)) for path in highlight)
        shown = (*graph.panels, *panels)
        graph = replace(graph, paths=paths, panels=shown, legend=legend, upward=upward, turn=graph.turn and turn, line=line)
        _check_names(graph, labels or {})
        diagram = Diagram(graph)
    if file is not None:
        diagram.save(file)
    return diagram


def _graph(
    source: Program | Network | Backprop | Unrolled,
    backward: bool,
    style: Style,
    unfold: bool,
    labels: Mapping[str, str],
    rows: Sequence[Row],
    twins: Mapping[str, str],
) -> Graph:
    if isinstance(source, Unrolled):
        return training_graph(source, style, labels)
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
