"""Kernels of many points from those of blocks of points, side by side on the cores: what lies between input and kernel stays in cache."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import ceil, prod
from typing import NamedTuple, TypeVar

import jax
import numpy as np
from jax import Array

from tensorprog.interpret.limit.data import Arrays
from tensorprog.kernels.apart import Own
from tensorprog.kernels.diagonal import Alone
from tensorprog.kernels.result import Kernels

T = TypeVar("T")
Tree = TypeVar("Tree")
Numbers = TypeVar("Numbers", np.ndarray, Array)
Points = Mapping[str, np.ndarray]
HUGE = 1 << 21


class Side(NamedTuple):
    """Points and what is known of each; all arrays have the points first.

    Attributes:
        own: what their kernels with other points read of them.
        identity: a number for each, the same for equal points.
        itself: K(x, x) by name, where the kernels of blocks are those of points that differ; else nothing.
    """

    points: Arrays
    own: Own
    identity: np.ndarray
    itself: Mapping[str, np.ndarray]


Block = Callable[[Side, Side], Kernels]


def sides(left: Points, right: Points | None, size: int, alone: Callable[[Points], Alone] | None = None) -> tuple[list[Side], list[Side] | None]:
    """The points of a kernel in parts of about `size`; `alone` finds what blocks of different points need."""
    known: dict[bytes, int] = {}

    def side(points: Points) -> Side:
        bare = [a + 0.0 for a in points.values()]  # -0 is 0
        identity = np.array([known.setdefault(b"".join(a.tobytes() for a in one), len(known)) for one in zip(*bare, strict=True)], int)
        if alone is None:
            return Side(points, Own((), ()), identity, {})
        kernels, own = alone(points)
        return Side(points, own, identity, {name: np.asarray(k) for name, k in named(kernels).items()})

    return _cut(side(left), size), None if right is None else _cut(side(right), size)


def named(k: Kernels) -> dict[str, Array]:
    return {"nngp": k.nngp, "ntk": k.ntk} | {f"of {name}": a for name, a in k.by_parameter.items()}


def assembled(block: Block, left: Sequence[Side], right: Sequence[Side] | None, shape: tuple[int, int], like: Kernels, *, parts: bool) -> Kernels:
    """The kernels of left and right (None: left, symmetric to the last bit), N1 and N2 points in parts of one size, from those of their blocks.

    Args:
        like: the shapes, types and method of a block.
    """
    rows, columns = left, right or left
    whole = {name: aligned((*shape, *k.shape[2:]), np.dtype(k.dtype)) for name, k in named(like).items() if parts or not name.startswith("of ")}
    errors: list[float] = []

    def one(place: tuple[int, int]) -> None:
        a, b = rows[place[0]], columns[place[1]]
        i, j = place[0] * len(a.identity), place[1] * len(b.identity)
        with jax.enable_x64(True):  # a setting of each thread
            found = block(a, b)
        for name, k in named(found).items():
            if name not in whole:
                continue
            here = whole[name][i : i + len(a.identity), j : j + len(b.identity)]
            k = _with_equal(np.asarray(k), a, b, name)[: here.shape[0], : here.shape[1]]
            if right is None and i == j:
                k = (k + mirrored(k)) / 2
            elif right is None:
                whole[name][j : j + len(b.identity), i : i + len(a.identity)] = mirrored(k)
            here[:] = k
        errors.append(float(found.error))

    in_threads(one, [(i, j) for i in range(len(rows)) for j in range(len(columns)) if right is not None or i <= j])
    arrays = {name: jax.device_put(a) for name, a in whole.items()}
    by_parameter = {name[3:]: a for name, a in arrays.items() if name.startswith("of ")}
    return Kernels(arrays["nngp"], arrays["ntk"], by_parameter, jax.device_put(np.max(errors)), like.method)


def _with_equal(k: np.ndarray, a: Side, b: Side, name: str) -> np.ndarray:
    """K(x, x) where two points of a block are equal."""
    if not a.itself:
        return k
    i, j = np.nonzero(equal(a, b))
    if len(i):
        k = k.copy()
        k[i, j] = a.itself[name][i]
    return k


def equal(a: Side, b: Side) -> np.ndarray:
    """(N1, N2), true where two points are equal."""
    return a.identity[:, None] == b.identity


def count(data: Mapping[str, np.ndarray | Array]) -> int:
    return next(iter(data.values())).shape[0]


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


def in_threads(one: Callable[[T], None], work: Iterable[T]) -> None:
    """Every piece of work, by as many threads as there are cores."""
    todo = list(work)
    if len(todo) < 3:
        for piece in todo:
            one(piece)
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(one, todo):
            pass


def parted(tree: Tree, n: int, size: int) -> Tree:
    """The shapes of a part of arrays of n points, in parts of about `size`."""
    step = _step(n, size)
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct((step, *a.shape[1:]), a.dtype), tree)


def _step(n: int, size: int) -> int:
    """The points of a part, all parts as equal as can be."""
    return n if n <= size else ceil(n / ceil(n / size))


def _cut(side: Side, size: int) -> list[Side]:
    """Parts of about `size` points, as equal as can be, on the device; the last point of the last one is repeated up to its size."""
    n = len(side.identity)
    step = _step(n, size)
    if n == step:
        return [side]

    def part(start: int, a: np.ndarray) -> np.ndarray:
        short = step - len(a[start : start + step])
        return np.pad(a[start : start + step], [(0, short)] + [(0, 0)] * (a.ndim - 1), mode="edge") if short else a[start : start + step]

    host = jax.tree.map(np.asarray, side)
    every = (jax.tree.map(partial(part, start), host) for start in range(0, n, step))
    return [one._replace(points=jax.device_put(one.points), own=jax.device_put(one.own)) for one in every]
