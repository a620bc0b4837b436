"""Positive homogeneity, read off a program: of which degree m is f(a xi) = a^m f(xi) for every a > 0 and every value of the parameters.

Then both kernels satisfy K(a xi, b xi') = (a b)^m K(xi, xi'): on vectors they depend on each pair through its angle alone (Cho & Saul 2009).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import assert_never

from tensorprog.language.expr import Add, Apply, Expr, Fn, Gather, Mul, Number, Power, Ref, Softmax, Sum, Tensor
from tensorprog.language.instr import Embedding, InitVector, MatMul, Moment, Nonlin, OuterNonlin
from tensorprog.language.program import Network

Degree = float | None  # None: not homogeneous
EVERY = inf  # the degree of zero
FIXED = {"identity": 1.0, "relu": 1.0, "abs": 1.0, "leaky_relu": 1.0, "abrelu": 1.0, "step": 0.0, "sign": 0.0}


def degree(network: Network) -> Degree:
    """m such that f(a xi) = a^m f(xi) for all inputs scaled together, or None."""
    p = network.program
    known: dict[str, Degree] = {v.name: _of_initial(v) for v in p.vectors} | {c.name: 0.0 for c in p.scalars}
    for i in p.body:
        match i:
            case MatMul(out, _, arg, _):
                known[out] = known[arg]
            case Nonlin(out, psi) | Moment(out, psi) | OuterNonlin(out, psi):
                known[out] = of_expression(psi, known)
            case _:
                assert_never(i)
    return _common([known[r.of] for r in network.readouts])


def of_expression(e: Expr, known: Mapping[str, Degree]) -> Degree:
    """The degree of an expression, given those of the variables that it reads."""
    match e:
        case Ref(name):
            return known[name]
        case Number(value):
            return 0.0 if value else EVERY
        case Tensor():
            return 0.0
        case Add(terms):
            return _common([of_expression(t, known) for t in terms])
        case Mul(factors):
            return _total([of_expression(f, known) for f in factors])
        case Power(base, exponent):
            inner = of_expression(base, known)
            return inner if inner is None or inner == EVERY else exponent * inner
        case Apply(fn, args):
            return _of_function(fn, [of_expression(a, known) for a in args])
        case Sum(_, arg) | Gather(arg, _, _, _):
            return of_expression(arg, known)
        case Softmax(_, arg):
            return _constant([of_expression(arg, known)])
        case _:
            assert_never(e)


def _of_initial(v: InitVector) -> Degree:
    return 1.0 if isinstance(v.law, Embedding) else 0.0


def _of_function(fn: Fn, args: list[Degree]) -> Degree:
    own = None
    if fn.body is None and sum(fn.order) == 0:
        own = fn.constants[0] if fn.name == "ramp" else FIXED.get(fn.name)
    if own is None or args[0] is None:
        return _constant(args)
    return own * args[0] if args[0] != EVERY else EVERY


def _constant(args: list[Degree]) -> Degree:
    """Any function of what does not change with the scale does not change."""
    return 0.0 if all(a == 0.0 for a in args) else None


def _common(degrees: list[Degree]) -> Degree:
    rest = {d for d in degrees if d != EVERY}
    return EVERY if not rest else rest.pop() if len(rest) == 1 else None


def _total(degrees: list[Degree]) -> Degree:
    return None if any(d is None for d in degrees) else sum(d for d in degrees if d is not None)
