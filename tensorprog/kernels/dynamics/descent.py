"""Kernel gradient descent, step by step: f_{t+1}(xi) = f_t(xi) - eta K(xi, xi_t) L'(f_t(xi_t)) (Yang & Littwin 2021, Thm 5.3)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.precision import double, traced
from tensorprog.kernels.dynamics.losses import Loss, LossLike, as_loss, gradient, squared
from tensorprog.kernels.dynamics.trajectory import Reduction, Trajectory, kernel_matrix, start

Rate = ArrayLike | Callable[[int], ArrayLike]


class UnstableRate(UserWarning):
    """The learning rate is above the largest at which every step of gradient descent contracts."""


@double
def gradient_descent(
    kernel: ArrayLike,
    y: ArrayLike,
    *,
    rate: Rate,
    steps: int,
    f0: ArrayLike | None = None,
    loss: LossLike = squared,
    batches: ArrayLike | None = None,
    momentum: ArrayLike = 0.0,
    reduction: Reduction = "sum",
    record: int = 1,
) -> Trajectory:
    """f_{t+1} = f_t - eta_t K(., B_t) L'(f_t(B_t)), with B_t one point (the paper's), a minibatch, or all training points.

    With momentum mu, the heavy ball: q_{t+1} = mu q_t + K(., B_t) L'(f_t(B_t)), f_{t+1} = f_t - eta_t q_{t+1}. The limit of a network trained so.

    Args:
        kernel: K(train, train), (N, N).
        y: targets, (N,) or (N, k); integer labels for the cross entropy.
        rate: eta: a number, one number a step, or a function of the step.
        f0: outputs before training, (N,) or (N, k); 0 unless given.
        loss: L(f, y) of one point, from `losses` or any JAX-differentiable function.
        batches: the points of each step, (steps,) or (steps, B), e.g. from `minibatches`; all points unless given.
        reduction: a batch's loss is the "sum" over its points, or their "mean".
        record: keep every so many steps (the start is always kept).

    Returns:
        steps / record + 1 times; see `Trajectory`.

    Raises:
        InvalidProgram: a shape, an index or a number that has no meaning.

    Warns:
        UnstableRate: the rate is above `largest_stable_rate`.
    """
    k = kernel_matrix("kernel", kernel)
    target, f = start(k.shape[0], y, f0)
    eta, batch = schedule(rate, steps), batch_indices(batches, steps, k.shape[0])
    if record < 1 or steps % record:
        raise InvalidProgram(f"[record] every {record} steps of {steps} cannot be kept. Take a divisor of {steps}.")
    _warn_unstable(k, batch, eta, loss, momentum, reduction)
    scale = 1.0 if reduction == "sum" else 1.0 / (k.shape[0] if batch is None else batch.shape[1])
    train, dual = _descend(as_loss(loss), record, k, target, f, eta, batch, jnp.asarray(momentum, dtype=k.dtype), jnp.asarray(scale, dtype=k.dtype))
    return Trajectory(jnp.arange(0, steps + 1, record), train, dual)


@partial(jax.jit, static_argnums=(0, 1))
def _descend(
    loss: Loss, record: int, k: Array, target: Array, f: Array, rates: Array, batches: Array | None, momentum: Array, scale: Array
) -> tuple[Array, Array]:
    """f_t and a_t at times 0, record, 2 record ..."""
    slope = gradient(loss)
    zero = jnp.zeros_like(f)

    def step(state: tuple[Array, ...], now: tuple[Array, Array | None]) -> tuple[tuple[Array, ...], None]:
        f, a, q, p = state  # q = K p: the heavy ball's velocity, in function space and in dual coordinates
        eta, b = now
        g = scale * (slope(f, target) if b is None else slope(f[b], target[b]))
        p = momentum * p + (g if b is None else zero.at[b].add(g))
        q = momentum * q + (k if b is None else k[:, b]) @ g
        return (f - eta * q, a - eta * p, q, p), None

    def stretch(state: tuple[Array, ...], now: tuple[Array, Array | None]) -> tuple[tuple[Array, ...], tuple[Array, Array]]:
        state, _ = jax.lax.scan(step, state, now)
        return state, (state[0], state[1])

    chunks = jax.tree.map(lambda s: s.reshape(-1, record, *s.shape[1:]), (rates, batches))
    _, (train, dual) = jax.lax.scan(stretch, (f, zero, zero, zero), chunks)
    return jnp.concatenate([f[None], train]), jnp.concatenate([zero[None], dual])


@double
def largest_stable_rate(
    kernel: ArrayLike, *, curvature: float = 1.0, momentum: ArrayLike = 0.0, batches: ArrayLike | None = None, reduction: Reduction = "sum"
) -> Array:
    """2 (1 + mu) / (curvature lambda), lambda the largest eigenvalue of K(B, B) over the batches B (all points: of K; one point: max K(xi, xi)).

    For the squared loss on all points gradient descent converges below it and diverges above it; with minibatches, and no momentum, no step
    below it increases the distance to an interpolating solution. For another convex loss, `curvature` is the largest eigenvalue of its Hessian.
    """
    k = kernel_matrix("kernel", kernel)
    batch = None if batches is None else batch_indices(batches, len(jnp.asarray(batches)), k.shape[0])
    size = k.shape[0] if batch is None else batch.shape[1]
    return (size if reduction == "mean" else 1.0) * 2.0 * (1.0 + jnp.asarray(momentum)) / (curvature * _largest_eigenvalue(k, batch))


@double
def minibatches(key: Array, n: int, size: int, steps: int) -> Array:
    """(steps, size) indices: each epoch visits a fresh random order of n points, n // size batches at a time."""
    if not 1 <= size <= n:
        raise InvalidProgram(f"[batch] batches of {size} cannot be drawn from {n} points. Take a size between 1 and {n}.")
    each = n // size
    keys = jax.random.split(key, -(-steps // each))
    orders = jax.vmap(lambda k: jax.random.permutation(k, n)[: each * size].reshape(each, size))(keys)
    return orders.reshape(-1, size)[:steps]


def schedule(rate: Rate, steps: int) -> Array:
    """eta_t for t = 0 .. steps - 1.

    Raises:
        InvalidProgram: an array that has not one number a step, or rates that are not finite.
    """
    eta = jnp.asarray([rate(t) for t in range(steps)] if callable(rate) else rate, dtype=jnp.result_type(float))
    if eta.shape not in ((), (steps,)):
        raise InvalidProgram(f"[rate] the learning rate has shape {eta.shape}; wanted a number, ({steps},), or a function of the step.")
    if not traced(eta) and not np.isfinite(np.asarray(eta)).all():
        raise InvalidProgram("[rate] the learning rate is not finite. Take one below `largest_stable_rate`.")
    return jnp.broadcast_to(eta, (steps,))


def batch_indices(batches: ArrayLike | None, steps: int, n: int) -> Array | None:
    """The points of each step, (steps, B); None: all points.

    Raises:
        InvalidProgram: not integers, not one batch a step, or points that do not exist.
    """
    if batches is None:
        return None
    b = jnp.asarray(batches)
    if b.ndim not in (1, 2) or len(b) != steps or not jnp.issubdtype(b.dtype, jnp.integer):
        raise InvalidProgram(f"[batch] batches have shape {b.shape} and type {b.dtype}; wanted integers, ({steps},) or ({steps}, size).")
    if not traced(b) and steps:
        least, most = np.min(np.asarray(b)), np.max(np.asarray(b))
        if least < 0 or most >= n:
            raise InvalidProgram(f"[batch] batches name points {least} .. {most}, but there are {n}: 0 .. {n - 1}.")
    return b.reshape(steps, -1)


def _largest_eigenvalue(k: Array, batch: Array | None) -> Array:
    if batch is None:
        return jnp.linalg.eigvalsh(k)[-1]
    if batch.shape[1] == 1:
        return jnp.diagonal(k)[batch[:, 0]].max()
    return jax.lax.map(lambda b: jnp.linalg.eigvalsh(k[jnp.ix_(b, b)])[-1], batch).max()


def _warn_unstable(k: Array, batch: Array | None, eta: Array, loss: LossLike, momentum: ArrayLike, reduction: Reduction) -> None:
    curvature = as_loss(loss).curvature
    if curvature is None or not len(eta) or traced(k, batch, eta, momentum):
        return
    scale = 1.0 if reduction == "sum" else 1.0 / (len(k) if batch is None else batch.shape[1])
    highest = float(np.max(eta))
    if highest * curvature * scale * np.abs(np.asarray(k)).sum(1).max() <= 2.0:  # a row sum bounds every eigenvalue
        return
    with jax.ensure_compile_time_eval():
        largest = float(largest_stable_rate(k, curvature=curvature, momentum=momentum, batches=batch, reduction=reduction))
    if highest > largest:
        certain = "steps diverge" if as_loss(loss).exact and batch is None else "steps may diverge"
        message = f"learning rate {highest:.4g}: {certain} above {largest:.4g} = 2 (1 + momentum) / (curvature lambda)"
        warnings.warn(message, UnstableRate, stacklevel=4)
