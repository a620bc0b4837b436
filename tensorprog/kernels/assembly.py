"""Kernels of many points from those of blocks of points, side by side on the cores: what lies between input and kernel stays in cache."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping
from functools import partial
from math import ceil, prod
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jax import Array

from tensorprog.interpret.limit.data import Arrays
from tensorprog.interpret.precision import Precision
from tensorprog.kernels.apart import Own
from tensorprog.kernels.diagonal import Alone
from tensorprog.kernels.result import Kernels
from tensorprog.kernels.threads import in_threads

Tree = TypeVar("Tree")
Numbers = TypeVar("Numbers", np.ndarray, Array)
Points = Mapping[str, np.ndarray]
HUGE = 1 << 21


class Side(NamedTuple):
    """Points and what is known of each, in parts of one size; arrays are (parts, points of a part, ..), the last point repeated to fill them.

    Attributes:
        points: their number.
        data: of every input.
        own: what their kernels with other points read of them.
        identity: a number for each, the same for equal points.
        itself: K(x, x) by name, where the kernels of parts are those of points that differ; else nothing.
    """

    points: int
    data: Points
    own: Own
    identity: np.ndarray
    itself: Mapping[str, np.ndarray]

    @property
    def parts(self) -> range:
        """The parts that hold points."""
        return range(ceil(self.points / self.identity.shape[1]))

    def sizes(self, name: str) -> np.ndarray:
        """sqrt K(x, x) of every point, the largest of its positions: (parts, points of a part)."""
        k = np.abs(self.itself[name])
        return np.sqrt(k.reshape(*k.shape[:2], -1).max(-1))

    def moderate(self) -> bool:
        """Whether what is not 0 has sizes whose products float32 holds."""
        squares = [(a * a).mean(-1) for a in self.data.values()]
        return all(_within(a, 1e12) for a in squares) and all(_within(np.abs(a), 1e24) for a in jax.tree.leaves(self.own))

    def read(self, dtype: Precision) -> tuple[Arrays, Own]:
        """What the kernels of pairs are made from: on the device, but for a single part, which is read once."""
        known = jax.tree.map(lambda a: np.asarray(a, dtype), (self.data, self.own))
        return known if len(self.parts) == 1 else jax.device_put(known)


def _within(a: np.ndarray, most: float) -> bool:
    return bool(((a == 0) | ((a >= 1 / most) & (a <= most))).all())


Block = Callable[[int, int], Kernels]  # of one part of either side


def sides(left: Points, right: Points | None, size: int, alone: Callable[[Points], Alone] | None = None) -> tuple[Side, Side | None]:
    """The points of a kernel in parts of about `size`; `alone` finds what blocks of different points need."""
    known: dict[bytes, int] = {}

    def side(points: Points) -> Side:
        bare = [a + 0.0 for a in points.values()]  # -0 is 0
        identity = np.array([known.setdefault(b"".join(a.tobytes() for a in one), len(known)) for one in zip(*bare, strict=True)], int)
        own, itself = Own((), ()), dict[str, np.ndarray]()
        if alone is not None:
            kernels, own = alone(points)
            itself = {name: np.asarray(k) for name, k in named(kernels).items()}
        cut = partial(_cut, size)
        return Side(len(identity), *jax.tree.map(cut, (points, own, identity, itself)))

    return side(left), None if right is None else side(right)


def named(k: Kernels) -> dict[str, Array]:
    return {"nngp": k.nngp, "ntk": k.ntk} | {f"of {name}": a for name, a in k.by_parameter.items()}


def assembled(block: Block, left: Side, right: Side | None, like: Kernels, dtype: np.dtype, *, parts: bool, threads: bool = True) -> Kernels:
    """The kernels of left and right (None: left, symmetric to the last bit) from those of their parts.

    Args:
        like: the shapes and method of a block.
        threads: side by side; many small steps of NumPy are faster one after another.
    """
    others = right or left
    shape = left.points, others.points
    whole = {name: aligned((*shape, *k.shape[2:]), dtype) for name, k in named(like).items() if parts or not name.startswith("of ")}
    errors: list[float] = []

    def one(place: tuple[int, int]) -> None:
        p, q = place
        found = block(p, q)
        i, j = p * left.identity.shape[1], q * others.identity.shape[1]
        for name, k in named(found).items():
            if name not in whole:
                continue
            here = whole[name][i : i + k.shape[0], j : j + k.shape[1]]
            k = _with_equal(np.asarray(k), left, others, place, name)[: here.shape[0], : here.shape[1]]
            if right is None and p == q:
                k = (k + mirrored(k)) / 2
            elif right is None:
                whole[name][j : j + k.shape[1], i : i + k.shape[0]] = mirrored(k)
            here[:] = k
        errors.append(float(found.error))

    places = [(p, q) for p in left.parts for q in others.parts if right is not None or p <= q]
    in_threads(one, places, cores=None if threads else 1)
    arrays, error = jax.device_put((whole, np.max(errors, initial=0.0)))
    by_parameter = {name[3:]: a for name, a in arrays.items() if name.startswith("of ")}
    return Kernels(arrays["nngp"], arrays["ntk"], by_parameter, error, like.method)


def _with_equal(k: np.ndarray, left: Side, right: Side, place: tuple[int, int], name: str) -> np.ndarray:
    """K(x, x) where two points of a block are equal."""
    if not left.itself:
        return k
    i, j = np.nonzero(equal(left, right, *place))
    if len(i):
        k = k.copy()
        k[i, j] = left.itself[name][place[0]][i]
    return k


def equal(left: Side, right: Side, p: int, q: int) -> np.ndarray:
    """(N1, N2) of two parts, true where two points are equal."""
    return left.identity[p][:, None] == right.identity[q]


def count(data: Mapping[str, Any], axis: int = 0) -> int:
    return next(iter(data.values())).shape[axis]


def mirrored(k: Numbers) -> Numbers:
    """K(x2, x1) from K(x1, x2): points and output positions change sides."""
    half = (k.ndim - 2) // 2
    return k.transpose(1, 0, *range(2 + half, 2 + 2 * half), *range(2, 2 + half))


def aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An empty array that begins at a multiple of 64 bytes, which JAX then takes without a copy.

    A large one lies on pages of 2 MiB where the system has them: small pages take longer to get than kernels to compute.
    """
    size = prod(shape) * dtype.itemsize
    step = HUGE if size >= HUGE else 64
    raw = _huge(size + step) if size >= HUGE else np.empty(size + step, np.uint8)
    start = -raw.ctypes.data % step
    return raw[start : start + size].view(dtype).reshape(shape)


def _huge(size: int) -> np.ndarray:
    memory = mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.uint8)


def parted(tree: Tree, n: int, size: int, dtype: Precision) -> Tree:
    """The shapes of what `Side.read` makes of arrays of n points in parts of about `size`."""
    shape = _parts(n, size)
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct((*shape, *a.shape[1:]), dtype), tree)


def _parts(n: int, size: int) -> tuple[int, int]:
    """How many parts, a power of two, so that few shapes are compiled, and of how many points each: as equal as can be."""
    parts = max(ceil(n / size), 1)
    return 1 << (parts - 1).bit_length(), max(ceil(n / parts), 1)


def _cut(size: int, a: Array | np.ndarray) -> np.ndarray:
    """(parts, points of a part, ..), filled up with the last point."""
    n, shape, host = len(a), _parts(len(a), size), np.asarray(a)
    short = [(0, prod(shape) - n)] + [(0, 0)] * (a.ndim - 1)
    whole = np.pad(host, short, mode="edge" if n else "constant") if prod(shape) > n else host
    return whole.reshape(*shape, *a.shape[1:])
