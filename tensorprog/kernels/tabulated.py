"""Kernels by tables: the points are brought to unit vectors and norms, tables found or made, and blocks of pairs evaluated side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import prod
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

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
        out = _aligned((len(table.outputs), len(left.q), len(others.q)), np.dtype(dtype))
        self._fill(out, table, left, others, symmetric=right is None)
        if right is None:
            np.einsum("oii->oi", out)[:] = table.own(left.q)
        return Found(dict(zip(table.outputs, out, strict=True)), error_of(table, left, others, dtype), method_of(table))

    def _fill(self, out: np.ndarray, table: Table, left: Points, right: Points, *, symmetric: bool) -> None:
        """Every block of pairs, those below the diagonal from those above it, by as many threads as there are cores."""
        blocks = Blocks(table, out.dtype)
        rows, columns = (blocks.of(p) for p in (left, right))

        def one(place: tuple[int, int]) -> None:
            i, j = place
            here, mirror = (slice(i, i + SIZE), slice(j, j + SIZE)), (slice(j, j + SIZE), slice(i, i + SIZE))
            part = out[:, *here]
            with jax.enable_x64(True):  # a setting of each thread
                kernels, before = blocks(rows[i], columns[j], diagonal=symmetric and i == j)
                for a, k in zip(part, kernels, strict=True):
                    a[:] = np.asarray(k)[: a.shape[0], : a.shape[1]]
                if before:
                    self.near(part, table, _sliced(left, i), _sliced(right, j), upper=symmetric and i == j)
            if symmetric and i < j:
                out[:, *mirror] = part.swapaxes(1, 2)
            elif symmetric:
                part[:] = np.triu(part) + np.triu(part, 1).swapaxes(1, 2)

        _in_threads(one, [(i, j) for i in rows for j in columns if not symmetric or i <= j])

    def table(self, q: np.ndarray, tolerance: float) -> Table | None:
        domain = domain_of(q, self.degree)
        if domain is None:
            return None
        if (domain, tolerance) not in self.tables:
            self.tables[domain, tolerance] = tabulate(self.pairs, domain, tolerance)
        return self.tables[domain, tolerance]

    def near(self, part: np.ndarray, table: Table, left: Points, right: Points, *, upper: bool) -> None:
        """The pairs of a block (above its diagonal) before the start of the series, by the exact kernel."""
        cos = left.unit @ right.unit.T
        near = cos > np.cos(table.angle.start) - 1e-6
        i, j = np.nonzero(np.triu(near, 1) if upper else near)
        if not len(i):
            return
        chord = np.linalg.norm(left.unit[i] - right.unit[j], axis=-1)
        q1, q2 = left.q[i], right.q[j]
        same = (left.unit[i] == right.unit[j]).all(1) & (q1 == q2)
        part[:, i, j] = self.pairs.each(q1, q2, np.sqrt(q1 * q2) * (1 - chord**2 / 2), same).kernels


def points(x: np.ndarray) -> Points:
    """Norms and directions, scaled first, so that no square over- or underflows; the direction of zero is zero."""
    x = np.asarray(x, np.float64)
    size = np.abs(x).max(axis=1, initial=0.0)
    scaled = x / np.where(size > 0, size, 1.0)[:, None]
    norm = np.linalg.norm(scaled, axis=1)
    return Points((size * norm / x.shape[1] ** 0.5) ** 2, scaled / np.where(norm > 0, norm, 1.0)[:, None])


def _aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array whose parts along the first dimension begin at multiples of 64 bytes where they can, which JAX then takes without a copy."""
    step = -(-prod(shape[1:]) * dtype.itemsize // 64) * 64
    raw = np.empty(step * shape[0] + 64, np.uint8)
    start = -raw.ctypes.data % 64
    parts = raw[start : start + step * shape[0]].reshape(shape[0], step)
    return np.lib.stride_tricks.as_strided(parts.view(dtype), shape, (step, shape[2] * dtype.itemsize, dtype.itemsize))


def _sliced(p: Points, at: int) -> Points:
    return Points(p.q[at : at + SIZE], p.unit[at : at + SIZE])


class Block(NamedTuple):
    """Points of a block: unit vectors (n, d) in float64 and in the precision of the result, and phi (n, r)."""

    unit: jax.Array
    rounded: jax.Array
    phi: np.ndarray


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
            unit = np.pad(p.unit[at : at + SIZE], missing)
            out[at] = Block(jnp.asarray(unit), jnp.asarray(unit, self.dtype), np.pad(phi[at : at + SIZE], missing))
        return out

    def __call__(self, left: Block, right: Block, *, diagonal: bool) -> tuple[tuple[jax.Array, ...], bool]:
        """K of every output, and whether a pair lies before the start of the series; on the diagonal of the tile nothing is promised.

        By the shortest series in the cosine that serves all pairs of the block, else by that in the angle.
        """
        columns = jnp.asarray(np.ascontiguousarray(right.phi.T), self.dtype)
        if self.table.middles:
            cos, largest = cosines(left.rounded, right.rounded, diagonal=diagonal)
            for m in self.table.middles:
                if largest <= m.radius:
                    return by_cosines(cos, self._rows(left, m.core), columns, jnp.asarray(m.radius)), False
        b, start = jnp.asarray(self.table.angle.b), jnp.asarray(self.table.angle.start)
        kernels, before = by_angles(left.unit, right.unit, self._rows(left, self.table.core), columns, b, start)
        return kernels, bool(before)

    def _rows(self, left: Block, core: np.ndarray) -> jax.Array:
        """sum_a phi_a C_abk, (outputs, n, terms, r)."""
        return jnp.asarray(np.stack([np.tensordot(left.phi, c, (1, 0)).swapaxes(1, 2) for c in core]), self.dtype)


def _in_threads(one: Callable[[tuple[int, int]], None], work: list[tuple[int, int]]) -> None:
    if len(work) < 4:
        for place in work:
            one(place)
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(one, work):
            pass


def error_of(table: Table, left: Points, right: Points, dtype: str) -> float:
    """The largest absolute error of any entry of K(left, right): that of the table and of rounding, in units of the diagonals."""
    sizes = [np.sqrt(np.abs(table.own(p.q)).max(1, initial=0.0)) for p in (left, right)]
    return float(((table.error + 8 * np.finfo(dtype).eps) * sizes[0] * sizes[1]).max())


def method_of(table: Table) -> str:
    norms = [] if table.core.shape[1] == 1 else [table.core.shape[1]] * 2
    return f"{table.method}, tabulated in {' x '.join(map(str, (*norms, table.core.shape[3])))} terms"
