"""The kernels of one tile, on one device or with its rows spread over several (`jax.shard_map`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isqrt, prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from numpy.typing import NDArray

from tensorprog.errors import InvalidProgram, OutsideTheory
from tensorprog.gaussian.problem import Strategy
from tensorprog.kernels.exact import compiled, dimension, same_points
from tensorprog.kernels.result import Kernels
from tensorprog.language.program import Network

Points = Mapping[str, NDArray[np.floating]]
Tile = Mapping[str, NDArray[np.floating]]
Arrays = Mapping[str, Array]
Device = Any  # jax.Device, which has no type that a checker understands
OUTPUTS = ("nngp", "ntk")
ROWS = "rows"
HELD = 1 << 22  # numbers in one intermediate array: 32 MiB in float64


@dataclass(frozen=True)
class Evaluate:
    """The kernels of a network on tiles of at most `size` points, compiled once: every tile is padded to the full size.

    `start(a, b)` begins K(a, b) without waiting for it; `finish` waits, cuts the padding off, and refuses numbers that are not finite.

    Attributes:
        positions: the sizes of the output's axes; a tile has shape (points, points, *positions, *positions).
        method: how the Gaussian expectations are found.
    """

    size: int
    asked: tuple[str, ...]
    positions: tuple[int, ...]
    method: str
    dtype: np.dtype[np.floating]
    mesh: Mesh | None
    call: Callable[[Arrays, Arrays], Arrays]

    def start(self, a: Points, b: Points) -> Arrays:
        """The padded tile, perhaps still being computed."""
        with jax.enable_x64(self.dtype == np.float64):
            return self.call(self._placed(a, P(ROWS)), self._placed(b, P()))

    def finish(self, tile: Arrays, rows: int, columns: int) -> Tile:
        """The tile as arrays of the host, and under "error" the largest absolute error of its entries.

        Raises:
            OutsideTheory: an entry is infinite or undefined.
        """
        out = {name: np.asarray(tile[name])[:rows, :columns] for name in self.asked}
        for name, a in out.items():
            if not np.isfinite(a).all():
                where = tuple(int(i) for i in np.argwhere(~np.isfinite(a))[0])
                raise OutsideTheory(
                    f"[kernel] the {name} is infinite or undefined at entry {where} of a tile. A step differentiated at equal or opposite inputs "
                    "has no finite NTK: freeze the tensors behind it (train=False), or ask for the nngp alone."
                )
        return {**out, "error": np.asarray(tile["error"]).max()}

    def _placed(self, points: Points, spec: P) -> Arrays:
        full = {name: padded(a.astype(self.dtype), self.size) for name, a in points.items()}
        if self.mesh is None:
            return {name: jnp.asarray(a) for name, a in full.items()}
        return jax.device_put(full, NamedSharding(self.mesh, spec))


def evaluator(
    network: Network,
    features: Mapping[str, tuple[int, ...]],
    asked: Sequence[str],
    *,
    size: int,
    dtype: str,
    strategy: Strategy,
    devices: Sequence[Device],
) -> Evaluate:
    """The compiled kernels of a network.

    Args:
        features: the shape of one point of every input, (*positions, d).
        devices: over which the rows of a tile are spread.

    Raises:
        InvalidProgram: an unknown kernel or type of number, or a tile without points.
        OutsideTheory: kernels that can only be sampled.
    """
    require(asked, dtype, size)
    parts = (network.program, network.readouts, network.outputs, network.kind, tuple(sorted(network.training.items(), key=lambda item: item[0])))
    build = _evaluator if strategy.key is None else _evaluator.__wrapped__  # a random key is no key of a cache
    return build(parts, tuple(sorted(features.items())), tuple(asked), size, dtype, strategy, tuple(devices))


@lru_cache(maxsize=16)
def _evaluator(
    parts: tuple[Any, ...],
    features: tuple[tuple[str, tuple[int, ...]], ...],
    asked: tuple[str, ...],
    size: int,
    dtype: str,
    strategy: Strategy,
    devices: tuple[Device, ...],
) -> Evaluate:
    """Read and compiled once for a program, the features of its inputs, and a tile size: searches and cross-validation ask for few of these."""
    *most, training = parts
    network = Network(*most, training=dict(training))
    size = -(-size // len(devices)) * len(devices)
    found = compiled(network, strategy=strategy)
    if dimension(found.symbolic) > strategy.max_dimension:
        raise OutsideTheory(
            f"[tiles] the kernels of {network.name} are found by sampling, and samples of different tiles do not form one positive kernel. "
            "Compute them whole with `kernels`."
        )

    def piece(a: Arrays, b: Arrays) -> Kernels:
        return found.tile(a, b, same_points(a, b), {})

    def kernels(a: Arrays, b: Arrays) -> Arrays:
        k = in_blocks(piece, a, b, block_of(network, size // len(devices)), block_of(network, size))
        return {**{name: getattr(k, name) for name in asked}, "error": k.error.reshape(-1)}

    mesh = Mesh(np.array(devices), (ROWS,)) if len(devices) > 1 else None
    spread = kernels if mesh is None else jax.shard_map(kernels, mesh=mesh, in_specs=(P(ROWS), P()), out_specs=P(ROWS), check_vma=False)
    with jax.enable_x64(dtype == "float64"):
        one = {name: jax.ShapeDtypeStruct((1, *shape), dtype) for name, shape in features}
        outline = jax.eval_shape(piece, one, one)
    sizes = outline.nngp.shape[2:]
    return Evaluate(size, asked, sizes[: len(sizes) // 2], outline.method, np.dtype(dtype), mesh, jax.jit(spread))


def in_blocks(piece: Callable[[Arrays, Arrays], Kernels], a: Arrays, b: Arrays, rows: int, columns: int) -> Kernels:
    """piece(a, b) from blocks of rows x columns points, one after the other: what lies between input and kernel is held for one block only."""
    left, right = (jax.tree.map(lambda v, n=n: v.reshape(-1, n, *v.shape[1:]), side) for side, n in ((a, rows), (b, columns)))
    k = jax.lax.map(lambda x: jax.lax.map(lambda y: piece(x, y), right), left)  # (row blocks, column blocks, rows, columns, ..)
    return jax.tree.map(lambda v: v if v.ndim == 2 else jnp.moveaxis(v, 1, 2).reshape(v.shape[0] * rows, v.shape[1] * columns, *v.shape[4:]), k)


def block_of(network: Network, points: int) -> int:
    """The largest divisor of `points` at which an array over two sets of points and two families of positions stays near HELD numbers."""
    program = network.program
    positions = max(prod(program.size[a] for a in axes) for axes in program.axes_of.values())
    most = max(1, isqrt(HELD // positions**2))
    return next(n for n in range(min(most, points), 0, -1) if points % n == 0)


def require(asked: Sequence[str], dtype: str, size: int) -> None:
    """Refuse what has no meaning, before any work."""
    if not asked or set(asked) - set(OUTPUTS):
        raise InvalidProgram(f"[tiles] the kernels are {' and '.join(OUTPUTS)}; asked for {', '.join(asked) or 'none'}.")
    if dtype not in ("float64", "float32"):
        raise InvalidProgram(f"[tiles] dtype is float64 or float32, not {dtype}.")
    if size < 1:
        raise InvalidProgram(f"[tiles] a tile has {size} points. Take at least 1.")


def padded(a: NDArray[np.floating], size: int) -> NDArray[np.floating]:
    """The points, the last one repeated up to `size`."""
    return a if len(a) == size else np.concatenate([a, np.repeat(a[-1:], size - len(a), axis=0)])
