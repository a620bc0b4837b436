"""Gradient flow on the squared loss, in closed form: df_t/dt = -eta K (f_t - y) (Jacot et al. 2018; Lee et al. 2019, arXiv 1902.06720)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram
from tensorprog.kernels.dynamics import rounding, spectral
from tensorprog.kernels.dynamics.trajectory import Blocks, Reduction, Trajectory, finite, kernel_matrix, start
from tensorprog.kernels.precision import Precision, double, traced


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
    train, dual, error, values = _flow(k, residual, clock, weight, spectral.floor(k, cut))
    spectral.require_psd("kernel", k, values)
    shape = (len(clock), *target.shape)
    return Trajectory(jnp.asarray(times), initial + train.reshape(shape), dual.reshape(shape), error)


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
    found, values = _ensemble(train, k, cross, Blocks(q, q_cross, q_test), flat, clock, weight, spectral.floor(k, cut))
    spectral.require_psd("ntk.train", k, values)
    train_mean, test_mean = (mean.reshape(*mean.shape[:2], *target.shape[1:]) for mean in (found.train_mean, found.test_mean))
    return found._replace(time=jnp.asarray(times), train_mean=train_mean, test_mean=test_mean)


# Compiled together, since the eigendecompositions of one matrix then become one.


@jax.jit
def _flow(k: Array, r: Array, clock: Array, ridge: Array, floor: Array) -> tuple[Array, Array, Array, Array]:
    """(K _dual(K) r, _dual(K) r) at all times, (T, N, m), the error of the first, and the eigenvalues of K.

    The first is found by its own eigenvalues, not by a product with K that would lose digits.
    """
    train, dual = (_at_all_times(g, k, r, clock, ridge, floor) for g in (_moved, _dual))
    fixed, start, reached = jax.lax.stop_gradient((k, r, dual))
    return train, dual, rounding.error_of_train(rounding.perturbation(fixed, start), start, reached), jnp.linalg.eigh(k)[0]


@partial(jax.jit, static_argnums=0)
def _ensemble(train: bool, k: Array, cross: Array, nngp: Blocks, y: Array, clock: Array, ridge: Array, floor: Array) -> tuple[Ensemble, Array]:
    """The law, with means of shape (T, ., m) for y (N, m), and the eigenvalues of K."""
    (n, m), (q, q_cross, q_test) = y.shape, nngp
    moved = _at_all_times(_moved, k, jnp.concatenate([y, jnp.eye(n, dtype=k.dtype)], 1) if train else y, clock, ridge, floor)
    dual = _at_all_times(_dual, k, jnp.concatenate([y, cross.T], 1), clock, ridge, floor)
    dual, a = dual[..., :m], jnp.swapaxes(dual[..., m:], 1, 2)  # coefficients of the mean, and A_t
    stays = jnp.eye(n, dtype=k.dtype) - moved[..., m:] if train else None  # R_t
    aq, rq, mixed = a @ q, None if stays is None else stays @ q, a @ q_cross.T
    test_cov = q_test - mixed - jnp.swapaxes(mixed, 1, 2) + aq @ jnp.swapaxes(a, 1, 2)
    train_cov = None if stays is None or rq is None else _symmetric(rq @ stays)
    values, columns = jnp.linalg.eigh(k)[0], [q_cross - aq, *(() if rq is None else (rq,))]
    gain = jax.vmap(_dual, (None, 0, None, None))(values, clock, ridge, floor).max(initial=0.0)
    error = _error(*jax.lax.stop_gradient((k, cross, nngp, y, dual, a, gain, columns)))
    return Ensemble(clock, moved[..., :m], train_cov, a @ y, _symmetric(test_cov), error), values


def _error(k: Array, cross: Array, nngp: Blocks, y: Array, dual: Array, a: Array, gain: Array, columns: list[Array]) -> Array:
    """The largest of means and covariances; `columns` are those of test and training points."""
    noise, size = rounding.perturbation(k, y), jnp.maximum(jnp.abs(nngp.train).max(), jnp.abs(nngp.test).max(initial=0.0))
    means = rounding.error_of_train(noise, y, dual), rounding.error_of_test(noise, y, dual, cross, a)
    rows = rounding.longest(a, 2), 1.0
    covariances = (rounding.error_of_covariance(noise, gain, g, p, size) for g, p in zip(rows, columns, strict=False))
    return reduce(jnp.maximum, (*means, *covariances))


def _at_all_times(g: Callable[..., Array], k: Array, r: Array, clock: Array, ridge: Array, floor: Array) -> Array:
    """g(K) r, (T, N, m)."""
    return jax.vmap(spectral.apply, in_axes=(None, None, None, 0, None, None))(g, k, r, clock, ridge, floor)


def _dual(value: Array, t: Array, ridge: Array, floor: Array) -> Array:
    """(1 - exp(-s t)) / s with s = value + ridge; 0 where s is null."""
    s = jnp.maximum(value, 0.0) + ridge
    alive = s > floor
    s, forever = jnp.where(alive, s, 1.0), jnp.isinf(t)
    return jnp.where(alive, jnp.where(forever, 1.0, -jnp.expm1(-s * jnp.where(forever, 1.0, t))) / s, 0.0)


def _moved(value: Array, t: Array, ridge: Array, floor: Array) -> Array:
    return jnp.maximum(value, 0.0) * _dual(value, t, ridge, floor)


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
