"""A table at pairs of points: angles from chords, then a series a pair (Clenshaw 1955). One compiled function serves every network."""

from __future__ import annotations

from functools import lru_cache, partial
from math import pi
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

CLOSE = 1e-5  # 1 - |cos theta| below which the chord is formed from the two vectors


class Side(NamedTuple):
    """Points as a table reads them: unit vectors (N, d) in float64, and phi (N, r)."""

    unit: Array
    phi: Array


class Series(NamedTuple):
    """core (outputs, r, r, terms), and b and start of the variable."""

    core: Array
    b: Array
    start: Array


@partial(jax.jit, static_argnames="dtype")
def block(left: Side, right: Side, series: Series, dtype: str) -> tuple[Array, Array]:
    """K (outputs, N1, N2) of two blocks of points, and whether a pair lies before the start of the series."""
    theta = angles(left.unit, right.unit, dtype)
    u, b, whole = theta - series.start.astype(dtype), series.b.astype(dtype), (pi - series.start).astype(dtype)
    t = 2 * u * (1 + whole * b) / (whole * (1 + b * u)) - 1
    return jnp.stack([_series(left.phi, right.phi, core, t) for core in series.core]), (u < 0).any()


def angles(u: Array, v: Array, dtype: str) -> Array:
    """The angles between unit vectors (A, d) and (B, d), also near 0 and pi, where arccos loses half of the digits: 2 asin |u -+ v| / 2.

    Cosines are found in float64, which leaves 1e-8 of the angle, enough for float32. For float64 the chord of a close pair is formed from its
    vectors.
    """
    cos = u @ v.T
    square = jnp.maximum((1 - jnp.abs(cos)) / 2, 0.0)
    if dtype == "float64":
        square = lax.cond((2 * square < CLOSE).any(), partial(_chords, u, v, cos, square), lambda: square)
    square = square.astype(dtype)
    theta = 2 * _root(square) * _arcsine(square)
    return jnp.where(cos < 0, jnp.asarray(pi, dtype) - theta, theta)


def _chords(u: Array, v: Array, cos: Array, square: Array) -> Array:
    """|u -+ v|^2 / 4 where it is small."""
    sign = jnp.where(cos < 0, -1.0, 1.0)
    exact = ((u[:, None] - sign[..., None] * v[None]) ** 2).sum(-1) / 4
    return jnp.where(2 * square < CLOSE, exact, square)


def _root(x: Array) -> Array:
    return jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1.0)), 0.0)


def _arcsine(z: Array) -> Array:
    """asin(sqrt(z)) / sqrt(z) for 0 <= z <= 1/2, to the precision of z."""
    x = 4 * z - 1
    total = jnp.zeros_like(x)
    for c in _arcsine_coefficients(9 if x.dtype == jnp.float32 else 21)[::-1]:
        total = total * x + c
    return total


@lru_cache(maxsize=2)
def _arcsine_coefficients(degree: int) -> tuple[float, ...]:
    x = np.cos(pi * (np.arange(200) + 0.5) / 200)
    root = np.sqrt((x + 1) / 4)
    c = np.polynomial.chebyshev.chebfit(x, np.arcsin(root) / root, degree)
    return tuple(np.polynomial.chebyshev.cheb2poly(c).tolist())


def _series(phi1: Array, phi2: Array, core: Array, t: Array) -> Array:
    """sum_k T_k(t) sum_ab C_abk phi_a phi_b."""
    if core.shape[0] == 1:
        return (phi1 * phi2[:, 0]).astype(t.dtype) * _clenshaw(list(core[0, 0].astype(t.dtype)), t)
    rows = jnp.einsum("na,abk->knb", phi1, core).astype(t.dtype)
    return _clenshaw(list(jnp.einsum("knb,mb->knm", rows, phi2.astype(t.dtype))), t)


def _clenshaw(c: list[Array], t: Array) -> Array:
    first, second = jnp.zeros_like(t), jnp.zeros_like(t)
    for ck in c[:0:-1]:
        first, second = ck + 2 * t * first - second, first
    return c[0] + t * first - second
