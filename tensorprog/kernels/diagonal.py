"""K(x, x) of every point, (N, *positions, *positions): N entries by the rules, without the other N^2 - N."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from math import prod

import jax
import jax.numpy as jnp
from jax import Array

from tensorprog.gaussian.problem import Strategy
from tensorprog.interpret.limit.data import leaves
from tensorprog.interpret.limit.numbers import Numbers
from tensorprog.interpret.limit.theorem import Run, measured, methods_of
from tensorprog.kernels.exact import Arrays, Symbolic, runnable
from tensorprog.kernels.result import Kernels

HELD = 1 << 22  # numbers in one intermediate array


@dataclass(frozen=True)
class Diagonal:
    """(points) -> `Kernels` whose arrays have one axis of points; differentiable."""

    block: Callable[[Arrays], Kernels]
    most: int

    def __call__(self, points: Arrays) -> Kernels:
        """By blocks of a power of two, so that few sizes are compiled."""
        n = next(iter(points.values())).shape[0]
        size = min(self.most, 1 << max(n - 1, 0).bit_length())
        parts = [self.block({name: _filled(a[at : at + size], size) for name, a in points.items()}) for at in range(0, max(n, 1), size)]
        return jax.tree.map(lambda *a: jnp.concatenate(a)[:n] if a[0].ndim else jnp.stack(a).max(), *parts)


def diagonal(found: Symbolic, strategy: Strategy) -> Diagonal:
    """The diagonal of the kernels of a network; the NTK is 0 where nothing contributes to it."""
    program = found.master.program
    positions = max(prod(program.size[a] for a in axes) for axes in program.axes_of.values())
    return Diagonal(runnable(found, partial(_block, found, strategy)), max(1, HELD // positions**2))


def _block(found: Symbolic, strategy: Strategy, points: Arrays) -> Kernels:
    n, size, fetch = next(iter(points.values())).shape[0], found.master.program.size, _leaf(found, points)
    shape = (n, 1, *(size[a.rstrip("'")] for a in found.order))

    def run(how: Strategy) -> Run:
        numbers = Numbers(found.master.e, fetch, how, jnp.ones((n, 1), bool))
        both = {"nngp": [found.nngp], "ntk": list(found.contributions.values())}
        values = {
            name: sum((jnp.broadcast_to(numbers.value(s, found.order), shape) for s in every), jnp.zeros(shape)) for name, every in both.items()
        }
        return Run(values, methods_of(numbers), len(numbers.estimates))

    value, error, method = measured(run, strategy)
    return Kernels(value["nngp"][:, 0], value["ntk"][:, 0], {}, jnp.maximum(error["nngp"].max(), error["ntk"].max()), method)


def _leaf(found: Symbolic, points: Arrays) -> Callable[[Hashable], Array]:
    """Every Gram entry is that of a point with itself, whichever side is asked."""
    given = leaves(found.master.program, (points, points), {}, {})

    def leaf(key: Hashable) -> Array:
        match key:
            case ("gram", a, int(), b, int()):
                return given(("gram", a, 0, b, 0))
            case _:
                return given(key)

    return leaf


def _filled(a: Array, size: int) -> Array:
    """The points, the last one repeated up to `size`; zeros where there is none."""
    short = [(0, size - a.shape[0])] + [(0, 0)] * (a.ndim - 1)
    return jnp.pad(a, short, mode="edge" if a.shape[0] else "constant")
