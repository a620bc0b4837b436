"""Gradient flow and gradient descent of two-layer linear networks, integrated: what the exact solution is compared with.

W1' = W2^T E, W2' = E W1^T with E = Sigma - W2 W1. Whatever the balance, the products P = W1^T W1, R = W2 W2^T and M = W2 W1 obey a closed system,

    M' = E P + R E,    P' = M^T E + E^T M,    R' = M E^T + E M^T,

of (Ni + No)^2 numbers: a network of any hidden width is integrated at the cost of its inputs and outputs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp

from tensorprog.errors import InvalidProgram
from tensorprog.study.linear.balance import Floats, Weights


def integrate(start: Weights, sigma: ArrayLike, times: ArrayLike, *, tolerance: float = 1e-12) -> tuple[Floats, Floats]:
    """(W1 (T, Nh, Ni), W2 (T, No, Nh)) of gradient flow at increasing times, by DOP853."""
    target, cut = np.asarray(sigma, dtype=np.float64), start.w1.size

    def velocity(_: float, state: Floats) -> Floats:
        w1, w2 = state[:cut].reshape(start.w1.shape), state[cut:].reshape(start.w2.shape)
        e = target - w2 @ w1
        return np.concatenate([(w2.T @ e).ravel(), (e @ w1.T).ravel()])

    path = _solve(velocity, np.concatenate([start.w1.ravel(), start.w2.ravel()]), times, tolerance)
    return path[:, :cut].reshape(-1, *start.w1.shape), path[:, cut:].reshape(-1, *start.w2.shape)


def stacked(w1: Floats, w2: Floats) -> Floats:
    """QQ^T, (T, Ni + No, Ni + No), of weights along a path."""
    q = np.concatenate([np.swapaxes(w1, -1, -2), w2], axis=-2)
    return q @ np.swapaxes(q, -1, -2)


def integrate_products(qq: ArrayLike, sigma: ArrayLike, times: ArrayLike, *, tolerance: float = 1e-10) -> Floats:
    """QQ^T (T, .., Ni + No, Ni + No) of gradient flow from any weights, balanced or not, of any hidden width, by DOP853 on the closed system.

    Leading dimensions of `qq` are networks that are integrated together.
    """
    start, target = np.asarray(qq, dtype=np.float64), np.asarray(sigma, dtype=np.float64)
    ni = target.shape[1]

    def velocity(_: float, state: Floats) -> Floats:
        now = state.reshape(start.shape)
        p, m, r = now[..., :ni, :ni], now[..., ni:, :ni], now[..., ni:, ni:]
        e = target - m
        mt, et = np.swapaxes(m, -1, -2), np.swapaxes(e, -1, -2)
        out = np.empty_like(now)
        out[..., ni:, :ni] = e @ p + r @ e
        out[..., :ni, ni:] = np.swapaxes(out[..., ni:, :ni], -1, -2)
        out[..., :ni, :ni] = mt @ e + et @ m
        out[..., ni:, ni:] = m @ et + e @ mt
        return out.ravel()

    return _solve(velocity, start.ravel(), times, tolerance).reshape(-1, *start.shape)


def descend(w1: Floats, w2: Floats, sigma: Floats, rate: float | Floats, steps: int, record: int) -> tuple[Floats, Floats]:
    """Full-batch gradient descent, recorded every so many steps; leading dimensions of the weights are runs that go on together.

    Args:
        rate: the learning rate, or one a run, (runs, 1, 1).
    """
    w1, w2, path = w1.copy(), w2.copy(), [(w1, w2)]
    for step in range(1, steps + 1):
        e = sigma - w2 @ w1
        w1, w2 = w1 + rate * np.swapaxes(w2, -1, -2) @ e, w2 + rate * e @ np.swapaxes(w1, -1, -2)
        if step % record == 0:
            path.append((w1, w2))
    return np.stack([p[0] for p in path]), np.stack([p[1] for p in path])


def _solve(velocity: Callable[[float, Floats], Floats], start: Floats, times: ArrayLike, tolerance: float) -> Floats:
    at = np.atleast_1d(np.asarray(times, dtype=np.float64))
    if not np.isfinite(at).all() or (at < 0).any() or (np.diff(at) < 0).any():
        raise InvalidProgram("[time] an ODE is solved at finite, increasing times >= 0. For t = inf take `solve`.")
    if at[-1] == 0:
        return np.repeat(start[None], len(at), axis=0)
    found = solve_ivp(velocity, (0.0, at[-1]), start, "DOP853", at, rtol=tolerance, atol=1e-2 * tolerance)
    if not found.success:
        raise InvalidProgram(f"[ode] DOP853 gave up after time {found.t[-1] if len(found.t) else 0.0:.4g} of {at[-1]:.4g}: {found.message}")
    return found.y.T
