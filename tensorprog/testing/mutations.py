"""Ill-typed variants of a well-typed program, and the line of each that is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tensorprog.language.expr import Apply, Expr, Gather, Ref, Sum, add, mul, refs
from tensorprog.language.instr import InitVector, Instr, MatMul
from tensorprog.language.listing import items
from tensorprog.language.nonlin import fn
from tensorprog.language.program import Program


@dataclass(frozen=True)
class Mutation:
    """One instruction made wrong; `line` is its line in the listing of the mutated program."""

    what: str
    program: Program
    line: int


def mutations(p: Program) -> Iterator[Mutation]:
    """Every instruction of the program, made wrong in every way that applies to it."""
    for k, i in enumerate(p.body):
        for what, wrong in _wrong(p, i):
            body = (*p.body[:k], wrong, *p.body[k + 1 :])
            mutated = replace(p, body=body)
            yield Mutation(what, mutated, _first_line(mutated) + k)


def _first_line(p: Program) -> int:
    """The line of the first instruction, in the listing."""
    return next(line for line, item in enumerate(items(p), 1) if item is p.body[0])


def _wrong(p: Program, i: Instr) -> Iterator[tuple[str, Instr]]:
    yield "assigns an initial vector again", replace(i, out=p.vectors[0].name)
    if isinstance(i, MatMul):
        m = p.matrix[i.matrix]
        yield "multiplies an unknown vector", replace(i, arg="nowhere")
        yield "multiplies itself", replace(i, arg=i.out)
        yield "by an unknown matrix", replace(i, matrix="nowhere")
        yield "by a vector", replace(i, matrix=p.vectors[0].name)
        if m.rows != m.cols:
            yield "by the transpose", replace(i, transpose=not i.transpose)
        yield from (("multiplies a scalar", replace(i, arg=c)) for c in _earlier(p, i, scalars=True)[:1])
        return
    width = _width(p, i.psi)
    others = [v.name for v in p.vectors if width is not None and v.width != width]
    psi: dict[str, Expr] = {
        "reads an unknown variable": mul(i.psi, Ref("nowhere")),
        "reads itself": add(i.psi, Ref(i.out)),
        "sums over an unknown axis": Sum("nowhere", i.psi),
        "gathers along an unknown axis": Gather(i.psi, "nowhere", None, (0,)),
        "a function of too many": Apply(fn("tanh"), (i.psi, i.psi)),
    }
    if others:
        psi["mixes widths"] = add(i.psi, Ref(others[0]))
    yield from ((what, replace(i, psi=wrong)) for what, wrong in psi.items())


def _width(p: Program, psi: Expr) -> str | None:
    return next((w for r in refs(psi) if (w := p.width_of[r]) is not None), None)


def _earlier(p: Program, i: Instr, *, scalars: bool) -> list[str]:
    names = [*p.init, *(j.out for j in p.body[: p.body.index(i)])]
    return [name for name in names if p.is_scalar(name) == scalars and not isinstance(p.init.get(name), InitVector)]
