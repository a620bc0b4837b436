"""A tile by a table that serves all points: on one device as `kernels.tile` evaluates it, on several with its rows spread over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from tensorprog.interpret.precision import double
from tensorprog.kernels.tables.blocks import Blocks, functions_of, ranks_of
from tensorprog.kernels.tables.blocks import Points as Directions
from tensorprog.kernels.tables.evaluate import Functions, Ranks, Side, by_angles
from tensorprog.kernels.tables.table import Table
from tensorprog.kernels.tables.tabulated import Found, Tabulated, error_of, method_of, points
from tensorprog.kernels.tiles.spread import ROWS, Device, Kernel, Points, length_of, mesh_of, placed, require_finite


@dataclass(frozen=True)
class ByTable:
    """See `Evaluate`."""

    tables: Tabulated
    table: Table
    dtype: str
    size: int
    devices: tuple[Device, ...]

    @property
    def positions(self) -> tuple[int, ...]:
        return ()

    @property
    def method(self) -> str:
        return method_of(self.table)

    @double  # whoever asks: a store is filled where JAX has its own default
    def __call__(self, a: Points, b: Points | None = None) -> Kernel:
        left, right = _directions(a), None if b is None else _directions(b)
        mesh = mesh_of(self.devices)
        kernels, error, _ = self.tables.by(self.table, left, right, self.dtype) if mesh is None else self._spread(mesh, left, right)
        found = {name: np.asarray(k) for name, k in kernels.items()}
        require_finite(found)
        return {**found, "error": np.array(error)}

    def _spread(self, mesh: Mesh, left: Directions, right: Directions | None) -> Found:
        """The rows over the devices; pairs before the start of the series, which are few, by the rules on the host."""
        others, size, table = left if right is None else right, length_of(self.size, self.devices), self.table
        sides = [Blocks(table, np.dtype(self.dtype)).read(p) for p in (left, others)]
        with jax.enable_x64(True):
            rows, columns = (placed(_rows(r.side, len(r.points.q)), size, mesh, spec) for r, spec in zip(sides, (P(ROWS), P()), strict=True))
            found, before = _over(mesh, ranks_of(table.series))(rows, columns, functions_of(table.series), table.angle.b, table.angle.start)
            out = np.stack([np.asarray(k)[: len(left.q), : len(others.q)] for k in found])
            near = self.tables.near(list(out), table, left, others, upper=right is None) if np.asarray(before).any() else 0.0
        if right is None:
            out = np.triu(out) + np.triu(out, 1).swapaxes(1, 2)
            np.einsum("oii->oi", out)[:] = sides[0].own
        with jax.enable_x64(True):
            kernels = dict(zip(table.outputs, jax.device_put([*out]), strict=True))
        return Found(kernels, max(near, error_of(table, sides, self.dtype)), self.method)


def _rows(side: Side, n: int) -> Side:
    """One row for every point, so that all arrays are spread alike."""
    return jax.tree.map(lambda a: np.broadcast_to(a, (n, *a.shape[1:])), side)


@lru_cache(maxsize=8)
def _over(mesh: Mesh, ranks: Ranks) -> Callable[..., tuple[tuple[Array, ...], Array]]:
    def shard(left: Side, right: Side, series: Functions, b: float, start: float) -> tuple[tuple[Array, ...], Array]:
        kernels, before = by_angles(left, right, series, b, start, ranks=ranks)
        return kernels, before.reshape(1)

    return jax.jit(jax.shard_map(shard, mesh=mesh, in_specs=(P(ROWS), P(), P(), P(), P()), out_specs=(P(ROWS), P(ROWS)), check_vma=False))


def _directions(a: Points) -> Directions:
    return points(next(iter(a.values())))
