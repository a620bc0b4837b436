"""The graphical notation as plain data (Yang & Littwin 2021, section 4 "Graphical Form" and Figures 1-7).

| on paper                       | in code  | meaning                                                        |
| ------------------------------ | -------- | -------------------------------------------------------------- |
| open circle                    | Vertex G | a G-var: initial vector, or made by MatMul                     |
| filled circle                  | Vertex X | an X-var: made by Nonlin                                       |
| open square                    | Vertex scalar | a scalar, initial or made by Moment                       |
| trapezoid, solid edges         | Gate     | Nonlin; long side to its inputs, short side to its output      |
| trapezoid with a bar           | Gate bar | Moment (several outputs: several scalar Moments as one gate)   |
| ... with the bar at its inputs | Gate outer | OuterNonlin: an average over the coordinates marked x', x''    |
| dashed edge with a label       | Product  | MatMul; a shared matrix has one colour                         |
| short edge with a name         | Gate     | an input from the other row, where many edges would run there  |
| thick blue line                | Path     | a path p of IIb Def. 5.4                                       |
| shaded box                     | Panel    | a part of an unrolled program                                  |

Labels are mathtext without the dollar signs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Kind = Literal["G", "X", "scalar"]
BLACK, BLUE, GREEN, GREY = "#000000", "#4472C4", "#548235", "#595959"
TRAIN_PANEL, TEST_PANEL = "#E7E6E6", "#DAE3F3"


@dataclass(frozen=True)
class Vertex:
    """A vector or scalar. `kind` is the glyph drawn; `twin` names the forward variable of which this is the gradient."""

    name: str
    kind: Kind
    label: str
    note: str = ""
    row: int = 0
    twin: str | None = None


@dataclass(frozen=True)
class Gate:
    """One Nonlin, Moment (`bar`) or OuterNonlin (`outer`).

    `text` is written inside, `meaning` is psi as the program has it, `formula` psi in full where `text` only names it.
    """

    name: str
    text: str
    meaning: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    bar: bool = False
    row: int = 0
    formula: str = ""
    outer: bool = False


@dataclass(frozen=True)
class Product:
    """target = matrix source, drawn as one dashed edge."""

    source: str
    target: str
    matrix: str
    label: str
    transpose: bool = False
    colour: str = BLACK


@dataclass(frozen=True)
class Path:
    """The variables of a path, in order, to be laid over the drawing."""

    names: tuple[str, ...]
    label: str = ""
    colour: str = BLUE


@dataclass(frozen=True)
class Panel:
    """A shaded box around some variables and the gates that make them."""

    names: tuple[str, ...]
    title: str = ""
    colour: str = TRAIN_PANEL


@dataclass(frozen=True)
class Row:
    """A horizontal band of the drawing: its variables (the first row: all others), which way it is computed, where a node's name stands."""

    names: tuple[str, ...] = ()
    leftward: bool = False
    labels: Literal["above", "below"] = "below"


@dataclass(frozen=True)
class Graph:
    """The whole drawing, before any position is known."""

    vertices: tuple[Vertex, ...]
    gates: tuple[Gate, ...]
    products: tuple[Product, ...]
    rows: tuple[Row, ...] = (Row(),)
    paths: tuple[Path, ...] = ()
    panels: tuple[Panel, ...] = ()
    turn: bool = False
    legend: bool = False
    upward: bool = False
    line: float = 760.0
    name: str = "program"

    @cached_property
    def vertex(self) -> Mapping[str, Vertex]:
        return {v.name: v for v in self.vertices}

    @cached_property
    def gate(self) -> Mapping[str, Gate]:
        return {g.name: g for g in self.gates}
