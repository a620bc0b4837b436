"""Square roots of matrices that are positive semi-definite only up to rounding: symmetric, and triangular."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from tensorprog.errors import InvalidProgram
from tensorprog.gaussian.jacobi import eigh
from tensorprog.gaussian.law import ROUNDING, ratio
from tensorprog.gaussian.law import root as sqrt
from tensorprog.gaussian.problem import Scalars

TOLERANCE = 1e-8  # a relative eigenvalue below minus this is no rounding


def factor(c: Any, name: str = "covariance") -> tuple[Array, float]:
    """(symmetric R with R R^T = C, what was clipped) for concrete matrices C of shape (..., n, n).

    What was clipped is the largest |negative eigenvalue| set to 0, relative to the largest eigenvalue.

    Raises:
        InvalidProgram: C is not square, symmetric, finite, or has a clearly negative eigenvalue.
    """
    a = np.asarray(c)
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise InvalidProgram(f"{name}: [covariance] shape {a.shape} is not that of square matrices. Give an n x n matrix.")
    if not np.isfinite(a).all():
        raise InvalidProgram(f"{name}: [covariance] it holds NaN or infinite entries. Give finite numbers.")
    top = np.abs(a).max(initial=0.0)
    if np.abs(a - a.swapaxes(-1, -2)).max(initial=0.0) > TOLERANCE * top:
        raise InvalidProgram(f"{name}: [covariance] it is not symmetric. Give a symmetric matrix.")
    lowest = float(np.linalg.eigvalsh(a).min(initial=0.0))
    if lowest < -TOLERANCE * top:
        found = f"it is indefinite: an eigenvalue is {lowest:.3g}, the largest entry {top:.3g}"
        raise InvalidProgram(f"{name}: [covariance] {found}. Give a Gram matrix.")
    return root(jnp.asarray(a)), (max(-lowest, 0.0) / float(top) if top else 0.0)


@jax.custom_jvp
def root(c: Array) -> Array:
    """The symmetric square root of C, shape (..., n, n), eigenvalues below rounding set to 0: duplicates are legal. Traceable."""
    _, values, vectors = _eigen(c)
    return (vectors * values[..., None, :]) @ vectors.swapaxes(-1, -2)


@root.defjvp
def _root_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """dR from R dR + dR R = dC in the eigenbasis: dC_ij / (r_i + r_j), and 0 where both vanish."""
    _, values, vectors = _eigen(primals[0])
    transposed = vectors.swapaxes(-1, -2)
    total = values[..., :, None] + values[..., None, :]
    inner = transposed @ tangents[0] @ vectors
    change = jnp.where(total > 0, inner / jnp.where(total > 0, total, 1.0), 0.0)
    return (vectors * values[..., None, :]) @ transposed, vectors @ change @ transposed


def _eigen(c: Array) -> tuple[Array, Array, Array]:
    """Eigenvalues, their clipped square roots, eigenvectors."""
    eigenvalues, vectors = eigh(0.5 * (c + c.swapaxes(-1, -2)))
    cut = c.shape[-1] * 4 * jnp.finfo(c.dtype).eps * jnp.abs(eigenvalues).max(-1, keepdims=True)
    kept = eigenvalues > cut
    return eigenvalues, jnp.where(kept, jnp.sqrt(jnp.where(kept, eigenvalues, 1.0)), 0.0), vectors


def cholesky(cov: Sequence[Sequence[Scalars]]) -> tuple[tuple[Array, ...], ...]:
    """Lower L with L L^T = C, C semi-definite: a pivot within rounding of 0 gives a column 0, and a row never exceeds its variance.

    Without pivoting this is backward stable: where a pivot is only rounding, so is its product with the column below it.
    """
    n = len(cov)
    factor: list[list[Array]] = [[] for _ in range(n)]
    left = [jnp.asarray(cov[i][i], dtype=float) for i in range(n)]  # variance of i not yet explained
    for k in range(n):
        pivot = sqrt(jnp.where(left[k] > ROUNDING * jnp.finfo(left[k].dtype).eps * cov[k][k], left[k], 0.0))
        factor[k].append(pivot)
        for i in range(k + 1, n):
            bound = sqrt(left[i])
            entry = ratio(cov[i][k] - sum((factor[i][m] * factor[k][m] for m in range(k)), start=0.0), pivot)
            entry = jnp.where(jnp.abs(entry) > bound, jnp.sign(entry) * bound, entry)
            factor[i].append(entry)
            left[i] = (bound - entry) * (bound + entry)
    return tuple(map(tuple, factor))
