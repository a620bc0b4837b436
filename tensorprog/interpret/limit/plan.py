"""Which sums are formed, and which are taken into the sums that read them: a^T (A K B^T) b is (A^T a)^T K (B^T b), and A K B^T is never formed.

A product summed over indices is written out in the products that read it, where all of them together then cost less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import TypeGuard

from tensorprog.interpret.limit.contraction import LEADING, path
from tensorprog.interpret.limit.numbers import Numbers, has_delta
from tensorprog.interpret.limit.scalar import At, Hot, Leaf, Matched, Node, Op, Product, S, Scalars, number_of

POINTS, FEATURES = 16, 32  # of a block, for the comparison
PASSES = 4


def planned(numbers: Numbers, scalars: Scalars, asked: Sequence[S]) -> dict[Node, Product]:
    """The products to compute instead of those of the graph, for pairs of different points; `asked` is what is read from outside."""
    plan = _Plan(numbers, scalars, asked)
    for _ in range(PASSES):
        if not sum(plan.spread(node) for node in plan.inside):
            break
    return plan.products


class _Plan:
    """The products so far, what reads each node, and the nodes of two points that nothing outside reads, each before what it reads."""

    def __init__(self, numbers: Numbers, scalars: Scalars, asked: Sequence[S]) -> None:
        self.numbers, self.scalars = numbers, scalars
        nodes = [node for node in below(numbers, asked) if not isinstance(node.op, Matched)]
        outside = {_seen(numbers, s).node for s in asked}
        self.points = points_of(numbers, below(numbers, asked))
        self.inside = [node for node in reversed(nodes) if len(self.points[node]) == 2 and node not in outside]
        self.products: dict[Node, Product] = {}
        self.readers: dict[Node, set[Node]] = {node: set() for node in nodes}
        for node in nodes:
            for s in numbers.reads(node):
                self.readers[_seen(numbers, s).node].add(node)

    def spread(self, node: Node) -> bool:
        """Write a node out in all that read it, if that costs less."""
        mine = self.products.get(node) or _opened(self.scalars, node)
        above = {r: self.products.get(r, r.op) for r in self.readers[node]}
        found = {r: op for r, op in above.items() if _plain(op)}
        if not above or len(found) < len(above) or not _plain(mine):
            return False
        written = {r: _written(self.numbers, r, op, node, mine) for r, op in found.items()}
        if self._work(written) >= self._work({node: mine, **found}):
            return False
        self.products |= written
        for s in mine.parts:
            reading = self.readers.setdefault(_seen(self.numbers, s).node, set())
            reading.discard(node)
            reading.update(above)
        self.readers[node] = set()
        return True

    def _work(self, products: Mapping[Node, Product]) -> int:
        """The products of numbers that they take for a block of pairs."""
        return sum(self._work_of(node, op) for node, op in products.items())

    def _work_of(self, node: Node, op: Product) -> int:
        leading = ({LEADING[side]: POINTS for side in self.points.get(s.node, reads(s.node))} for s in op.parts)
        sizes = [dict(zip(s.idx, s.node.sizes, strict=True)) | sides for s, sides in zip(op.parts, leading, strict=True)]
        return sum(step.work for step in path(sizes, {*range(len(node.sizes)), *LEADING})) if len(sizes) > 1 else prod(sizes[0].values())


def points_of(numbers: Numbers, nodes: Iterable[Node]) -> dict[Node, frozenset[int]]:
    """Which of the two points of a pair each node depends on; nodes come after what they read."""
    found: dict[Node, frozenset[int]] = {}
    for node in nodes:
        found[node] = frozenset[int]().union(reads(node), *(found[s.node] for s in numbers.reads(node)))
    return found


def reads(node: Node) -> frozenset[int]:
    """The points whose data a leaf is made of."""
    match node.op:
        case Leaf(("gram", _, int(i), _, int(j))):
            return frozenset({i, j})
        case Leaf(("data", _, int(i))):
            return frozenset({i})
        case _:
            return frozenset()


def _opened(scalars: Scalars, node: Node) -> Op:
    """A Gram matrix as the product of the data that it is."""
    match node.op:
        case Leaf(("gram", str(a), int(i), str(b), int(j))) if a == b:
            rank, half = len(node.sizes), len(node.sizes) // 2
            first = scalars.leaf(("data", a, i), (*node.sizes[:half], FEATURES), (*range(half), rank))
            return Product(1.0, (first, scalars.leaf(("data", a, j), (*node.sizes[half:], FEATURES), (*range(half, rank), rank))))
        case _:
            return node.op


def below(numbers: Numbers, asked: Iterable[S]) -> list[Node]:
    """What scalars are computed from, and themselves: each node once, after what it reads."""
    found: dict[Node, None] = {}
    stack = [(s.node, False) for s in asked]
    while stack:
        node, ready = stack.pop()
        if node in found:
            continue
        if ready:
            found[node] = None
        else:
            stack.append((node, True))
            stack.extend((s.node, False) for s in numbers.reads(node) if s.node not in found)
    return list(found)


def _seen(numbers: Numbers, s: S) -> S:
    """s, or what a choice between equal and different points comes to."""
    while isinstance(s.node.op, Matched):
        (chosen,) = numbers.reads(s.node)
        s = chosen.inside(s.idx)
    return s


def _plain(op: Op) -> TypeGuard[Product]:
    return isinstance(op, Product) and not any(
        isinstance(s.node.op, Hot) or has_delta(s.node) or any(isinstance(i, At) for i in s.idx) for s in op.parts
    )


def _written(numbers: Numbers, reader: Node, op: Product, node: Node, inner: Product) -> Product:
    """The reader's product with that of `node` written out in it."""
    coef, parts, fresh = op.coef, list[S](), 1 + max((number_of(i) for s in op.parts for i in s.idx), default=len(reader.sizes))
    rank = len(node.sizes)
    for part in op.parts:
        s = _seen(numbers, part)
        if s.node is not node:
            parts.append(part)
            continue
        coef *= inner.coef
        parts += [S(p.node, tuple(s.idx[i] if i < rank else fresh + i - rank for i in map(number_of, p.idx))) for p in inner.parts]
        fresh += 1 + max((number_of(i) for p in inner.parts for i in p.idx), default=0)
    return Product(coef, tuple(parts))
