"""Kernels of any number of points, tile by tile: into a store that resumes where it stopped, or as a matrix that is computed whenever it is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike
from numpy.typing import NDArray

from tensorprog.errors import InvalidProgram
from tensorprog.gaussian.problem import Strategy
from tensorprog.interpret.limit.data import Data, data_of
from tensorprog.interpret.precision import double
from tensorprog.kernels.exact import same_features
from tensorprog.kernels.key import own_values
from tensorprog.kernels.tiles.evaluate import OUTPUTS, Evaluate, evaluator
from tensorprog.kernels.tiles.grid import Grid, TileIndex
from tensorprog.kernels.tiles.matrix import TiledMatrix
from tensorprog.kernels.tiles.pace import Pace, Progress
from tensorprog.kernels.tiles.processes import Group, Job, here, shared
from tensorprog.kernels.tiles.spread import Device, Kernel, Points
from tensorprog.kernels.tiles.store import KernelStore, create_or_open
from tensorprog.language.program import Network
from tensorprog.language.text import show

SIZE = 1024


def tiled_kernels(
    network: Network,
    x1: ArrayLike | Data,
    x2: ArrayLike | Data | None = None,
    *,
    store: str | Path,
    get: Sequence[str] = OUTPUTS,
    size: int = SIZE,
    dtype: str = "float64",
    strategy: Strategy = Strategy(),
    devices: int | None = None,
    processes: int | Group = 1,
    progress: Progress | None = None,
) -> KernelStore:
    """The limiting kernels of x1 and x2 (N1 and N2 points, default x1) in a zarr store, one chunk a tile, by the function of `tile`.

    Tiles that the store holds are not computed again: after an interruption of any kind (kill -9, a full disk), run the same again. Under
    `jax.distributed.initialize` every process calls this with the same arguments and a path that all of them see, and computes its share.

    Args:
        get: "nngp", "ntk" or both.
        size: points a side of a tile.
        dtype: of the store, "float64" or "float32".
        devices: JAX devices of this process over which the rows of each tile are spread. None: all there are.
        processes: start so many processes on this machine, or this machine's of a `Group` over several, that share the tiles; `devices` is for each.
        progress: is told the fraction done, and how much time is left.

    Raises:
        InvalidProgram: data that do not fit, devices that there are not, a store made from another program, data set or tile size.
        OutsideTheory: a network whose kernels are infinite, or can only be sampled.
        Incomplete: the disk is full, or a process was lost; the store holds what was done.
    """
    tell = progress or (lambda fraction, now: None)
    if processes != 1:
        group = here(processes) if isinstance(processes, int) else processes
        options = {"store": Path(store), "get": tuple(get), "size": size, "dtype": dtype, "strategy": strategy, "devices": devices}
        return shared(Job(group, (network, _sendable(x1), _sendable(x2)), options), tell)
    work = prepare(network, x1, x2, get=get, size=size, dtype=dtype, strategy=strategy, devices=devices)
    made_with = {"method": work.evaluate.method, **{name: version(name) for name in ("jax", "numpy", "zarr")}}
    found = create_or_open(Path(store), work.made_from, made_with, work.evaluate.positions)
    fill(found, work, tell)
    return found


def tiled_matrix(
    network: Network,
    x1: ArrayLike | Data,
    x2: ArrayLike | Data | None = None,
    *,
    get: str = "ntk",
    size: int = SIZE,
    dtype: str = "float64",
    strategy: Strategy = Strategy(),
    devices: int | None = None,
) -> TiledMatrix:
    """A kernel as a matrix that is never held: every product with it computes its tiles anew. See `tiled_kernels` for the arguments.

    Raises:
        InvalidProgram: a network with output positions, whose kernel is no matrix.
    """
    work = prepare(network, x1, x2, get=(get,), size=size, dtype=dtype, strategy=strategy, devices=devices)
    if work.evaluate.positions:
        raise InvalidProgram(f"[tiles] {network.name} has output positions {work.evaluate.positions}: its kernel is no matrix. Read out one number.")
    return TiledMatrix(work.grid, np.dtype(dtype), lambda i, j: work.tile((i, j))[get])


@dataclass(frozen=True)
class Work:
    """Everything that a tile follows from."""

    grid: Grid
    left: Points
    right: Points
    evaluate: Evaluate
    made_from: Mapping[str, Any]

    def tile(self, index: TileIndex) -> Kernel:
        """The tile; one on the diagonal of a symmetric kernel is symmetric to the last bit."""
        i, j = index
        a = _rows(self.left, self.grid.row(i))
        return self.evaluate(a) if self.grid.symmetric and i == j else self.evaluate(a, _rows(self.right, self.grid.column(j)))


@double
def prepare(
    network: Network,
    x1: ArrayLike | Data,
    x2: ArrayLike | Data | None,
    *,
    get: Sequence[str],
    size: int,
    dtype: str,
    strategy: Strategy,
    devices: int | None,
) -> Work:
    """Check everything, and compile what a tile needs."""
    left = _points(network, x1, "x1")
    right = left if x2 is None else _points(network, x2, "x2")
    same_features(left, right)  # pyright: ignore[reportArgumentType]
    n1, n2 = (len(next(iter(side.values()))) for side in (left, right))
    size = min(size, max(n1, n2, 1))
    asked = tuple(name for name in OUTPUTS if name in get) if set(get) <= set(OUTPUTS) else tuple(get)
    others = None if x2 is None else right
    evaluate = evaluator(network, left, others, asked, size=size, dtype=dtype, strategy=strategy, devices=local_devices(devices))
    made_from = {
        "network": show(network),
        "functions": own_values(network.program),
        "data": {"x1": digest(left)} if x2 is None else {"x1": digest(left), "x2": digest(right)},
        "points": [n1, n2],
        "kernels": list(asked),
        "dtype": dtype,
        "tile": size,
        "strategy": str(strategy),
        "tensorprog": version("tensorprog"),
    }
    return Work(Grid(n1, n2, size, x2 is None), left, right, evaluate, made_from)


def fill(store: KernelStore, work: Work, tell: Progress) -> None:
    """Compute what the store lacks. A tile is written while the next one is computed, so that neither disk nor device waits for the other."""
    pace = Pace(len(work.grid.tiles), len(work.grid.tiles) - len(store.missing()))
    pace.say(pace.before, tell)

    def settle(writing: Future[None]) -> None:
        writing.result()
        pace.say(pace.total - len(store.missing()), tell)

    with ThreadPoolExecutor(1) as writer:
        writing: Future[None] | None = None
        for tile in share(store):
            found = work.tile(tile)
            if writing is not None:
                settle(writing)
            writing = writer.submit(store.write, tile, found)
        if writing is not None:
            settle(writing)


def share(store: KernelStore) -> Iterator[TileIndex]:
    """The missing tiles, those of this process first; then, from the other end, those that the other processes have not reached."""
    rank, count = jax.process_index(), jax.process_count()
    tiles = store.grid.tiles
    own = tiles[rank::count]
    for tile in (*own, *(t for t in reversed(tiles) if t not in set(own))):
        if not store.has(tile):
            yield tile


def local_devices(count: int | None) -> list[Device]:
    """The first devices of this process.

    Raises:
        InvalidProgram: there are fewer.
    """
    found = jax.local_devices()
    if count is not None and not 1 <= count <= len(found):
        raise InvalidProgram(
            f"[devices] asked for {count} devices, and JAX has {len(found)} here ({found[0].platform}). Ask for 1 to {len(found)}; on a CPU, set "
            'jax.config.update("jax_num_cpu_devices", n) before JAX is used for the first time.'
        )
    return found[:count]


def digest(points: Points) -> str:
    """The SHA-256 of the data, names and shapes included."""
    out = sha256()
    for name, a in sorted(points.items()):
        out.update(f"{name}{a.shape}{a.dtype}".encode())
        out.update(np.ascontiguousarray(a).data)
    return out.hexdigest()


def _sendable(x: ArrayLike | Data | None) -> Any:
    """The data as arrays of the host."""
    return {name: np.asarray(a) for name, a in x.items()} if isinstance(x, Mapping) else None if x is None else np.asarray(x)


def _points(network: Network, x: ArrayLike | Data, label: str) -> dict[str, NDArray[np.float64]]:
    return {name: np.asarray(a, np.float64) for name, a in data_of(network.program, x, label).items()}


def _rows(points: Points, rows: slice) -> Points:
    return {name: a[rows] for name, a in points.items()}
