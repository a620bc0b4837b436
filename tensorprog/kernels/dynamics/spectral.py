"""Functions of a positive semidefinite kernel, g(K) r = V g(lambda) V^T r, with derivatives that survive equal eigenvalues."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.precision import traced

CLOSE = 1e-6  # eigenvalues this close, relatively, take the derivative at their mean: the error is then CLOSE^2, and eps / CLOSE beyond


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def apply(g: Callable[..., Array], k: Array, r: Array, *parameters: Array) -> Array:
    """g(K; parameters) r for symmetric K (N, N) and r (N, m); g acts on an array of eigenvalues, entry by entry.

    Its derivative in K is V (D * (V^T dK V)) V^T r with the divided differences D_ij = (g_i - g_j) / (lambda_i - lambda_j), g' where they coincide
    (Daleckii & Krein 1965).
    """
    values, vectors = jnp.linalg.eigh(k)
    return vectors @ (g(values, *parameters)[:, None] * (vectors.T @ r))


@apply.defjvp
def _apply_jvp(g: Callable[..., Array], primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    (k, r, *parameters), (dk, dr, *dparameters) = primals, tangents
    values, vectors = jnp.linalg.eigh(k)
    u = vectors.T @ r
    of_values, change = jax.jvp(lambda *p: g(values, *p), tuple(parameters), tuple(dparameters))
    middle = (values[:, None] + values[None, :]) / 2
    gap = values[:, None] - values[None, :]
    close = jnp.abs(gap) <= CLOSE * jnp.abs(middle)
    _, slope = jax.jvp(lambda v: g(v, *parameters), (middle,), (jnp.ones_like(middle),))
    quotient = jnp.where(close, slope, (of_values[:, None] - of_values[None, :]) / jnp.where(close, 1.0, gap))
    moved = (quotient * (vectors.T @ dk @ vectors)) @ u + change[:, None] * u + of_values[:, None] * (vectors.T @ dr)
    return vectors @ (of_values[:, None] * u), vectors @ moved


def floor(k: Array, cut: float | None) -> Array:
    """The eigenvalue below which a direction counts as null: cut * trace K, cut = eps unless given.

    The trace is at most N lambda_max, so that the default is numpy's cut for the rank of a matrix.
    """
    return (float(jnp.finfo(k.dtype).eps) if cut is None else cut) * jnp.trace(k)


def require_psd(name: str, k: Array, values: Array | None = None) -> None:
    """Raises InvalidProgram where a concrete kernel has an eigenvalue below -1e-6 times its trace: more than rounding explains.

    `values` are its eigenvalues, where they are known.
    """
    if traced((k, values)):
        return
    concrete = np.asarray(k)
    shift = 1e-6 * np.trace(concrete) + np.finfo(concrete.dtype).tiny
    if values is None:
        try:
            np.linalg.cholesky(concrete + shift * np.eye(len(concrete)))
        except np.linalg.LinAlgError:
            values = jnp.linalg.eigvalsh(k)
    if values is not None and values[0] < -shift:
        raise InvalidProgram(
            f"[positive] {name} is not positive semidefinite: its eigenvalues run from {values[0]:.4g} to {values[-1]:.4g}. "
            "Compute it in float64, or add a ridge."
        )
