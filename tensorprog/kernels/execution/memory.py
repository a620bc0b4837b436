"""Memory for results: arrays that JAX takes without a copy, on large pages."""

from __future__ import annotations

import mmap
from math import prod

import numpy as np

HUGE = 1 << 21  # bytes of a large page


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
