"""The kernels of a network on vectors as functions of three numbers a pair: q = <x, x>/d, q' = <x', x'>/d and c = <x, x'>/d (Lee et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial, reduce
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
from tensorprog.kernels.execution.uncompiled import uncompiled
from tensorprog.kernels.symbolic import Symbolic, expectations

LIST, SHORT_LIST = 4096, 32  # pairs that are asked for together: where all expectations have closed forms, and elsewhere
ANGLES, PART = 32, 2048  # angles, and pairs, of a grid that are asked for together, at least


class Values(NamedTuple):
    """Kernels (outputs, ..), the methods by which they were found, and whether all of these are exact to rounding."""

    kernels: np.ndarray
    methods: frozenset[str]

    @property
    def exact(self) -> bool:
        return self.methods <= EXACT


@dataclass(frozen=True)
class Pairs:
    """The kernels as a function of Gram entries, in float64, by NumPy: they are asked on small grids, which compiling would outlast."""

    found: Symbolic
    strategy: Strategy
    outputs: tuple[str, ...]
    _traced: dict[tuple[tuple[int, ...], ...], tuple[Callable[..., np.ndarray], set[str]]] = field(default_factory=dict, repr=False, compare=False)

    def grid(self, q: np.ndarray, theta: np.ndarray, nudge: float = 0.0) -> Values:
        """K at all norms and angles: q (S,), theta (T,) -> (outputs, S, S, T); with c smaller by the relative `nudge`, which shows its condition."""
        if not self.closed:
            return self._outer(q, theta, nudge)
        i, j = np.triu_indices(len(q))
        angle = np.tile(theta, len(i))
        q1, q2 = (np.repeat(q[k], len(theta)) for k in (i, j))
        listed = self.each(q1, q2, np.sqrt(q1 * q2) * np.cos(angle) * (1 - nudge), np.zeros(angle.shape, bool))
        kernels = np.empty((len(self.outputs), len(q), len(q), len(theta)))
        kernels[:, i, j] = kernels[:, j, i] = listed.kernels.reshape(len(self.outputs), len(i), len(theta))
        return Values(kernels, listed.methods)

    @cached_property
    def closed(self) -> bool:
        """Whether all expectations have closed forms: a pair then costs the same alone. Else what reads one norm only is shared in a grid."""
        one = np.ones((LIST, 1))  # as lists are, so that what is traced here serves them
        return self._function(one, one, one, one > 1)[1] <= EXACT

    def _outer(self, q: np.ndarray, theta: np.ndarray, nudge: float = 0.0) -> Values:
        """In parts of one number of angles, so that each is traced once."""
        rows, columns = q[:, None], q[None]
        size = max(ANGLES, PART // len(q) ** 2)
        cos = np.pad(np.cos(theta), (0, -len(theta) % size), mode="edge")[:, None, None]
        cross = np.sqrt(rows * columns) * cos * (1 - nudge)
        parts = [self._compute(rows, columns, c, np.zeros(c.shape, bool)) for c in np.split(cross, len(cross) // size)]
        return Values(np.concatenate([part.kernels for part in parts], -1)[..., : len(theta)], parts[0].methods)

    def coarse(self, q: np.ndarray, theta: np.ndarray) -> Values:
        """Where expectations have no closed form, `grid` by rules of two thirds of the size: the distance estimates the error of the finer ones."""
        how = replace(self.strategy, nodes=2 * self.strategy.nodes // 3, terms=2 * self.strategy.terms // 3)
        return replace(self, strategy=how, _traced={})._outer(q, theta)

    def each(self, q1: np.ndarray, q2: np.ndarray, c: np.ndarray, same: np.ndarray) -> Values:
        """K of the pairs of a list, (outputs, P), in parts of one size, so that each is traced once."""
        methods: frozenset[str] = frozenset()
        parts: list[np.ndarray] = []
        size = LIST if self.closed else SHORT_LIST
        for at in range(0, len(c), size):
            short = max(0, at + size - len(c))
            kernels, methods = self._compute(*(np.pad(v[at : at + size], (0, short), mode="edge")[:, None] for v in (q1, q2, c, same)))
            parts.append(kernels[:, : size - short, 0])
        return Values(np.concatenate(parts, 1) if parts else np.zeros((len(self.outputs), 0)), methods)

    def own(self, q: np.ndarray) -> Values:
        """K(xi, xi), (outputs, S)."""
        return self.each(q, q, q, np.ones(q.shape, bool))

    @cached_property
    def rounding(self) -> float:
        """A relative bound of what rounding does to cosines in all layers together, as `theorem.rounding` has it for values."""
        return 8 * np.finfo(float).eps * (1 + expectations(self.found)) ** 0.5

    def _compute(self, q1: np.ndarray, q2: np.ndarray, c: np.ndarray, same: np.ndarray) -> Values:
        """K at c (P, 1), or (T, S, S) with q1 (S, 1) and q2 (1, S): (outputs, P, 1) or (outputs, S, S, T)."""
        kernels, methods = self._function(q1, q2, c, same)
        return Values(kernels(q1, q2, c, same), frozenset(methods))

    def _function(self, *like: np.ndarray) -> tuple[Callable[..., np.ndarray], set[str]]:
        """K at arrays of these shapes by NumPy, and the methods that it uses."""
        shapes = tuple(a.shape for a in like)
        if shapes not in self._traced:
            methods: set[str] = set()
            with jax.enable_x64(True):
                whole = partial(self._kernels, methods=methods)
                whole = jax.vmap(whole, (None, None, 0, 0), -1) if like[2].ndim == 3 else whole
                kernels = uncompiled(whole, *(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in like))
            self._traced[shapes] = kernels, methods
        return self._traced[shapes]

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
