"""Singular values of aligned networks (Domine et al. 2025, Theorem 5.1): tau s' = sqrt(lambda^2 + 4 s^2) (s~ - s), one equation a mode.

With a^2 = lambda^2 / 4, S0 = sqrt(s0^2 + a^2) and S = sqrt(s~^2 + a^2) the solution is s(t) = s0 + gamma(t) (s~ - s0),

    gamma = [S S0 sinh(2 S t) + (s~ s0 + a^2)(cosh(2 S t) - 1)] / [S S0 sinh(2 S t) + (s~ s0 + a^2) cosh(2 S t) + s~ (s~ - s0)].

It runs from the sigmoid of deep linear networks (lambda = 0: rich) to 1 - e^{-|lambda| t} (|lambda| -> inf: lazy, kernel gradient flow).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from tensorprog.errors import InvalidProgram
from tensorprog.study.linear.balance import Floats


def gamma(start: ArrayLike, target: ArrayLike, lam: ArrayLike, time: ArrayLike) -> Floats:
    """gamma(t) in [0, 1], the fraction of the way from s0 to s~; arguments broadcast. Time is in units of tau, infinity is allowed.

    Numerator and denominator are multiplied by 2 e^{-2 S t}, so that no exponent is positive, and S S0 + s~ s0 + a^2 is formed without cancellation.
    For lambda = 0 and s0 <= 0 the flow ends at 0 (the separatrix), and gamma tends to what leads there.

    Raises:
        InvalidProgram: a negative target (turn a singular vector instead) or a negative time.
    """
    s0, s, a, t = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (start, target, np.asarray(lam) / 2.0, time)))
    if (s < 0).any() or (t < 0).any() or np.isnan(t).any():
        raise InvalidProgram("[modes] targets are singular values and times are durations: both >= 0. Turn the sign of a singular vector instead.")
    big, big0 = np.hypot(s, a), np.hypot(s0, a)
    still = big == 0  # lambda = s~ = 0: s' = -2 s |s|
    rate = 2 * np.where(still, 1.0, big)
    fall, risen = np.exp(-rate * t), -np.expm1(-rate * t)
    excess, cross = _excess(s, s0, a, big, big0), s * s0 + a**2
    above = risen * (excess + (big * big0 - cross) * fall)
    below = excess + (cross - big * big0) * fall**2 + 2 * s * (s - s0) * fall
    ordinary = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
    ordinary = np.where((excess == 0) & (s0 < 0), _separatrix(s, s0, risen), ordinary)
    slow = np.abs(s0) * 2 * np.where(np.isinf(t), 1.0, t)
    return np.where(still, np.where(np.isinf(t), 1.0 * (s0 != 0), slow / (1 + slow)), ordinary)


def singular_values(start: ArrayLike, target: ArrayLike, lam: ArrayLike, time: ArrayLike) -> Floats:
    """s(t) = s0 + gamma(t) (s~ - s0)."""
    s0, s = np.asarray(start, dtype=np.float64), np.asarray(target, dtype=np.float64)
    return s0 + gamma(s0, s, lam, time) * (s - s0)


def _excess(s: Floats, s0: Floats, a: Floats, big: Floats, big0: Floats) -> Floats:
    """S S0 + s~ s0 + a^2; for s0 < 0 as the quotient (S^2 S0^2 - (s~ s0 + a^2)^2) / (S S0 - s~ s0 - a^2) = a^2 (s~ - s0)^2 / (..)."""
    difference = big * big0 - s * s0 - a**2
    quotient = np.divide((a * (s - s0)) ** 2, difference, out=np.zeros_like(a), where=difference > 0)
    return np.where(s * s0 + a**2 >= 0, big * big0 + s * s0 + a**2, quotient)


def _separatrix(s: Floats, s0: Floats, risen: Floats) -> Floats:
    """lambda = 0, s0 < 0 < s~: gamma = |s0| (1 - e^{-2 s~ t}) / (s~ + |s0| (1 - e^{-2 s~ t}))."""
    moved = np.abs(s0) * risen
    return np.divide(moved, s + moved, out=np.zeros_like(moved), where=s + moved > 0)
