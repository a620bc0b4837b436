"""Chebyshev series on [-1, 1], and the variable in which kernels are short ones (Trefethen 2013, Approximation Theory and Approximation Practice)."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import numpy as np


def points(n: int) -> np.ndarray:
    """The n zeros of T_n: interior, so that no kernel is asked exactly at equal or opposite inputs."""
    return np.cos(pi * (np.arange(n) + 0.5) / n)


def coefficients(values: np.ndarray, axis: int) -> np.ndarray:
    """Those of the interpolant through values at `points`."""
    n = values.shape[axis]
    matrix = np.cos(pi * np.outer(np.arange(n), np.arange(n) + 0.5) / n) * (2.0 / n)
    matrix[0] /= 2
    return np.moveaxis(np.tensordot(matrix, values, (1, axis)), 0, axis)


def vandermonde(x: np.ndarray, n: int) -> np.ndarray:
    """T_0 .. T_{n-1} at x, along a last axis."""
    return np.polynomial.chebyshev.chebvander(np.clip(x, -1.0, 1.0), n - 1)


def length(c: np.ndarray, axis: int, tolerance: float) -> int:
    """How many coefficients along an axis come before all later ones are at most `tolerance`.

    It is not their sum that counts: after the last that matters there is rounding in every one of them.
    """
    sizes = np.abs(np.moveaxis(c, axis, -1)).reshape(-1, c.shape[axis]).max(0)
    return max(1, int(np.max(np.nonzero(sizes > tolerance)[0], initial=0)) + 1)


@dataclass(frozen=True)
class Angle:
    """t(theta) maps [start, pi] to [-1, 1] by u / (1 + b u), u = theta - start.

    A deep kernel varies on the scale 1 / depth near theta = 0, as theta / (1 + b theta) does: in t its series has the same length at any depth.
    Angles below `start` are outside of the series.
    """

    b: float = 0.0
    start: float = 0.0

    def theta(self, t: np.ndarray) -> np.ndarray:
        u = (t + 1) / 2 * (pi - self.start) / (1 + (pi - self.start) * self.b)
        return self.start + u / (1 - self.b * u)

    def t(self, theta: np.ndarray) -> np.ndarray:
        u, whole = theta - self.start, pi - self.start
        return 2 * u * (1 + whole * self.b) / (whole * (1 + self.b * u)) - 1


ANGLES = tuple(Angle(b, start) for start in (0.0, 0.1, 0.3) for b in (0.0, 0.25, 0.5, 1.0, 2.0))
