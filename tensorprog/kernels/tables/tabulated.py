"""Kernels by tables: the points are brought to unit vectors and norms, tables found or made, and blocks of pairs evaluated side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import NamedTuple

import jax
import numpy as np
from jax import Array

from tensorprog.gaussian.law import ROUNDING
from tensorprog.kernels.execution.memory import aligned
from tensorprog.kernels.execution.threads import in_threads
from tensorprog.kernels.tables.blocks import SIZE, Blocks, Points, Read, Room
from tensorprog.kernels.tables.pairs import Pairs
from tensorprog.kernels.tables.panels import by_panels
from tensorprog.kernels.tables.table import Domain, Table, domain_of, tabulate

EPS = float(np.finfo(np.float64).eps)
WHOLE = 1 << 21  # pairs that are one block
SHAPES = 256  # that are remembered
TOLERANCES = {"float32": (4e-7,), "float64": (1e-12, 2e-11)}  # a deep kernel is itself known to no more near equal directions
Shape = tuple[int, int, str]  # of points on either side, and the precision


class Part(NamedTuple):
    """Kernels of every output, and the error of those by the rules."""

    kernels: Sequence[Array]
    error: float = 0.0


class Found(NamedTuple):
    """Kernels (N1, N2) by output, the largest absolute error of any entry, and the method."""

    kernels: Mapping[str, Array]
    error: float
    method: str


@dataclass(frozen=True)
class Tabulated:
    """The kernels of one network by tables, which are kept: one for each domain and precision.

    `degree` is the degree of homogeneity of the network in its input, None if it has none. `met` are shapes of one block that were computed
    before; `rooms` has the memory of the last one's cosines.
    """

    pairs: Pairs
    degree: float | None
    tables: dict[tuple[Domain, str], Table | None] = field(default_factory=dict, repr=False)
    met: set[Shape] = field(default_factory=set, repr=False)
    rooms: dict[Shape, Room] = field(default_factory=dict, repr=False)

    def by(self, table: Table, left: Points, right: Points | None, dtype: str) -> Found:
        """K by a table that serves the points; symmetric to the last bit where `right` is None."""
        blocks = Blocks(table, np.dtype(dtype))
        sides = [blocks.read(p) for p in (left, right) if p is not None]
        way = self._whole if len(left.q) * len((right or left).q) <= WHOLE else self._blocks
        kernels, near = way(blocks, sides[0], None if right is None else sides[1])
        return Found(dict(zip(table.outputs, kernels, strict=True)), max(near, error_of(table, sides, dtype)), method_of(table))

    def _whole(self, blocks: Blocks, left: Read, right: Read | None) -> Part:
        """All pairs as one block: of a shape that was not met by NumPy, if the series in the cosine serve, then compiled; the two agree to rounding.

        The memory of the last cosines is kept: to ask for new memory would take a fifth of the time.
        """
        others, own = right or left, left.own.astype(blocks.dtype) if right is None else None
        shape = len(left.points.q), len(others.points.q), blocks.dtype.name
        if shape not in self.met:
            if len(self.met) >= SHAPES:
                self.met.clear()
            self.met.add(shape)
            once = by_panels(blocks.table, left.side, right and right.side, own)
            if once is not None:
                return Part(jax.device_put(once))
        room = self.rooms.pop(shape, None) or blocks.room(left.side, others.side)._replace(kernels=None)
        self.rooms.clear()
        kernels, before, room = blocks(left.side, right and right.side, own, room)
        self.rooms[shape] = room._replace(kernels=None)
        if not before:
            return Part(kernels)
        out = [np.array(k) for k in kernels]
        error = self.near(out, blocks.table, left.points, others.points, upper=right is None)
        return Part(jax.device_put([_mirrored(k) for k in out] if right is None else out), error)

    def _blocks(self, blocks: Blocks, left: Read, right: Read | None) -> Part:
        """Every block of pairs, those below the diagonal from those above it, by as many threads as there are cores."""
        table, symmetric, others = blocks.table, right is None, right or left
        out = [aligned((len(left.points.q), len(others.points.q)), blocks.dtype) for _ in table.outputs]
        rows, rooms = blocks.parts(left.side), SimpleQueue[Room]()
        columns = rows if right is None else blocks.parts(right.side)
        errors = [0.0]

        def one(place: tuple[int, int]) -> None:
            i, j = place
            here, mirror = (slice(i, i + SIZE), slice(j, j + SIZE)), (slice(j, j + SIZE), slice(i, i + SIZE))
            part = [k[here] for k in out]
            with jax.enable_x64(True):  # a setting of each thread
                try:
                    room = rooms.get_nowait()
                except Empty:
                    room = blocks.room(rows[i], columns[j])
                kernels, before, room = blocks(rows[i], None if symmetric and i == j else columns[j], room=room)
                for a, k in zip(part, kernels, strict=True):
                    a[:] = np.asarray(k)[: a.shape[0], : a.shape[1]]
                rooms.put(room)
                if before:
                    errors.append(self.near(part, table, _sliced(left.points, i), _sliced(others.points, j), upper=symmetric and i == j))
            for a, k in zip(part, out, strict=True):
                if symmetric and i < j:
                    k[mirror] = a.T
                elif symmetric and before:
                    a[:] = _mirrored(a)

        in_threads(one, [(i, j) for i in rows for j in columns if not symmetric or i <= j])
        if symmetric:
            for k, own in zip(out, left.own, strict=True):
                np.fill_diagonal(k, own)
        return Part(jax.device_put(out), max(errors))

    def table(self, q: np.ndarray, dtype: str) -> Table | None:
        """The table that serves these q in a precision, found or made; None where there is none."""
        domain = domain_of(q, self.degree)
        if domain is None:
            return None
        if (domain, dtype) not in self.tables:
            tried = (tabulate(self.pairs, domain, tolerance) for tolerance in TOLERANCES[dtype])
            self.tables[domain, dtype] = next((table for table in tried if table is not None), None)
        return self.tables[domain, dtype]

    def near(self, part: Sequence[np.ndarray], table: Table, left: Points, right: Points, *, upper: bool) -> float:
        """The pairs of a block (above its diagonal) before the start of the series, by the exact kernel; its largest error.

        That is what changes where cosines are smaller by their rounding, and by no less than makes two inputs equal.
        """
        cos = left.unit @ right.unit.T
        near = cos > np.cos(table.angle.start) - 1e-6
        i, j = np.nonzero(np.triu(near, 1) if upper else near)
        if not len(i):
            return 0.0
        chord = np.linalg.norm(left.unit[i] - right.unit[j], axis=-1)
        q1, q2 = left.q[i], right.q[j]
        same = (left.unit[i] == right.unit[j]).all(1) & (q1 == q2)
        c = np.sqrt(q1 * q2) * (1 - chord**2 / 2)
        found, moved = (self.pairs.each(q1, q2, c * (1 - nudge), same).kernels for nudge in (0.0, max(self.pairs.rounding, ROUNDING * EPS)))
        for a, k in zip(part, found, strict=True):
            a[i, j] = k
        return float(np.abs(found - moved).max(where=~same, initial=0.0))


def points(x: np.ndarray) -> Points:
    """Norms and directions, scaled first, so that no square over- or underflows; the direction of zero is zero."""
    x = np.asarray(x, np.float64)
    size = np.abs(x).max(axis=1, initial=0.0)
    scaled = x / np.where(size > 0, size, 1.0)[:, None]
    norm = np.linalg.norm(scaled, axis=1)
    return Points((size * norm / x.shape[1] ** 0.5) ** 2, scaled / np.where(norm > 0, norm, 1.0)[:, None])


def _sliced(p: Points, at: int) -> Points:
    return Points(p.q[at : at + SIZE], p.unit[at : at + SIZE])


def _mirrored(k: np.ndarray) -> np.ndarray:
    """Symmetric, from what stands on and above the diagonal."""
    return np.triu(k) + np.triu(k, 1).T


def error_of(table: Table, sides: Sequence[Read], dtype: str) -> float:
    """The largest absolute error of any entry between one side and itself, or two: that of the table and of rounding, in units of the diagonals."""
    sizes = [np.sqrt(np.abs(side.own).max(1, initial=0.0)) for side in sides]
    return float(((table.error + 8 * np.finfo(dtype).eps) * sizes[0] * sizes[-1]).max())


def method_of(table: Table) -> str:
    terms, products = max(len(one.ranks) for one in table.series), max(len(one.signs) for one in table.series)
    return f"{table.method}, tabulated in {terms} terms" + ("" if table.domain.point else f" of {products} products")
