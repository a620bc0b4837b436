"""Kernels by tables: the points are brought to unit vectors and norms, tables found or made, and blocks of pairs evaluated side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tensorprog.kernels.assembly import aligned, in_threads
from tensorprog.kernels.evaluate import by_angles, by_cosines, cosines
from tensorprog.kernels.pairs import Pairs
from tensorprog.kernels.table import Domain, Table, domain_of, tabulate

SIZE = 512  # points on each side of a block
TOLERANCE = {"float32": 4e-7, "float64": 1e-12}


class Found(NamedTuple):
    """Kernels (N1, N2) by output, the largest absolute error of any entry, and the method."""

    kernels: Mapping[str, np.ndarray]
    error: float
    method: str


class Points(NamedTuple):
    """q = <x, x>/d (N,), unit vectors (N, d)."""

    q: np.ndarray
    unit: np.ndarray


@dataclass(frozen=True)
class Tabulated:
    """The kernels of one network by tables, which are kept: one for each domain and tolerance.

    `degree` is the degree of homogeneity of the network in its input, None if it has none.
    """

    pairs: Pairs
    degree: float | None
    tables: dict[tuple[Domain, float], Table | None] = field(default_factory=dict, repr=False)

    def by(self, table: Table, left: Points, right: Points | None, dtype: str) -> Found:
        """K by a table that serves the points; symmetric to the last bit where `right` is None."""
        others = left if right is None else right
        out = tuple(aligned((len(left.q), len(others.q)), np.dtype(dtype)) for _ in table.outputs)
        self._fill(out, table, left, others, symmetric=right is None)
        if right is None:
            for k, own in zip(out, table.own(left.q), strict=True):
                np.fill_diagonal(k, own)
        return Found(dict(zip(table.outputs, out, strict=True)), error_of(table, left, others, dtype), method_of(table))

    def _fill(self, out: Sequence[np.ndarray], table: Table, left: Points, right: Points, *, symmetric: bool) -> None:
        """Every block of pairs, those below the diagonal from those above it, by as many threads as there are cores."""
        blocks = Blocks(table, out[0].dtype)
        rows, rooms = blocks.of(left), SimpleQueue[Room]()
        columns = rows if right is left else blocks.of(right)

        def one(place: tuple[int, int]) -> None:
            i, j = place
            here, mirror = (slice(i, i + SIZE), slice(j, j + SIZE)), (slice(j, j + SIZE), slice(i, i + SIZE))
            part = [k[here] for k in out]
            with jax.enable_x64(True):  # a setting of each thread
                try:
                    room = rooms.get_nowait()
                except Empty:
                    room = blocks.room(rows[i], columns[j])
                kernels, before, room = blocks(rows[i], columns[j], room, diagonal=symmetric and i == j)
                for a, k in zip(part, kernels, strict=True):
                    a[:] = np.asarray(k)[: a.shape[0], : a.shape[1]]
                rooms.put(room)
                if before:
                    self.near(part, table, _sliced(left, i), _sliced(right, j), upper=symmetric and i == j)
            for a, k in zip(part, out, strict=True):
                if symmetric and i < j:
                    k[mirror] = a.T
                elif symmetric:
                    a[:] = np.triu(a) + np.triu(a, 1).T if before else (a + a.T) / 2

        in_threads(one, [(i, j) for i in rows for j in columns if not symmetric or i <= j])

    def table(self, q: np.ndarray, tolerance: float) -> Table | None:
        domain = domain_of(q, self.degree)
        if domain is None:
            return None
        if (domain, tolerance) not in self.tables:
            self.tables[domain, tolerance] = tabulate(self.pairs, domain, tolerance)
        return self.tables[domain, tolerance]

    def near(self, part: Sequence[np.ndarray], table: Table, left: Points, right: Points, *, upper: bool) -> None:
        """The pairs of a block (above its diagonal) before the start of the series, by the exact kernel."""
        cos = left.unit @ right.unit.T
        near = cos > np.cos(table.angle.start) - 1e-6
        i, j = np.nonzero(np.triu(near, 1) if upper else near)
        if not len(i):
            return
        chord = np.linalg.norm(left.unit[i] - right.unit[j], axis=-1)
        q1, q2 = left.q[i], right.q[j]
        same = (left.unit[i] == right.unit[j]).all(1) & (q1 == q2)
        for a, k in zip(part, self.pairs.each(q1, q2, np.sqrt(q1 * q2) * (1 - chord**2 / 2), same).kernels, strict=True):
            a[i, j] = k


def points(x: np.ndarray) -> Points:
    """Norms and directions, scaled first, so that no square over- or underflows; the direction of zero is zero."""
    x = np.asarray(x, np.float64)
    size = np.abs(x).max(axis=1, initial=0.0)
    scaled = x / np.where(size > 0, size, 1.0)[:, None]
    norm = np.linalg.norm(scaled, axis=1)
    return Points((size * norm / x.shape[1] ** 0.5) ** 2, scaled / np.where(norm > 0, norm, 1.0)[:, None])


def _sliced(p: Points, at: int) -> Points:
    return Points(p.q[at : at + SIZE], p.unit[at : at + SIZE])


class Block(NamedTuple):
    """Points of a block in the precision of the result, but for the first: unit vectors (n, d), twice, phi (n, r) and its transpose."""

    unit: np.ndarray
    rounded: np.ndarray
    phi: np.ndarray
    columns: np.ndarray


class Room(NamedTuple):
    """Memory that is used for one block after the other: of the cosines, and of the kernels."""

    cos: jax.Array
    kernels: tuple[jax.Array, ...]


@dataclass(frozen=True)
class Blocks:
    """One table at blocks of pairs, in the precision of the result."""

    table: Table
    dtype: np.dtype

    def of(self, p: Points) -> dict[int, Block]:
        """Blocks of equal shape by their first rows, the last one filled up with points that are right-angled to all others."""
        n, phi = len(p.q), self.table.phi(p.q)
        length = min(SIZE, 1 << (n - 1).bit_length())
        out: dict[int, Block] = {}
        for at in range(0, n, SIZE):
            missing = (0, length - len(p.q[at : at + SIZE])), (0, 0)
            unit, norms = (np.pad(a[at : at + SIZE], missing) for a in (p.unit, phi))
            out[at] = Block(unit, unit.astype(self.dtype), norms, np.ascontiguousarray(norms.T, self.dtype))
        return out

    def room(self, left: Block, right: Block) -> Room:
        """Memory for one block after the other."""
        cos, *kernels = (jnp.zeros((len(left.unit), len(right.unit)), self.dtype) for _ in (None, *self.table.outputs))
        return Room(cos, tuple(kernels))

    def __call__(self, left: Block, right: Block, room: Room, *, diagonal: bool) -> tuple[tuple[jax.Array, ...], bool, Room]:
        """K of every output, whether a pair lies before the start of the series, and the room; on the diagonal of the tile nothing is promised.

        By the shortest series in the cosine that serves all pairs of the block, else by that in the angle.
        """
        if self.table.middles:
            cos, largest = cosines(left.rounded, right.rounded, room.cos, diagonal=diagonal)
            room, size = room._replace(cos=cos), float(largest)
            for m in self.table.middles:
                if size <= m.radius:
                    kernels = by_cosines(cos, self._rows(left, m.core), right.columns, m.radius, room.kernels)
                    return kernels, False, room._replace(kernels=kernels)
        angle = self.table.angle
        kernels, before = by_angles(left.unit, right.unit, self._rows(left, self.table.core), right.columns, angle.b, angle.start)
        return kernels, bool(before), room

    def _rows(self, left: Block, core: np.ndarray) -> np.ndarray:
        """sum_a phi_a C_abk, (outputs, n, terms, r)."""
        outputs, _, rank, terms = core.shape
        found = left.phi @ core.transpose(1, 0, 3, 2).reshape(-1, outputs * terms * rank)
        return np.ascontiguousarray(found.reshape(-1, outputs, terms, rank).swapaxes(0, 1), self.dtype)


def error_of(table: Table, left: Points, right: Points, dtype: str) -> float:
    """The largest absolute error of any entry of K(left, right): that of the table and of rounding, in units of the diagonals."""
    sizes = [np.sqrt(np.abs(table.own(p.q)).max(1, initial=0.0)) for p in (left, right)]
    return float(((table.error + 8 * np.finfo(dtype).eps) * sizes[0] * sizes[1]).max())


def method_of(table: Table) -> str:
    norms = [] if table.core.shape[1] == 1 else [table.core.shape[1]] * 2
    return f"{table.method}, tabulated in {' x '.join(map(str, (*norms, table.core.shape[3])))} terms"
