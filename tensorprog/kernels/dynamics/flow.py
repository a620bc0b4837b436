"""Gradient flow on the squared loss, in closed form: df_t/dt = -eta K (f_t - y) (Jacot et al. 2018; Lee et al. 2019, arXiv 1902.06720)."""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.precision import Precision, double, traced
from tensorprog.kernels.dynamics import rounding, spectral
from tensorprog.kernels.dynamics.modes import Modes, modes
from tensorprog.kernels.dynamics.trajectory import Blocks, Reduction, Trajectory, finite, kernel_matrix, start


class Ensemble(NamedTuple):
    """Mean and covariance over random initializations: of every output alike, independent between outputs."""

    time: Array  # (T,)
    train_mean: Array  # (T, N) or (T, N, k)
    train_cov: Array | None  # (T, N, N); None where it was not asked for
    test_mean: Array  # (T, M) or (T, M, k)
    test_cov: Array  # (T, M, M)
    error: Array  # estimate of the largest absolute error of all of these


@double
def gradient_flow(
    kernel: ArrayLike,
    y: ArrayLike,
    times: ArrayLike,
    *,
    f0: ArrayLike | None = None,
    rate: ArrayLike = 1.0,
    ridge: ArrayLike = 0.0,
    relative: bool = False,
    reduction: Reduction = "sum",
    cut: float | None = None,
    dtype: Precision = "float64",
) -> Trajectory:
    """f_t = f_0 + K a_t with a_t = (1 - exp(-s t)) / s (y - f_0), s = K + ridge: full-batch gradient flow on (1/2) |f - y|^2.

    A ridge is the flow on (1/2) |f - y|^2 + (ridge/2) |theta - theta_0|^2; its limit t = inf is kernel ridge regression.
    Directions in which s is at most `cut` times the trace of K count as null: nothing moves along them, at any time
    (at t = inf this is the pseudo-inverse).

    Args:
        kernel: K(train, train), (N, N); singular is fine.
        y: targets, (N,) or (N, k).
        times: (T,); infinity is allowed.
        rate: eta.
        relative: the ridge is in units of the mean of K's diagonal.
        reduction: the loss is the "sum" over points, or their "mean".
        cut: default the rounding unit, as for the rank of a matrix.
        dtype: of all that is computed. In float32 it takes half the time, and `error` says what it costs: see `rounding`.

    Raises:
        InvalidProgram: a kernel that is not square, finite and positive semidefinite, targets of another shape, a negative time or ridge.
    """
    k, target, initial, clock, weight = _prepare(kernel, y, times, f0, rate, ridge, relative, reduction, dtype)
    residual = (target - initial).reshape(len(k), -1)
    found = modes(k, residual, clock, weight, spectral.floor(k, cut))
    spectral.require_psd("kernel", k, found.values)
    shape, error = (len(clock), *target.shape), _error_of_flow(*jax.lax.stop_gradient((k, residual, found)))
    return Trajectory(jnp.asarray(times), initial + found.moved.reshape(shape), found.dual.reshape(shape), error)


@double
def ensemble_flow(
    ntk: Blocks,
    nngp: Blocks,
    y: ArrayLike,
    times: ArrayLike,
    *,
    rate: ArrayLike = 1.0,
    ridge: ArrayLike = 0.0,
    relative: bool = False,
    reduction: Reduction = "sum",
    cut: float | None = None,
    train: bool = True,
    dtype: Precision = "float64",
) -> Ensemble:
    """Mean and covariance of gradient flow over f_0 ~ GP(0, nngp) (Lee et al. 2019, eq. 13-16).

    With R_t = exp(-K t) and A_t = K(test, train) K^+ (1 - R_t): train: mean (1 - R) y, covariance R Q R;
    test: mean A y, covariance Q** - A Q(train, test) - its transpose + A Q A^T, Q the nngp. `gradient_flow` says what a ridge and a cut are.

    Args:
        ntk: the kernel of the trained tensors. All trained: the NTK. Only the readout: the NNGP; t = inf is then the Gaussian process posterior.
        nngp: the covariance of f_0.
        train: False leaves out the covariance at the training points, which costs more than all else.
        dtype: of all that is computed; see `gradient_flow`.
    """
    k, target, _, clock, weight = _prepare(ntk.train, y, times, None, rate, ridge, relative, reduction, dtype)
    cross, q, q_cross, q_test = (jnp.asarray(a, dtype=k.dtype) for a in (ntk.cross, *nngp))
    _require_blocks(len(k), cross, q, q_cross, q_test)
    flat = target.reshape(len(k), -1)
    found = modes(k, flat, clock, weight, spectral.floor(k, cut), cross.T, train)
    spectral.require_psd("ntk.train", k, found.values)
    law = _law(k, cross, Blocks(q, q_cross, q_test), flat, found)
    train_mean, test_mean = (mean.reshape(*mean.shape[:2], *target.shape[1:]) for mean in (law.train_mean, law.test_mean))
    return law._replace(time=jnp.asarray(times), train_mean=train_mean, test_mean=test_mean)


@jax.jit
def _law(k: Array, cross: Array, nngp: Blocks, y: Array, found: Modes) -> Ensemble:
    """With means of shape (T, ., m) for y (N, m)."""
    (q, q_cross, q_test), a = nngp, jnp.asarray(found.driven)  # A_t
    stays = None if found.whole is None else jnp.eye(len(k), dtype=k.dtype) - found.whole  # R_t
    aq, rq, mixed = a @ q, None if stays is None else stays @ q, a @ q_cross.T
    test_cov = q_test - mixed - jnp.swapaxes(mixed, 1, 2) + aq @ jnp.swapaxes(a, 1, 2)
    train_cov = None if stays is None or rq is None else _symmetric(rq @ stays)
    columns = [q_cross - aq, *(() if rq is None else (rq,))]
    error = _error_of_law(*jax.lax.stop_gradient((k, cross, nngp, y, found, a, columns)))
    return Ensemble(jnp.arange(len(a)), found.moved, train_cov, a @ y, _symmetric(test_cov), error)


def _error_of_law(k: Array, cross: Array, nngp: Blocks, y: Array, found: Modes, a: Array, columns: list[Array]) -> Array:
    """The largest of means and covariances; `columns` are those of test and training points."""
    noise, size = rounding.perturbation(k, y, found.again), jnp.maximum(jnp.abs(nngp.train).max(), jnp.abs(nngp.test).max(initial=0.0))
    means = rounding.error_of_train(noise, y, found.dual), rounding.error_of_test(noise, y, found.dual, cross, a)
    rows = rounding.longest(a, 2), 1.0
    covariances = (rounding.error_of_covariance(noise, found.gain, g, p, size) for g, p in zip(rows, columns, strict=False))
    return reduce(jnp.maximum, (*means, *covariances))


@jax.jit
def _error_of_flow(k: Array, r: Array, found: Modes) -> Array:
    return rounding.error_of_train(rounding.perturbation(k, r, found.again), r, found.dual)


def _prepare(
    kernel: ArrayLike,
    y: ArrayLike,
    times: ArrayLike,
    f0: ArrayLike | None,
    rate: ArrayLike,
    ridge: ArrayLike,
    relative: bool,
    reduction: Reduction,
    dtype: Precision,
) -> tuple[Array, Array, Array, Array, Array]:
    """The kernel, targets, f_0, the times in units of 1 / K, and the ridge in units of K."""
    k = kernel_matrix("kernel", kernel, dtype)
    target, initial = (a.astype(k.dtype) for a in start(len(k), y, f0))
    if target.shape != initial.shape:
        raise InvalidProgram(f"[shape] y has shape {target.shape} but f0 has {initial.shape}. The squared loss needs one target an output.")
    t, weight = jnp.asarray(times, dtype=k.dtype), jnp.asarray(ridge, dtype=k.dtype)
    if t.ndim != 1 or not (traced(t) or (np.asarray(t) >= 0).all()):
        raise InvalidProgram(f"[time] times have shape {t.shape} and must be a list of numbers >= 0 (infinity is allowed).")
    if not traced(weight) and not float(weight) >= 0:
        raise InvalidProgram(f"[ridge] the ridge is {float(weight)}. Give a number >= 0.")
    clock = t * jnp.asarray(rate, dtype=k.dtype) / (len(k) if reduction == "mean" else 1)
    return k, target, initial, clock, weight * (jnp.diagonal(k).mean() if relative else 1.0)


def _require_blocks(n: int, cross: Array, q: Array, q_cross: Array, q_test: Array) -> None:
    m = len(cross)
    for name, a, shape in (("ntk.cross", cross, (m, n)), ("nngp.train", q, (n, n)), ("nngp.cross", q_cross, (m, n)), ("nngp.test", q_test, (m, m))):
        if a.shape != shape:
            raise InvalidProgram(f"[shape] {name} has shape {a.shape}; wanted {shape}, with {n} training and {m} test points.")
        finite(name, a)


def _symmetric(a: Array) -> Array:
    return (a + jnp.swapaxes(a, -1, -2)) / 2
