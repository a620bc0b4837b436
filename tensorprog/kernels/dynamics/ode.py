"""Gradient flow on any loss, with or without a heavy ball, as an ordinary differential equation in the dual coefficients."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.precision import double
from tensorprog.kernels.dynamics.losses import LossLike, gradient, squared
from tensorprog.kernels.dynamics.trajectory import Reduction, Trajectory, kernel_matrix, start

Floats = NDArray[np.float64]


@double
def loss_flow(
    kernel: ArrayLike,
    y: ArrayLike,
    times: ArrayLike,
    *,
    f0: ArrayLike | None = None,
    loss: LossLike = squared,
    rate: float = 1.0,
    momentum: float | None = None,
    reduction: Reduction = "sum",
    tolerance: float = 1e-9,
    method: str = "DOP853",
) -> Trajectory:
    """df/dt = -eta K L'(f); with momentum mu the heavy ball f' = q, q' = -(1 - mu) q - eta K L'(f), q_0 = 0. Solved in a, with f = f_0 + K a.

    Args:
        kernel: K(train, train), (N, N).
        y: targets, (N,), (N, k), or integer labels for the cross entropy.
        times: (T,), finite, in any order.
        loss: L(f, y) of one point, from `losses` or any JAX-differentiable function.
        momentum: mu in [0, 1]; None: no heavy ball.
        tolerance: relative, of the solver (absolute: a hundredth of it).
        method: of scipy's solve_ivp. DOP853 (Dormand & Prince, order 8) evaluates L' about eta lambda_max t times; stiff kernels: "LSODA", "Radau".

    Returns:
        A trajectory whose `error` is the difference from a solution at ten times the tolerance.

    Raises:
        InvalidProgram: shapes that do not fit, times that are not finite, or a solver that gives up.
    """
    k = kernel_matrix("kernel", kernel)
    target, initial = start(len(k), y, f0)
    at = np.asarray(times, dtype=np.float64)
    if at.ndim != 1 or not np.isfinite(at).all() or (at < 0).any():
        raise InvalidProgram("[time] an ODE is solved at finite times >= 0. For t = inf of the squared loss take `gradient_flow`.")
    slope = gradient(loss)
    scale = rate / (len(k) if reduction == "mean" else 1)

    @jax.jit
    def velocity(state: Array) -> Array:
        a = state[0].reshape(initial.shape)
        push = -scale * slope(initial + k @ a, target).ravel()
        return push[None] if momentum is None else jnp.stack([state[1], -(1.0 - momentum) * state[1] + push])

    shape = (1 if momentum is None else 2, initial.size)
    fine, coarse = (_solve(velocity, shape, at, method, tol) for tol in (tolerance, 10 * tolerance))
    dual = jnp.asarray(fine[:, 0]).reshape(len(at), *initial.shape)
    error = jnp.abs(jnp.einsum("ij,tj...->ti...", k, jnp.asarray(fine[:, 0] - coarse[:, 0]).reshape(dual.shape))).max(initial=0.0)
    return Trajectory(jnp.asarray(at), initial + jnp.einsum("ij,tj...->ti...", k, dual), dual, error)


def _solve(velocity: jax.stages.Wrapped, shape: tuple[int, int], at: Floats, method: str, tolerance: float) -> Floats:
    """The state at the times `at`, (T, *shape), from 0 at time 0."""

    def right_hand_side(_: float, state: Floats) -> Floats:
        return np.asarray(velocity(state.reshape(shape)), dtype=np.float64).ravel()

    order, back = np.unique(at, return_inverse=True)
    end = max(float(order[-1]) if len(order) else 0.0, np.finfo(float).tiny)
    solution = solve_ivp(right_hand_side, (0.0, end), np.zeros(shape).ravel(), method, order, rtol=tolerance, atol=1e-2 * tolerance)
    if not solution.success:
        reached = solution.t[-1] if len(solution.t) else 0.0
        raise InvalidProgram(f"[ode] {method} gave up after time {reached:.4g} of {end:.4g}: {solution.message} Try method='LSODA'.")
    return solution.y.T.reshape(len(order), *shape)[back]
