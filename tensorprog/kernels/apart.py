"""Kernels of pairs of points from what is found once a point: what depends on one point only (variances, attention weights), and K(x, x).

A scalar of the kernel of two points reads both, or one, or none. What reads one is found for every point before the pairs, and pairs of equal points,
whose kernel is that of a point with itself, need no expectations of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from tensorprog.interpret.limit.numbers import Numbers
from tensorprog.interpret.limit.plan import below, planned, points_of
from tensorprog.interpret.limit.ramps import form_of
from tensorprog.interpret.limit.scalar import At, Expectation, Function, Index, Leaf, Node, Normalized, Product, S, Total, pattern
from tensorprog.interpret.limit.variable import Atom, Factor, Lin, Use
from tensorprog.kernels.symbolic import Symbolic, unvalued

LEFT, RIGHT = frozenset({0}), frozenset({1})


class Own(NamedTuple):
    """What the pairs of a point read of it alone, (N, *positions) each: as their left point, and as their right one what is not among `left`."""

    left: tuple[Array, ...]
    right: tuple[Array, ...]


@dataclass(frozen=True)
class Shared:
    """How the kernels of pairs are found from what is known of each point.

    Attributes:
        left, right: the scalars that make up `Own`.
        positions: of the largest array over two points.
        plan: sums that are made otherwise (`interpret.limit.plan`).
        mirror: what the right point of a pair shares with the left one where both are one point.
    """

    left: tuple[S, ...]
    right: tuple[S, ...]
    positions: int
    plan: Mapping[Node, Product]
    mirror: Mapping[Node, Total]

    def values(self, numbers: Numbers, points: int) -> Own:
        """Of `numbers` in which both points of a pair are one, so that arrays are (N, 1, *positions)."""

        def side(asked: tuple[S, ...]) -> tuple[Array, ...]:
            found = (numbers.value(s, tuple(dict.fromkeys(s.idx))) for s in asked)
            return tuple(jnp.broadcast_to(a[:, 0], (points, *a.shape[2:])) for a in found)

        return Own(side(self.left), side(tuple(s for s in self.right if self._place(s) is None)))

    def known(self, left: Own, right: Own) -> dict[S, Array]:
        """What the pairs of some left and some right points need not compute."""
        found, others = {s: a[:, None] for s, a in zip(self.left, left.left, strict=True)}, iter(right.right)
        places = ((s, self._place(s)) for s in self.right)
        return found | {s: (next(others) if place is None else right.left[place])[None] for s, place in places}

    def _place(self, s: S) -> int | None:
        """Where a scalar of a right point stands among those of a left one, if it is the same of every point."""
        if s.node not in self.mirror:
            return None
        ((_, same),) = self.mirror[s.node].terms
        twin = S(same.node, s.idx)
        return self.left.index(twin) if twin in self.left else None


def shared(found: Symbolic) -> Shared:
    """The reads of one point alone by the kernels of two different points, as large as can be."""
    plan = planned(unvalued(found, same=False), found.master.scalars, found.asked)
    apart = unvalued(found, same=False, plan=plan)
    order = below(apart, found.asked)
    points = points_of(apart, order)
    pairs = [node for node in order if len(points[node]) == 2]
    reads: dict[Node, set[S]] = {}
    for s in (s for node in pairs for s in apart.reads(node) if len(points[s.node]) == 1):
        reads.setdefault(s.node, set()).add(pattern(s)[0])
    sides: dict[frozenset[int], list[S]] = {LEFT: [], RIGHT: []}
    for node, asked in reads.items():
        one = next(iter(asked))
        whole = len(asked) > 1 or any(isinstance(i, At) for i in one.idx)
        sides[points[node]].append(S(node, tuple(range(len(node.sizes)))) if whole else one)
    positions = max((prod(node.sizes) for node in pairs), default=1)
    return Shared(tuple(sides[LEFT]), tuple(sides[RIGHT]), positions, plan, mirrored(found, [*found.asked, *sides[LEFT], *sides[RIGHT]]))


def mirrored(found: Symbolic, asked: Sequence[S]) -> dict[Node, Total]:
    """What depends on a right point as something else does on a left one, and is that where they are the same point."""
    numbers = unvalued(found, same=True)
    order = below(numbers, asked)
    points = points_of(numbers, order)
    numbered: dict[Hashable, int] = {}
    alike: dict[Node, int] = {}
    for node in order:
        alike[node] = numbered.setdefault(_form(numbers, node, alike), len(numbered))
    left = {number: node for node, number in alike.items() if points[node] == LEFT}
    twins = {node: left[number] for node, number in alike.items() if points[node] == RIGHT and number in left}
    return {node: Total(((1.0, S(twin, tuple(range(len(node.sizes))))),)) for node, twin in twins.items()}


def _form(numbers: Numbers, node: Node, alike: Mapping[Node, int]) -> Hashable:
    """What a node computes, with numbers for what it reads; equal for nodes that differ in the point alone that they read."""

    def named(parts: Iterable[S]) -> tuple[tuple[int, tuple[Index, ...]], ...]:
        return tuple((alike[s.node], s.idx) for s in parts)

    reads = numbers.reads(node)
    match node.op:
        case Leaf(("gram", a, int(), b, int())):
            return "gram", a, b
        case Leaf(("data", a, int())):
            return "data", a
        case Product(coef, _):
            ordered = sorted(named(reads), key=lambda part: (part[0], [i if isinstance(i, int) and i < len(node.sizes) else -1 for i in part[1]]))
            bound = {i: k for k, i in enumerate(dict.fromkeys(i for _, idx in ordered for i in idx if i not in range(len(node.sizes))))}
            return "product", coef, node.sizes, tuple((n, tuple(("bound", bound[i]) if i in bound else i for i in idx)) for n, idx in ordered)
        case Total(terms):
            return "total", tuple(sorted((c, *part) for (c, _), part in zip(terms, named(reads), strict=True)))
        case Function(fn, _):
            return "function", fn, named(reads)
        case Normalized(_, along):
            return "softmax", along, named(reads)
        case Expectation(problem) if all(isinstance(u.factor, Atom | Lin) for u in problem.uses):
            forms = list(dict.fromkeys(Use(form_of(u), u.idx) for u in problem.uses))
            uses = tuple((_function(u.factor), forms.index(Use(form_of(u), u.idx)), u.idx) for u in problem.uses)
            return "expectation", uses, tuple(isinstance(form.factor, Lin) and form.factor.const is None for form in forms), named(reads)
        case _:
            return node


def _function(factor: Factor) -> Hashable:
    return (factor.fn, factor.scale, factor.shift) if isinstance(factor, Atom) else None


def itself(given: Callable[[Hashable], Array]) -> Callable[[Hashable], Array]:
    """Leaves in which every Gram entry is that of a left point with itself, whichever points are asked."""

    def leaf(key: Hashable) -> Array:
        match key:
            case ("gram", a, int(), b, int()):
                return given(("gram", a, 0, b, 0))
            case ("data", a, int()):
                return given(("data", a, 0))
            case _:
                return given(key)

    return leaf
