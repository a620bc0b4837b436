"""Families written out to be drawn: one node a position; the members of a softmax are a function "softmax" of all the logits, the own one marked."""

from __future__ import annotations

from dataclasses import replace

from tensorprog.language.expr import Apply, Expr, Fn, refs
from tensorprog.language.instr import Instr, MatMul
from tensorprog.language.program import Program
from tensorprog.transform.unfold import member_of, unfolded


def written_out(program: Program) -> Program:
    """One variable a position: h over (head, token) becomes h[0, 0], h[0, 1], ...

    Of a family that is read, those members are left out that nothing reads.
    """
    whole = {reader for i in program.body for reader in reads(i)} - set(program.outputs)
    found = unfolded(program, softmax=_softmax)
    body: list[Instr] = []
    read: set[str] = set()
    for i in reversed(found.body):
        if i.out in read or member_of(i.out) not in whole:
            body.insert(0, i)
            read.update(reads(i))
    return replace(found, body=tuple(body))


def _softmax(logits: tuple[Expr, ...], at: int) -> Expr:
    return Apply(Fn("softmax", (float(at),), (0,) * len(logits)), logits)


def reads(i: Instr) -> tuple[str, ...]:
    """The variables that an instruction reads."""
    return (i.arg,) if isinstance(i, MatMul) else refs(i.psi)
