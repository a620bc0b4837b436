"""A tile by the rules of the theorem: compiled once for a size, in float64, block after block."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isqrt, prod

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from tensorprog.kernels.assembly import mirrored
from tensorprog.kernels.exact import same_points
from tensorprog.kernels.result import Kernels, refuse_unresolved
from tensorprog.kernels.runnable import runnable
from tensorprog.kernels.tile import Tile
from tensorprog.kernels.tiles.spread import ROWS, Device, Kernel, Points, length_of, mesh_of, placed, require_finite
from tensorprog.language.program import Program

Arrays = Mapping[str, Array]
HELD = 1 << 22  # numbers in one intermediate array: 32 MiB


@dataclass(frozen=True)
class ByRules:
    """See `Evaluate`. Every tile is padded to `size` points a side; its rows lie over the devices of the mesh."""

    positions: tuple[int, ...]
    method: str
    asked: tuple[str, ...]
    dtype: np.dtype[np.floating]
    size: int
    mesh: Mesh | None
    call: Callable[[Arrays, Arrays], Arrays] = field(repr=False)

    def __call__(self, a: Points, b: Points | None = None) -> Kernel:
        others = a if b is None else b
        rows, columns = (len(next(iter(side.values()))) for side in (a, others))
        with jax.enable_x64(True):
            tile = self.call(placed(a, self.size, self.mesh, P(ROWS)), placed(others, self.size, self.mesh, P()))
            whole = {name: np.asarray(tile[name])[:rows, :columns] for name in self.asked}
        require_finite(whole)
        error = np.asarray(tile["error"]).max()
        refuse_unresolved(whole.values(), error, self.method)
        if b is None:
            whole = {name: (k + mirrored(k)) / 2 for name, k in whole.items()}
        kernels = {name: k.astype(self.dtype) for name, k in whole.items()}
        rounding = np.finfo(self.dtype).eps / 2 * max(np.abs(k).max(initial=0.0) for k in kernels.values())
        return {**kernels, "error": np.maximum(error, rounding)}


def by_rules(tile: Tile, features: Mapping[str, tuple[int, ...]], size: int, devices: tuple[Device, ...]) -> ByRules:
    """The compiled rules; `features` are the shapes of one point of every input, (*positions, d)."""
    size, program = length_of(size, devices), tile.network.program

    def piece(a: Arrays, b: Arrays) -> Kernels:
        return tile.exact.tile(a, b, same_points(a, b), {})

    def kernels(a: Arrays, b: Arrays) -> Arrays:
        k = in_blocks(piece, a, b, block_of(program, size // len(devices)), block_of(program, size))
        return {**{name: getattr(k, name) for name in tile.asked}, "error": k.error.reshape(-1)}

    mesh = mesh_of(devices)
    spread = kernels if mesh is None else jax.shard_map(kernels, mesh=mesh, in_specs=(P(ROWS), P()), out_specs=P(ROWS), check_vma=False)
    with jax.enable_x64(True):
        one = {name: jax.ShapeDtypeStruct((1, *shape), jnp.float64) for name, shape in features.items()}
        outline = jax.eval_shape(piece, one, one)
    sizes = outline.nngp.shape[2:]
    call = jax.jit(spread) if mesh is not None else runnable(tile.exact.symbolic, kernels)
    return ByRules(sizes[: len(sizes) // 2], outline.method, tile.asked, np.dtype(tile.dtype), size, mesh, call)


def in_blocks(piece: Callable[[Arrays, Arrays], Kernels], a: Arrays, b: Arrays, rows: int, columns: int) -> Kernels:
    """piece(a, b) from blocks of rows x columns points, one after the other: what lies between input and kernel is held for one block only."""
    left, right = (jax.tree.map(lambda v, n=n: v.reshape(-1, n, *v.shape[1:]), side) for side, n in ((a, rows), (b, columns)))
    k = jax.lax.map(lambda x: jax.lax.map(lambda y: piece(x, y), right), left)  # (row blocks, column blocks, rows, columns, ..)
    return jax.tree.map(lambda v: v if v.ndim == 2 else jnp.moveaxis(v, 1, 2).reshape(v.shape[0] * rows, v.shape[1] * columns, *v.shape[4:]), k)


def block_of(program: Program, points: int) -> int:
    """The largest divisor of `points` at which an array over two sets of points and two families of positions stays near HELD numbers."""
    positions = max(prod(program.size[a] for a in axes) for axes in program.axes_of.values())
    most = max(1, isqrt(HELD // positions**2))
    return next(n for n in range(min(most, points), 0, -1) if points % n == 0)
