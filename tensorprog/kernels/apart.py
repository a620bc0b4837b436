"""Kernels of pairs of points from what is found once a point: what depends on one point only (variances, attention weights), and K(x, x).

A scalar of the kernel of two points reads both, or one, or none. What reads one is found for every point before the pairs, and pairs of equal points,
whose kernel is that of a point with itself, need no expectations of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from tensorprog.interpret.limit.numbers import Numbers, pattern
from tensorprog.interpret.limit.plan import below, planned
from tensorprog.interpret.limit.scalar import At, Leaf, Node, Product, S
from tensorprog.kernels.symbolic import Symbolic, unvalued

LEFT, RIGHT = frozenset({0}), frozenset({1})


class Own(NamedTuple):
    """What the pairs of a point read of it alone, (N, *positions) each: where it is the left point of a pair, and where it is the right one."""

    left: tuple[Array, ...]
    right: tuple[Array, ...]


@dataclass(frozen=True)
class Shared:
    """The scalars that make up `Own`."""

    left: tuple[S, ...]
    right: tuple[S, ...]
    plan: Mapping[Node, Product]

    def values(self, numbers: Numbers, points: int) -> Own:
        """Of `numbers` in which both points of a pair are one: arrays (N, 1, *positions)."""

        def side(asked: tuple[S, ...]) -> tuple[Array, ...]:
            found = (numbers.value(s, tuple(dict.fromkeys(s.idx))) for s in asked)
            return tuple(jnp.broadcast_to(a[:, 0], (points, *a.shape[2:])) for a in found)

        return Own(side(self.left), side(self.right))

    def known(self, left: Own, right: Own) -> dict[S, Array]:
        """What the pairs of some left and some right points need not compute."""
        found = {s: a[:, None] for s, a in zip(self.left, left.left, strict=True)}
        return found | {s: a[None] for s, a in zip(self.right, right.right, strict=True)}


def shared(found: Symbolic) -> Shared:
    """The reads of one point alone by the kernels of two different points, as large as can be."""
    apart = unvalued(found, same=False)
    order = below(apart, found.asked)
    points: dict[Node, frozenset[int]] = {}
    for node in order:
        points[node] = frozenset[int]().union(_points(node), *(points[s.node] for s in apart.reads(node)))
    plan = planned(apart, order, points, found.asked)
    apart = unvalued(found, same=False, plan=plan)
    reads: dict[Node, set[S]] = {}
    for node in below(apart, found.asked):
        for s in apart.reads(node) if len(points[node]) == 2 else ():
            if len(points[s.node]) == 1:
                reads.setdefault(s.node, set()).add(pattern(s)[0])
    sides: dict[frozenset[int], list[S]] = {LEFT: [], RIGHT: []}
    for node, asked in reads.items():
        one = next(iter(asked))
        whole = len(asked) > 1 or any(isinstance(i, At) for i in one.idx)
        sides[points[node]].append(S(node, tuple(range(len(node.sizes)))) if whole else one)
    return Shared(tuple(sides[LEFT]), tuple(sides[RIGHT]), plan)


def _points(node: Node) -> frozenset[int]:
    match node.op:
        case Leaf(("gram", _, int(i), _, int(j))):
            return frozenset({i, j})
        case _:
            return frozenset()


def itself(given: Callable[[Hashable], Array]) -> Callable[[Hashable], Array]:
    """Leaves in which every Gram entry is that of a left point with itself, whichever points are asked."""

    def leaf(key: Hashable) -> Array:
        match key:
            case ("gram", a, int(), b, int()):
                return given(("gram", a, 0, b, 0))
            case _:
                return given(key)

    return leaf
