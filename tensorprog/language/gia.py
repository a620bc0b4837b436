"""When all dots vanish: BP-like programs (Yang 2020, arXiv 2006.14548, Def. A.3) and the simple GIA check (Cond. 1; 2009.10685, Cond. 1).

A program is BP-like when there are initial vectors v1..vk, of mean zero and independent of the others, such that for every matrix used both ways, in
one direction all it multiplies is independent of v1..vk, and in the other direction all it multiplies is odd in v1..vk jointly. (A matrix used one
way only has no dot.) Oddness is read off the syntax, by a parity for every variable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import combinations, islice
from math import prod
from typing import assert_never

from tensorprog.language.expr import Add, Apply, Expr, Fn, Gather, Mul, Number, Power, Ref, Softmax, Sum, Tensor, children, refs
from tensorprog.language.hypotheses import both_ways
from tensorprog.language.instr import Gaussian, MatMul, Moment, Nonlin, OuterNonlin
from tensorprog.language.nonlin import parity as parity_of
from tensorprog.language.program import Network, Program

BUDGET = 200_000  # instructions looked at in the search for special vectors

ALONE = "the readout vectors are independent, of mean zero and used nowhere else"


@dataclass(frozen=True)
class Verdict:
    """Whether a check holds, and why: for GIA the clause that fails, for BP-like programs the special vectors."""

    holds: bool
    reason: str

    def __bool__(self) -> bool:
        return self.holds


def simple_gia_check(network: Network) -> Verdict:
    """The simple GIA check of a network, clause by clause."""
    failed = next(_failed_clauses(network), None)
    if failed is not None:
        return Verdict(False, failed)
    return Verdict(True, f"{ALONE}, and no matrix is used with its transpose in the forward pass")


def _failed_clauses(network: Network) -> Iterator[str]:
    p = network.program
    initial = {v.name: v for v in p.vectors}
    for name in dict.fromkeys(r.vector for r in network.readouts):
        v = initial.get(name)
        if v is None:
            continue
        if not isinstance(v.law, Gaussian) or v.law.mean != 0:
            yield f"the readout vector {name} does not have mean zero"
        other = next((c.b if c.a == name else c.a for c in p.covariances if name in (c.a, c.b) and c.a != c.b and any(c.values)), None)
        if other is not None:
            yield f"the readout vector {name} is correlated with {other}"
        reader = next((i.out for i in p.body if name in ((i.arg,) if isinstance(i, MatMul) else refs(i.psi))), None)
        if reader is not None:
            yield f"the readout vector {name} is used elsewhere, in {reader}"
    for matrix in both_ways(p):
        yield f"{matrix} is used together with {matrix}^T in the forward pass"


def bp_like(p: Program) -> Verdict:
    """Whether the program is BP-like, for some choice of special vectors."""
    matrices = both_ways(p)
    if not matrices:
        return Verdict(True, "no matrix is used with its transpose")
    first = ""
    choices = _choices(p)
    for special in islice(choices, max(BUDGET // len(p.body), 2)):
        failed = _why_not(p, matrices, frozenset(special))
        if failed is None:
            return Verdict(True, f"odd in {', '.join(special)} wherever a transpose multiplies")
        first = first or failed
    cut_short = "; not every set of special vectors was tried" if next(choices, None) is not None else ""
    return Verdict(False, (first or "no initial vector has mean zero and is independent of the others") + cut_short)


def _choices(p: Program) -> Iterator[tuple[str, ...]]:
    """Sets of initial vectors that may be the special ones: one alone (the last declared first), all that qualify, then two, three .."""
    linked = {name for c in p.covariances if c.a != c.b and any(c.values) for name in (c.a, c.b)}
    read = {name for i in p.body for name in ((i.arg,) if isinstance(i, MatMul) else refs(i.psi))}
    candidates = [v.name for v in reversed(p.vectors) if isinstance(v.law, Gaussian) and v.law.mean == 0 and v.name not in linked and v.name in read]
    sizes = dict.fromkeys((1, len(candidates), *range(2, len(candidates))))
    yield from (choice for size in sizes if size for choice in combinations(candidates, size))


class Parity(Enum):
    """What happens to a variable when v1..vk change sign together."""

    INDEPENDENT = 0  # does not depend on them
    EVEN = 1
    ODD = 2
    NEITHER = 3


INDEPENDENT, EVEN, ODD, NEITHER = Parity


def _why_not(p: Program, matrices: tuple[str, ...], special: frozenset[str]) -> str | None:
    """The first line that keeps the program from being BP-like with these special vectors."""
    parity = parities(p, special)
    for matrix in matrices:
        uses = [i for i in p.body if isinstance(i, MatMul) and i.matrix == matrix]
        failed = [_mixed(uses, parity, forward, special) for forward in (uses[0].transpose, not uses[0].transpose)]
        if all(failed):
            return failed[0]
    return None


def _mixed(uses: list[MatMul], parity: Mapping[str, Parity], forward: bool, special: frozenset[str]) -> str | None:
    """A use that breaks the rule, when `forward` is the direction that is free of the special vectors."""
    for i in uses:
        wanted = INDEPENDENT if i.transpose == forward else ODD
        if parity[i.arg] is not wanted:
            name = f"{i.matrix}^T" if i.transpose else i.matrix
            return f"{name} multiplies {i.arg}, which is not {'independent of' if wanted is INDEPENDENT else 'odd in'} {', '.join(sorted(special))}"
    return None


def parities(p: Program, special: frozenset[str]) -> dict[str, Parity]:
    """The parity of every variable in the special vectors jointly."""
    found = {name: ODD if name in special else INDEPENDENT for name in p.init}
    for i in p.body:
        match i:
            case MatMul(out, _, arg, _):
                found[out] = found[arg]
            case Nonlin(out, psi) | Moment(out, psi) | OuterNonlin(out, psi):
                found[out] = parity(psi, found)
            case _:
                assert_never(i)
    return found


def parity(e: Expr, of: Mapping[str, Parity]) -> Parity:
    """The parity of an expression, from those of its variables."""
    below = [parity(c, of) for c in children(e)]
    match e:
        case Ref(name):
            return of[name]
        case Number() | Tensor():
            return INDEPENDENT
        case Add():
            return _sum(below)
        case Mul():
            return _product(below)
        case Power(_, exponent):
            return _power(below[0], exponent)
        case Apply(fn, _):
            return _applied(fn, below)
        case Sum() | Gather():
            return below[0]
        case Softmax():
            return below[0] if below[0] in (INDEPENDENT, EVEN) else NEITHER
        case _:
            assert_never(e)


def _sum(terms: list[Parity]) -> Parity:
    kinds = set(terms)
    if len(kinds) == 1:
        return terms[0]
    return EVEN if kinds <= {INDEPENDENT, EVEN} else NEITHER


def _product(factors: list[Parity]) -> Parity:
    if NEITHER in factors:
        return NEITHER
    if all(f is INDEPENDENT for f in factors):
        return INDEPENDENT
    return EVEN if prod(-1 if f is ODD else 1 for f in factors) == 1 else ODD


def _power(base: Parity, exponent: float) -> Parity:
    if base is not ODD:
        return base
    return EVEN if exponent % 2 == 0 else ODD if exponent % 2 == 1 else NEITHER


def _applied(fn: Fn, args: list[Parity]) -> Parity:
    if not args or NEITHER in args:
        return NEITHER if args else INDEPENDENT
    if ODD not in args:
        return EVEN if EVEN in args else INDEPENDENT
    if set(args) != {ODD}:
        return NEITHER
    return {1: EVEN, -1: ODD, 0: NEITHER}[parity_of(fn)]
