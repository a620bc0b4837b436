"""What is found once a point: K(x, x), (N, *positions, *positions), and what the kernels of its pairs with other points read of it alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from tensorprog.gaussian.problem import Strategy
from tensorprog.interpret.limit.data import Arrays, leaves
from tensorprog.interpret.limit.numbers import Numbers
from tensorprog.interpret.limit.theorem import Run, measured, methods_of
from tensorprog.interpret.precision import traced
from tensorprog.kernels.apart import Own, Shared, itself
from tensorprog.kernels.result import Kernels, is_exact
from tensorprog.kernels.runnable import Runnable, runnable
from tensorprog.kernels.symbolic import Symbolic, kernels_of, values, widest

HELD, ONCE = 1 << 20, 1 << 18  # numbers in one intermediate array, and in one that NumPy is fast enough for
Given = Mapping[str, Array | float]


class Alone(NamedTuple):
    """Kernels with one axis of points, and what pairs read."""

    kernels: Kernels
    own: Own


@dataclass(frozen=True)
class Diagonal:
    """(points, values of variances and open scalars) -> `Alone`; differentiable.

    Attributes:
        most, few: points of a block at most, and of one that is computed once without being compiled.
    """

    block: Runnable[Alone]
    most: int
    few: int

    def __call__(self, points: Arrays, given: Given | None = None) -> Alone:
        """By blocks of a power of two, so that few sizes are compiled."""
        n, size, np_ = len(next(iter(points.values()))), self.size(points), jnp if traced((points, given)) else np
        block = self.block.once if size <= self.few and is_exact(self.outline(points, given or {}).kernels) else self.block
        parts = [block(_filled(points, at, size, np_), given or {}) for at in range(0, max(n, 1), size)]
        if n == size:
            return parts[0]
        return jax.tree.map(lambda *a: np_.concatenate(a)[:n] if a[0].ndim else np_.stack(a).max(), *parts)

    def outline(self, points: Arrays, given: Given) -> Alone:
        """The shapes and the method of a block, which is traced for it and not computed."""
        size = self.size(points)
        return self.block.outline({name: jax.ShapeDtypeStruct((size, *a.shape[1:]), a.dtype) for name, a in points.items()}, given)

    def size(self, points: Arrays) -> int:
        return min(self.most, 1 << max(len(next(iter(points.values()))) - 1, 0).bit_length())


def diagonal(found: Symbolic, shared: Shared, strategy: Strategy, *, parts: bool = True) -> Diagonal:
    """The diagonal of the kernels of a network; the NTK is 0 where nothing contributes to it, `by_parameter` empty without `parts`."""
    block, wide = runnable(found, partial(_block, found, shared, strategy, parts), quick=True), widest(found)
    return Diagonal(block, max(1, HELD // wide), ONCE // wide)


def _block(found: Symbolic, shared: Shared, strategy: Strategy, parts: bool, points: Arrays, given: Given) -> Alone:
    n = len(next(iter(points.values())))

    def run(how: Strategy) -> Run:
        numbers = Numbers(found.master.e, itself(leaves(found.master.program, (points, points), given, given)), how, same=True, plan=shared.mirror)
        kernels = jax.tree.map(lambda k: k[:, 0], values(found, numbers, (n, 1)))
        return Run((kernels, shared.values(numbers, n)), methods_of(numbers), len(numbers.estimates), numbers.rcond)

    (kernels, own), (errors, _), method = measured(run, strategy)
    whole = kernels_of(kernels, errors, method)
    return Alone(whole if parts else replace(whole, by_parameter={}), own)


def _filled(points: Arrays, at: int, size: int, np_: Any) -> Mapping[str, Array | np.ndarray]:
    """`size` points from `at` on, the last one repeated; zeros where there is none."""

    def filled(a: Array | np.ndarray) -> Array | np.ndarray:
        part = a[at : at + size]
        if len(part) == size:
            return part
        short = [(0, size - len(part))] + [(0, 0)] * (a.ndim - 1)
        return np_.pad(part, short, mode="edge" if len(part) else "constant")

    return {name: filled(a) for name, a in points.items()}
