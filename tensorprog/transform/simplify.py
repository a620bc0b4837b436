"""A program said more shortly, with the same values: copies read at their source, equal lines once, multiples inside their one reader.

| line                                         | becomes                              | rule       |
| -------------------------------------------- | ------------------------------------ | ---------- |
| y := x, of one width                         | x wherever y is read                 | [copy]     |
| y := psi(..), z := psi(..)                   | y wherever z is read                 | [equal]    |
| y := c x with a scalar c, read by one Nonlin or Moment | c x where y is read        | [multiple] |
| a line that no output needs                  | nothing                              | [pruned]   |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace

from tensorprog.language.expr import Expr, Mul, Number, Ref, refs, substitute
from tensorprog.language.instr import Instr, MatMul, Moment, Nonlin
from tensorprog.language.program import Program
from tensorprog.transform.prune import pruned


def simplified(program: Program, names: Collection[str] | None = None, *, own_line: Collection[str] = ()) -> Program:
    """The program of these variables (by default its outputs), which keep their lines, simplified by the rules above.

    Args:
        own_line: variables to which [multiple] does not apply.
    """
    kept = tuple(program.outputs if names is None else names)
    return _inlined(pruned(_merged(program, kept), kept), frozenset((*kept, *own_line)))


def _merged(p: Program, kept: Collection[str]) -> Program:
    """[copy] and [equal]: from the top, so that lines are compared after what they read has been merged."""
    same: dict[str, Expr] = {}
    first: dict[Instr, str] = {}
    body: list[Instr] = []
    for line in p.body:
        i = _reading(line, same, p)
        source = i.psi.name if isinstance(i, Nonlin | Moment) and isinstance(i.psi, Ref) else first.get(replace(i, out=""))
        if source is not None and i.out not in kept and p.axes_of[source] == p.axes_of[i.out] and p.width_of[source] == p.width_of[i.out]:
            same[i.out] = Ref(source)
            continue
        first.setdefault(replace(i, out=""), i.out)
        body.append(i)
    return replace(p, body=tuple(body))


def _inlined(p: Program, kept: Collection[str]) -> Program:
    """[multiple]."""
    readers = Counter(r for i in p.body for r in ((i.arg,) * 2 if isinstance(i, MatMul) else refs(i.psi)))
    inside: dict[str, Expr] = {}
    body: list[Instr] = []
    for line in p.body:
        i = _reading(line, inside, p)
        if isinstance(i, Nonlin) and i.out not in kept and readers[i.out] == 1 and _is_multiple(i.psi, p):
            inside[i.out] = i.psi
        else:
            body.append(i)
    return replace(p, body=tuple(body))


def _is_multiple(psi: Expr, p: Program) -> bool:
    """c x, up to numbers."""
    factors = [f for f in (psi.factors if isinstance(psi, Mul) else ()) if not isinstance(f, Number)]
    return all(isinstance(f, Ref) for f in factors) and sum(not p.is_scalar(f.name) for f in factors if isinstance(f, Ref)) == 1


def _reading(i: Instr, by: dict[str, Expr], p: Program) -> Instr:
    """The line with others for some of the variables that it reads."""
    if isinstance(i, MatMul):
        found = by.get(i.arg)
        return replace(i, arg=found.name) if isinstance(found, Ref) else i
    return replace(i, psi=substitute(i.psi, by, p.is_scalar))
