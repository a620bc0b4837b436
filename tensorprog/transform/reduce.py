"""Reduced form (Yang & Littwin 2021, App. D.2): Nonlin and Moment read only G-vars, MatMul only X-vars; the meaning stays.

[fuse] chains of Nonlin become one Nonlin; [identity] between two G-vars stands an identity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from tensorprog.errors import InvalidProgram
from tensorprog.language.expr import Expr, Ref, refs, substitute, walk
from tensorprog.language.finding import MAX_DEPTH
from tensorprog.language.infix import depth
from tensorprog.language.instr import Instr, MatMul, Moment, Nonlin, OuterNonlin
from tensorprog.language.program import Program
from tensorprog.transform.separate import separated

MAX_NODES = 100_000  # of one fused expression


def reduced(p: Program) -> Program:
    """The reduced form of a program. X-vars that nothing multiplies, averages or returns any more are left out.

    Raises:
        InvalidProgram: a fused expression would be too large: where lines read one another again and again, it doubles with each; or a function
            reads an average over coordinates (OuterNonlin) that does not factorize, and so cannot be fused with it.
    """
    p = separated(p)
    averages: set[str] = set()
    fused: dict[str, Expr] = {}  # what an X-var is, in terms of G-vars and scalars
    nodes: dict[str, int] = {}
    copies: dict[str, str] = {}  # of a G-var that is multiplied: its identity
    taken = {*p.init, *p.instruction, *p.matrix}
    body: list[Instr] = []
    for i in p.body:
        match i:
            case MatMul(_, _, arg, _):
                if arg not in fused and arg not in copies and arg not in averages:
                    copies[arg] = _fresh(f"{arg}_id", taken)
                    body.append(Nonlin(copies[arg], Ref(arg)))
                body.append(replace(i, arg=copies.get(arg, arg)))
            case Nonlin(out, psi) | Moment(out, psi) | OuterNonlin(out, psi):
                whole = _fuse(out, psi, fused, nodes, p.is_scalar)
                if (inner := next((name for name in refs(whole) if name in averages), None)) is not None:
                    raise InvalidProgram(f"{out}: [fuse] it reads {inner}, an average over coordinates. Put a matrix between the two.")
                body.append(replace(i, psi=whole))
                averages |= {out} if isinstance(i, OuterNonlin) else set()
                if isinstance(i, Nonlin):
                    fused[out], nodes[out] = whole, _count(whole)
            case _:
                assert_never(i)
    return replace(p, body=_alive(body, p))


def _fuse(out: str, psi: Expr, fused: dict[str, Expr], nodes: dict[str, int], is_scalar: Callable[[str], bool]) -> Expr:
    size = sum(nodes.get(e.name, 1) if isinstance(e, Ref) else 1 for e in walk(psi))
    if size > MAX_NODES:
        raise _too_large(out, f"has {size} nodes", MAX_NODES)
    whole = substitute(psi, fused, is_scalar)
    if (deep := depth(whole)) > MAX_DEPTH:
        raise _too_large(out, f"is {deep} deep", MAX_DEPTH)
    return whole


def _too_large(out: str, what: str, most: int) -> InvalidProgram:
    return InvalidProgram(f"{out}: [fuse] the fused expression {what}; at most {most} are allowed. Put matrices between the functions.")


def _count(e: Expr) -> int:
    return sum(1 for _ in walk(e))


def _alive(body: list[Instr], p: Program) -> tuple[Instr, ...]:
    """What is left when X-vars that were fused away, and that nothing else reads, are taken out."""
    before = {name for i in p.body for name in _read(i)}
    read = set(p.outputs)
    kept: list[Instr] = []
    for i in reversed(body):
        if isinstance(i, Nonlin) and i.out in before and i.out not in read:
            continue
        kept.append(i)
        read.update(_read(i))
    return tuple(reversed(kept))


def _read(i: Instr) -> tuple[str, ...]:
    return (i.arg,) if isinstance(i, MatMul) else refs(i.psi)


def _fresh(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
