"""Averages over other coordinates that factorize: OuterNonlin as Nonlin and Moment where psi is a sum of products (Yang & Littwin 2023, 2.6).

    [outer-separate]  avg_b f(X_a) g(X_b)  =  f(X_a) Moment(g),    avg_{b, b'} f(X_a, X_b) g(X_a, X_b')  =  avg_b f(X_a, X_b)  avg_b g(X_a, X_b)

holds at every width. Signs, powers and exponentials of products come apart too, so that the update of SignSGD, sign(u_a v_b), is of this form; what
does not factorize, erf(u_a v_b), stays an OuterNonlin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count, product
from math import prod

from tensorprog.language.expr import Add, Apply, Expr, Gather, Mul, Power, Ref, Sum, add, axes_of, copies, moved, mul, power, rebuild, walk
from tensorprog.language.instr import Instr, Moment, Nonlin, OuterNonlin
from tensorprog.language.order import not_negative
from tensorprog.language.program import Program

MAX_TERMS = 256  # of one expanded psi
MULTIPLICATIVE = ("sign", "abs")  # f(x y) = f(x) f(y)


def separated(p: Program) -> Program:
    """The program with every OuterNonlin taken apart as far as its psi factorizes; the same program if it has none."""
    if not any(isinstance(i, OuterNonlin) for i in p.body):
        return p
    writer = _Writer(p)
    for i in p.body:
        if isinstance(i, OuterNonlin):
            writer.outer(i)
        else:
            writer.body.append(i)
    return replace(p, body=tuple(writer.body))


@dataclass
class _Writer:
    """The body being written; `scalars` are the averages that have a name."""

    program: Program
    body: list[Instr] = field(default_factory=list[Instr])
    scalars: dict[Expr, Ref] = field(default_factory=dict[Expr, Ref])

    def outer(self, i: OuterNonlin) -> None:
        whole = self.average(i.psi, i.out)
        last = self.body[-1] if self.body else None
        if isinstance(last, OuterNonlin) and whole == Ref(last.out):
            self.body[-1] = replace(last, out=i.out)
        else:
            self.body.append(Nonlin(i.out, whole))

    def average(self, e: Expr, out: str) -> Expr:
        """avg_b e, in terms of the own coordinate and of scalars."""
        if not copies(e):
            return e
        match e:
            case Add(terms):
                return add(*(self.average(t, out) for t in terms))
            case Sum(_, arg) | Gather(arg):
                return rebuild(e, (self.average(arg, out),))
            case Mul(factors) if (k := self.summed(factors)) is not None:
                inner = factors[k]
                assert isinstance(inner, Sum)
                return Sum(inner.axis, self.average(mul(*factors[:k], inner.arg, *factors[k + 1 :]), out))
            case _:
                terms = self.terms(e)
                if len(terms) == 1:
                    return mul(*(self.named(part, out) for part in self.components(terms[0])))
                return add(*(self.average(mul(*factors), out) for factors in terms))

    def summed(self, factors: tuple[Expr, ...]) -> int | None:
        """The place of a mixed sum along an axis that no other factor has."""
        for k, f in enumerate(factors):
            if isinstance(f, Sum) and self.mixed(f):
                others = (*factors[:k], *factors[k + 1 :])
                return k if not any(f.axis in axes_of(other, self.program.axes_of) for other in others) else None
        return None

    def terms(self, e: Expr) -> list[tuple[Expr, ...]]:
        """e as a sum of products: products of mixed sums distributed, functions of products split."""
        factors = [f for g in _factors(e) for f in (self.split(g) if self.mixed(g) else (g,))]
        sums = [f.terms if isinstance(f, Add) and self.mixed(f) else (f,) for f in factors]
        return list(product(*sums)) if prod(map(len, sums)) <= MAX_TERMS else [tuple(factors)]

    def split(self, e: Expr) -> tuple[Expr, ...]:
        """A mixed factor as several."""
        match e:
            case Mul(factors):
                return tuple(part for f in factors for part in self.split(f))
            case Power(Add(), exponent) if exponent in (2, 3, 4):
                return (e.base,) * int(exponent)
            case Power(base, exponent):
                parts = self.split(base)
                return tuple(power(f, exponent) for f in parts) if exponent % 1 == 0 or all(map(not_negative, parts)) else (e,)
            case Apply(fn, (arg,)) if fn.body is None and fn.name in MULTIPLICATIVE and not any(fn.order):
                return tuple(Apply(fn, (f,)) for f in self.split(arg))
            case Apply(fn, (Add(terms),)) if fn.body is None and fn.name == "exp":
                return tuple(Apply(fn, (t,)) for t in terms)
            case _:
                return (e,)

    def components(self, factors: tuple[Expr, ...]) -> Iterator[Expr]:
        """The factors, put together where they read another coordinate in common."""
        groups: list[tuple[set[int], list[Expr]]] = []
        for f in factors:
            here, parts = self.coordinates(f) - {0}, [f]
            for met in [g for g in groups if g[0] & here]:
                groups.remove(met)
                here, parts = here | met[0], [*met[1], *parts]
            groups.append((here, parts))
        return (mul(*parts) for _, parts in groups)

    def named(self, e: Expr, out: str) -> Expr:
        """A component as it is, where it reads nothing but its own coordinate, else the name of its average."""
        if not copies(e):
            return e
        own = 0 in self.coordinates(e)
        e = moved(e, {k: j for j, k in enumerate(copies(e), 1 if own else 0)}, self.program.is_scalar)
        if own:
            return self.line(OuterNonlin, e, f"{out}_outer")
        if e not in self.scalars:
            inner = self.line(OuterNonlin, e, f"{out}_outer") if copies(e) else e
            self.scalars[e] = self.line(Moment, inner, f"{out}_mean")
        return self.scalars[e]

    def line(self, make: type[Moment] | type[OuterNonlin], psi: Expr, name: str) -> Ref:
        taken = {*self.program.axes_of, *self.program.matrix, *(i.out for i in self.body)}
        fresh = next(candidate for k in count(1) if (candidate := f"{name}{k}") not in taken)
        self.body.append(make(fresh, psi))
        return Ref(fresh)

    def coordinates(self, e: Expr) -> set[int]:
        return {node.copy for node in walk(e) if isinstance(node, Ref) and not self.program.is_scalar(node.name)}

    def mixed(self, e: Expr) -> bool:
        return len(self.coordinates(e)) > 1


def _factors(e: Expr) -> tuple[Expr, ...]:
    return e.factors if isinstance(e, Mul) else (e,)
