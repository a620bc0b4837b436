"""Gradient flow on the squared loss mode by mode: along an eigenvector of K with eigenvalue s, a_t = (1 - exp(-s t)) / s r and f_t - f_0 = s a_t."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from tensorprog.interpret.precision import traced
from tensorprog.kernels.dynamics.householder import householder
from tensorprog.kernels.dynamics.spectral import apply

FEW = 64  # points for which reflections gain nothing


class Modes(NamedTuple):
    """Functions of K at T times, and what they were found from; g(s) = (1 - exp(-s t)) / s, s = K + ridge, and 0 along null directions."""

    values: Array  # (N,): the eigenvalues of K
    gain: Array  # the largest g(s)
    moved: Array  # (T, N, m): K g(s) r, by its own eigenvalues, since a product with K would lose digits
    dual: Array  # (T, N, m): g(s) r
    again: Array  # (N, m): K r, as the eigenvectors have it
    driven: Array | None = None  # (T, M, N): others^T g(s)
    whole: Array | None = None  # (T, N, N): K g(s)


def modes(k: Array, r: Array, clock: Array, ridge: Array, floor: Array, others: Array | None = None, whole: bool = False) -> Modes:
    """Directions along which s is at most `floor` are null; `others` (N, M) are right sides as r (N, m), and `whole` asks for the matrices.

    Of concrete arrays on a CPU by `householder`; else by eigenvectors, and differentiable.
    """
    if traced((k, r, clock, ridge, floor, others)) or len(k) < FEW or next(iter(k.devices())).platform != "cpu":
        return _by_eigenvectors(whole, k, r, clock, ridge, floor, others)
    found, times = householder(np.asarray(k)), len(clock)
    moved, dual = (np.asarray(g) for g in _gains(jnp.asarray(found.values), clock, ridge, floor))
    columns = (2 * times + 2) * r.shape[1] + (times + 1) * ((0 if others is None else others.shape[1]) + len(k) * whole)
    found = found.serving(columns)
    parts = found.apply(np.concatenate([moved, dual, found.values[None]]), np.asarray(r))
    driven = None if others is None else np.swapaxes(found.apply(dual, np.asarray(others)), 1, 2)
    every = found.apply(moved, np.eye(len(k), dtype=k.dtype)) if whole else None
    arrays = found.values, dual.max(initial=0.0), parts[:times], parts[times:-1], parts[-1], driven, every
    return Modes(*jax.tree.map(jnp.asarray, arrays))


@partial(jax.jit, static_argnums=0)
def _by_eigenvectors(whole: bool, k: Array, r: Array, clock: Array, ridge: Array, floor: Array, others: Array | None) -> Modes:
    """Compiled together, since the eigendecompositions of one matrix then become one."""

    def at_all_times(g: Callable[..., Array], a: Array) -> Array:
        return jax.vmap(apply, in_axes=(None, None, None, 0, None, None))(g, k, a, clock, ridge, floor)

    values = jnp.linalg.eigh(k)[0]
    gain = _gains(values, clock, ridge, floor)[1].max(initial=0.0)
    driven = None if others is None else jnp.swapaxes(at_all_times(_dual, others), 1, 2)
    every = at_all_times(_moved, jnp.eye(len(k), dtype=k.dtype)) if whole else None
    return Modes(values, gain, at_all_times(_moved, r), at_all_times(_dual, r), apply(_same, k, r), driven, every)


@jax.jit
def _gains(values: Array, clock: Array, ridge: Array, floor: Array) -> tuple[Array, Array]:
    """_moved and _dual of all eigenvalues at all times, (T, N)."""
    moved, dual = (jax.vmap(g, (None, 0, None, None))(values, clock, ridge, floor) for g in (_moved, _dual))
    return moved, dual


def _dual(value: Array, t: Array, ridge: Array, floor: Array) -> Array:
    """(1 - exp(-s t)) / s with s = value + ridge; 0 where s is null."""
    s = jnp.maximum(value, 0.0) + ridge
    alive = s > floor
    s, forever = jnp.where(alive, s, 1.0), jnp.isinf(t)
    return jnp.where(alive, jnp.where(forever, 1.0, -jnp.expm1(-s * jnp.where(forever, 1.0, t))) / s, 0.0)


def _moved(value: Array, t: Array, ridge: Array, floor: Array) -> Array:
    return jnp.maximum(value, 0.0) * _dual(value, t, ridge, floor)


def _same(value: Array) -> Array:
    return value
