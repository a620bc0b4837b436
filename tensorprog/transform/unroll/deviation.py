"""Deviations in carry form, x_t = x_0 + theta x~_t (Yang & Littwin 2021, App. D.1; Yang & Hu 2021, TP IV, App. H.3).

| expression          | deviation                                                        | rule             |
| ------------------- | ---------------------------------------------------------------- | ---------------- |
| a + b, sums, shifts | a~ + b~                                                          | [dev-linear]     |
| a b                 | a_t b~ + a~ b_0                                                  | [dev-product]    |
| F(a, b ..)          | [F(a_0 + theta a~, ..) - F(a_0, ..)] / theta                     | [dev-function]   |

All three are identities at every theta: a program that is written by them is exactly training at finite width. As theta tends to 0 the last
is the chain rule; with theta = 1 a deviation is a plain difference, and features are learned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from tensorprog.language.calculus import Scope, widen
from tensorprog.language.expr import ZERO, Add, Apply, Expr, Gather, Mul, Number, Power, Ref, Softmax, Sum, Tensor, add, mul, number, power, rebuild


@dataclass(frozen=True)
class Carried:
    """x_0 and x~_t; ZERO for what does not move."""

    base: Expr
    dev: Expr = ZERO

    def at(self, theta: Expr) -> Expr:
        """x_t."""
        return add(self.base, mul(theta, self.dev)) if self.moves else self.base

    @property
    def moves(self) -> bool:
        return self.dev != ZERO


def carried(e: Expr, values: Mapping[str, Carried], theta: Expr, scope: Scope) -> Carried:
    """The value of an expression at time t, given those of its variables; a variable that is not named stays as it is.

    Args:
        theta: the scalar that deviations are multiplied with; ONE where they do not vanish.
        scope: the axes of what the values read.
    """
    match e:
        case Ref(name):
            return values.get(name, Carried(e))
        case Number() | Tensor():
            return Carried(e)
        case Add(terms):
            parts = [carried(t, values, theta, scope) for t in terms]
            return Carried(add(*(p.base for p in parts)), add(*(p.dev for p in parts)))
        case Mul(factors):
            return _product([carried(f, values, theta, scope) for f in factors], theta)
        case Sum(_, arg) | Gather(arg):
            inner = carried(arg, values, theta, scope)
            base = rebuild(e, (inner.base,))
            return Carried(base, rebuild(e, (widen(inner.dev, scope.of(inner.base), scope),)) if inner.moves else ZERO)
        case Power(base):
            return _function(e, [carried(base, values, theta, scope)], theta)
        case Apply(_, args):
            return _function(e, [carried(a, values, theta, scope) for a in args], theta)
        case Softmax(_, arg):
            return _function(e, [carried(arg, values, theta, scope)], theta)
        case _:
            assert_never(e)


def _product(parts: Sequence[Carried], theta: Expr) -> Carried:
    """[dev-product]: the factors before the one that moves at time t, those after it at time 0."""
    terms = [mul(*(q.at(theta) for q in parts[:i]), p.dev, *(q.base for q in parts[i + 1 :])) for i, p in enumerate(parts) if p.moves]
    return Carried(mul(*(p.base for p in parts)), add(*terms))


def _function(e: Expr, args: Sequence[Carried], theta: Expr) -> Carried:
    base = rebuild(e, tuple(a.base for a in args))
    if not any(a.moves for a in args):
        return Carried(base)
    moved = rebuild(e, tuple(a.at(theta) for a in args))
    return Carried(base, mul(power(theta, -1), add(moved, mul(number(-1), base))))
