"""Kernels of many points from those of blocks of points, side by side on the cores: what lies between input and kernel stays in cache."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from math import ceil, prod
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from tensorprog.kernels.result import Kernels

T = TypeVar("T")
Numbers = TypeVar("Numbers", np.ndarray, Array)
Points = Mapping[str, np.ndarray]
Block = Callable[[Points, Points], Kernels]
HUGE = 1 << 21


def assembled(block: Block, left: Points, right: Points | None, size: int, *, parts: bool) -> Kernels:
    """The kernels of left and right (None: left, symmetric to the last bit) from those of blocks of about `size` points, all of one shape."""
    others = left if right is None else right
    n1, n2 = count(left), count(others)
    rows, columns = _starts(n1, size), _starts(n2, size)
    outline = jax.eval_shape(block, _cut(left, 0, rows.step), _cut(others, 0, columns.step))

    def empty(like: jax.ShapeDtypeStruct) -> np.ndarray:
        return aligned((n1, n2, *like.shape[2:]), np.dtype(like.dtype))

    whole = {"nngp": empty(outline.nngp), "ntk": empty(outline.ntk)}
    whole |= {f"of {name}": empty(k) for name, k in outline.by_parameter.items()} if parts else {}
    errors: list[float] = []

    def one(place: tuple[int, int]) -> None:
        i, j = place
        with jax.enable_x64(True):  # a setting of each thread
            found = block(_cut(left, i, rows.step), _cut(others, j, columns.step))
        for name, out in whole.items():
            k = np.asarray(found.by_parameter[name[3:]] if name.startswith("of ") else getattr(found, name))
            here = out[i : i + rows.step, j : j + columns.step]
            k = k[: here.shape[0], : here.shape[1]]
            if right is None and i == j:
                k = (k + mirrored(k)) / 2
            elif right is None:
                out[j : j + columns.step, i : i + rows.step] = mirrored(k)
            here[:] = k
        errors.append(float(found.error))

    in_threads(one, [(i, j) for i in rows for j in columns if right is not None or i <= j])
    arrays = {name: jax.device_put(a) for name, a in whole.items()}
    by_parameter = {name[3:]: a for name, a in arrays.items() if name.startswith("of ")}
    return Kernels(arrays["nngp"], arrays["ntk"], by_parameter, jnp.asarray(np.max(errors)), outline.method)


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


def _starts(n: int, size: int) -> range:
    """First points of blocks as equal as can be."""
    return range(0, max(n, 1), ceil(max(n, 1) / ceil(max(n, 1) / size)))


def _cut(data: Points, start: int, size: int) -> Points:
    """Points from `start` on, the last one repeated up to `size`."""

    def cut(a: np.ndarray) -> np.ndarray:
        short = size - len(a[start : start + size])
        return np.pad(a[start : start + size], [(0, short)] + [(0, 0)] * (a.ndim - 1), mode="edge") if short and len(a) else a[start : start + size]

    return {name: cut(a) for name, a in data.items()}
