"""The points of a kernel in parts of one size, and what is known of each point before the pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import ceil, prod
from typing import NamedTuple, TypeVar

import jax
import numpy as np
from jax import Array

from tensorprog.interpret.limit.data import Arrays
from tensorprog.interpret.precision import Precision
from tensorprog.kernels.apart import Own
from tensorprog.kernels.diagonal import Alone
from tensorprog.kernels.result import named

Tree = TypeVar("Tree")
Points = Mapping[str, np.ndarray]


class Side(NamedTuple):
    """Points and what is known of each, in parts of one size; arrays are (parts, points of a part, ..), the last point repeated to fill them.

    Attributes:
        points: their number.
        data: of every input.
        own: what their kernels with other points read of them.
        identity: a number for each, the same for equal points.
        itself: K(x, x) by name, where the kernels of parts are those of points that differ; else nothing.
    """

    points: int
    data: Points
    own: Own
    identity: np.ndarray
    itself: Mapping[str, np.ndarray]

    @property
    def parts(self) -> range:
        """The parts that hold points."""
        return range(ceil(self.points / self.identity.shape[1]))

    def sizes(self, name: str) -> np.ndarray:
        """sqrt K(x, x) of every point, the largest of its positions: (parts, points of a part)."""
        k = np.abs(self.itself[name])
        return np.sqrt(k.reshape(*k.shape[:2], -1).max(-1))

    def moderate(self) -> bool:
        """Whether what is not 0 has sizes whose products float32 holds."""
        squares = [(a * a).mean(-1) for a in self.data.values()]
        return all(_within(a, 1e12) for a in squares) and all(_within(np.abs(a), 1e24) for a in jax.tree.leaves(self.own))

    def read(self, dtype: Precision) -> tuple[Arrays, Own]:
        """What the kernels of pairs are made from: on the device, but for a single part, which is read once."""
        known = jax.tree.map(lambda a: np.asarray(a, dtype), (self.data, self.own))
        return known if len(self.parts) == 1 else jax.device_put(known)


def _within(a: np.ndarray, most: float) -> bool:
    return bool(((a == 0) | ((a >= 1 / most) & (a <= most))).all())


def sides(left: Points, right: Points | None, size: int, alone: Callable[[Points], Alone] | None = None) -> tuple[Side, Side | None]:
    """The points of a kernel in parts of about `size`; `alone` finds what blocks of different points need."""
    known: dict[bytes, int] = {}

    def side(points: Points) -> Side:
        bare = [a + 0.0 for a in points.values()]  # -0 is 0
        identity = np.array([known.setdefault(b"".join(a.tobytes() for a in one), len(known)) for one in zip(*bare, strict=True)], int)
        own, itself = Own((), ()), dict[str, np.ndarray]()
        if alone is not None:
            kernels, own = alone(points)
            itself = {name: np.asarray(k) for name, k in named(kernels).items()}
        cut = partial(_cut, size)
        return Side(len(identity), *jax.tree.map(cut, (points, own, identity, itself)))

    return side(left), None if right is None else side(right)


def equal(left: Side, right: Side, p: int, q: int) -> np.ndarray:
    """(N1, N2) of two parts, true where two points are equal."""
    return left.identity[p][:, None] == right.identity[q]


def parted(tree: Tree, n: int, size: int, dtype: Precision) -> Tree:
    """The shapes of what `Side.read` makes of arrays of n points in parts of about `size`."""
    shape = _parts(n, size)
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct((*shape, *a.shape[1:]), dtype), tree)


def _parts(n: int, size: int) -> tuple[int, int]:
    """How many parts, a power of two, so that few shapes are compiled, and of how many points each: as equal as can be."""
    parts = max(ceil(n / size), 1)
    return 1 << (parts - 1).bit_length(), max(ceil(n / parts), 1)


def _cut(size: int, a: Array | np.ndarray) -> np.ndarray:
    """(parts, points of a part, ..), filled up with the last point."""
    n, shape, host = len(a), _parts(len(a), size), np.asarray(a)
    short = [(0, prod(shape) - n)] + [(0, 0)] * (a.ndim - 1)
    whole = np.pad(host, short, mode="edge" if n else "constant") if prod(shape) > n else host
    return whole.reshape(*shape, *a.shape[1:])
