"""Odd functions by polynomials: f(sqrt z) / sqrt z is analytic where f is, so that its Chebyshev interpolant serves (Trefethen 2013, ch. 8)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import pi

import jax.numpy as jnp
import numpy as np
from jax import Array

NODES = 200


def over_root(f: Callable[[np.ndarray], np.ndarray], z: Array, top: float, degrees: tuple[int, int]) -> Array:
    """f(sqrt z) / sqrt z for 0 <= z <= top; the degrees are those that float32 and float64 need."""
    x = (2 / top) * z - 1
    total = jnp.zeros_like(x)
    for c in _coefficients(f, top, degrees[0] if x.dtype == jnp.float32 else degrees[1])[::-1]:
        total = total * x + c
    return total


@cache
def _coefficients(f: Callable[[np.ndarray], np.ndarray], top: float, degree: int) -> tuple[float, ...]:
    """Of the interpolant, in powers of 2z / top - 1."""
    x = np.cos(pi * (np.arange(NODES) + 0.5) / NODES)
    root = np.sqrt((x + 1) * top / 2)
    c = np.polynomial.chebyshev.chebfit(x, f(root) / root, degree)
    return tuple(np.polynomial.chebyshev.cheb2poly(c).tolist())
