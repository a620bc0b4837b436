"""The exact solution of two-layer linear networks (Domine et al. 2025, arXiv 2409.14623, Theorem 4.3), in a form that is stable at all times.

Gradient flow on (1/2N) |W2 W1 X - Y|^2 with whitened X and lambda-balanced weights is a matrix Riccati equation for Q = [W1^T; W2]:

    tau d QQ^T/dt = F QQ^T + QQ^T F - (QQ^T)^2,     F = [[-lambda/2 I, Sigma^T], [Sigma, lambda/2 I]],     Sigma = Y^T X / N.

With the compact SVD Sigma = U~ S~ V~^T, complements U~p, V~p, and S = sqrt(S~^2 + lambda^2/4), F has the eigenpairs +-S and lp/2, and

    QQ^T(t) = Z A^-1 Z^T,    Z, A linear in e^{S t} B^T, e^{-S t} C^T, e^{lp t / 2} D^T,    B = W2^T U~ g+ + W1 V~ g-,   lp = sgn(No - Ni) lambda.

e^{S t} outgrows float64. But Z A^-1 Z^T = (Z T)(T^T A T)^-1 (Z T)^T for every invertible T: take for T an orthogonal matrix that brings B^T to
lower echelon form L (modes in order of decreasing S), times e^{-S_j t} in the column of the pivot in row j and e^{-max(lp, 0) t / 2} in the
columns that B^T annihilates. Then e^{S t} B^T T has the entries L_ij e^{(S_i - S_j) t}, i >= j: no exponent is positive at any time. Nothing is
divided by B, so that a singular B (the stable manifold of a saddle), more or fewer hidden units than modes, and lambda = 0 are no special cases.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, assert_never

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import expm, solve_triangular

from tensorprog.errors import InvalidProgram, OutsideTheory
from tensorprog.study.linear.balance import Floats, Shape, Weights, layers, weights

Form = Literal["stable", "za", "riccati"]


@dataclass(frozen=True, eq=False)
class Modes:
    """Sigma, lambda and the initial weights in the eigenbasis of F, modes in order of decreasing S (k of them)."""

    shape: Shape
    lam: float
    u: Floats  # (No, k)
    v: Floats  # (Ni, k)
    up: Floats  # (No, No - k)
    vp: Floats  # (Ni, Ni - k)
    target: Floats  # (k,): S~
    s: Floats  # (k,): sqrt(S~^2 + lambda^2 / 4)
    plus: Floats  # (k,): g+ = (1 + H) / sqrt(1 + H^2)
    minus: Floats  # (k,): g-
    b: Floats  # (Nh, k)
    c: Floats  # (Nh, k)
    d1: Floats  # (Nh, Ni - k): W1 V~p
    d2: Floats  # (Nh, No - k): W2^T U~p

    @property
    def lp(self) -> float:
        return float(np.sign(self.shape.no - self.shape.ni)) * self.lam

    @property
    def growing(self) -> Floats:
        """[V~ g-; U~ g+] / 2, (Ni + No, k): the directions that e^{S t} B^T multiplies."""
        return np.concatenate([self.v * self.minus, self.u * self.plus]) / 2

    @property
    def decaying(self) -> Floats:
        """[-V~ g+; U~ g-] / 2."""
        return np.concatenate([-self.v * self.plus, self.u * self.minus]) / 2

    @property
    def beside(self) -> Floats:
        """[V~p 0; 0 U~p], (Ni + No, Ni + No - 2 k): what Sigma does not touch."""
        (ni, a), (no, b) = self.vp.shape, self.up.shape
        return np.block([[self.vp, np.zeros((ni, b))], [np.zeros((no, a)), self.up]])

    @property
    def d(self) -> Floats:
        return np.concatenate([self.d1, self.d2], axis=1)

    @cached_property
    def echelon(self) -> tuple[Floats, tuple[int, ...]]:
        """T orthogonal (Nh, Nh) with B^T T in lower echelon form, and the row of the pivot in each of its first columns."""
        return echelon(self.b, float(np.hypot(np.linalg.norm(self.b), np.linalg.norm(self.c))))

    @property
    def saddle(self) -> bool:
        """Whether fewer modes than possible are ever learned: B is singular, and the flow ends on a saddle."""
        return len(self.echelon[1]) < min(self.shape.nh, int((self.s > 0).sum()))

    @property
    def condition(self) -> float:
        """The condition number of B; infinite at a saddle."""
        values = np.linalg.svd(self.b, compute_uv=False)
        return float(values[0] / values[-1]) if values[-1] > 0 and not self.saddle else np.inf


@dataclass(frozen=True, eq=False)
class Solution:
    """QQ^T at T times, and how it was found.

    Attributes:
        time: (T,), in units of tau.
        q: (T, Ni + No, Nh): one Q = [W1^T; W2] with QQ^T as solved; the weights of gradient flow are this up to an orthogonal matrix on the right.
        modes: the task in the eigenbasis of F.
        defect: the largest entry of W2^T W2 - W1 W1^T - lambda I at the start; the solution is exact for 0, and off by O(defect) otherwise.
        form: which formula.
    """

    time: Floats
    q: Floats
    modes: Modes
    defect: float
    form: Form

    @property
    def lam(self) -> float:
        return self.modes.lam

    @property
    def saddle(self) -> bool:
        """Whether the flow converges to a saddle instead of Sigma (lambda = 0 and an initial product of the wrong orientation)."""
        return self.modes.saddle

    @property
    def condition(self) -> float:
        """The condition number of B: about so many rounding units is the relative error of late times (for lambda -> 0 it grows as 1 / |lambda|)."""
        return self.modes.condition

    @cached_property
    def qq(self) -> Floats:
        """(T, Ni + No, Ni + No)."""
        return self.q @ np.swapaxes(self.q, 1, 2)

    @property
    def product(self) -> Floats:
        """W2 W1, (T, No, Ni)."""
        ni = self.modes.shape.ni
        return self.qq[:, ni:, :ni]

    @property
    def inner(self) -> Floats:
        """W1^T W1, (T, Ni, Ni): the representation of inputs."""
        ni = self.modes.shape.ni
        return self.qq[:, :ni, :ni]

    @property
    def outer(self) -> Floats:
        """W2 W2^T, (T, No, No): the representation of outputs."""
        ni = self.modes.shape.ni
        return self.qq[:, ni:, ni:]

    @property
    def loss(self) -> Floats:
        """(1/2) |W2 W1 - Sigma|^2, (T,): the loss up to the part of the targets that is not linear in the inputs."""
        sigma = (self.modes.u * self.modes.target) @ self.modes.v.T
        return 0.5 * ((self.product - sigma) ** 2).sum((1, 2))

    def weights(self, i: int = -1) -> Weights:
        """Weights at the i-th time, balanced as the initial ones; equal to those of gradient flow up to a rotation of the hidden layer."""
        ni = self.modes.shape.ni
        return Weights(self.q[i, :ni].T.copy(), self.q[i, ni:].copy())


def solve(
    w1: ArrayLike, w2: ArrayLike, sigma: ArrayLike, times: ArrayLike, *, tau: float = 1.0, tolerance: float = 1e-8, form: Form = "stable"
) -> Solution:
    """QQ^T(t) of gradient flow from balanced weights.

    Args:
        w1, w2: (Nh, Ni) and (No, Nh), lambda-balanced, e.g. from `balanced`.
        sigma: Y^T X / N, (No, Ni), of whitened inputs; see `correlation`.
        times: (T,) numbers >= 0; infinity is allowed in the stable form.
        tau: the time constant, 1 / learning rate.
        tolerance: how far W2^T W2 - W1 W1^T may be from lambda I, relative to |W1|^2 + |W2|^2. The error is of that order.
        form: "za" and "riccati" are the same formula as printed; they lose all digits for max S t > 18 and are there to show it.

    Raises:
        InvalidProgram: shapes that do not fit, weights that are not balanced, a negative time, or tau <= 0.
        OutsideTheory: the Riccati form where F is singular (lambda = 0 and Ni != No).
    """
    start = weights(w1, w2)
    at = _times(times, tau)
    if start.defect > tolerance * start.size:
        raise InvalidProgram(
            f"[balance] W2^T W2 - W1 W1^T differs from {start.lam:.4g} I by {start.defect:.2g}: the closed form needs lambda-balanced weights. "
            "Draw them with `balanced`, allow it with tolerance=..., or integrate with `integrate`."
        )
    if form != "stable" and not np.isfinite(at).all():
        raise InvalidProgram(f"[time] the form {form!r} has no value at t = inf. Take form='stable'.")
    m = modes(start, sigma)
    match form:
        case "stable":
            factor: Callable[[float], Floats] = lambda t: stable(m, t)  # noqa: E731
        case "za":
            factor = lambda t: _za(m, t)  # noqa: E731
        case "riccati":
            factor = lambda t: _riccati(m, start, t)  # noqa: E731
        case _:
            assert_never(form)
    return Solution(np.atleast_1d(np.asarray(times, dtype=np.float64)), np.stack([factor(t) for t in at]), m, start.defect, form)


def limit(shape: Shape, lam: float, sigma: ArrayLike) -> tuple[Floats, Floats]:
    """(W1^T W1, W2 W2^T) to which full-rank flows tend, V~ S1^2 V~^T and U~ S2^2 U~^T with S2,1^2 = (sqrt(lambda^2 + 4 S~^2) +- lambda) / 2."""
    u, s, vt = np.linalg.svd(np.asarray(sigma, dtype=np.float64), full_matrices=False)
    s1, s2 = layers(s[: shape.nh], lam)
    u, vt = u[:, : shape.nh], vt[: shape.nh]
    return vt.T @ (s1[:, None] ** 2 * vt), (u * s2**2) @ u.T


def modes(start: Weights, sigma: ArrayLike, lam: float | None = None) -> Modes:
    """Sigma and the initial weights in the eigenbasis of F; lambda is that of the weights unless given.

    Raises:
        InvalidProgram: sigma is not a finite (No, Ni) matrix.
    """
    shape, lam = start.shape, start.lam if lam is None else lam
    target = np.asarray(sigma, dtype=np.float64)
    if target.shape != (shape.no, shape.ni) or not np.isfinite(target).all():
        raise InvalidProgram(f"[shape] sigma has shape {target.shape}; wanted a finite (No, Ni) = {(shape.no, shape.ni)} matrix, Y^T X / N.")
    u, s, vt = np.linalg.svd(target)
    k = len(s)
    u, up, v, vp = u[:, :k], u[:, k:], vt[:k].T, vt[k:].T
    total = np.hypot(s, lam / 2)
    h = np.divide(lam / 2, total + s, out=np.zeros_like(s), where=total > 0)  # = sgn(lambda) sqrt((S - S~) / (S + S~)), without cancellation
    g = 1 / np.sqrt(1 + h**2)
    plus, minus = g * (1 + h), g * (1 - h)
    b = start.w2.T @ u * plus + start.w1 @ v * minus
    c = start.w2.T @ u * minus - start.w1 @ v * plus
    return Modes(shape, lam, u, v, up, vp, s, total, plus, minus, b, c, start.w1 @ vp, start.w2.T @ up)


def echelon(b: Floats, scale: float) -> tuple[Floats, tuple[int, ...]]:
    """T orthogonal and the pivot rows with (B^T T)_ij = 0 above the pivot of column j and in all columns beyond the pivots.

    What is below 64 rounding units of `scale`, the size of the weights, counts as zero.
    """
    nh, k = b.shape
    zero = 64 * np.finfo(float).eps * scale
    found, rest, rows = np.zeros((nh, 0)), np.eye(nh), list[int]()
    for i in range(k):
        seen = rest.T @ b[:, i]
        if rest.shape[1] and np.linalg.norm(seen) > zero:
            q, _ = np.linalg.qr(seen[:, None], mode="complete")
            found, rest = np.concatenate([found, rest @ q[:, :1]], axis=1), rest @ q[:, 1:]
            rows.append(i)
    return np.concatenate([found, rest], axis=1), tuple(rows)


# The three forms: each gives a factor Q, (Ni + No, Nh), of QQ^T(t).


def stable(m: Modes, t: float) -> Floats:
    """Z T (T^T A T)^(-1/2), every exponent <= 0."""
    if np.isinf(t):
        return _forever(m)
    turn, rows = m.echelon
    rank, up = len(rows), max(m.lp, 0.0)
    rate = np.concatenate([m.s[list(rows)], np.full(m.shape.nh - rank, up / 2)])
    scale = np.exp(-rate * t)
    growing = m.b.T @ turn * (np.arange(len(m.s))[:, None] >= np.array([*rows, *[len(m.s)] * (m.shape.nh - rank)]))
    growing *= np.exp(np.minimum(m.s[:, None] - rate, 0.0) * t)
    decaying = m.c.T @ turn * scale
    beside = m.d.T @ turn * np.exp((up / 2 - rate) * t)
    z = m.growing @ growing + m.decaying @ (np.exp(-m.s * t)[:, None] * decaying) + m.beside @ (beside * np.exp(min(m.lp, 0.0) * t / 2))
    weight = _saturating(2 * m.s, t) / 2  # (1 - e^{-2 S t}) / (4 S)
    a = np.diag(scale**2) + growing.T @ (weight[:, None] * growing) + decaying.T @ (weight[:, None] * decaying)
    a += _saturating(np.array(abs(m.lp)), t) * beside.T @ beside
    return _root(z, a)


def _forever(m: Modes) -> Floats:
    """The limit t = inf: only columns with pivots stay, in them the rows of equal S; and with lp > 0 what the complement holds."""
    turn, rows = m.echelon
    chosen = [(j, i) for j, i in enumerate(rows) if m.s[i] > 0]
    l = m.b.T @ turn
    ties = np.zeros((len(m.s), len(chosen)))
    for column, (j, i) in enumerate(chosen):
        same = (np.arange(len(m.s)) >= i) & np.isclose(m.s, m.s[i], rtol=1e-12, atol=0)
        ties[same, column] = l[same, j]
    q = np.zeros((m.shape.ni + m.shape.no, m.shape.nh))
    if chosen:
        inverse = np.divide(0.25, m.s, out=np.zeros_like(m.s), where=m.s > 0)
        q[:, : len(chosen)] = _root(m.growing @ ties, ties.T @ (inverse[:, None] * ties))
    if m.lp > 0 and m.shape.nh > len(rows):
        held = m.d.T @ turn[:, len(rows) :]
        basis, values, _ = np.linalg.svd(held, full_matrices=False)
        kept = basis[:, values > 1e-12 * max(values.max(initial=0.0), 1e-300)]
        q[:, len(rows) : len(rows) + kept.shape[1]] = np.sqrt(m.lp) * m.beside @ kept
    return q


def _za(m: Modes, t: float) -> Floats:
    """Z1, Z2 and A as printed (equations 13 to 15)."""
    with np.errstate(over="ignore", invalid="ignore"):
        grow, fall = np.exp(m.s * t), np.exp(-m.s * t)
        z = m.growing @ (grow[:, None] * m.b.T) + m.decaying @ (fall[:, None] * m.c.T) + np.exp(m.lp * t / 2) * m.beside @ m.d.T
        weights_b, weights_c = np.expm1(2 * m.s * t) / (4 * m.s), np.expm1(-2 * m.s * t) / (4 * m.s)
        a = np.eye(m.shape.nh) + (m.b * weights_b) @ m.b.T - (m.c * weights_c) @ m.c.T
        a += (np.expm1(m.lp * t) / m.lp if m.lp else t) * m.d @ m.d.T
        return _root(z, a)


def _riccati(m: Modes, start: Weights, t: float) -> Floats:
    """e^{F t} Q0 [I + Q0^T (e^{F t} F^-1 e^{F t} - F^-1) Q0 / 2]^-1 Q0^T e^{F t}, by matrix exponentials."""
    if m.lam == 0 and m.shape.ni != m.shape.no:
        raise OutsideTheory("[riccati] F is singular for lambda = 0 and Ni != No, so that this form divides by 0. Take form='stable'.")
    ni, no = m.shape.ni, m.shape.no
    sigma = (m.u * m.target) @ m.v.T
    f = np.block([[-m.lam / 2 * np.eye(ni), sigma.T], [sigma, m.lam / 2 * np.eye(no)]])
    q0 = np.concatenate([start.w1.T, start.w2])
    with np.errstate(over="ignore", invalid="ignore"):
        e, inverse = expm(f * t), np.linalg.inv(f)
        return _root(e @ q0, np.eye(m.shape.nh) + q0.T @ (e @ inverse @ e - inverse) @ q0 / 2)


def _root(z: Floats, a: Floats) -> Floats:
    """Z L^-T with A = L L^T, a factor of Z A^-1 Z^T; NaN where rounding has left nothing of A."""
    a = (a + a.T) / 2
    try:
        factor = np.linalg.cholesky(a)
    except np.linalg.LinAlgError:
        return np.full_like(z, np.nan)
    return solve_triangular(factor, z.T, lower=True).T


def _saturating(rate: Floats, t: float) -> Floats:
    """(1 - e^{-rate t}) / rate for rates >= 0; t where the rate is 0."""
    return np.divide(-np.expm1(-rate * t), rate, out=np.full_like(rate, t), where=rate > 0)


def _times(times: ArrayLike, tau: float) -> Floats:
    at = np.atleast_1d(np.asarray(times, dtype=np.float64))
    if at.ndim != 1 or np.isnan(at).any() or (at < 0).any():
        raise InvalidProgram(f"[time] times have shape {at.shape} and must be a list of numbers >= 0 (infinity is allowed).")
    if not (np.isfinite(tau) and tau > 0):
        raise InvalidProgram(f"[time] tau is {tau}. Give the positive time constant, 1 / learning rate.")
    return at / tau
