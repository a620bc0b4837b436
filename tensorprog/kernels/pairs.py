"""The kernels of a network on vectors as functions of three numbers a pair: q = <x, x>/d, q' = <x', x'>/d and c = <x, x'>/d (Lee et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import add
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from tensorprog.gaussian.problem import Strategy
from tensorprog.interpret.limit.data import leaves
from tensorprog.interpret.limit.numbers import Numbers
from tensorprog.interpret.limit.theorem import EXACT, methods_of
from tensorprog.kernels.exact import Symbolic

LIST, SHORT_LIST = 4096, 32  # pairs that are asked for together: where all expectations have closed forms, and elsewhere


class Values(NamedTuple):
    """Kernels (outputs, ..), the methods by which they were found, and whether all of these are exact to rounding."""

    kernels: np.ndarray
    methods: frozenset[str]

    @property
    def exact(self) -> bool:
        return self.methods <= EXACT


@dataclass(frozen=True)
class Pairs:
    """The kernels as a function of Gram entries, in float64.

    Not compiled as a whole: it is asked on small grids, and the compiled parts, one a rule, are shared by all layers and all networks.
    """

    found: Symbolic
    strategy: Strategy
    outputs: tuple[str, ...]

    def grid(self, q: np.ndarray, theta: np.ndarray) -> Values:
        """K at all norms and angles: q (S,), theta (T,) -> (outputs, S, S, T)."""
        if not self.closed:
            return self._outer(q, theta)
        i, j = np.triu_indices(len(q))
        angle = np.tile(theta, len(i))
        q1, q2 = (np.repeat(q[k], len(theta)) for k in (i, j))
        listed = self.each(q1, q2, np.sqrt(q1 * q2) * np.cos(angle), np.zeros(angle.shape, bool))
        kernels = np.empty((len(self.outputs), len(q), len(q), len(theta)))
        kernels[:, i, j] = kernels[:, j, i] = listed.kernels.reshape(len(self.outputs), len(i), len(theta))
        return Values(kernels, listed.methods)

    @cached_property
    def closed(self) -> bool:
        """Whether all expectations have closed forms: a pair then costs the same alone. Else what reads one norm only is shared in a grid."""
        methods: set[str] = set()
        one = jax.ShapeDtypeStruct((1, 1), jnp.float64)
        jax.eval_shape(lambda q, c: self._kernels(q, q, c, c < 0, methods), one, one)
        return methods <= EXACT

    def _outer(self, q: np.ndarray, theta: np.ndarray) -> Values:
        methods: set[str] = set()
        rows, columns = jnp.asarray(q)[:, None], jnp.asarray(q)[None]
        cross = jnp.sqrt(rows * columns) * jnp.cos(jnp.asarray(theta))[:, None, None]
        kernels = jax.vmap(lambda c: self._kernels(rows, columns, c, jnp.zeros(c.shape, bool), methods), out_axes=-1)(cross)
        return Values(np.asarray(kernels), frozenset(methods))

    def each(self, q1: np.ndarray, q2: np.ndarray, c: np.ndarray, same: np.ndarray) -> Values:
        """K of the pairs of a list, (outputs, P), in parts of one size, so that each rule is compiled once."""
        methods: set[str] = set()
        parts: list[np.ndarray] = []
        size = LIST if self.closed else SHORT_LIST
        for at in range(0, len(c), size):
            short = max(0, at + size - len(c))
            a, b, cross, equal = (jnp.asarray(np.pad(v[at : at + size], (0, short), mode="edge"))[:, None] for v in (q1, q2, c, same))
            parts.append(np.asarray(self._kernels(a, b, cross, equal, methods))[:, : size - short, 0])
        return Values(np.concatenate(parts, 1) if parts else np.zeros((len(self.outputs), 0)), frozenset(methods))

    def own(self, q: np.ndarray) -> Values:
        """K(xi, xi), (outputs, S)."""
        return self.each(q, q, q, np.ones(q.shape, bool))

    def coarser(self) -> Pairs:
        """By rules of two thirds of the size: the distance estimates the error of the finer ones."""
        how = replace(self.strategy, nodes=2 * self.strategy.nodes // 3, terms=2 * self.strategy.terms // 3)
        return replace(self, strategy=how)

    def _kernels(self, q1: Array, q2: Array, c: Array, same: Array, methods: set[str]) -> Array:
        numbers = Numbers(self.found.master.e, self._leaf(q1, q2, c), self.strategy, same)
        parts = {"nngp": [self.found.nngp], "ntk": list(self.found.contributions.values())}
        values = [reduce(add, (numbers.value(s, ()) for s in parts[name]), jnp.zeros((1, 1))) for name in self.outputs]
        methods.update(methods_of(numbers))
        return jnp.stack([jnp.broadcast_to(v, c.shape) for v in values])

    def _leaf(self, q1: Array, q2: Array, c: Array) -> Callable[[Hashable], Array]:
        given = leaves(self.found.master.program, ({}, {}), {}, {})

        def leaf(key: Hashable) -> Array:
            match key:
                case ("gram", _, int(i), _, int(j)):
                    return c if i != j else q1 if i == 0 else q2
                case _:
                    return given(key)

        return leaf


def of_pairs(found: Symbolic) -> bool:
    """Whether the kernels depend on each pair through three numbers: one input, a vector, and one output position."""
    inputs = found.master.program.inputs
    return len(inputs) == 1 and not inputs[0].axes and not found.order
