"""Program -> Graph: every instruction as its glyph (Yang & Littwin 2021, section 4; notation table in spec.py)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, assert_never

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.diagram.glyphs import fits_in_gate
from tensorprog.interpret.diagram.names import embedding, transposed, typeset
from tensorprog.interpret.diagram.placed import gate_key
from tensorprog.interpret.diagram.psi import NAMELESS, formula, gate_texts
from tensorprog.interpret.diagram.spec import BLACK, Gate, Graph, Kind, Product, Row, Vertex
from tensorprog.interpret.diagram.unfold import reads
from tensorprog.language.expr import Apply, Fn, refs
from tensorprog.language.infix import expression
from tensorprog.language.instr import Embedding, InitScalar, InitVector, MatMul, Moment, Nonlin, OuterNonlin
from tensorprog.language.program import Program

COLOURS = ("#4472C4", "#ED7D31", "#70AD47", "#7030A0", "#C00000", "#00A3A3", "#BF9000", "#D6379A")
Style = Literal["strict", "paper"]


def describe(
    program: Program,
    *,
    twins: Mapping[str, str] | None = None,
    rows: Sequence[Row] = (Row(),),
    style: Style = "strict",
    names: Mapping[str, str] | None = None,
    captions: Mapping[str, str] | None = None,
) -> Graph:
    """The graph of a program.

    Args:
        twins: gradient -> the forward variable of which it is the gradient.
        rows: from top to bottom; a backward pass is a row that is computed leftward.
        names: mathtext for some variables, in place of their typeset names, beside their nodes and, up to " = ", in gates; for "gate:x": inside
            the gate that makes x.
        captions: mathtext beside some nodes only.
        style: what a gradient's circle looks like: "strict" by the instruction that makes it, "paper" (IIb Fig. 6) like its forward twin.

    Raises:
        InvalidProgram: unknown style.
    """
    if style not in ("strict", "paper"):
        raise InvalidProgram(f"[draw] style is 'strict' or 'paper', not {style!r}")
    twins = twins or {}
    everything = (*program.init, *(i.out for i in program.body))
    inside = {name: written(program, name, twins.get(name)) for name in everything}
    beside = dict(inside)
    row = {name: k for k, r in enumerate(rows) for name in r.names}
    backward = frozenset(name for r in rows if r.leftward for name in r.names)
    if backward:  # an embedded input needs a name of its own beside that of its gradient
        embedded = {v.name: typeset(v.name) for v in program.vectors if isinstance(v.law, Embedding)}
        inside |= embedded
        beside |= {name: f"{short} = {beside[name]}" for name, short in embedded.items()}
    inside |= {name: text.split(" = ")[0] for name, text in (names or {}).items()}
    beside |= dict(names or {}) | dict(captions or {})
    vertices = tuple(_vertex(program, name, twins, row.get(name, 0), style, beside[name]) for name in everything)
    colours = _colours(program, backward)
    products = tuple(_product(program, i, colours) for i in program.body if isinstance(i, MatMul))
    read = {r for i in program.body for r in reads(i)} | {i.out for i in program.body} | set(program.outputs)
    return Graph(
        tuple(v for v in vertices if v.name in read), _gates(program, inside, row), products, tuple(rows), turn=bool(backward), name=program.name
    )


def _kind(program: Program, name: str) -> Kind:
    if program.is_scalar(name):
        return "scalar"
    return "X" if isinstance(program.instruction.get(name), Nonlin | OuterNonlin) else "G"


def _vertex(program: Program, name: str, twins: Mapping[str, str], row: int, style: Style, label: str) -> Vertex:
    twin = twins.get(name)
    kind = _kind(program, twin if twin is not None and style == "paper" else name)
    axes = program.axes_of[name]
    return Vertex(name, kind, label, ", ".join(axes), row, twin)


def written(program: Program, name: str, twin: str | None = None) -> str:
    """A variable's name: U xi for an embedding, d x for the gradient of x."""
    match program.init.get(name):
        case InitVector(law=Embedding(matrix, data)):
            return embedding(matrix, data)
        case InitVector() | InitScalar() | None:
            return typeset(name, twin)


def _colours(program: Program, backward: frozenset[str]) -> dict[str, str]:
    """A colour for every matrix that the forward pass uses more than once."""
    uses = Counter(i.matrix for i in program.body if isinstance(i, MatMul) and i.out not in backward)
    shared = [name for name, count in uses.items() if count > 1]
    return {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(shared)}


def _product(program: Program, i: MatMul, colours: Mapping[str, str]) -> Product:
    text = transposed(typeset(i.matrix)) if i.transpose else typeset(i.matrix)
    return Product(i.arg, i.out, i.matrix, text, i.transpose, colours.get(i.matrix, BLACK))


def _gates(program: Program, inside: Mapping[str, str], row: Mapping[str, int]) -> tuple[Gate, ...]:
    gates: list[Gate] = []
    shared: dict[object, int] = {}
    for i in program.body:
        match i:
            case MatMul():
                continue
            case Nonlin(out, psi) | Moment(out, psi) | OuterNonlin(out, psi):
                key = _joint(i)
                if key is not None and key in shared:
                    g = gates[shared[key]]
                    gates[shared[key]] = replace(g, outputs=(*g.outputs, out))
                    continue
                if key is not None:
                    shared[key] = len(gates)
                text = inside.get(gate_key(out)) or _fitting(gate_texts(psi, program.is_scalar, inside.__getitem__))
                full = formula(psi, inside.__getitem__) if text == NAMELESS else ""
                bar, outer = isinstance(i, Moment), isinstance(i, OuterNonlin)
                gates.append(Gate(out, text, expression(psi), refs(psi), (out,), bar, row.get(out, 0), full, outer))
            case _:
                assert_never(i)
    return _numbered(gates)


def _numbered(gates: Sequence[Gate]) -> tuple[Gate, ...]:
    """Functions that are too long to be written out get a number each, where there are several."""
    functions = list(dict.fromkeys(g.formula for g in gates if g.formula))
    name = {f: NAMELESS if len(functions) == 1 else f"{NAMELESS}_{{{k}}}" for k, f in enumerate(functions, 1)}
    return tuple(replace(g, text=name[g.formula]) if g.formula else g for g in gates)


def _joint(i: Nonlin | Moment | OuterNonlin) -> object | None:
    """What the members of one softmax have in common: they are scalar Moments drawn as one bar-gate (IIb Fig. 4)."""
    match i:
        case Moment(_, Apply(Fn(name="softmax"), args)):
            return args
        case _:
            return None


def _fitting(texts: Sequence[str]) -> str:
    return next((t for t in texts if fits_in_gate(t)), texts[-1])


def without_makers(graph: Graph, given: Sequence[str]) -> Graph:
    """The graph with some variables as given: what makes them, and what leads nowhere else, is left out."""
    if not given:
        return graph
    gates = [g for g in graph.gates if not set(g.outputs) & set(given)]
    products = [p for p in graph.products if p.target not in given]
    makers = {o: g.inputs for g in graph.gates for o in g.outputs} | {p.target: (p.source,) for p in graph.products}
    read = {name for inputs in makers.values() for name in inputs}
    wanted: set[str] = set()
    stack = [v.name for v in graph.vertices if v.name not in read]
    while stack:
        name = stack.pop()
        if name not in wanted:
            wanted.add(name)
            stack.extend(() if name in given else makers.get(name, ()))
    return replace(
        graph,
        vertices=tuple(v for v in graph.vertices if v.name in wanted),
        gates=tuple(g for g in gates if set(g.outputs) & wanted),
        products=tuple(p for p in products if p.target in wanted),
    )
