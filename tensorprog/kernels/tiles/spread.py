"""The rows of a tile over several devices (`jax.shard_map`), and what comes back from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from numpy.typing import NDArray

from tensorprog.errors import OutsideTheory
from tensorprog.kernels.result import WHY_INFINITE

Points = Mapping[str, NDArray[np.floating]]
Kernel = Mapping[str, NDArray[np.floating]]
Device = Any  # jax.Device, which has no type that a checker understands
ROWS = "rows"


def mesh_of(devices: Sequence[Device]) -> Mesh | None:
    """The devices in a row; None for one."""
    return Mesh(np.array(devices), (ROWS,)) if len(devices) > 1 else None


def length_of(size: int, devices: Sequence[Device]) -> int:
    """`size` points, rounded up so that every device has as many."""
    return -(-size // len(devices)) * len(devices)


def placed(points: Any, size: int, mesh: Mesh | None, spec: P) -> Any:
    """A tree of arrays of points on the devices, the last point repeated up to `size`."""
    full = jax.tree.map(lambda a: padded(np.asarray(a), size), points)
    return jax.tree.map(jnp.asarray, full) if mesh is None else jax.device_put(full, NamedSharding(mesh, spec))


def padded(a: NDArray[np.floating], size: int) -> NDArray[np.floating]:
    """The points, the last one repeated up to `size`."""
    return a if len(a) == size else np.concatenate([a, np.repeat(a[-1:], size - len(a), axis=0)])


def require_finite(kernels: Kernel) -> None:
    """Raises OutsideTheory where an entry is infinite or undefined."""
    for name, a in kernels.items():
        if not np.isfinite(a).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(a))[0])
            raise OutsideTheory(f"[kernel] the {name} is infinite or undefined at entry {where} of a tile. {WHY_INFINITE}")
