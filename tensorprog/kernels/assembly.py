"""Kernels of many points from those of blocks of points, side by side on the cores: what lies between input and kernel stays in cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from jax import Array

from tensorprog.kernels.execution.memory import aligned
from tensorprog.kernels.execution.threads import in_threads
from tensorprog.kernels.result import Kernels, named
from tensorprog.kernels.sides import Side, equal

Numbers = TypeVar("Numbers", np.ndarray, Array)
Block = Callable[[int, int], Kernels]  # of one part of either side


def assembled(block: Block, left: Side, right: Side | None, like: Kernels, dtype: np.dtype, *, parts: bool, threads: bool = True) -> Kernels:
    """The kernels of left and right (None: left, symmetric to the last bit) from those of their parts.

    Args:
        like: the shapes and method of a block.
        threads: side by side; many small steps of NumPy are faster one after another.
    """
    others = right or left
    shape = left.points, others.points
    whole = {name: aligned((*shape, *k.shape[2:]), dtype) for name, k in named(like).items() if parts or not name.startswith("of ")}
    errors: list[float] = []

    def one(place: tuple[int, int]) -> None:
        p, q = place
        found = block(p, q)
        i, j = p * left.identity.shape[1], q * others.identity.shape[1]
        for name, k in named(found).items():
            if name not in whole:
                continue
            here = whole[name][i : i + k.shape[0], j : j + k.shape[1]]
            k = _with_equal(np.asarray(k), left, others, place, name)[: here.shape[0], : here.shape[1]]
            if right is None and p == q:
                k = (k + mirrored(k)) / 2
            elif right is None:
                whole[name][j : j + k.shape[1], i : i + k.shape[0]] = mirrored(k)
            here[:] = k
        errors.append(float(found.error))

    places = [(p, q) for p in left.parts for q in others.parts if right is not None or p <= q]
    in_threads(one, places, cores=None if threads else 1)
    arrays, error = jax.device_put((whole, np.max(errors, initial=0.0)))
    by_parameter = {name[3:]: a for name, a in arrays.items() if name.startswith("of ")}
    return Kernels(arrays["nngp"], arrays["ntk"], by_parameter, error, like.method)


def _with_equal(k: np.ndarray, left: Side, right: Side, place: tuple[int, int], name: str) -> np.ndarray:
    """K(x, x) where two points of a block are equal."""
    if not left.itself:
        return k
    i, j = np.nonzero(equal(left, right, *place))
    if len(i):
        k = k.copy()
        k[i, j] = left.itself[name][place[0]][i]
    return k


def mirrored(k: Numbers) -> Numbers:
    """K(x2, x1) from K(x1, x2): points and output positions change sides."""
    half = (k.ndim - 2) // 2
    return k.transpose(1, 0, *range(2 + half, 2 + 2 * half), *range(2, 2 + half))
