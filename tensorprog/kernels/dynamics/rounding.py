"""What rounding does to gradient flow, to first order in the backward error E of the eigendecomposition (Higham 2002, ch. 1; Daleckii & Krein 1965).

The eigenvectors that are found belong to K + E. With g(s) = (1 - exp(-s t)) / s, whose divided differences are at most g(s) g(s'), the dual
coefficients a = g(K) r move by at most as much as g(K) E a, so that f moves

| at                                                        | by at most      |
| --------------------------------------------------------- | --------------- |
| a training point                                          | the entry of E a |
| a test point, with A_t = K(x, .) g(K)                     | A_t E a          |

The entries of E count as independent and normal, all of one size, which `perturbation` measures. What is reported is LARGEST standard deviations,
and the rounding of the sums themselves.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

LARGEST = 6.0  # standard deviations: what the largest of a million normal errors reaches, and some more


def perturbation(k: Array, r: Array, again: Array) -> Array:
    """The root mean square of the entries of E: the rounding of K, and what the eigendecomposition adds.

    The latter is seen in K r - V lambda V^T r, the second being `again`: its entries have the size of E's times the length of r's columns.
    """
    off, size = norm(k @ r - again), norm(r)
    seen = jnp.where(size > 0, off / jnp.where(size > 0, size, 1.0), 0.0) / len(k) ** 0.5
    return jnp.hypot(seen, unit(k) / 4 * jnp.abs(k).max())


def error_of_train(noise: Array, r: Array, dual: Array) -> Array:
    """Of f at the training points; r (N, m), dual (T, N, m)."""
    return LARGEST * noise * longest(dual, 1) + unit(r) * longest(r, 0)


def error_of_test(noise: Array, r: Array, dual: Array, cross: Array, a: Array) -> Array:
    """Of f at test points; cross (M, N) is K(test, train), a (T, M, N) is A_t."""
    return longest(a, 2) * error_of_train(noise, r, dual) + unit(r) * jnp.abs(cross).max(initial=0.0) * longest(dual, 1)


def error_of_covariance(noise: Array, gain: Array, rows: Array | float, columns: Array, size: ArrayLike) -> Array:
    """Of the rows G_t of a map, |G_t| = `rows`, on both sides of a covariance: twice G_t E g(K) P with the columns P (T, ., N), |g(K)| = `gain`.

    `size` is that of the entries of the covariance of f_0.
    """
    return 2 * LARGEST * noise * gain * rows * longest(columns, 2) + unit(columns) * columns.shape[2] ** 0.5 * size


def longest(a: Array, axis: int) -> Array:
    """The largest norm along an axis."""
    return norm(a, axis).max(initial=0.0)


def norm(a: Array, axis: int | None = None) -> Array:
    """The Euclidean norm along an axis, or of all entries, which neither overflows nor underflows."""
    size = jnp.abs(a).max(axis, keepdims=True, initial=0.0)
    scaled = a / jnp.where(size > 0, size, 1.0)
    return jnp.squeeze(size, axis) * jnp.sqrt((scaled * scaled).sum(axis))


def unit(a: Array) -> float:
    return float(jnp.finfo(a.dtype).eps)
