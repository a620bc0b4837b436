"""Coordinatewise expressions psi(x1..xk; c1..cl): the bodies of Nonlin and Moment (Yang & Littwin 2021, Def. B.1).

An expression is data. Its meaning at a coordinate is plain arithmetic; over families (variables with named axes) it is
broadcast by axis *name*. `Sum` and `Gather` are the only nodes that look along an axis: both are linear, and stand for the
vectors written out one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from math import prod
from typing import Any, assert_never


class Growth(IntEnum):
    """How fast a function grows and how smooth it is: what decides which Master Theorem applies (Assumption B.8)."""

    LIPSCHITZ = 0
    PSEUDO_LIPSCHITZ = 1  # |f(x) - f(y)| <= C |x - y| (1 + |x|^d + |y|^d)
    POLYNOMIAL = 2  # polynomially bounded, not continuous: step, sign
    EXPONENTIAL = 3  # controlled by exp(C |x|^(2 - eps)): all Gaussian moments exist
    DIVERGENT = 4  # Gaussian moments may be infinite
    DISTRIBUTION = 5  # not a function: the derivative of a step


@dataclass(frozen=True)
class Fn:
    """A named coordinatewise function as a value.

    A built-in has no `body`: its row in `nonlin.TABLE` says everything. A user's function carries its own: `body(x1..xk)` is any
    JAX-traceable function. `order` counts the derivatives taken in each argument, and has one entry an argument.
    """

    name: str
    constants: tuple[float, ...] = ()
    order: tuple[int, ...] = (0,)
    body: Callable[..., Any] | None = field(default=None, repr=False)
    growth: Growth = Growth.PSEUDO_LIPSCHITZ
    parity: int = 0  # +1 even, -1 odd, 0 neither: of the function itself (order 0)
    kinks: tuple[float, ...] = ()  # where the function or its first derivative jumps

    @property
    def arity(self) -> int:
        return len(self.order)


@dataclass(frozen=True)
class Ref:
    """A variable of the program: a vector or a scalar.

    In an OuterNonlin a vector is read at the own coordinate a (`copy` 0) or at another one, b_k (`copy` k >= 1).
    """

    name: str
    copy: int = 0


@dataclass(frozen=True)
class Number:
    value: float


@dataclass(frozen=True)
class Tensor:
    """Constants over named axes: `values` in row-major order of `axes` with the sizes `shape`."""

    axes: tuple[str, ...]
    shape: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Add:
    terms: tuple[Expr, ...]


@dataclass(frozen=True)
class Mul:
    factors: tuple[Expr, ...]


@dataclass(frozen=True)
class Power:
    base: Expr
    exponent: float


@dataclass(frozen=True)
class Apply:
    fn: Fn
    args: tuple[Expr, ...]


@dataclass(frozen=True)
class Sum:
    """sum over a named axis."""

    axis: str
    arg: Expr


@dataclass(frozen=True)
class Gather:
    """Take members along `axis`: out[.. into=i ..] = arg[.. axis=index[i] ..], and 0 where index[i] = -1.

    `into` names the new axis (it may equal `axis`); `into` None with one index selects that member and drops the axis.
    Shifts, strides, padding, flips, selections and renamings are all of this form.
    """

    arg: Expr
    axis: str
    into: str | None
    index: tuple[int, ...]


@dataclass(frozen=True)
class Softmax:
    """exp(c_j) / sum_j exp(c_j) along `axis`; of scalars only."""

    axis: str
    arg: Expr


Expr = Ref | Number | Tensor | Add | Mul | Power | Apply | Sum | Gather | Softmax
ZERO, ONE = Number(0.0), Number(1.0)


# Constructors that keep expressions small: constants folded, nested sums and products flattened.


def number(value: float) -> Number:
    return Number(float(value))


def add(*terms: Expr) -> Expr:
    flat = [t for term in terms for t in (term.terms if isinstance(term, Add) else (term,))]
    constant = sum(t.value for t in flat if isinstance(t, Number))
    rest = tuple(t for t in flat if not isinstance(t, Number))
    if constant != 0.0 or not rest:
        rest = (*rest, Number(constant))
    return rest[0] if len(rest) == 1 else Add(rest)


def mul(*factors: Expr) -> Expr:
    flat = [f for factor in factors for f in (factor.factors if isinstance(factor, Mul) else (factor,))]
    constant = prod(f.value for f in flat if isinstance(f, Number))
    rest = tuple(f for f in flat if not isinstance(f, Number))
    if constant == 0.0:
        return ZERO
    if constant != 1.0 or not rest:
        rest = (Number(constant), *rest)
    return rest[0] if len(rest) == 1 else Mul(rest)


def power(base: Expr, exponent: float) -> Expr:
    if exponent == 0.0:
        return ONE
    if exponent == 1.0:
        return base
    if isinstance(base, Number):
        return Number(base.value**exponent)
    return Power(base, float(exponent))


def total(axes: tuple[str, ...], arg: Expr) -> Expr:
    """Sum over several axes."""
    for axis in axes:
        arg = Sum(axis, arg)
    return arg


def one_hot(axis: str, size: int, index: int) -> Tensor:
    return Tensor((axis,), (size,), tuple(float(i == index) for i in range(size)))


def identity(axis: str, into: str, size: int) -> Tensor:
    return Tensor((axis, into), (size, size), tuple(float(i == j) for i in range(size) for j in range(size)))


# Walks.


def children(e: Expr) -> tuple[Expr, ...]:
    match e:
        case Ref() | Number() | Tensor():
            return ()
        case Add(terms):
            return terms
        case Mul(factors):
            return factors
        case Power(base, _):
            return (base,)
        case Apply(_, args):
            return args
        case Sum(_, arg) | Gather(arg, _, _, _) | Softmax(_, arg):
            return (arg,)
        case _:
            assert_never(e)


def rebuild(e: Expr, new: tuple[Expr, ...]) -> Expr:
    """The same node over other children."""
    match e:
        case Ref() | Number() | Tensor():
            return e
        case Add():
            return add(*new)
        case Mul():
            return mul(*new)
        case Power(_, exponent):
            return power(new[0], exponent)
        case Apply(fn, _):
            return Apply(fn, new)
        case Sum(axis, _):
            return Sum(axis, new[0])
        case Gather(_, axis, into, index):
            return Gather(new[0], axis, into, index)
        case Softmax(axis, _):
            return Softmax(axis, new[0])
        case _:
            assert_never(e)


def walk(e: Expr) -> Iterator[Expr]:
    """Every node, a parent before its children."""
    stack = [e]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(children(node)))


def refs(e: Expr) -> tuple[str, ...]:
    """The variables read, each once, in reading order."""
    return tuple(dict.fromkeys(node.name for node in walk(e) if isinstance(node, Ref)))


def copies(e: Expr) -> tuple[int, ...]:
    """The other coordinates b_k that are read, in order."""
    return tuple(sorted({node.copy for node in walk(e) if isinstance(node, Ref)} - {0}))


def moved(e: Expr, to: Mapping[int, int], is_scalar: Callable[[str], bool]) -> Expr:
    """The expression with every vector that is read at coordinate k read at coordinate to[k] instead."""
    if isinstance(e, Ref):
        return e if is_scalar(e.name) else Ref(e.name, to.get(e.copy, e.copy))
    below = children(e)
    new = tuple(moved(c, to, is_scalar) for c in below)
    return e if new == below else rebuild(e, new)


def localized(e: Expr) -> Expr:
    """The expression with a name of its own for each vector at each other coordinate: x'1 for x at b_1."""
    if isinstance(e, Ref):
        return Ref(local_name(e))
    below = children(e)
    return rebuild(e, tuple(map(localized, below))) if below else e


def local_name(r: Ref) -> str:
    return f"{r.name}'{r.copy}" if r.copy else r.name


def substitute(e: Expr, by: Mapping[str, Expr], is_scalar: Callable[[str], bool] = lambda _: False) -> Expr:
    """The expression with others for some variables; where one is read at another coordinate, so are the vectors that stand for it."""
    if isinstance(e, Ref):
        return moved(by[e.name], {0: e.copy}, is_scalar) if e.copy and e.name in by else by.get(e.name, e)
    below = children(e)
    new = tuple(substitute(c, by, is_scalar) for c in below)
    return e if new == below else rebuild(e, new)


def axes_of(e: Expr, axes: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The free axes of an expression, sorted by name, given those of its variables."""
    match e:
        case Ref(name):
            return tuple(sorted(axes[name]))
        case Number():
            return ()
        case Tensor(own, _, _):
            return tuple(sorted(own))
        case Sum(axis, arg):
            return tuple(a for a in axes_of(arg, axes) if a != axis)
        case Gather(arg, axis, into, _):
            inner = tuple(a for a in axes_of(arg, axes) if a != axis)
            return inner if into is None else tuple(sorted({*inner, into}))
        case Add() | Mul() | Power() | Apply() | Softmax():
            return tuple(sorted({a for c in children(e) for a in axes_of(c, axes)}))
        case _:
            assert_never(e)
