"""Gaussian process regression with a network's kernel (Lee et al. 2018, arXiv 1711.00165; Rasmussen & Williams 2006, Alg. 2.1)."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.precision import double, traced
from tensorprog.kernels.dynamics import spectral
from tensorprog.kernels.dynamics.trajectory import Blocks, kernel_matrix, start


class Posterior(NamedTuple):
    """The law of f at the test points, given the targets; every output alike, independent between outputs."""

    mean: Array  # (M,) or (M, k)
    cov: Array  # (M, M)
    log_evidence: Array  # log p(y), summed over outputs


@double
def posterior(nngp: Blocks, y: ArrayLike, *, noise: ArrayLike = 0.0, relative: bool = False, cut: float | None = None) -> Posterior:
    """mean = K* S^+ y, cov = K** - K* S^+ K*^T with S = K + noise, log p(y) = -(y^T S^+ y + log det S + N log 2 pi) / 2.

    Args:
        nngp: blocks of the kernel, e.g. Blocks.split(K, n_train).
        y: targets, (N,) or (N, k).
        noise: the variance of the targets' noise; in units of the mean of K's diagonal if `relative`.
        cut: directions in which S is at most `cut` times the trace of K count as null (default the rounding unit): they say nothing of the
            test points, and the evidence is that of the others.

    Raises:
        InvalidProgram: shapes that do not fit, numbers that are not finite, a kernel with negative eigenvalues, a negative noise.
    """
    k = kernel_matrix("nngp.train", nngp.train)
    spectral.require_psd("nngp.train", k)
    target, _ = start(len(k), y, None)
    cross, test = jnp.asarray(nngp.cross, dtype=k.dtype), jnp.asarray(nngp.test, dtype=k.dtype)
    if cross.shape != (len(test), len(k)) or test.shape != (len(test), len(test)):
        raise InvalidProgram(f"[shape] nngp.cross {cross.shape} and nngp.test {test.shape} must be (M, {len(k)}) and (M, M).")
    level = jnp.asarray(noise, dtype=k.dtype) * (jnp.diagonal(k).mean() if relative else 1.0)
    if not traced(level) and not float(level) >= 0:
        raise InvalidProgram(f"[noise] the noise variance is {float(level)}. Give a number >= 0.")
    flat, floor = target.reshape(len(k), -1), spectral.floor(k, cut)
    solved = spectral.apply(_inverse, k, jnp.concatenate([flat, cross.T], axis=1), level, floor)
    weights, gain = solved[:, : flat.shape[1]], solved[:, flat.shape[1] :]
    s = jnp.maximum(jnp.linalg.eigvalsh(k), 0.0) + level
    alive = s > floor
    log_det = jnp.where(alive, jnp.log(jnp.where(alive, s, 1.0)), 0.0).sum()
    evidence = -0.5 * ((flat * weights).sum() + flat.shape[1] * (log_det + alive.sum() * jnp.log(2 * jnp.pi)))
    cov = test - cross @ gain
    return Posterior((cross @ weights).reshape(len(test), *target.shape[1:]), (cov + cov.T) / 2, evidence)


def _inverse(value: Array, noise: Array, floor: Array) -> Array:
    s = jnp.maximum(value, 0.0) + noise
    return jnp.where(s > floor, 1.0 / jnp.where(s > floor, s, 1.0), 0.0)
