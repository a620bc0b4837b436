"""Program -> Graph: every instruction as its glyph (Yang & Littwin 2021, section 4; notation table in spec.py)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, assert_never

from tensorprog.interpret.diagram.backward import reads
from tensorprog.interpret.diagram.glyphs import GATE_TEXT_MAX, gate_text_width
from tensorprog.interpret.diagram.names import embedding, typeset
from tensorprog.interpret.diagram.psi import formula, gate_texts
from tensorprog.interpret.diagram.spec import BLACK, Gate, Graph, Kind, Product, Row, Vertex
from tensorprog.language.expr import Apply, Fn, refs
from tensorprog.language.instr import Embedding, InitScalar, InitVector, MatMul, Moment, Nonlin
from tensorprog.language.program import Program

COLOURS = ("#4472C4", "#ED7D31", "#70AD47", "#7030A0", "#C00000", "#00A3A3", "#BF9000", "#D6379A")
Style = Literal["strict", "paper"]


def describe(program: Program, *, twins: Mapping[str, str] | None = None, backward: frozenset[str] = frozenset(), style: Style = "strict") -> Graph:
    """The graph of a program.

    Args:
        twins: gradient -> the forward variable of which it is the gradient.
        backward: the variables computed right to left, in a row of their own under the forward pass.
        style: what a gradient's circle looks like: "strict" by the instruction that makes it, "paper" (IIb Fig. 6) like its forward twin.

    Raises:
        ValueError: unknown style.
    """
    if style not in ("strict", "paper"):
        raise ValueError(f"style is 'strict' or 'paper', not {style!r}")
    twins = twins or {}
    vertices = tuple(_vertex(program, name, twins, name in backward, style) for name in (*program.init, *(i.out for i in program.body)))
    colours = _colours(program, backward)
    products = tuple(_product(program, i, colours) for i in program.body if isinstance(i, MatMul))
    rows = (Row(labels="above"), Row(leftward=True)) if backward else (Row(),)
    read = {r for i in program.body for r in reads(i)} | {i.out for i in program.body} | set(program.outputs)
    return Graph(
        tuple(v for v in vertices if v.name in read), _gates(program, twins, backward), products, rows, turn=bool(backward), name=program.name,
    )


def _kind(program: Program, name: str) -> Kind:
    if program.is_scalar(name):
        return "scalar"
    return "X" if isinstance(program.instruction.get(name), Nonlin) else "G"


def _vertex(program: Program, name: str, twins: Mapping[str, str], below: bool, style: Style) -> Vertex:
    twin = twins.get(name)
    kind = _kind(program, twin if twin is not None and style == "paper" else name)
    axes = program.axes_of[name]
    return Vertex(name, kind, label(program, name, twin), ", ".join(axes), int(below), twin)


def label(program: Program, name: str, twin: str | None = None) -> str:
    """The name beside a node: an embedding as U xi, a gradient as d of its twin."""
    match program.init.get(name):
        case InitVector(law=Embedding(matrix, data)):
            member = name[name.index("[") :] if "[" in name else ""
            return embedding(matrix, data, member)
        case InitVector() | InitScalar() | None:
            return typeset(name, twin)


def _colours(program: Program, backward: frozenset[str]) -> dict[str, str]:
    """A colour for every matrix that the forward pass uses more than once."""
    uses = Counter(i.matrix for i in program.body if isinstance(i, MatMul) and i.out not in backward)
    shared = [name for name, count in uses.items() if count > 1]
    return {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(shared)}


def _product(program: Program, i: MatMul, colours: Mapping[str, str]) -> Product:
    text = typeset(i.matrix)
    if i.transpose:
        text = "{" + text + "}" + r"^{\top}" if "^" not in text and "_" not in text else "(" + text + r")^{\top}"
    return Product(i.arg, i.out, i.matrix, text, i.transpose, colours.get(i.matrix, BLACK))


def _gates(program: Program, twins: Mapping[str, str], backward: frozenset[str]) -> tuple[Gate, ...]:
    gates: list[Gate] = []
    shared: dict[object, int] = {}
    for i in program.body:
        match i:
            case MatMul():
                continue
            case Nonlin(out, psi) | Moment(out, psi):
                key = _joint(i)
                if key is not None and key in shared:
                    g = gates[shared[key]]
                    gates[shared[key]] = Gate(g.name, g.text, g.meaning, g.inputs, (*g.outputs, out), g.bar, g.row)
                    continue
                if key is not None:
                    shared[key] = len(gates)
                show = lambda name: label(program, name, twins.get(name))  # noqa: E731
                text = _fitting(gate_texts(psi, program.is_scalar, show))
                gates.append(Gate(out, text, formula(psi, typeset), refs(psi), (out,), isinstance(i, Moment), int(out in backward)))
            case _:
                assert_never(i)
    return tuple(gates)


def _joint(i: Nonlin | Moment) -> object | None:
    """What the members of one softmax have in common: they are scalar Moments drawn as one bar-gate (IIb Fig. 4)."""
    match i:
        case Moment(_, Apply(Fn(name="softmax"), args)):
            return args
        case _:
            return None


def _fitting(texts: Sequence[str]) -> str:
    return next((t for t in texts if gate_text_width(t) <= GATE_TEXT_MAX), texts[-1])
