"""Difference quotients at their limit: psi* at theta = 0 (Yang & Littwin 2021, App. D.1).

    [quotient]  [psi(h + theta g) - psi(h)] / theta  ->  d/dtheta psi(h + theta g) at theta = 0

An initial scalar theta = c n^-a is 0 in the limit, where dividing by it means nothing by itself. A product N(theta) / theta^k tends to
N^(k)(0) / k!, provided N and its derivatives below the k-th are 0 at theta = 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import assert_never

from tensorprog.errors import OutsideTheory
from tensorprog.language.expr import (
    ONE,
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
    number,
    power,
    rebuild,
    refs,
    substitute,
    walk,
)
from tensorprog.language.instr import Instr, MatMul
from tensorprog.language.nonlin import derivative
from tensorprog.language.order import collected
from tensorprog.language.program import Program


def at_limit(p: Program, given: Collection[str] = ()) -> Program:
    """The program with every vanishing scalar at 0, and its difference quotients in the form that they have in the limit.

    Args:
        given: initial scalars whose limit is given from outside, and need not be 0.

    Raises:
        OutsideTheory: a line divides by a vanishing scalar something that does not vanish with it, so that it has no limit.
    """
    rate = {c.name: c.exponent for c in p.scalars if c.exponent < 0 and c.name not in given}
    body = tuple(_instruction(i, rate) for i in p.body)
    return p if body == p.body else replace(p, body=body)


def _instruction(i: Instr, rate: Mapping[str, float]) -> Instr:
    if isinstance(i, MatMul) or rate.keys().isdisjoint(refs(i.psi)):
        return i
    zero = dict.fromkeys(rate, ZERO)
    if not any(_divisor(e, rate) for e in walk(i.psi)):
        return replace(i, psi=substitute(i.psi, zero))
    try:
        return replace(i, psi=substitute(_settled(_merged(i.psi, rate), rate), zero))
    except _NoLimitError as error:
        raise OutsideTheory(
            f"{i.out}: [quotient] it divides by {error}, which vanishes as n grows, what is not seen to vanish with it. "
            "Write a difference quotient, [psi(h + theta g) - psi(h)] / theta, in one line; give a quotient inside another a line of its own."
        ) from error


class _NoLimitError(Exception):
    """The scalar that is divided by."""


def _divisor(e: Expr, rate: Mapping[str, float]) -> str | None:
    """The vanishing scalar of which e is a negative power."""
    return e.base.name if isinstance(e, Power) and e.exponent < 0 and isinstance(e.base, Ref) and e.base.name in rate else None


def _merged(e: Expr, rate: Mapping[str, float]) -> Expr:
    """The expression with one power of each vanishing scalar a product."""
    below = tuple(_merged(c, rate) for c in children(e))
    e = rebuild(e, below) if below else e
    if not isinstance(e, Mul):
        return e
    exponents: Counter[str] = Counter()
    rest: list[Expr] = []
    for f in e.factors:
        base, exponent = (f.base, f.exponent) if isinstance(f, Power) else (f, 1.0)
        if isinstance(base, Ref) and base.name in rate:
            exponents[base.name] += exponent  # pyright: ignore[reportArgumentType]
        else:
            rest.append(f)
    vanishing = tuple(power(Ref(name), exponent) for name, exponent in exponents.items())
    inside = next((f for f in rest if isinstance(f, Add | Sum) and any(exponents[r] > 0 for t in walk(f) if (r := _divisor(t, rate)))), None)
    if inside is not None:  # theta (a + sum b / theta) = theta a + sum b
        spread = rebuild(inside, tuple(_merged(mul(*vanishing, c), rate) for c in children(inside)))
        return mul(*(f for f in rest if f is not inside), spread)
    return mul(*rest, *vanishing)


def _settled(e: Expr, rate: Mapping[str, float]) -> Expr:
    factors = e.factors if isinstance(e, Mul) else (e,)
    divided = next((f for f in factors if _divisor(f, rate) is not None), None)
    if not (isinstance(divided, Power) and isinstance(divided.base, Ref)):
        return rebuild(e, tuple(_settled(c, rate) for c in children(e))) if children(e) else e
    numerator = mul(*(f for f in factors if f is not divided))
    if divided.exponent % 1 != 0 or any(_divisor(f, rate) for f in walk(numerator)):
        raise _NoLimitError(divided.base.name)
    return _quotient(numerator, divided.base.name, int(-divided.exponent), rate)


def _quotient(numerator: Expr, theta: str, k: int, rate: Mapping[str, float]) -> Expr:
    """N(theta) / theta^k at theta = 0."""
    others = [name for name in refs(numerator) if name in rate and name != theta]
    if any(rate[name] >= k * rate[theta] for name in others):
        raise _NoLimitError(theta)
    e = substitute(numerator, dict.fromkeys(others, ZERO))
    for j in range(k):
        if collected(substitute(e, {theta: ZERO})) != ZERO:
            raise _NoLimitError(theta)
        e = mul(number(1 / (j + 1)), tangent(e, theta))
    return collected(substitute(e, {theta: ZERO}))


def tangent(e: Expr, theta: str) -> Expr:
    """de/dtheta for a scalar theta without axes, by the chain rule."""
    match e:
        case Ref(name):
            return ONE if name == theta else ZERO
        case Number() | Tensor():
            return ZERO
        case Add(terms):
            return add(*(tangent(t, theta) for t in terms))
        case Mul(factors):
            return add(*(mul(*factors[:i], tangent(f, theta), *factors[i + 1 :]) for i, f in enumerate(factors)))
        case Power(base, exponent):
            inner = tangent(base, theta)
            return ZERO if inner == ZERO else mul(number(exponent), power(base, exponent - 1), inner)
        case Apply(fn, args):
            inner = [tangent(a, theta) for a in args]
            return add(*(mul(derivative(fn, args, i), t) for i, t in enumerate(inner) if t != ZERO), ZERO)
        case Sum(_, arg) | Gather(arg):
            inner = tangent(arg, theta)
            return ZERO if inner == ZERO else rebuild(e, (inner,))
        case Softmax(axis, arg):
            inner = tangent(arg, theta)
            return ZERO if inner == ZERO else mul(e, add(inner, mul(number(-1), Sum(axis, mul(e, inner)))))
        case _:
            assert_never(e)
