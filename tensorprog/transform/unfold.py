"""Families written out: one variable for every position of an axis, with sums and gathers along it resolved (language.md, section 1).

| expression at position k            | written out                                   |
| ----------------------------------- | --------------------------------------------- |
| x                                   | x[k]                                          |
| sum[axis](e)                        | e at 0 + e at 1 + ..                          |
| softmax[axis](e)                    | exp(e at k) / (exp(e at 0) + exp(e at 1) ..)  |
| e gathered from the axis by `index` | e at index[k], 0 outside                      |

The result is a valid program with the meaning of the first: that of a family is that of the vectors written out. Members that are 0 (of a
padding) are 0 where they are read, and have no line unless the program returns them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product, takewhile
from typing import Protocol, TypeVar, assert_never

from tensorprog.errors import InvalidProgram
from tensorprog.language.expr import (
    ZERO,
    Add,
    Apply,
    Expr,
    Gather,
    Mul,
    Number,
    Power,
    Ref,
    Softmax,
    Sum,
    Tensor,
    add,
    children,
    mul,
    one_hot,
    power,
    rebuild,
    total,
    walk,
)
from tensorprog.language.instr import Covariance, Embedding, InitScalar, InitVector, Input, Instr, MatMul, Moment, Nonlin, OuterNonlin
from tensorprog.language.nonlin import fn
from tensorprog.language.program import Program

Position = Mapping[str, int]
Initial = TypeVar("Initial", InitVector, InitScalar)


class SoftmaxMember(Protocol):
    """How member `at` of a softmax of these logits is written."""

    def __call__(self, logits: tuple[Expr, ...], at: int) -> Expr: ...


def quotient_of_exponentials(logits: tuple[Expr, ...], at: int) -> Expr:
    """exp(l_k) / sum_j exp(l_j)."""
    powers = [Apply(fn("exp"), (e,)) for e in logits]
    return mul(powers[at], power(add(*powers), -1))


def unfolded(program: Program, axes: Collection[str] | None = None, *, softmax: SoftmaxMember = quotient_of_exponentials) -> Program:
    """The program with one variable for every position of some axes: h over (head, token) becomes h[0, 0], h[0, 1], ..

    Args:
        axes: by default all.
        softmax: how a softmax along one of the axes is written.

    Raises:
        InvalidProgram: an axis that is not in the program.
    """
    chosen = frozenset(program.size if axes is None else axes)
    if unknown := sorted(chosen - program.size.keys()):
        raise InvalidProgram(f"[axis] {program.name} has no axis {', '.join(unknown)}. Its axes are {', '.join(program.size) or 'none'}.")
    return _Unfolder(program, chosen, softmax).unfolded()


def member(name: str, axes: Sequence[str], at: Position) -> str:
    """The name of a family's member at a position of some of its axes; of a variable that has none of them, its own."""
    own = [str(at[a]) for a in axes if a in at]
    return f"{name}[{', '.join(own)}]" if own else name


def positions(axes: Sequence[str], size: Mapping[str, int]) -> list[Position]:
    """Every position along some axes."""
    own = sorted(axes)
    return [dict(zip(own, index, strict=True)) for index in product(*(range(size[a]) for a in own))]


def member_of(name: str) -> str:
    """The family to which a member belongs."""
    return name.split("[", 1)[0]


@dataclass(frozen=True)
class _Unfolder:
    program: Program
    chosen: frozenset[str]
    softmax: SoftmaxMember
    zero: set[str] = field(default_factory=set[str])

    def unfolded(self) -> Program:
        p = self.program
        return replace(
            p,
            axes=tuple(a for a in p.axes if a.name not in self.chosen),
            inputs=tuple(Input(member(i.name, sorted(i.axes), at), self.kept(i.axes)) for i in p.inputs for at in self.positions(i.axes)),
            vectors=tuple(self.law(m, at) for v in p.vectors for m, at in self.members(v)),
            covariances=tuple(self.covariances()),
            scalars=tuple(m for c in p.scalars for m, _ in self.members(c)),
            body=tuple(m for i in p.body for m in self.instructions(i) if not self.vanishes(m) or i.out in p.outputs),
            outputs=tuple(self.name(x, at) for x in p.outputs for at in self.positions(p.axes_of[x])),
        )

    def vanishes(self, i: Instr) -> bool:
        """Whether a member is 0, which is kept in mind."""
        if isinstance(i, Nonlin | Moment) and i.psi == ZERO:
            self.zero.add(i.out)
        return i.out in self.zero

    # Names and positions.

    def kept(self, axes: Sequence[str]) -> tuple[str, ...]:
        return tuple(a for a in axes if a not in self.chosen)

    def positions(self, axes: Sequence[str]) -> list[Position]:
        return positions([a for a in axes if a in self.chosen], self.program.size)

    def name(self, x: str, at: Position) -> str:
        return member(x, self.program.axes_of[x], at)

    # Initial data.

    def members(self, v: Initial) -> list[tuple[Initial, Position]]:
        return [(replace(v, name=self.name(v.name, at), axes=self.kept(v.axes)), at) for at in self.positions(v.axes)]

    def law(self, v: InitVector, at: Position) -> InitVector:
        """An embedding's member is of the input's member."""
        if not isinstance(v.law, Embedding):
            return v
        axes = next(sorted(i.axes) for i in self.program.inputs if i.name == v.law.input)
        return replace(v, law=replace(v.law, input=member(v.law.input, axes, at)))

    def covariances(self) -> list[Covariance]:
        """The table of two families, member by member."""
        found: list[Covariance] = []
        axes = {v.name: v.axes for v in self.program.vectors}
        for c in self.program.covariances:
            a, b = axes[c.a], axes[c.b]
            shape = tuple(self.program.size[x] for x in (*a, *b))
            cells = list(zip(product(*map(range, shape)), c.values, strict=True))
            for i, j in product(self.positions(a), self.positions(b)):
                fixed = [*(i.get(x) for x in a), *(j.get(x) for x in b)]
                values = tuple(value for cell, value in cells if all(k in (None, at) for k, at in zip(fixed, cell, strict=True)))
                one, two = self.name(c.a, i), self.name(c.b, j)
                if c.a != c.b or one <= two:
                    found.append(Covariance(one, two, values))
        return found

    # Instructions.

    def instructions(self, i: Instr) -> list[Instr]:
        everywhere = self.positions(self.program.axes_of[i.out])
        match i:
            case MatMul(out, matrix, arg, transpose):
                return [self.product(MatMul(self.name(out, at), matrix, self.name(arg, at), transpose)) for at in everywhere]
            case Nonlin(out, psi) | Moment(out, psi) | OuterNonlin(out, psi):
                return [type(i)(self.name(out, at), self.wide(out, self.at(psi, at))) for at in everywhere]
            case _:
                assert_never(i)

    def wide(self, out: str, psi: Expr) -> Expr:
        """psi, of the width of `out` also where every vector that it read is 0: times h_0 = 1 of a vector of this width."""
        p = self.program
        width = p.width_of[out]
        read = {p.width_of[member_of(node.name)] for node in walk(psi) if isinstance(node, Ref) and node.copy == 0}
        if psi == ZERO or width in (None, p.widths[0].name, *read):
            return psi
        for name in takewhile(lambda name: name != out, p.width_of):
            members = [self.name(name, at) for at in self.positions(p.axes_of[name])]
            alive = [Ref(x) for x in members if x not in self.zero]
            if p.width_of[name] == width and alive:
                return mul(Apply(fn("hermite", 0), (total(self.kept(p.axes_of[name]), alive[0]),)), psi)
        return psi

    def product(self, i: MatMul) -> Instr:
        return Nonlin(i.out, ZERO) if i.arg in self.zero else i

    def at(self, e: Expr, at: Position) -> Expr:
        """The expression at one position."""
        match e:
            case Ref(name, copy):
                return ZERO if self.name(name, at) in self.zero else Ref(self.name(name, at), copy)
            case Number():
                return e
            case Tensor():
                return self.tensor(e, at)
            case Sum(axis, arg):
                return total((axis,), self.at(arg, at)) if axis not in self.chosen else add(*self.along(axis, arg, at))
            case Softmax(axis, arg):
                return Softmax(axis, self.at(arg, at)) if axis not in self.chosen else self.softmax(tuple(self.along(axis, arg, at)), at[axis])
            case Gather():
                return self.gathered(e, at)
            case Add() | Mul() | Power() | Apply():
                return rebuild(e, tuple(self.at(c, at) for c in children(e)))
            case _:
                assert_never(e)

    def along(self, axis: str, e: Expr, at: Position) -> list[Expr]:
        return [self.at(e, {**at, axis: k}) for k in range(self.program.size[axis])]

    def tensor(self, e: Tensor, at: Position) -> Expr:
        cells = zip(product(*map(range, e.shape)), e.values, strict=True)
        values = tuple(v for cell, v in cells if all(at.get(a, k) == k for a, k in zip(e.axes, cell, strict=True)))
        left = [(a, n) for a, n in zip(e.axes, e.shape, strict=True) if a not in at]
        return Tensor(tuple(a for a, _ in left), tuple(n for _, n in left), values) if left else Number(values[0])

    def gathered(self, e: Gather, at: Position) -> Expr:
        outside = {a: k for a, k in at.items() if a != e.into}
        into_position = e.into is None or e.into in self.chosen
        if not into_position and e.axis in self.chosen:  # members become positions of an axis that stays
            assert e.into is not None
            size = len(e.index)
            members = {k: self.at(e.arg, {**outside, e.axis: k}) for k in set(e.index) if k >= 0}
            return add(*(mul(one_hot(e.into, size, j), members[k]) for j, k in enumerate(e.index) if k >= 0))
        if not into_position:
            return Gather(self.at(e.arg, outside), e.axis, e.into, e.index)
        k = e.index[0 if e.into is None else at[e.into]]
        if k < 0:
            return ZERO
        return self.at(e.arg, {**outside, e.axis: k}) if e.axis in self.chosen else Gather(self.at(e.arg, outside), e.axis, None, (k,))
