"""Tracing values: vectors and scalars that are written like mathematics and remember how they were made.

A value is immutable; what it was made from is its `source`. The values reachable from an output are the program (`assemble` writes it down),
so there is no recording, no context and nothing to reset.
"""

# Arguments come from people, who are told what they mixed up, so types are checked at run time too.
# pyright: reportUnnecessaryIsInstance=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from numbers import Real
from typing import NoReturn, TypeAlias

from tensorprog.build.family import Family, union
from tensorprog.errors import InvalidProgram
from tensorprog.language.expr import Expr, Number, Ref, add, mul, number, power
from tensorprog.language.instr import Axis, Covariance, InitScalar, InitVector, Input, Matrix, Width
from tensorprog.language.program import Training

_serial = count().__next__


@dataclass(frozen=True)
class Initial:
    """An initial vector or scalar; `training` None means that it is not a vector parameter of its own."""

    declaration: InitVector | InitScalar
    training: Training | None = None
    covariances: tuple[Covariance, ...] = ()
    input: Input | None = None


@dataclass(frozen=True)
class Product:
    """W arg, or W^T arg; `rows` and `cols` are the widths of W."""

    matrix: Matrix
    rows: Width
    cols: Width
    training: Training
    arg: Value
    transpose: bool


@dataclass(frozen=True)
class Pointwise:
    """psi of other values, which it calls by their keys; `others` are the coordinates, besides the own one, that they read."""

    psi: Expr
    args: Mapping[str, Value]
    others: tuple[Coordinate, ...] = ()


@dataclass(frozen=True)
class Average:
    """(1/n) sum over the coordinates of a vector."""

    arg: Value


@dataclass(frozen=True, eq=False)
class Coordinate:
    """Another coordinate b, over which a `tp.outer` averages; numbered when the program is written down."""

    serial: int = field(default_factory=_serial)


@dataclass(frozen=True)
class Elsewhere:
    """A vector at another coordinate, which is a number there."""

    arg: Value
    at: Coordinate


@dataclass(frozen=True)
class Outer:
    """psi of several coordinates, averaged over `others`."""

    arg: Value
    others: tuple[Coordinate, ...]


Source: TypeAlias = Initial | Product | Pointwise | Average | Elsewhere | Outer


@dataclass(frozen=True, eq=False, repr=False)
class Value(Family):
    """A vector (its `width` is a width class) or a scalar (`width` None), or a family of them over named axes."""

    source: Source
    width: Width | None
    label: str | None = None
    serial: int = field(default_factory=_serial)  # the order of creation, which is the order of the program's lines

    __array_ufunc__ = None  # numpy leaves its operators to us, so that an array gets our error

    @property
    def key(self) -> str:
        return f"%{self.serial}"

    def named(self, name: str) -> Value:
        """The same value under a name of its own in the program; it then stands on a line of its own."""
        if not name.isidentifier():
            raise InvalidProgram(f"[name] {name!r} cannot be a name. Use letters, digits and underscores, e.g. 'q1'.")
        return replace(self, label=name)

    def along(self, psi: Callable[[Expr], Expr], axes: tuple[Axis, ...]) -> Value:
        return Value(axes, Pointwise(psi(Ref(self.key)), {self.key: self}, coordinates_of(self)), self.width)

    def describe(self) -> str:
        name = self.source.declaration.name if isinstance(self.source, Initial) else self.label
        kind = "scalar" if self.width is None else "vector"
        width = f" of width {self.width.name}" if self.width else ""
        over = f" over {', '.join(f'{a.name}={a.size}' for a in self.axes)}" if self.axes else ""
        return f"the {kind}{f' {name}' if name else ''}{width}{over}"

    def __repr__(self) -> str:
        return f"<{self.describe().removeprefix('the ')}>"

    def __add__(self, other: Value | float) -> Value:
        return pointwise("+", add, self, other)

    def __radd__(self, other: float) -> Value:
        return pointwise("+", add, other, self)

    def __sub__(self, other: Value | float) -> Value:
        return pointwise("-", _subtract, self, other)

    def __rsub__(self, other: float) -> Value:
        return pointwise("-", _subtract, other, self)

    def __mul__(self, other: Value | float) -> Value:
        return pointwise("*", mul, self, other)

    def __rmul__(self, other: float) -> Value:
        return pointwise("*", mul, other, self)

    def __truediv__(self, other: Value | float) -> Value:
        return pointwise("/", _divide, self, other)

    def __rtruediv__(self, other: float) -> Value:
        return pointwise("/", _divide, other, self)

    def __pow__(self, exponent: float) -> Value:
        if not isinstance(exponent, Real):
            raise InvalidProgram(f"[power] an exponent is a number, not {noun(exponent)}.")
        return self.along(lambda e: power(e, float(exponent)), self.axes)

    def __neg__(self) -> Value:
        return self.along(lambda e: mul(number(-1), e), self.axes)

    def __pos__(self) -> Value:
        return self

    def __matmul__(self, other: object) -> NoReturn:
        raise InvalidProgram(
            f"[matmul] {self.describe()} stands left of @. A matrix stands on the left: W @ x, W.T @ x; "
            "an inner product is tp.moment(x * y), a coordinatewise product x * y."
        )

    def __getitem__(self, at: Coordinate) -> Value:
        if not isinstance(at, Coordinate) or self.width is None:
            raise InvalidProgram(
                f"[outer] {self.describe()} cannot be read at {noun(at)}. In tp.outer(lambda b: ..), v[b] is a vector v at the coordinate b; "
                "a member of a family is x.select(token=0)."
            )
        if coordinates_of(self):
            raise InvalidProgram("[outer] what already reads another coordinate cannot be read at one. Index the vectors: (u[b] * v[b]).")
        return Value(self.axes, Elsewhere(self, at), None)

    def __bool__(self) -> NoReturn:
        raise InvalidProgram("[trace] a program is a straight line: it cannot branch on a vector or a scalar. Use a function such as tp.step.")

    def __iter__(self) -> NoReturn:
        raise InvalidProgram(f"[axes] {self.describe()} cannot be looped over. Name the axis: x.unstack('time').")


def pointwise(rule: str, psi: Callable[..., Expr], *operands: Value | float, new: tuple[Axis, ...] = ()) -> Value:
    """psi applied coordinate by coordinate; scalars and numbers are its parameters, and axes broadcast by name. `new`: axes that psi adds.

    Raises:
        InvalidProgram: operands of different widths, of different sizes along one axis, or that are no values at all.
    """
    values = [o for o in operands if isinstance(o, Value)]
    body = psi(*(_atom(rule, o) for o in operands))
    others = tuple(dict.fromkeys(at for v in values for at in coordinates_of(v)))
    return Value(union(new, *(v.axes for v in values)), Pointwise(body, {v.key: v for v in values}, others), common_width(rule, values))


def coordinates_of(value: Value) -> tuple[Coordinate, ...]:
    """The other coordinates that a value depends on: not those that it averages over."""
    match value.source:
        case Elsewhere(_, at):
            return (at,)
        case Pointwise(_, _, others):
            return others
        case _:
            return ()


def common_width(rule: str, values: list[Value] | tuple[Value, ...]) -> Width | None:
    """The width of the vectors among `values`; None when all are scalars."""
    vectors = [v for v in values if v.width is not None]
    for v in vectors[1:]:
        if v.width != vectors[0].width:
            raise InvalidProgram(
                f"[{rule}] {vectors[0].describe()} and {v.describe()} have different widths: their coordinates have no common meaning. "
                "Bring one to the other's width with a matrix."
            )
    return vectors[0].width if vectors else None


def noun(thing: object) -> str:
    """What a wrong operand is, in words."""
    if isinstance(thing, Value):
        return thing.describe()
    return getattr(thing, "noun", None) or f"a {type(thing).__name__}"


def _atom(rule: str, operand: Value | float) -> Expr:
    if isinstance(operand, Value):
        return Ref(operand.key)
    if isinstance(operand, Real):
        return Number(float(operand))
    if hasattr(operand, "shape") or isinstance(operand, list | tuple):
        way_out = "Constants over named axes are written tp.constant(array, axes=...)."
    else:
        way_out = "Operands are vectors, scalars and numbers; a matrix or an embedding becomes a vector by @."
    raise InvalidProgram(f"[{rule}] {noun(operand)} cannot be an operand of {rule}. {way_out}")


def _subtract(x: Expr, y: Expr) -> Expr:
    return add(x, mul(number(-1), y))


def _divide(x: Expr, y: Expr) -> Expr:
    return mul(x, power(y, -1))
