"""Gradient flow on the squared loss, in closed form: df_t/dt = -eta K (f_t - y) (Jacot et al. 2018; Lee et al. 2019, arXiv 1902.06720)."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram
from tensorprog.kernels.dynamics import spectral
from tensorprog.kernels.dynamics.trajectory import Blocks, Reduction, Trajectory, finite, kernel_matrix, start
from tensorprog.kernels.precision import double, traced


class Ensemble(NamedTuple):
    """Mean and covariance over random initializations: of every output alike, independent between outputs."""

    time: Array  # (T,)
    train_mean: Array  # (T, N) or (T, N, k)
    train_cov: Array | None  # (T, N, N); None where it was not asked for
    test_mean: Array  # (T, M) or (T, M, k)
    test_cov: Array  # (T, M, M)


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

    Raises:
        InvalidProgram: a kernel that is not square, finite and positive semidefinite, targets of another shape, a negative time or ridge.
    """
    k, target, initial, clock, weight = _prepare(kernel, y, times, f0, rate, ridge, relative, reduction)
    residual = (target - initial).reshape(len(k), -1)
    train, dual, values = _flow(k, residual, residual, clock, weight, spectral.floor(k, cut))
    spectral.require_psd("kernel", k, values)
    shape = (len(clock), *target.shape)
    return Trajectory(jnp.asarray(times), initial + train.reshape(shape), dual.reshape(shape))


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
) -> Ensemble:
    """Mean and covariance of gradient flow over f_0 ~ GP(0, nngp) (Lee et al. 2019, eq. 13-16).

    With R_t = exp(-K t) and A_t = K(test, train) K^+ (1 - R_t): train: mean (1 - R) y, covariance R Q R;
    test: mean A y, covariance Q** - A Q(train, test) - its transpose + A Q A^T, Q the nngp. `gradient_flow` says what a ridge and a cut are.

    Args:
        ntk: the kernel of the trained tensors. All trained: the NTK. Only the readout: the NNGP; t = inf is then the Gaussian process posterior.
        nngp: the covariance of f_0.
        train: False leaves out the covariance at the training points, which costs more than all else.
    """
    k, target, _, clock, weight = _prepare(ntk.train, y, times, None, rate, ridge, relative, reduction)
    cross, q, q_cross, q_test = (jnp.asarray(a, dtype=k.dtype) for a in (ntk.cross, *nngp))
    _require_blocks(len(k), cross, q, q_cross, q_test)
    n, m = len(k), len(cross)
    flat = target.reshape(n, -1)
    moved, a, values = _flow(k, jnp.concatenate([jnp.eye(n), flat], axis=1) if train else flat, cross.T, clock, weight, spectral.floor(k, cut))
    spectral.require_psd("ntk.train", k, values)
    stays, a = jnp.eye(n) - moved[..., :n] if train else None, jnp.swapaxes(a, 1, 2)  # R_t and A_t
    mixed = a @ q_cross.T
    return Ensemble(
        jnp.asarray(times),
        moved[..., -flat.shape[1] :].reshape(len(clock), *target.shape),
        None if stays is None else _symmetric(stays @ q @ stays),
        (a @ flat).reshape(len(clock), m, *target.shape[1:]),
        _symmetric(q_test - mixed - jnp.swapaxes(mixed, 1, 2) + a @ q @ jnp.swapaxes(a, 1, 2)),
    )


@jax.jit
def _flow(k: Array, r: Array, s: Array, clock: Array, ridge: Array, floor: Array) -> tuple[Array, Array, Array]:
    """(K _dual(K) r, _dual(K) s) at all times, (T, N, m), and the eigenvalues of K.

    The first is found by its own eigenvalues, not by a product with K that would lose digits. Compiled together, since the three
    eigendecompositions then become one.
    """
    at_all_times = jax.vmap(spectral.apply, in_axes=(None, None, None, 0, None, None))
    values, _ = jnp.linalg.eigh(k)
    return at_all_times(_moved, k, r, clock, ridge, floor), at_all_times(_dual, k, s, clock, ridge, floor), values


def _dual(value: Array, t: Array, ridge: Array, floor: Array) -> Array:
    """(1 - exp(-s t)) / s with s = value + ridge; 0 where s is null."""
    s = jnp.maximum(value, 0.0) + ridge
    alive = s > floor
    s, forever = jnp.where(alive, s, 1.0), jnp.isinf(t)
    return jnp.where(alive, jnp.where(forever, 1.0, -jnp.expm1(-s * jnp.where(forever, 1.0, t))) / s, 0.0)


def _moved(value: Array, t: Array, ridge: Array, floor: Array) -> Array:
    return jnp.maximum(value, 0.0) * _dual(value, t, ridge, floor)


def _prepare(
    kernel: ArrayLike, y: ArrayLike, times: ArrayLike, f0: ArrayLike | None, rate: ArrayLike, ridge: ArrayLike, relative: bool, reduction: Reduction
) -> tuple[Array, Array, Array, Array, Array]:
    """The kernel, targets, f_0, the times in units of 1 / K, and the ridge in units of K."""
    k = kernel_matrix("kernel", kernel)
    target, initial = start(len(k), y, f0)
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
