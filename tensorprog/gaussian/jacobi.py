"""Eigenvalues and eigenvectors of many small symmetric matrices at once, by rotations (Jacobi 1846; Brent & Luk 1985 for the order).

A step rotates m / 2 disjoint pairs of rows and columns so that the entries between them vanish; m - 1 steps are a sweep, in which every pair meets
once. Convergence is quadratic. Only elementwise operations: batches of LAPACK's `eigh` that XLA runs side by side within one computation wait for
each other's threads, on few cores for ever.
"""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

SWEEPS = 4  # and log2 m: 6 for m = 4, 8 for m = 16, where rounding is reached in 4 and 6


@jax.jit
def eigh(a: Array) -> tuple[Array, Array]:
    """w, ascending, and V with a = V diag(w) V^T, of symmetric matrices (.., m, m); absolute errors are a few roundings of the norm."""
    m = a.shape[-1]
    if m < 2:
        return a[..., 0], jnp.ones_like(a)
    even = m + m % 2
    pad = [(0, 0)] * (a.ndim - 2) + [(0, even - m)] * 2
    vectors = jnp.broadcast_to(jnp.eye(even, dtype=a.dtype), (*a.shape[:-2], even, even))
    steps = jnp.tile(jnp.asarray(_rounds(even)), (SWEEPS + even.bit_length(), 1, 1))
    (a, vectors), _ = jax.lax.scan(_rotated, (jnp.pad(a, pad), vectors), steps)
    values, vectors = jnp.diagonal(a, axis1=-2, axis2=-1)[..., :m], vectors[..., :m, :m]
    order = jnp.argsort(values, axis=-1)
    return jnp.take_along_axis(values, order, -1), jnp.take_along_axis(vectors, order[..., None, :], -1)


def _rotated(state: tuple[Array, Array], pairs: Array) -> tuple[tuple[Array, Array], None]:
    """One step: the angle t = tan of each pair solves t^2 + t (a_qq - a_pp) / a_pq - 1 = 0, the smaller root."""
    a, vectors = state
    p, q = pairs
    off, d = a[..., p, q], a[..., q, q] - a[..., p, p]
    size = jnp.abs(d) + jnp.hypot(d, 2 * off)
    t = 2 * off * jnp.where(d < 0, -1.0, 1.0) / jnp.where(size > 0, size, 1.0)
    cos = 1 / jnp.hypot(1.0, t)
    sin = t * cos

    def turned(x: Array) -> Array:
        """Columns p and q of x by the rotation."""
        left, right = x[..., p], x[..., q]
        c, s = cos[..., None, :], sin[..., None, :]
        return x.at[..., p].set(c * left - s * right).at[..., q].set(s * left + c * right)

    return (turned(turned(a).mT).mT, turned(vectors)), None


@cache
def _rounds(m: int) -> np.ndarray:
    """A tournament of m players, (m - 1 rounds, 2, m / 2): all pairs, each once."""
    others = np.arange(1, m)
    rounds = [np.concatenate([[0], np.roll(others, k)]) for k in range(m - 1)]
    return np.stack([np.stack([r[: m // 2], r[: m // 2 - 1 : -1]]) for r in rounds])
