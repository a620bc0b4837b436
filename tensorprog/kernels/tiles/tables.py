"""A tile by a table that serves all points: on one device as `kernels.tile` evaluates it, on several with its rows spread over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from tensorprog.kernels.evaluate import Series, Side, block
from tensorprog.kernels.table import Table
from tensorprog.kernels.tabulated import Points as Directions
from tensorprog.kernels.tabulated import Tabulated, error_of, method_of, points
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

    def __call__(self, a: Points, b: Points | None = None) -> Kernel:
        left, right = _directions(a), None if b is None else _directions(b)
        mesh = mesh_of(self.devices)
        found = self.tables.by(self.table, left, right, self.dtype).kernels if mesh is None else self._spread(mesh, left, right)
        require_finite(found)
        return {**found, "error": np.array(error_of(self.table, left, left if right is None else right, self.dtype))}

    def _spread(self, mesh: Mesh, left: Directions, right: Directions | None) -> Kernel:
        """The rows over the devices; pairs before the start of the series, which are few, by the rules on the host."""
        others, size = left if right is None else right, length_of(self.size, self.devices)
        with jax.enable_x64(True):
            rows, columns = (
                placed(Side(p.unit, self.table.phi(p.q)), size, mesh, spec)  # pyright: ignore[reportArgumentType]
                for p, spec in ((left, P(ROWS)), (others, P()))
            )
            series = Series(*map(jnp.asarray, (self.table.core, self.table.angle.b, self.table.angle.start)))
            kernels, before = _over(mesh, self.dtype)(rows, columns, series)
            out = np.array(kernels)[:, : len(left.q), : len(others.q)]
            if np.asarray(before).any():
                self.tables.near(list(out), self.table, left, others, upper=right is None)
        if right is None:
            out = np.triu(out) + np.triu(out, 1).swapaxes(1, 2)
            np.einsum("oii->oi", out)[:] = self.table.own(left.q)
        return dict(zip(self.table.outputs, out, strict=True))


@lru_cache(maxsize=8)
def _over(mesh: Mesh, dtype: str) -> Callable[[Side, Side, Series], tuple[Array, Array]]:
    def shard(left: Side, right: Side, series: Series) -> tuple[Array, Array]:
        kernels, before = block(left, right, series, dtype)
        return kernels, before.reshape(1)

    return jax.jit(jax.shard_map(shard, mesh=mesh, in_specs=(P(ROWS), P(), P()), out_specs=(P(None, ROWS), P(ROWS)), check_vma=False))


def _directions(a: Points) -> Directions:
    return points(next(iter(a.values())))
