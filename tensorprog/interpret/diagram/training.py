"""Training unrolled as a drawing: Algorithm 1 of Yang & Littwin 2021 as their Figure 7, from the program that `unroll` writes.

A grey panel holds the forward and backward pass of a training sample at time 0, a blue one the forward pass of a probe. Between them stand the
losses, the Gram scalars and the deviations; what is given (f_0, the labels) enters from outside. The program is simplified first
(`transform/simplify`), and powers of the width are written inside the gates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

from tensorprog.interpret.diagram.describe import Style, describe
from tensorprog.interpret.diagram.glyphs import GATE_SIZE, outline
from tensorprog.interpret.diagram.names import indexed, transposed, typeset
from tensorprog.interpret.diagram.placed import gate_key
from tensorprog.interpret.diagram.psi import formula
from tensorprog.interpret.diagram.spec import TEST_PANEL, Graph, Panel, Row
from tensorprog.language.expr import Add, Expr, Mul, Power, Ref, children, power, rebuild
from tensorprog.language.instr import Embedding, InitScalar, Instr, MatMul, Moment, Nonlin
from tensorprog.language.program import Program
from tensorprog.transform.simplify import simplified
from tensorprog.transform.unfold import member, member_of, positions, unfolded
from tensorprog.transform.unroll import Unrolled
from tensorprog.transform.unroll.parts import Part

GATE_TEXT_MAX = 135.0


def training_graph(u: Unrolled, style: Style = "paper", labels: Mapping[str, str] | None = None) -> Graph:
    """The picture of a whole training program, one node a position."""
    return _Training(u, dict(labels or {})).graph(style)


@dataclass(frozen=True)
class _Training:
    u: Unrolled
    given: Mapping[str, str]

    # Which samples, which variables.

    @cached_property
    def trained(self) -> tuple[int, ...]:
        """Samples of batches, in the order in which they come up."""
        return tuple(dict.fromkeys(s for batch in self.u.batches for s in batch))

    @cached_property
    def probes(self) -> tuple[int, ...]:
        return tuple(s for s in range(self.u.program.size[self.u.sample]) if s not in self.trained)

    @cached_property
    def n(self) -> str:
        """A name for the width, which no variable has."""
        return next(name for k in range(len(self.u.program.axes_of) + 1) if (name := "n" + "_" * k) not in self.u.program.axes_of)

    @cached_property
    def network(self) -> Program:
        return self.u.tape.program

    def members(self, x: str, sample: int) -> list[str]:
        """The members of a variable at one sample; of a variable that does not depend on the sample, all."""
        axes = self.u.program.axes_of[x]
        return [member(x, axes, at) for at in positions(axes, self.u.program.size) if at.get(self.u.sample, sample) == sample]

    @cached_property
    def forward(self) -> tuple[str, ...]:
        """The variables of the forward pass at time 0 that are their own sample's."""
        p = self.network
        initial = tuple(v.name for v in p.vectors if isinstance(v.law, Embedding))
        return (*initial, *(i.out for i in self.u.tape.forward))

    @cached_property
    def backward(self) -> tuple[str, ...]:
        """The gradients at time 0, but for those that are only another name."""
        return tuple(i.out for i in self.u.tape.backward if not (isinstance(i, Nonlin) and isinstance(i.psi, Ref)))

    @cached_property
    def program(self) -> Program:
        """One variable a position, without what the drawing does not show."""
        u = self.u
        whole = unfolded(u.program)
        changes = [self.change(whole, f) for s in self.probes or self.trained for f in self.members(u.f[-1], s)]
        passes = [(self.forward, (*self.trained, *self.probes)), (self.backward, self.trained)]
        shown = [m for names, samples in passes for x, s in product(names, samples) for m in self.members(x, s)]
        moved = [m for names in u.dev.values() for x in names if x is not None for s in range(u.program.size[u.sample]) for m in self.members(x, s)]
        computed = {i.out for i in whole.body}
        return simplified(whole, list(dict.fromkeys(n for n in (*changes, *shown) if n in computed)), own_line=moved)

    @staticmethod
    def change(whole: Program, f: str) -> str:
        """f_T - f_0 where the program has it under a name, else f_T."""
        match whole.instruction[f]:
            case Moment(_, Add((Ref(), Ref(change)))):
                return change
            case _:
                return f

    # The drawing.

    def graph(self, style: Style) -> Graph:
        p = self.program
        rows, panels = self.layout()
        powers: dict[str, Expr] = {c.name: power(Ref(self.n), c.exponent) for c in p.scalars if c.exponent < 0 and c.value == 1.0}
        body = tuple(i if isinstance(i, MatMul) else replace(i, psi=_written(i.psi, powers, self.n)) for i in p.body)
        drawn = replace(p, scalars=(*(c for c in p.scalars if c.name not in powers), InitScalar(self.n)), body=body)
        labels = {n: self.label(n) for n in (*(v.name for v in p.vectors), *(c.name for c in p.scalars), *(i.out for i in body))}
        labels[self.n] = "n"
        labels |= {gate_key(i.out): text for i in body if (text := self.gate(i, labels)) is not None}
        graph = _hidden(describe(drawn, twins=self.twins, rows=rows, style=style, names=labels | dict(self.given)), self.n)
        there = {v.name for v in graph.vertices}
        panels = tuple(replace(q, names=tuple(n for n in q.names if n in there)) for q in panels)
        return replace(graph, panels=panels, name=f"{self.u.network.name}, trained")

    def layout(self) -> tuple[tuple[Row, ...], tuple[Panel, ...]]:
        """Forward and backward pass of every training sample, all that follows from them, the probes."""
        rows: list[Row] = []
        panels: list[Panel] = []
        everything = (*self.program.init, *(i.out for i in self.program.body))
        taken: set[str] = set()
        for s in self.trained:
            forward = self.among(everything, self.forward, s, taken)
            backward = self.among(everything, (*self.seeds, *self.backward), s, taken)
            rows += [Row(forward, labels="above"), Row(backward, leftward=True, labels="above")]
            panels.append(Panel((*forward, *backward), self.title("training example", self.trained, s)))
        tests = [self.among(everything, self.forward, s, taken) for s in self.probes]
        rows.append(Row(tuple(n for n in everything if n not in taken)))
        rows += [Row(names) for names in tests]
        panels += [Panel(names, self.title("test example", self.probes, s), TEST_PANEL) for s, names in zip(self.probes, tests, strict=True)]
        return tuple(rows), tuple(panels)

    @staticmethod
    def title(what: str, samples: tuple[int, ...], sample: int) -> str:
        return f"{what} {samples.index(sample) + 1}" if len(samples) > 1 else what

    def among(self, everything: tuple[str, ...], names: tuple[str, ...], sample: int, taken: set[str]) -> tuple[str, ...]:
        """The members at a sample that are in the program and in no other row."""
        wanted = {m for x in names for m in self.members(x, sample)}
        found = tuple(n for n in everything if n in wanted and n not in taken)
        taken |= set(found)
        return found

    @cached_property
    def seeds(self) -> tuple[str, ...]:
        """Readout vectors that are themselves the gradient of what they read."""
        named = {i.psi.name: i.out for i in self.u.tape.backward if isinstance(i, Nonlin) and isinstance(i.psi, Ref)}
        return tuple(r.vector for r in self.u.network.readouts if r.vector in named)

    @cached_property
    def twins(self) -> dict[str, str]:
        """Gradient -> forward variable, at the training samples."""
        seeds = {r.vector: r.of for r in self.u.network.readouts if r.vector in self.seeds}
        adjoint = {d: x for x, d in self.u.tape.back.adjoint.items()} | seeds
        there = {*self.program.init, *(i.out for i in self.program.body)}
        found: dict[str, str] = {}
        for d, x in adjoint.items():
            for s in self.trained:
                for one, two in zip(self.members(d, s), self.members(x, s), strict=False):
                    if one in there and two in there:
                        found.setdefault(one, two)
        return found

    # Names.

    def place(self, name: str) -> dict[str, int]:
        """The position of a member."""
        axes = self.u.program.axes_of[member_of(name)]
        return dict(zip(axes, map(int, name[name.index("[") + 1 : -1].split(", ")), strict=True)) if axes else {}

    def accented(self, x: str, at: Mapping[str, int]) -> str:
        """x at a position: plain on the training sample and with a tilde on the probe, numbered where there are several."""
        rest = ", ".join(str(k) for a, k in at.items() if a != self.u.sample)
        sample, suffix = at.get(self.u.sample), f"[{rest}]" if rest else ""
        if sample is None or self.trained == (sample,):
            return typeset(x + suffix)
        if self.probes == (sample,):
            return typeset(f"{x}_tilde{suffix}")
        return indexed(typeset(x + suffix), str(sample + 1))

    def label(self, name: str) -> str:
        x, at, u = member_of(name), self.place(name), self.u
        part, several = u.parts.get(x), u.steps > 1
        if x in self.time:
            base, t = self.time[x]
            text = r"\delta " + self.of(base, at)
            return indexed(text, str(t)) if several else text
        if x in u.f:
            return indexed(self.accented("f", at), str(u.f.index(x)))
        if x in u.inputs.values():
            return self.gram(next(key for key, c in u.inputs.items() if c == x), at) or typeset(name)
        match part:
            case Part("loss", t):
                return indexed(r"\chi", str(t)) if several else r"\chi "
            case Part("gram", t, s, str(tensor), transpose):
                matrix = transposed(typeset(tensor)) if transpose else typeset(tensor)
                alone = len(self.network.matrices) == 1 and not transpose and not u.inputs
                text = r"\theta " if alone else r"\theta^{" + matrix + "}"
                return indexed(text, f"{s}{t}") if several else text
            case Part("output", t):
                f = self.accented("f", at)
                return f"{indexed(f, str(t))} - {indexed(f, '0')}"
            case _:
                return self.named(name, x, at)

    def named(self, name: str, x: str, at: Mapping[str, int]) -> str:
        """A vector of the network, with what it is equal to; or a product."""
        i = self.program.instruction.get(name)
        if isinstance(i, MatMul) and x not in self.network.axes_of:
            matrix = typeset(i.matrix)
            return (transposed(matrix) if i.transpose else matrix) + self.label(i.arg)
        data = next((v.law for v in self.network.vectors if v.name == x and isinstance(v.law, Embedding)), None)
        if data is not None:
            return f"{self.accented(x, at)} = {typeset(data.matrix)}{self.accented(data.input, at)}"
        if x in self.seeds and len(self.trained) == 1:
            return f"{typeset(x)} = d{typeset(next(r.of for r in self.u.network.readouts if r.vector == x))}"
        return self.of(x, at)

    def of(self, x: str, at: Mapping[str, int]) -> str:
        """A vector of the network at a position."""
        back = {d: base for base, d in self.u.tape.back.adjoint.items()}
        return "d" + self.accented(back[x], at) if x in back else self.accented(x, at)

    def gram(self, key: tuple[str, ...], at: Mapping[str, int]) -> str | None:
        """<xi_s, xi_t> / d of a pair of samples."""
        match key:
            case ("gram", now, then):
                of_then = next((k for a, k in at.items() if a.startswith(f"{self.u.sample}_then")), at[self.u.sample])
                one, two = (self.accented(x, {self.u.sample: k}) for x, k in ((then, of_then), (now, at[self.u.sample])))
                tensor = next(v.law.matrix for v in self.network.vectors if isinstance(v.law, Embedding) and v.law.input == now)
                return r"\theta^{" + typeset(tensor) + "} = " + transposed(one) + two + "/d"
            case _:
                return None

    @cached_property
    def time(self) -> dict[str, tuple[str, int]]:
        """Deviation -> what deviates, and when."""
        return {dev: (x, t) for x, names in self.u.dev.items() for t, dev in enumerate(names) if dev is not None}

    def gate(self, i: Instr, labels: Mapping[str, str]) -> str | None:
        """What is written in a gate, where it is not what any drawing writes: averages of products as inner products, quotients in full."""
        show = lambda name: labels[name].split(" = ")[0]  # noqa: E731
        match i:
            case Moment(_, Mul((Ref(a), Ref(b)))) if not (self.program.is_scalar(a) or self.program.is_scalar(b)):
                return transposed(show(a)) + show(b) + "/n"
            case Moment(_, psi) | Nonlin(_, psi) if self.u.parts.get(member_of(i.out)) is not None:
                text = formula(psi, show)
                dense = len(text) < 400 and outline(text, GATE_SIZE).width <= GATE_TEXT_MAX
                return text if dense and len(set(_names(psi)) - {self.n}) > 1 else None
            case _:
                return None


def _names(e: Expr) -> list[str]:
    return [e.name] if isinstance(e, Ref) else [n for c in children(e) for n in _names(c)]


def _written(e: Expr, powers: Mapping[str, Expr], n: str) -> Expr:
    """The expression with powers of n for the scalars that stand for them."""
    if isinstance(e, Ref):
        return powers.get(e.name, e)
    if isinstance(e, Power):
        base = _written(e.base, powers, n)
        return power(base.base, base.exponent * e.exponent) if isinstance(base, Power) and base.base == Ref(n) else power(base, e.exponent)
    return rebuild(e, tuple(_written(c, powers, n) for c in children(e))) if children(e) else e


def _hidden(graph: Graph, name: str) -> Graph:
    """The graph without one of its initial scalars."""
    gates = tuple(replace(g, inputs=tuple(n for n in g.inputs if n != name)) for g in graph.gates)
    return replace(graph, gates=gates, vertices=tuple(v for v in graph.vertices if v.name != name))
