"""Which sums are formed, and which are taken into the sums that read them: a^T (A K B^T) b is (A^T a)^T K (B^T b), and A K B^T is never formed.

A product summed over indices is written out in the products that read it, where all of them together then cost less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from typing import TypeGuard

from tensorprog.interpret.limit.contraction import LEADING, path
from tensorprog.interpret.limit.numbers import Numbers, has_delta
from tensorprog.interpret.limit.scalar import At, Hot, Index, Matched, Node, Op, Product, S
from tensorprog.interpret.limit.variable import number_of

POINTS = 16  # a side of a block, for the comparison


def planned(numbers: Numbers, order: Iterable[Node], points: Mapping[Node, frozenset[int]], asked: Iterable[S]) -> dict[Node, Product]:
    """The products to compute instead of those of the graph.

    Args:
        order: the nodes, each after what it reads.
        points: which of the two points of a pair each node depends on.
        asked: what is read from outside.
    """
    plan: dict[Node, Product] = {}
    nodes = list(order)
    readers: dict[Node, set[Node]] = {}
    for node in nodes:
        for s in numbers.reads(node) if not isinstance(node.op, Matched) else ():
            readers.setdefault(_seen(numbers, s).node, set()).add(node)
    outside = {_seen(numbers, s).node for s in asked}
    for node in reversed(nodes):
        mine = plan.get(node, node.op)
        if len(points[node]) < 2 or not _plain(mine) or node in outside:
            continue
        above = {r: plan.get(r, r.op) for r in readers.get(node, ())}
        found = {r: op for r, op in above.items() if _plain(op)}
        if len(found) < len(above) or (len(found) > 1 and not _sums(mine, node)):
            continue
        written = {r: _written(numbers, r, op, node, mine) for r, op in found.items()}
        before = _work(mine, node, points) + sum(_work(op, r, points) for r, op in found.items())
        if sum(_work(op, r, points) for r, op in written.items()) < before:
            plan |= written
            for s in mine.parts:
                reading = readers[_seen(numbers, s).node]
                reading.discard(node)
                reading.update(above)
    return plan


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
        s = S(chosen.node, tuple(s.idx[i] for i in chosen.idx))  # type: ignore[index]
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


def _sums(op: Product, node: Node) -> bool:
    return any(number_of(i) >= len(node.sizes) for s in op.parts for i in s.idx)


def _work(op: Product, node: Node, points: Mapping[Node, frozenset[int]]) -> int:
    """The products of numbers that it takes for a block of pairs."""
    sizes = [dict(zip(s.idx, s.node.sizes, strict=True)) | {LEADING[side]: POINTS for side in points[s.node]} for s in op.parts]
    keep: set[Index] = {*range(len(node.sizes)), *LEADING}
    return sum(step.work for step in path(sizes, keep)) if len(sizes) > 1 else prod(sizes[0].values())
