"""The chain rule on expressions, in reverse mode: what `transform/backprop` reads at every Nonlin and Moment.

For s = sum over all positions of g * psi, the adjoint of a variable is ds/dvariable, again an expression. Axes obey one law: a cotangent is
summed over the axes that an operand lacks (Sum and broadcast are each other's transposes).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import assert_never

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
    axes_of,
    children,
    mul,
    number,
    one_hot,
    power,
    rebuild,
)
from tensorprog.language.nonlin import derivative

Axes = tuple[str, ...]


@dataclass(frozen=True)
class Scope:
    """The axes of each variable and the size of each axis: what the rules need to know of the surroundings."""

    axes: Mapping[str, Axes]
    size: Mapping[str, int]

    def of(self, e: Expr) -> Axes:
        return axes_of(e, self.axes)


def adjoint(e: Expr, cotangent: Expr, scope: Scope) -> dict[str, Expr]:
    """For every variable x of e the expression sum(cotangent * de/dx), with at most the axes of x and of the cotangent.

    A cotangent that lacks an axis of e is constant along it; one that has further axes carries them through (one gradient for each of
    their positions). Variables with a zero adjoint are left out.

    Raises:
        ValueError: e has a function whose derivative is not a function (delta).
    """
    terms: dict[str, list[Expr]] = {}
    for name, term in _contributions(e, cotangent, scope):
        terms.setdefault(name, []).append(term)
    return {name: _collect(parts) for name, parts in terms.items()}


def widen(e: Expr, axes: Axes, scope: Scope) -> Expr:
    """e, made constant along those of `axes` that it lacks."""
    missing = tuple(a for a in axes if a not in scope.of(e))
    shape = tuple(scope.size[a] for a in missing)
    return mul(Tensor(missing, shape, (1.0,) * prod(shape)), e) if missing else e


def sum_out(e: Expr, axes: Axes, scope: Scope) -> Expr:
    """sum of e over `axes`, along some of which it may be constant; factors that do not vary are taken out of the sum."""
    for axis in axes:
        factors = e.factors if isinstance(e, Mul) else (e,)
        varying = tuple(f for f in factors if axis in scope.of(f))
        constant = tuple(f for f in factors if axis not in scope.of(f))
        e = mul(*constant, _sum(axis, varying) if varying else number(scope.size[axis]))
    return e


def replaced(e: Expr, part: Expr, by: Expr) -> Expr:
    """e with `by` wherever it says `part`."""
    if e == part:
        return by
    below = children(e)
    new = tuple(replaced(c, part, by) for c in below)
    return e if new == below else rebuild(e, new)


def _sum(axis: str, factors: tuple[Expr, ...]) -> Expr:
    """Sum(axis, prod factors); a one-hot factor selects instead."""
    for i, f in enumerate(factors):
        if isinstance(f, Tensor) and f.axes == (axis,) and sum(v != 0 for v in f.values) == 1:
            at = next(k for k, v in enumerate(f.values) if v != 0)
            rest = (*factors[:i], *factors[i + 1 :])
            return mul(number(f.values[at]), Gather(mul(*rest), axis, None, (at,)) if rest else number(1))
    return Sum(axis, mul(*factors))


def _collect(terms: list[Expr]) -> Expr:
    return add(*(mul(number(k), t) for t, k in Counter(terms).items()))


def _contributions(e: Expr, g: Expr, scope: Scope) -> Iterator[tuple[str, Expr]]:
    """One (variable, adjoint) pair for every place where e reads a variable."""

    def below(arg: Expr, cotangent: Expr) -> Iterator[tuple[str, Expr]]:
        lost = tuple(a for a in scope.of(e) if a not in scope.of(arg))
        return _contributions(arg, sum_out(cotangent, lost, scope), scope)

    if g == ZERO:
        return
    match e:
        case Ref(name):
            yield name, g
        case Number() | Tensor():
            return
        case Add(terms):
            for t in terms:
                yield from below(t, g)
        case Mul(factors):
            for i, f in enumerate(factors):
                yield from below(f, mul(g, *factors[:i], *factors[i + 1 :]))
        case Power(base, exponent):
            yield from below(base, mul(g, number(exponent), power(base, exponent - 1)))
        case Apply(fn, args):
            for i, arg in enumerate(args):
                yield from below(arg, mul(g, derivative(fn, args, i)))
        case Sum(_, arg):
            yield from _contributions(arg, g, scope)
        case Gather(arg):
            yield from _contributions(arg, _scatter(e, g, scope), scope)
        case Softmax(axis, arg):
            if axis in scope.of(g):
                centred = add(g, mul(number(-1), Sum(axis, mul(e, g))))
                yield from _contributions(arg, mul(e, centred), scope)
        case _:
            assert_never(e)


def _scatter(e: Gather, g: Expr, scope: Scope) -> Expr:
    """The transpose of a Gather: out[.. axis=k ..] = sum of g[.. into=i ..] over the i with index[i] = k."""
    size = scope.size[e.axis]
    if e.into is None:
        return mul(one_hot(e.axis, size, e.index[0]), g) if e.index[0] >= 0 else ZERO
    sources = [[i for i, k in enumerate(e.index) if k == j] for j in range(size)]
    counts = tuple(float(len(s)) for s in sources)
    most = int(max(counts))
    if e.into not in scope.of(g):
        return mul(Tensor((e.axis,), (size,), counts), g) if len(set(counts)) > 1 else mul(number(most), g)
    if most > 1 and e.into != e.axis:
        return Sum(e.into, mul(_incidence(e, e.into, size), g))
    rounds = (tuple(s[r] if r < len(s) else -1 for s in sources) for r in range(most))
    return add(*(Gather(g, e.into, e.axis, inverse) for inverse in rounds))


def _incidence(e: Gather, into: str, size: int) -> Tensor:
    """The tensor [index[i] = k] over (axis k, into i)."""
    return Tensor((e.axis, into), (size, len(e.index)), tuple(float(k == j) for j in range(size) for k in e.index))
