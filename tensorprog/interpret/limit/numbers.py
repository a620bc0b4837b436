"""The value of a symbolic scalar: arrays of shape (N1, N2, *positions), each node once, children first."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from math import prod
from types import MappingProxyType
from typing import assert_never

import jax
import jax.numpy as jnp
from jax import Array

from tensorprog.gaussian.expect import expect
from tensorprog.gaussian.functions import function
from tensorprog.gaussian.problem import Estimate, Strategy
from tensorprog.interpret.limit.contraction import (
    LEADING,
    Named,
    Operand,
    contract,
    opened,
    product,
    scaled,
    summed_together,
    total,
    turned,
    unturned,
)
from tensorprog.interpret.limit.expectation import Expectations, Problem
from tensorprog.interpret.limit.gather import Reading, gathered
from tensorprog.interpret.limit.mixture import mixture, quadratics
from tensorprog.interpret.limit.problem import Coordinates, coordinates
from tensorprog.interpret.limit.ramps import is_delta
from tensorprog.interpret.limit.regression import regression
from tensorprog.interpret.limit.scalar import (
    At,
    Expectation,
    Function,
    Hot,
    Index,
    Leaf,
    Matched,
    Node,
    Normalized,
    Num,
    Op,
    Product,
    Regression,
    S,
    Total,
    is_variance,
    is_whole,
    number_everywhere,
    pattern,
)


class Numbers:
    """Values of scalars. `estimates` lists the expectations that were taken, with method and error; `rcond` is the smallest of
    theirs for every pair of points.

    Args:
        leaves: the array (N1 or 1, N2 or 1, *sizes) of each `Leaf` key.
        same: (N1, N2), true where left and right input are equal, or one answer for all pairs; needed where the graph has `Matched` nodes.
        known: what need not be computed, as `pattern` names what is read: a node at all positions, or a diagonal of it.
        plan: what is computed instead of the operations of some nodes (`plan`).
        closest: (N1, N2) or for all pairs, what `rcond` is where directions are equal or opposite to rounding; 1: they are so in truth.
    """

    def __init__(
        self,
        e: Expectations,
        leaves: Callable[[Hashable], Array],
        strategy: Strategy,
        same: Array | bool | None = None,
        known: Mapping[S, Array] = MappingProxyType({}),
        plan: Mapping[Node, Op] = MappingProxyType({}),
        closest: Array | float = 1.0,
    ) -> None:
        self._e, self._leaves, self._strategy, self._same, self._plan = e, leaves, strategy, same, plan
        self._closest = closest
        self._arrays: dict[Node, Array] = {s.node: a for s, a in known.items() if is_whole(s)}
        self._diagonals = {s: a for s, a in known.items() if not is_whole(s)}
        self._coordinates: dict[Node, Coordinates] = {}
        self.estimates: list[Estimate] = []
        self.rcond: Array | float = 1.0

    def value(self, s: S, order: tuple[Index, ...]) -> Array:
        """The array of s with its positions in `order` (size 1 where s has no such index)."""
        self._need(s)
        return self.read(s, order)

    def _need(self, s: S) -> None:
        stack = self._missing([s])
        while stack:
            top = stack[-1]
            if top in self._arrays:
                stack.pop()
                continue
            missing = self._missing(self.reads(top))
            if missing:
                stack.extend(missing)
            else:
                self._arrays[top] = self._compute(top)
                stack.pop()

    def _missing(self, asked: Sequence[S]) -> list[Node]:
        return [s.node for s in asked if s.node not in self._arrays and not (self._diagonals and pattern(s)[0] in self._diagonals)]

    def reads(self, node: Node) -> list[S]:
        """What a node is computed from, as it is read."""
        match op := self._plan.get(node, node.op):
            case Num() | Leaf() | Hot():
                return []
            case Product(_, parts) | Function(_, parts):
                return list(parts)
            case Total(terms):
                return [s for _, s in terms]
            case Normalized(part, _):
                return [part]
            case Matched(cross, own):
                return [own] if self._same is True else [cross] if self._same is False else [cross, own]
            case Regression(covariances, moments, _, _):
                return [s for row in (*covariances, moments) for s in row]
            case Expectation(problem):
                found = self._coordinates.get(node)
                if found is None:
                    found = self._coordinates[node] = coordinates(self._e, problem)
                return found.scalars
            case _:
                assert_never(op)

    def _compute(self, node: Node) -> Array:
        ranks = tuple(range(len(node.sizes)))
        half = self._half(len(ranks))
        match op := self._plan.get(node, node.op):
            case Num(value):
                return jnp.full((1, 1), value)
            case Leaf(key):
                return self._leaves(key)
            case Hot(index):
                return (jnp.array(index)[:, None] == jnp.arange(node.sizes[1])[None]).astype(float)[None, None]
            case Product(coef, parts):
                return self._product(coef, parts, ranks)
            case Total(terms):
                return unturned(total(scaled(c, turned(self.read(s, ranks), half)) for c, s in terms), half)
            case Function(fn, parts):
                args = [turned(self.read(p, ranks), half) for p in parts]
                return unturned(args[0] ** fn if isinstance(fn, float) else function(fn)(*args), half)
            case Normalized(part, along):
                return jax.nn.softmax(self.read(part, ranks), axis=2 + along)
            case Matched(cross, own):
                return self._matched(cross, own, ranks)
            case Regression():
                return regression(op, node.sizes, self.read)
            case Expectation(problem):
                return self._expectation(node, problem)
            case _:
                assert_never(op)

    def _half(self, rank: int) -> int:
        """How many positions belong to the first point, for `turned`. What is read in windows stays as it is."""
        return 0 if self._e.s.gathers else rank // 2

    def _matched(self, cross: S, own: S, ranks: tuple[Index, ...]) -> Array:
        assert self._same is not None
        if isinstance(self._same, bool):
            return self.read(own if self._same else cross, ranks)
        same = self._same.reshape(*self._same.shape, *(1,) * len(ranks))
        return jnp.where(same, self.read(own, ranks), self.read(cross, ranks))

    def read(self, s: S, order: tuple[Index, ...]) -> Array:
        """A computed node at the indices of s: diagonals taken, fixed positions read, axes brought to `order`."""
        a, names = self._found(s)
        for k in reversed(range(len(names))):
            name = names[k]
            if isinstance(name, At):
                a = jnp.take(a, min(name.position, a.shape[2 + k] - 1), axis=2 + k)
                names.pop(k)
            elif name in names[:k]:
                a = _diagonal(a, 2 + names.index(name), 2 + k)
                names.pop(k)
        if tuple(names) == order:
            return a
        shape = dict(zip(names, a.shape[2:], strict=True))
        present = [i for i in order if i in shape]
        moved = a.transpose(0, 1, *(2 + names.index(i) for i in present))
        return moved.reshape(*a.shape[:2], *(shape.get(i, 1) for i in order))

    def _found(self, s: S) -> tuple[Array, list[Index]]:
        """The array of s, and the index of each of its positions."""
        if s.node in self._arrays:
            return self._arrays[s.node], list(s.idx)
        diagonal, names = pattern(s)
        return self._diagonals[diagonal], list(names)

    def _product(self, coef: float, parts: tuple[S, ...], out: tuple[Index, ...]) -> Array:
        if any(has_delta(p.node) for p in parts):
            return scaled(coef, self._guarded(parts, out))
        number, named = self._operands(parts, out)
        return contract(named, out, coef * number, turn=not self._e.s.gathers)

    def sum(self, scalars: Sequence[S]) -> Array:
        """The sum of scalars without positions, (N1, N2): what they sum over positions is added up, and then summed once."""
        whole, products = list[Array](), list[Named]()
        todo: list[tuple[Array | float, S]] = [(1.0, s) for s in scalars]
        while todo:
            c, s = todo.pop()
            match self._plan.get(s.node, s.node.op):
                case Total(terms):
                    todo += [(c * d, t) for d, t in terms]
                case Product(coef, (number, S(inner, ()) as other)) | Product(coef, (S(inner, ()) as other, number)) if is_variance(
                    number.node
                ) and isinstance(inner.op, Product | Total):
                    todo.append((c * coef * self.value(number, ()).reshape(()), other))
                case Product(coef, parts) if len(parts) > 1 and not any(has_delta(p.node) for p in parts):
                    for p in parts:
                        self._need(p)
                    number, named = self._operands(parts, ())
                    found = opened(named, {*LEADING}, turn=not self._e.s.gathers)
                    products.append(Named(c * coef * number * found.array, found.names))
                case _:
                    whole.append(c * self.value(s, ()))
        return total([*whole, *summed_together(products)])

    def _operands(self, parts: tuple[S, ...], out: tuple[Index, ...]) -> tuple[float, list[Operand]]:
        """A product as a number and arrays with names for their positions; what reads a fixed position is gathered.

        Where no other positions are read, a table with one number everywhere is that number, if others have its positions.
        """
        hots = [p for p in parts if isinstance(p.node.op, Hot)]
        tables = {p: number for p in parts if (number := number_everywhere(p.node)) is not None} if not hots else {}
        named = [self._operand(p) for p in parts if p not in tables and p not in hots]
        number, sizes = 1.0, {i: n for a, names in named for i, n in zip(names, a.shape[2:], strict=True) if n > 1}
        for p in (p for p in parts if p in tables):
            if named and all(sizes.get(i) == n for i, n in zip(p.idx, p.node.sizes, strict=True)):
                number *= tables[p]
            else:
                named.append(self._operand(p))
        reads: list[list[Reading]] = [[] for _ in named]
        for hot in hots:
            assert isinstance(hot.node.op, Hot)
            into, source = hot.idx
            readers = [k for k, (_, names) in enumerate(named) if source in names]
            if into == source or source in out or any(into in names for _, names in named) or not readers:
                named.append(self._operand(hot))
                reads.append([])
                continue
            for k in readers:
                a, names = named[k]
                reads[k].append(Reading(2 + names.index(source), hot.node.op.index))
                named[k] = a, tuple(into if i == source else i for i in names)
        return number, [(gathered(a, r), names) for (a, names), r in zip(named, reads, strict=True)]

    def _operand(self, p: S) -> Operand:
        names = tuple(dict.fromkeys(p.idx))
        return self.read(p, names), names

    def _guarded(self, parts: tuple[S, ...], out: tuple[Index, ...]) -> Array:
        """A product with the expectation of a delta: infinite where its form has no variance, and 0 there where another factor is 0."""
        every = (*out, *dict.fromkeys(i for p in parts for i in p.idx if i not in out))
        steady = [self.read(p, every) for p in parts if not has_delta(p.node)]
        rest = product([jnp.ones((1,) * (2 + len(every))), *steady])
        infinite = product(self.read(p, every) for p in parts if has_delta(p.node))
        whole = jnp.where(rest == 0, 0.0, rest * jnp.where(rest == 0, 0.0, infinite))
        return whole.sum(tuple(range(2 + len(out), whole.ndim)))

    def _expectation(self, node: Node, problem: Problem) -> Array:
        """The Gaussian integral."""
        c = self._coordinates[node]
        ranks = tuple(range(len(problem.sizes)))
        sums = quadratics(self._e.s, problem.uses)
        if sums is not None:
            estimate = mixture(c, sums, self.read, self._strategy)
            self.estimates.append(estimate)
            batch = estimate.value.shape[:2]
            return jnp.broadcast_to(estimate.value, (*batch, prod(problem.sizes))).reshape(*batch, *problem.sizes)

        half = self._half(len(ranks))
        flat = self._e.s.gathers  # XLA computes what is read in windows again for every window, unless it has another shape

        def entry(s: S) -> Array:
            a = self.read(s, ranks)
            return jnp.broadcast_to(a, (*a.shape[:2], *problem.sizes)).reshape(*a.shape[:2], -1) if flat and ranks else turned(a, half)

        def cov(i: int, j: int) -> Array | float:
            s = c.covariance(i, j)
            return 0.0 if self._e.s.is_zero(s) else entry(s)

        estimate = expect(c.factors(entry), [0.0 if s is None else entry(s) for s in c.means], cov, self._strategy)
        self._note(estimate, 0 if flat else half)
        found = estimate.value if flat or estimate.value.ndim < 2 + len(ranks) else unturned(estimate.value, half)
        batch = found.shape[:2] or (1, 1)
        value = jnp.broadcast_to(found, (*batch, prod(problem.sizes))) if flat and ranks else found
        return value.reshape(*batch, *problem.sizes) if flat else jnp.broadcast_to(value, (*batch, *problem.sizes))

    def _note(self, estimate: Estimate, half: int) -> None:
        """Keep an estimate of arrays that are `turned` by half, and its reciprocal condition for every pair of points."""
        self.estimates.append(estimate)
        rcond = jnp.asarray(estimate.rcond)
        half = half if rcond.ndim > 2 else 0
        closest = self._closest
        if not isinstance(closest, float):
            closest = turned(jnp.expand_dims(closest, range(2, max(rcond.ndim, 2))), half)
        rcond = jnp.where(rcond > 0, rcond, closest)
        rcond = rcond.min(range(2 + half, rcond.ndim)).min(range(1, 1 + half))  # as they lie, which takes no copy
        self.rcond = jnp.minimum(self.rcond, rcond)


def has_delta(node: Node) -> bool:
    """Whether a node is an expectation with the derivative of a step in it."""
    return isinstance(node.op, Expectation) and any(is_delta(u) for u in node.op.problem.uses)


def _diagonal(a: Array, first: int, second: int) -> Array:
    """The diagonal of two dimensions, kept at the place of the first (a dimension of size 1 is broadcast)."""
    if a.shape[first] != a.shape[second]:
        size = max(a.shape[first], a.shape[second])
        a = jnp.broadcast_to(a, tuple(size if d in (first, second) else n for d, n in enumerate(a.shape)))
    return jnp.moveaxis(jnp.diagonal(a, axis1=first, axis2=second), -1, first)
