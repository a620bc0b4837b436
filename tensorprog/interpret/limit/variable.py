"""The limit variables Z^x: sums of products of factors over roots (Yang & Littwin 2021, Def. B.3).

Roots are the only randomness: initial vectors and hats. A factor is a linear form of roots, a function of one linear form (an atom), a function of
other variables (a composite), or a whole sum kept closed until an expectation needs it opened (products distribute lazily). Everything is
hash-consed, so that the same variable computed twice is one variable. Members of a family are read by index: a free index is an axis name, a
summed one an integer.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

from tensorprog.interpret.limit.scalar import Index, S, rename
from tensorprog.language.expr import Fn


class Hat(NamedTuple):
    """The group of the roots hat(W x), or hat(W^T x), of one matrix."""

    matrix: str
    transpose: bool


@dataclass(frozen=True, eq=False, slots=True)
class Root:
    """One Gaussian family with mean 0. Roots of different groups are independent; `twin` is the same root for the left input."""

    id: int
    group: Hashable
    label: str
    axes: tuple[str, ...]
    sizes: tuple[int, ...]
    argument: Poly | None = None  # Z^x of hat(W x); None for an initial vector
    twin: Root | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Lin:
    """const + sum coef * S * root[idx]; free local indices 0 .. rank - 1, the others summed. Its first coefficient is 1."""

    id: int
    sizes: tuple[int, ...]
    terms: tuple[LinTerm, ...]
    const: S | None
    roots: frozenset[Root]


@dataclass(frozen=True, eq=False, slots=True)
class Atom:
    """fn(scale * form + shift)."""

    id: int
    sizes: tuple[int, ...]
    fn: Fn
    scale: float
    shift: float
    form: Lin
    roots: frozenset[Root]


@dataclass(frozen=True, eq=False, slots=True)
class Composite:
    """fn of variables that are not linear forms; `axes` names its local indices 0 .. rank - 1 inside `args`."""

    id: int
    sizes: tuple[int, ...]
    fn: Fn
    axes: tuple[str, ...]
    args: tuple[Poly, ...]
    roots: frozenset[Root]


@dataclass(frozen=True, eq=False, slots=True)
class Closed:
    """A sum as one factor; `axes` names its local indices 0 .. rank - 1 inside `poly`."""

    id: int
    sizes: tuple[int, ...]
    axes: tuple[str, ...]
    poly: Poly
    roots: frozenset[Root]


Factor = Lin | Atom | Composite | Closed
LinTerm = tuple[float, S | None, Root, tuple[Index, ...]]  # number * S * root[indices]
Part = tuple[float, S | None, Root | Lin, tuple[Index, ...]]  # number * S * a root or a form, at indices


class Use(NamedTuple):
    """A factor read at indices."""

    factor: Factor
    idx: tuple[Index, ...]


class Term(NamedTuple):
    coef: S
    uses: tuple[Use, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Poly:
    """A variable: the sum of its terms. `axes` are its free indices; integer indices are summed, each within its term."""

    id: int
    axes: tuple[str, ...]
    terms: tuple[Term, ...]
    roots: frozenset[Root]


def sizes_of(uses: Iterable[Use]) -> dict[Index, int]:
    """The sizes of the indices at which factors are read."""
    return {i: n for u in uses for i, n in zip(u.idx, u.factor.sizes, strict=True)}


def unread(sizes: Mapping[Index, int], *read: Iterable[Index]) -> float:
    """How often a sum over summed (integer) indices counts what does not depend on them: the product of the sizes of those that nothing reads."""
    seen = {i for indices in read for i in indices}
    return float(prod(n for i, n in sizes.items() if isinstance(i, int) and i not in seen))


def relabel(term: Term, by: Mapping[Any, Index]) -> Term:
    return Term(rename(term.coef, by), tuple(Use(u.factor, tuple(by.get(i, i) for i in u.idx)) for u in term.uses))
