"""Powers of n and signs: at most how an expression grows with the width n, and whether it stays away from 0."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import inf, isinf
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
    mul,
    rebuild,
    refs,
    substitute,
)

NOT_NEGATIVE = ("relu", "abs", "exp", "sigmoid", "gaussian", "softplus", "step")


def order(e: Expr, orders: Mapping[str, float]) -> float:
    """An exponent r with psi = O(n^r), given those of its variables; -inf for an identical 0.

    A difference quotient [psi(h + theta g) - psi(h)] / theta is O(1): where a product divides by something that vanishes, the product of its other
    factors is looked at with the vanishing scalars set to 0, and if nothing is left the quotient stays bounded.
    """
    match e:
        case Ref(name):
            return orders[name]
        case Number(value):
            return -inf if value == 0 else 0.0
        case Tensor():
            return 0.0
        case Add(terms):
            return max((order(t, orders) for t in terms), default=-inf)
        case Mul(factors):
            return _product(factors, orders)
        case Power(base, exponent):
            r = order(base, orders)
            return r * exponent if r != 0 and exponent != 0 else 0.0
        case Apply(_, args):
            return max(0.0, *(order(a, orders) for a in args))
        case Sum(_, arg) | Gather(arg, _, _, _):
            return order(arg, orders)
        case Softmax():
            return 0.0
        case _:
            assert_never(e)


def _product(factors: tuple[Expr, ...], orders: Mapping[str, float]) -> float:
    each = [order(f, orders) for f in factors]
    if -inf in each:
        return -inf if inf not in each else inf
    total = sum(each)
    if total <= 0 or isinf(total):
        return total
    numerator = mul(*(f for f, r in zip(factors, each, strict=True) if r <= 0))
    vanishing = {name: ZERO for name in refs(numerator) if orders[name] < 0}
    try:
        return 0.0 if collected(substitute(numerator, vanishing)) == ZERO else total
    except ZeroDivisionError:  # a quotient inside the numerator: nothing is known
        return 0.0


def collected(e: Expr) -> Expr:
    """The expression with like terms of its sums added and factors in one order, so that a b - b a is 0."""
    match e:
        case Add(terms):
            coefficient: Counter[Expr] = Counter()
            for t in map(collected, terms):
                c, rest = _split(t)
                coefficient[rest] += c  # pyright: ignore[reportArgumentType]
            return add(*(mul(Number(c), rest) for rest, c in coefficient.items()))
        case Mul(factors):
            return mul(*sorted(map(collected, factors), key=repr))
        case Power(base, exponent):
            return Power(collected(base), exponent)
        case Apply(_, args):
            return rebuild(e, tuple(map(collected, args)))
        case Sum(_, arg) | Gather(arg, _, _, _):
            inner = collected(arg)
            return ZERO if inner == ZERO else rebuild(e, (inner,))
        case Ref() | Number() | Tensor() | Softmax():
            return e
        case _:
            assert_never(e)


def _split(term: Expr) -> tuple[float, Expr]:
    match term:
        case Number(value):
            return value, Number(1.0)
        case Mul((Number(value), *rest)):
            return value, mul(*rest)
        case _:
            return 1.0, term


def not_negative(e: Expr) -> bool:
    """Whether e >= 0 is plain from its form."""
    match e:
        case Number(value):
            return value >= 0
        case Tensor(_, _, values):
            return min(values, default=0.0) >= 0
        case Power(base, exponent):
            return exponent % 2 == 0 or not_negative(base)
        case Apply(fn, _):
            return fn.body is None and fn.name in NOT_NEGATIVE and not any(fn.order)
        case Add(terms):
            return all(map(not_negative, terms))
        case Mul(factors):
            return _product_not_negative(factors)
        case Sum(_, arg) | Gather(arg, _, _, _):
            return not_negative(arg)
        case Softmax():
            return True
        case Ref():
            return False
        case _:
            assert_never(e)


def _product_not_negative(factors: tuple[Expr, ...]) -> bool:
    """Factors of unknown sign come in pairs, and an even number of the others is negative."""
    negative = 0
    unknown: Counter[Expr] = Counter()
    for f in factors:
        if isinstance(f, Mul):
            unknown.update(g for g in f.factors if not isinstance(g, Number) and not not_negative(g))
            negative += sum(isinstance(g, Number) and g.value < 0 for g in f.factors)
        elif isinstance(f, Number) and f.value < 0:
            negative += 1
        elif not not_negative(f):
            unknown[f] += 1
    return negative % 2 == 0 and all(count % 2 == 0 for count in unknown.values())


def bounded_away(e: Expr) -> bool:
    """Whether e >= epsilon > 0 is plain from its form."""
    match e:
        case Number(value):
            return value > 0
        case Add(terms):
            return all(map(not_negative, terms)) and any(map(bounded_away, terms))
        case Mul(factors):
            return all(map(bounded_away, factors))
        case Power(base, _):
            return bounded_away(base)
        case _:
            return False
