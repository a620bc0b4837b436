"""Programs in which the derivative of a step is 0, as automatic differentiation takes it (outside the theorem, on request only)."""

from __future__ import annotations

from dataclasses import replace

from tensorprog.language.expr import ZERO, Apply, Expr, children, rebuild
from tensorprog.language.instr import Instr, MatMul
from tensorprog.language.program import Program


def without_deltas(p: Program) -> Program:
    """The program with 0 for every delta."""

    def instruction(i: Instr) -> Instr:
        return i if isinstance(i, MatMul) else replace(i, psi=_flat(i.psi))

    return replace(p, body=tuple(instruction(i) for i in p.body))


def _flat(e: Expr) -> Expr:
    if isinstance(e, Apply) and e.fn.body is None and (e.fn.name == "delta" or (e.fn.name == "ramp" and e.fn.constants[0] == -1)):
        return ZERO
    below = children(e)
    return rebuild(e, tuple(map(_flat, below))) if below else e
