"""Backpropagation is a program (Yang & Littwin 2021, App. B; Yang 2020, "Tensor Programs II", section 6).

| forward                    | backward                                                                    | rule       |
| -------------------------- | --------------------------------------------------------------------------- | ---------- |
| f = sigma v . x / sqrt(N)  | dx += sigma v, dv += sigma x                                                | [readout]  |
| h = W x                    | dx += W^T dh                                                                | [matmul]   |
| x = psi(h..; c..), width m | dh_i += d_i psi dx,            dc_j += (m / N) Moment(d_{c_j} psi dx)       | [nonlin]   |
| c = Moment(psi(h..; b..))  | dh_i += (N / m) dc d_i psi,    db_j += dc Moment(d_{b_j} psi)               | [moment]   |
| y_a = avg_b psi(h_a; g_b)  | dh_a += avg_b dy_a d_h psi,    dg_b += (m / m') avg_a dy_a d_g psi          | [outer]    |

Scale. N is the size of the width class `base`: that of the first readout. For a network of kind "ntk", dx = sqrt(N) df/dx for every
vector and dc = df/dc / sqrt(N) for every scalar; for kind "moment" (f = v . x / N), dx = N df/dx and dc = df/dc. A readout of another
width n_r, or flattened over P positions, is f = sigma v . x / sqrt(n_r P), hence dx += sigma sqrt(N / (n_r P)) v (no root for "moment").

Ratios of widths stand in the program as initial scalars, whose value there is the limit; at a finite width that rounds,
`Backprop.scalars(n)` gives the actual ones, and then the finite meaning is automatic differentiation to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import assert_never

from tensorprog.errors import InvalidProgram
from tensorprog.language.calculus import Scope, adjoint, replaced, widen
from tensorprog.language.expr import (
    ONE,
    Expr,
    Gather,
    Ref,
    add,
    copies,
    identity,
    local_name,
    localized,
    moved,
    mul,
    number,
    power,
    refs,
    substitute,
    walk,
)
from tensorprog.language.instr import Axis, InitScalar, InitVector, Instr, MatMul, Moment, Nonlin, OuterNonlin
from tensorprog.language.program import Network, Program, Readout


@dataclass(frozen=True)
class Backprop:
    """A body with its backward pass.

    Attributes:
        program: the body and the backward instructions; readout vectors are initial vectors, ratios of widths initial scalars.
        base: the width class whose size is N.
        adjoint: the gradient dx of every vector and scalar x; a variable that f does not depend on has none.
        uses: for every matrix the pairs (l, r), one a MatMul, whose products l r^T add up to its gradient: (dh, x) for h = W x,
            (y, dg) for g = W^T y.
        outputs: a copy of every output axis of f. Gradients have these axes besides those of their variable: one gradient a position.
        ratios: the initial scalars that are ratios of widths, (m, n) standing for m / n.
    """

    program: Program
    base: str
    adjoint: Mapping[str, str]
    uses: Mapping[str, tuple[tuple[str, str], ...]]
    outputs: Mapping[str, str] = field(default_factory=dict[str, str])
    ratios: Mapping[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])

    def scalars(self, n: int) -> dict[str, float]:
        """The actual ratios of widths at base width n, to be given to an interpreter at finite width."""
        width = self.program.width
        return {name: width[a].at(n) / width[b].at(n) for name, (a, b) in self.ratios.items()}


def backprop(source: Network | Program, cotangents: Mapping[str, str] | None = None) -> Backprop:
    """The program of the body followed by the gradients of all its variables.

    Args:
        source: a network, or a program with cotangents of its own.
        cotangents: for a program only: {x: v} starts from dx = v, with v an initial vector (for a scalar x: an initial scalar) over x's axes
            and perhaps more, along which the gradients are then carried.

    Raises:
        InvalidProgram: a readout or cotangent does not fit the variable it reads, or a function has no derivative.
    """
    if isinstance(source, Network):
        return _of_network(source)
    if not cotangents:
        raise InvalidProgram("[backprop] a program has no readout. Give cotangents={x: v}, or a network.")
    for x, v in cotangents.items():
        _check_cotangent(source, x, v)
    base = next((w for x in cotangents if (w := source.width_of[x]) is not None), source.widths[0].name)
    carried = {a: a for x, v in cotangents.items() for a in source.axes_of[v] if a not in source.axes_of[x]}
    tape = _Tape(source, base, tuple(carried))
    for x, v in cotangents.items():
        tape.terms.setdefault(x, []).append(_Term(Ref(v)))
    return tape.play(carried)


def _of_network(network: Network) -> Backprop:
    for r in network.readouts:
        _check_readout(network, r)
    p, size = network.program, network.program.size
    copies = {a: _fresh(f"{a}_out", set(size)) for a in network.output_axes}
    new = {r.vector: InitVector(r.vector, r.width, r.axes) for r in network.readouts if r.vector not in p.init}
    extended = replace(p, axes=(*p.axes, *(Axis(c, size[a]) for a, c in copies.items())), vectors=(*p.vectors, *new.values()))
    tape = _Tape(extended, network.readouts[0].width, tuple(copies.values()))
    for r in network.readouts:
        count = prod(size[a] for a in r.axes)
        ratio = tape.ratio(r.width)
        half = 0.5 if network.kind == "ntk" else 1.0
        coefficient = mul(number(r.sigma / count**half), power(ratio, -half))
        x: Expr = Ref(r.of)
        for a, copy in copies.items():
            x = Gather(x, a, copy, tuple(range(size[a])))
        here = (identity(a, copy, size[a]) for a, copy in copies.items())
        tape.terms.setdefault(r.of, []).append(_Term(mul(coefficient, *here, Ref(r.vector))))
        tape.terms.setdefault(r.vector, []).append(_Term(mul(coefficient, x)))
    return tape.play(copies)


@dataclass(frozen=True)
class _Term:
    """A summand of a gradient: an expression; of a scalar's gradient, its average over the width class `width`."""

    value: Expr
    width: str | None = None


@dataclass(frozen=True)
class _Pull:
    """A summand W^T dh of dx, from h = W x (or W dg, from g = W^T x)."""

    matrix: str
    arg: str
    transpose: bool
    reader: str


@dataclass
class _Tape:
    """The backward pass being written: the summands of each gradient so far, and the instructions."""

    program: Program
    base: str
    carried: tuple[str, ...]
    terms: dict[str, list[_Term | _Pull]] = field(default_factory=dict[str, "list[_Term | _Pull]"])
    body: list[Instr] = field(default_factory=list[Instr])
    adjoint: dict[str, str] = field(default_factory=dict[str, str])
    uses: dict[str, list[tuple[str, str]]] = field(default_factory=dict[str, list[tuple[str, str]]])
    ratios: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])

    def __post_init__(self) -> None:
        self.axes = dict(self.program.axes_of)
        self.scope = Scope(self.axes, self.program.size)
        self.taken = {*self.axes, *self.program.matrix, *(i.name for i in self.program.inputs)}

    def play(self, outputs: Mapping[str, str]) -> Backprop:
        for i in reversed(self.program.body):
            d = self.settle(i.out)
            if d is not None:
                self.step(i, d)
        for name in self.program.init:
            self.settle(name)
        ratio_scalars = (InitScalar(r, (), float(self.program.width[a].ratio / self.program.width[b].ratio)) for r, (a, b) in self.ratios.items())
        program = replace(
            self.program,
            scalars=(*self.program.scalars, *ratio_scalars),
            body=(*self.program.body, *self.body),
            outputs=(*self.program.outputs, *(self.adjoint[name] for name in self.program.init if name in self.adjoint)),
        )
        uses = {m.name: tuple(reversed(self.uses.get(m.name, []))) for m in self.program.matrices}
        return Backprop(program, self.base, self.adjoint, uses, outputs, self.ratios)

    def step(self, i: Instr, d: str) -> None:
        """Hand the gradient d of i.out on to what i reads."""
        match i:
            case MatMul(out, matrix, arg, transpose):
                self.terms.setdefault(arg, []).append(_Pull(matrix, d, not transpose, out))
                self.uses.setdefault(matrix, []).append((arg, d) if transpose else (d, arg))
            case Nonlin(out, psi):
                width = self.program.width_of[out] or self.base
                for name, term in self.pull(i, psi, d):
                    to_vector = not self.program.is_scalar(name)
                    self.terms.setdefault(name, []).append(_Term(term) if to_vector else _Term(mul(self.ratio(width), term), width))
            case OuterNonlin():
                self.outer(i, d)
            case Moment(_, psi):
                width = next((w for r in refs(psi) if (w := self.program.width_of[r]) is not None), None)
                for name, term in self.pull(i, psi, d):
                    if width is None or self.program.is_scalar(name):
                        self.terms.setdefault(name, []).append(_Term(term, width))
                    else:
                        self.terms.setdefault(name, []).append(_Term(mul(power(self.ratio(width), -1), term)))
            case _:
                assert_never(i)

    def outer(self, i: OuterNonlin, d: str) -> None:
        """The gradient in x at the coordinate b_k is an average over the own coordinate: the two change places."""
        width = self.program.width_of[i.out] or self.base
        for name, copy, term in self.pull_apart(i, i.psi, d):
            swapped = moved(term, {0: copy, copy: 0}, self.is_scalar)
            swapped = moved(swapped, {k: j for j, k in enumerate(copies(swapped), 1)}, self.is_scalar)
            make = OuterNonlin if copies(swapped) else Nonlin
            t = self.fresh(f"d{name}_{i.out}", self.scope.of(swapped))
            self.body.append(make(t, swapped))
            if self.program.is_scalar(name):
                self.terms.setdefault(name, []).append(_Term(mul(self.ratio(width), Ref(t)), width))
                continue
            own = self.program.width_at(i.psi, copy) or self.base
            self.terms.setdefault(name, []).append(_Term(mul(self.ratio(width), power(self.ratio(own), -1), Ref(t))))

    def is_scalar(self, name: str) -> bool:
        return name in self.program.width_of and self.program.is_scalar(name)

    def pull_apart(self, i: OuterNonlin, psi: Expr, d: str) -> list[tuple[str, int, Expr]]:
        """The gradients of the variables of psi, a vector at each coordinate a variable of its own."""
        read = {local_name(e): e for e in walk(psi) if isinstance(e, Ref)}
        scope = Scope({**self.axes, **{name: self.axes[e.name] for name, e in read.items()}}, self.program.size)
        found = self.pull(i, localized(psi), d, scope)
        return [(read[name].name, read[name].copy, substitute(term, read)) for name, term in found]

    def pull(self, i: Instr, psi: Expr, d: str, scope: Scope | None = None) -> list[tuple[str, Expr]]:
        try:
            found = adjoint(psi, Ref(d), scope or self.scope).items()
        except ValueError as error:
            raise InvalidProgram(f"{i.out}: [backprop] {error}. Use a function that is differentiable almost everywhere.") from error
        is_value = isinstance(i, Moment) and all(map(self.program.is_scalar, refs(i.psi)))  # then psi (a softmax, say) has a name already
        return [(name, replaced(term, psi, Ref(i.out)) if is_value else term) for name, term in found]

    def settle(self, name: str) -> str | None:
        """Write the instructions that add up the summands of the gradient of `name`; None where there are none."""
        parts = self.terms.pop(name, [])
        if not parts:
            return None
        axes = tuple(sorted((*self.axes[name], *self.carried)))
        d = self.adjoint[name] = self.fresh(f"d{name}", axes)
        (self.settle_scalar if self.program.is_scalar(name) else self.settle_vector)(name, d, parts, axes)
        return d

    def settle_vector(self, name: str, d: str, parts: list[_Term | _Pull], axes: tuple[str, ...]) -> None:
        alone = len(parts) == 1
        values: list[Expr] = []
        for part in parts:
            if isinstance(part, _Term):
                values.append(part.value)
                continue
            out = d if alone else self.fresh(f"d{name}_{part.reader}", axes)
            self.body.append(MatMul(out, part.matrix, part.arg, part.transpose))
            values.append(Ref(out))
        if not (alone and isinstance(parts[0], _Pull)):
            self.body.append(Nonlin(d, widen(add(*values), axes, self.scope)))

    def settle_scalar(self, name: str, d: str, parts: list[_Term | _Pull], axes: tuple[str, ...]) -> None:
        by_width: dict[str | None, list[Expr]] = {}
        for part in parts:
            assert isinstance(part, _Term)
            by_width.setdefault(part.width, []).append(part.value)
        sums = {width: widen(add(*values), axes, self.scope) for width, values in by_width.items()}
        if len(sums) == 1:
            self.body.append(Moment(d, *sums.values()))
            return
        averages = {self.fresh(f"d{name}_{width or 'scalar'}", axes): value for width, value in sums.items()}
        self.body += [Moment(out, value) for out, value in averages.items()]
        self.body.append(Moment(d, add(*map(Ref, averages))))

    def ratio(self, width: str) -> Expr:
        """m / N, for m the size of the width class: 1 where the two are always equal."""
        if self.program.width[width].ratio == self.program.width[self.base].ratio:
            return ONE
        found = next((name for name, pair in self.ratios.items() if pair == (width, self.base)), None)
        if found is None:
            found = self.fresh(f"ratio_{width}_{self.base}", ())
            self.ratios[found] = (width, self.base)
        return Ref(found)

    def fresh(self, name: str, axes: tuple[str, ...]) -> str:
        name = _fresh(name, self.taken)
        self.taken.add(name)
        self.axes[name] = axes
        return name


def _fresh(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _check_readout(network: Network, r: Readout) -> None:
    p = network.program
    if r.of not in p.axes_of or p.width_of[r.of] != r.width:
        raise InvalidProgram(f"[readout] {r.vector} of width {r.width} reads {r.of}, which is no vector of that width. Read one that is.")
    own = tuple(a for a in p.axes_of[r.of] if a not in r.axes)
    if not set(r.axes) <= set(p.axes_of[r.of]) or set(own) != set(network.output_axes):
        found, read, f = (", ".join(axes) for axes in (r.axes, p.axes_of[r.of], network.output_axes))
        raise InvalidProgram(
            f"[readout] {r.vector} over ({found}) reads {r.of} over ({read}), but f has axes ({f}). "
            "Let every readout sum all axes of its vector but those of f."
        )
    v = p.init.get(r.vector)
    shared = isinstance(v, InitVector) and v.width == r.width and set(v.axes) == set(r.axes) and network.outputs == 1
    if r.vector in p.axes_of and not shared:
        raise InvalidProgram(
            f"[readout] {r.vector} is also a name of the body, but no initial vector over the readout's width and axes (or f has several outputs). "
            "Rename one of the two."
        )


def _check_cotangent(program: Program, x: str, v: str) -> None:
    for name in (x, v):
        if name not in program.axes_of:
            raise InvalidProgram(f"[backprop] there is no variable {name}. Name variables of the program.")
    if v not in program.init or program.width_of[x] != program.width_of[v] or not set(program.axes_of[x]) <= set(program.axes_of[v]):
        raise InvalidProgram(f"[backprop] {v} cannot be the gradient of {x}. Give an initial variable of the width of {x}, over its axes.")
