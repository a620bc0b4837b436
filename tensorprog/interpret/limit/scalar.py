"""Symbolic limits of scalars: a hash-consed graph of numbers with named indices, exact about 0 and 1, valued only when asked.

A scalar of the limit is one number, or, for families, one number a position: `S(node, idx)` is a node of the graph with an index
for each of its positions, so that the same node read at other positions is another S of the same node. Indices are axis names (free) or
integers (summed).
Zero is structural: it is known without any arithmetic, and whatever it multiplies is never evaluated.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tensorprog.language.expr import Fn


@dataclass(frozen=True, slots=True)
class At:
    """A fixed position used as an index."""

    position: int


Index = str | int | At


def number_of(i: Index) -> int:
    """A local index, which is a number."""
    assert isinstance(i, int)
    return i


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """One entry of the graph; nodes are made once (`Scalars.intern`), so identity is equality. Children have smaller ids."""

    id: int
    op: Op
    sizes: tuple[int, ...]


class S(NamedTuple):
    """A node read at indices; a repeated index is a diagonal."""

    node: Node
    idx: tuple[Index, ...] = ()

    def inside(self, idx: Sequence[Index]) -> S:
        """The same with local indices, which are places in `idx`: what a node is made of, where the node is read at `idx`."""
        return S(self.node, tuple(idx[number_of(i)] for i in self.idx))


@dataclass(frozen=True, slots=True)
class Num:
    value: float


@dataclass(frozen=True, slots=True)
class Leaf:
    """A number supplied from outside: a Gram matrix, a variance, a table, a given scalar."""

    key: Hashable


@dataclass(frozen=True, slots=True)
class Hot:
    """hot[i, j] = 1 where index[i] = j: reading a position (Gather)."""

    index: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Product:
    """coef * product of parts, summed over the indices that are not in 0 .. rank - 1."""

    coef: float
    parts: tuple[S, ...]


@dataclass(frozen=True, slots=True)
class Total:
    terms: tuple[tuple[float, S], ...]


@dataclass(frozen=True, slots=True)
class Function:
    """A coordinatewise function of scalars (a real exponent stands for the power), position by position."""

    fn: Fn | float
    parts: tuple[S, ...]


@dataclass(frozen=True, slots=True)
class Normalized:
    """Softmax along one position."""

    part: S
    along: int


@dataclass(frozen=True, slots=True)
class Matched:
    """`cross` between left and right inputs, replaced by `own` where the two inputs are the same."""

    cross: S
    own: S


@dataclass(frozen=True, slots=True)
class Regression:
    """Entry `member` of C^+ b: C_ij over the positions of roots i and j, b_i over those of root i and then those of the target (Stein form)."""

    covariances: tuple[tuple[S, ...], ...]
    moments: tuple[S, ...]
    roots: tuple[tuple[int, ...], ...]  # the sizes of each
    member: int


@dataclass(frozen=True, slots=True)
class Expectation:
    """E of a product of functions of jointly Gaussian linear forms; `problem` is an `expectation.Problem`."""

    problem: Any


LONG = 64  # parts of a product or a sum beyond which it is not written out in others: the graph grows with the depth of a program, not its square
Op = Num | Leaf | Hot | Product | Total | Function | Normalized | Matched | Regression | Expectation


class Scalars:
    """The graph: makes nodes, each once."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Node] = {}
        self.zero = self.num(0.0)
        self.one = self.num(1.0)
        self.gathers = False  # whether anything reads other positions

    def intern(self, key: Hashable, op: Op, sizes: tuple[int, ...]) -> Node:
        node = self._made.get(key)
        if node is None:
            node = self._made[key] = Node(len(self._made), op, sizes)
        return node

    def num(self, value: float) -> S:
        return S(self.intern(("num", value), Num(value), ()))

    def leaf(self, key: Hashable, sizes: tuple[int, ...] = (), idx: tuple[Index, ...] = ()) -> S:
        return S(self.intern(("leaf", key), Leaf(key), sizes), idx)

    def hot(self, index: tuple[int, ...], size: int, into: Index, source: Index) -> S:
        self.gathers = True
        return S(self.intern(("hot", index, size), Hot(index), (len(index), size)), (into, source))

    def is_zero(self, s: S) -> bool:
        return s.node is self.zero.node

    def product(self, parts: Iterable[S], out: Iterable[Index] | None = None, coef: float = 1.0) -> S:
        """coef times the product of parts, summed over every index that is not in `out` (None: keep all)."""
        flat: list[S] = []
        for part in parts:
            match part.node.op:
                case Num(value):
                    coef *= value
                case Product(c, inner) if len(inner) <= LONG and len({i for s in inner for i in s.idx}) == len(part.node.sizes):
                    coef *= c
                    flat.extend(s.inside(part.idx) for s in inner)
                case _:
                    flat.append(part)
        if coef == 0.0:
            return self.zero
        keep = None if out is None else set(out)
        free = [i for i in dict.fromkeys(i for s in flat for i in s.idx) if keep is None or i in keep]
        if not flat:
            return self.num(coef)
        if len(flat) == 1 and coef == 1.0 and len(free) == len(flat[0].idx):
            return flat[0]
        flat.sort(key=lambda s: s.node.id)
        return self._product(coef, flat, set(free))

    def _product(self, coef: float, parts: list[S], free: set[Index]) -> S:
        read = {s.idx[1]: s.idx[0] for s in parts if isinstance(s.node.op, Hot)}  # what reads other positions stands where these stand
        whole = (read.get(i, i) for s in parts if not isinstance(s.node.op, Hot) for i in s.idx)
        seen = list(dict.fromkeys((*whole, *(i for s in parts for i in s.idx))))
        order = [i for i in seen if i in free] + [i for i in seen if i not in free]
        local = {name: k for k, name in enumerate(order)}
        inner = tuple(S(s.node, tuple(local[i] for i in s.idx)) for s in parts)
        size = {local[i]: n for s in parts for i, n in zip(s.idx, s.node.sizes, strict=True)}
        rank = len(free)
        key = ("product", coef, rank, tuple((s.node.id, s.idx) for s in inner))
        node = self.intern(key, Product(coef, inner), tuple(size[k] for k in range(rank)))
        return S(node, tuple(order[:rank]))

    def split(self, s: S) -> tuple[float, S]:
        """s as (number, rest)."""
        op = s.node.op
        if isinstance(op, Num):
            return op.value, self.one
        if isinstance(op, Product) and op.coef != 1.0:
            rank = len(s.node.sizes)
            named = [S(p.node, tuple(s.idx[i] if i < rank else -1 - i for i in map(number_of, p.idx))) for p in op.parts]
            return op.coef, self.product(named, s.idx)
        return 1.0, s

    def total(self, terms: Iterable[tuple[float, S]]) -> S:
        """sum of number * scalar; terms with fewer indices are broadcast."""
        collected: dict[S, float] = {}
        for coef, s in terms:
            for c, t in self._flatten(coef, s):
                collected[t] = collected.get(t, 0.0) + c
        rest = sorted(((c, s) for s, c in collected.items() if c != 0.0 and not self.is_zero(s)), key=lambda t: t[1].node.id)
        if not rest:
            return self.zero
        if len(rest) == 1:
            return self.product([rest[0][1]], None, rest[0][0])
        order = list(dict.fromkeys(i for _, s in rest for i in s.idx))
        local = {name: k for k, name in enumerate(order)}
        inner = tuple((c, S(s.node, tuple(local[i] for i in s.idx))) for c, s in rest)
        size = {i: n for _, s in inner for i, n in zip(s.idx, s.node.sizes, strict=True)}
        key = ("total", tuple((c, s.node.id, s.idx) for c, s in inner))
        return S(self.intern(key, Total(inner), tuple(size[k] for k in range(len(order)))), tuple(order))

    def _flatten(self, coef: float, s: S) -> list[tuple[float, S]]:
        number, rest = self.split(s)
        op = rest.node.op
        if isinstance(op, Total) and len(op.terms) <= LONG:
            inner = [(coef * number * c, t.inside(rest.idx)) for c, t in op.terms]
            if len({i for _, t in inner for i in t.idx}) == len(rest.idx):
                return inner
        return [(coef * number, rest)]

    def function(self, fn: Fn | float, args: tuple[S, ...]) -> S:
        order = list(dict.fromkeys(i for s in args for i in s.idx))
        local = {name: k for k, name in enumerate(order)}
        inner = tuple(S(s.node, tuple(local[i] for i in s.idx)) for s in args)
        size = {i: n for s in inner for i, n in zip(s.idx, s.node.sizes, strict=True)}
        key = ("function", fn, tuple((s.node.id, s.idx) for s in inner))
        return S(self.intern(key, Function(fn, inner), tuple(size[k] for k in range(len(order)))), tuple(order))

    def softmax(self, s: S, axis: str) -> S:
        local = S(s.node, tuple(range(len(s.idx))))
        along = s.idx.index(axis)
        return S(self.intern(("softmax", s.node.id, along), Normalized(local, along), s.node.sizes), s.idx)

    def matched(self, cross: S, own: S) -> S:
        """`cross`, with `own` at the pairs of equal inputs; both have the same indices."""
        if cross.node is own.node and cross.idx == own.idx:
            return cross
        order = list(dict.fromkeys((*cross.idx, *own.idx)))
        local = {name: k for k, name in enumerate(order)}
        a, b = (S(s.node, tuple(local[i] for i in s.idx)) for s in (cross, own))
        size = {i: n for s in (a, b) for i, n in zip(s.idx, s.node.sizes, strict=True)}
        key = ("matched", a.node.id, a.idx, b.node.id, b.idx)
        return S(self.intern(key, Matched(a, b), tuple(size[k] for k in range(len(order)))), tuple(order))

    def regression(self, covariances: list[list[S]], moments: list[S], sizes: list[tuple[int, ...]], target: tuple[int, ...], member: int) -> S:
        """C^+ b for one root: local indices are its positions, then the target's."""
        grid, b = tuple(tuple(row) for row in covariances), tuple(moments)
        key = ("regression", tuple((s.node.id, s.idx) for row in (*grid, b) for s in row), member)
        shape = (*sizes[member], *target)
        node = self.intern(key, Regression(grid, b, tuple(sizes), member), shape)
        return S(node, tuple(range(len(shape))))


def rename(s: S, by: Mapping[Any, Index]) -> S:
    return S(s.node, tuple(by.get(i, i) for i in s.idx))


def pattern(s: S) -> tuple[S, tuple[Index, ...]]:
    """s with its indices numbered by appearance, so that equal reads have equal names, and the indices that are read, each once."""
    names = tuple(dict.fromkeys(i for i in s.idx if not isinstance(i, At)))
    return S(s.node, tuple(i if isinstance(i, At) else names.index(i) for i in s.idx)), names


def is_whole(s: S) -> bool:
    """Whether s is its node at all positions, in their order."""
    return s.idx == tuple(range(len(s.node.sizes)))


def number_everywhere(node: Node) -> float | None:
    """The number of a table that has one everywhere."""
    match node.op:
        case Leaf(("tensor", _, (float(number), *others))) if all(other == number for other in others):
            return number
        case _:
            return None


def is_variance(node: Node) -> bool:
    """Whether a node is the variance of a tensor."""
    match node.op:
        case Leaf(("variance", _)):
            return True
        case _:
            return False
