"""One table at blocks of pairs of points: by the shortest series that serves all pairs of a block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from tensorprog.kernels.tables.cosine import Middle
from tensorprog.kernels.tables.evaluate import Functions, Norms, Numbers, Ranks, Side, by_angles, by_cosines, cosines
from tensorprog.kernels.tables.series import Series
from tensorprog.kernels.tables.table import Table

SIZE = 512  # points on each side of a block


class Points(NamedTuple):
    """q = <x, x>/d (N,), unit vectors (N, d)."""

    q: np.ndarray
    unit: np.ndarray


class Read(NamedTuple):
    """Points, what a table reads of them, and K(xi, xi), (outputs, N)."""

    points: Points
    side: Side
    own: np.ndarray


class Room(NamedTuple):
    """Memory that is used for one block after the other, of the cosines and of the kernels, and the series that served the last one."""

    cos: Array | None = None
    kernels: tuple[Array, ...] | None = None
    middle: Middle | None = None


NEW = Room()


@dataclass(frozen=True)
class Blocks:
    """One table at blocks of pairs, in the precision of the result."""

    table: Table
    dtype: np.dtype

    def parts(self, whole: Side) -> dict[int, Side]:
        """Blocks of equal shape by their first rows, the last one filled up with points that are right-angled to all others."""
        n = len(whole.unit)
        length = min(SIZE, 1 << (n - 1).bit_length())
        return {at: jax.tree.map(partial(_cut, at=at, length=length), whole) for at in range(0, n, SIZE)}

    def read(self, p: Points) -> Read:
        norms = self.table.norms(p.q)
        side = Side(p.unit, p.unit.astype(self.dtype), Norms(self.table.scale(p.q).astype(self.dtype), norms))
        return Read(p, side, self.table.own(p.q, norms))

    def room(self, left: Side, right: Side) -> Room:
        """Memory for one block after the other."""
        cos, *kernels = (jnp.zeros((len(left.unit), len(right.unit)), self.dtype) for _ in (None, *self.table.outputs))
        return Room(cos, tuple(kernels))

    def __call__(self, left: Side, right: Side | None, own: np.ndarray | None = None, room: Room = NEW) -> tuple[tuple[Array, ...], bool, Room]:
        """K of every output, whether a pair lies before the start of the series, and the room; see `by_cosines`.

        By the shortest series in the cosine that serves all pairs of the block, else by that in the angle. The one that served the last block
        is begun while the largest cosine is on its way.
        """
        if self.table.middles:
            cos, largest = cosines(left.rounded, None if right is None else right.rounded, room.cos)

            def by(m: Middle) -> tuple[Array, ...]:
                norms = left.norms, None if right is None else right.norms
                return by_cosines(cos, *norms, functions_of(m.series), m.radius, own, room.kernels, ranks=ranks_of(m.series))

            begun = None if room.middle is None else by(room.middle)
            size = float(largest)
            for m in self.table.middles:
                if size <= m.radius:
                    if begun is None or m is not room.middle:
                        room = room._replace(kernels=begun or room.kernels)
                        begun = by(m)
                    return begun, False, Room(cos, begun, m)
            room = Room(cos, begun or room.kernels)
        angle, series = self.table.angle, self.table.series
        kernels, before = by_angles(left, right, functions_of(series), angle.b, angle.start, own, ranks=ranks_of(series))
        return kernels, bool(before), room


def _cut(a: Numbers, at: int, length: int) -> np.ndarray:
    """Points from `at` on, filled up to `length` with zeros; what is the same for all points stays one."""
    here = np.asarray(a if len(a) == 1 else a[at : at + length])
    return here if len(a) == 1 else np.pad(here, [(0, length - len(here))] + [(0, 0)] * (here.ndim - 1))


def functions_of(series: Sequence[Series]) -> Functions:
    return Functions(tuple(one.functions for one in series), tuple(one.signs for one in series))


def ranks_of(series: Sequence[Series]) -> Ranks:
    return tuple(one.ranks for one in series)
