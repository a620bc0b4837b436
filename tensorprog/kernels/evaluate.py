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


Numbers = Array | np.ndarray


class Side(NamedTuple):
    """Points as a table reads them: unit vectors (N, d) in float64, and phi (N, r), best in the precision of the result."""

    unit: Array
    phi: Array


class Series(NamedTuple):
    """core (outputs, r, r, terms), and b and start of the variable."""

    core: Array
    b: Array
    start: Array


@partial(jax.jit, static_argnames="dtype")
def block(left: Side, right: Side, table: Series, dtype: str) -> tuple[Array, Array]:
    """K (outputs, N1, N2) of two blocks of points, and whether a pair lies before the start of the series."""
    rows = jnp.einsum("na,oabk->onkb", left.phi, table.core).astype(dtype)
    kernels, before = by_angles(left.unit, right.unit, rows, right.phi.T.astype(dtype), table.b.astype(dtype), table.start.astype(dtype))
    return jnp.stack(kernels), before


@jax.jit
def by_angles(
    left: Numbers, right: Numbers, rows: Numbers, columns: Numbers, b: Array | float, start: Array | float
) -> tuple[tuple[Array, ...], Array]:
    """The same of unit vectors, with the functions of the norms as `series` reads them, in their precision."""
    u, whole = angles(jnp.asarray(left), jnp.asarray(right), rows.dtype.name) - start, pi - start
    t = 2 * u * (1 + whole * b) / (whole * (1 + b * u)) - 1
    return tuple(series(r, jnp.asarray(columns), t) for r in jnp.asarray(rows)), (u < 0).any()


@partial(jax.jit, static_argnames="diagonal", donate_argnames="room", keep_unused=True)
def cosines(left: Numbers, right: Numbers, room: Array, *, diagonal: bool) -> tuple[Array, Array]:
    """(cos theta, its largest size) of unit vectors; on the diagonal of a block of points with themselves it is left at 0.

    `room` is an array of the shape of the result whose memory is used for it: new memory for every block would take as long as the block.
    """
    cos = jnp.asarray(left) @ jnp.asarray(right).T
    if diagonal:
        cos = jnp.where(jnp.eye(len(left), dtype=bool), 0.0, cos)
    return cos, jnp.abs(cos).max()


@partial(jax.jit, donate_argnames="room", keep_unused=True)
def by_cosines(cos: Array, rows: Numbers, columns: Numbers, radius: Array | float, room: tuple[Array, ...]) -> tuple[Array, ...]:
    """K of every output at pairs with |cos theta| <= radius, by the series of a `Middle`; `room` as before, for every output."""
    return tuple(series(r, jnp.asarray(columns), cos / radius) for r in jnp.asarray(rows))


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


def series(rows: Array, columns: Array, t: Array) -> Array:
    """sum_k T_k(t_ij) sum_b rows[i, k, b] columns[b, j], with rows = sum_a phi_a C_abk and columns = phi^T.

    The sum over b is written out, so that all of it is one loop over pairs, which holds what it needs in registers.
    """
    _, terms, rank = rows.shape
    return _clenshaw([sum((rows[:, k, b, None] * columns[b] for b in range(rank)), jnp.zeros((), t.dtype)) for k in range(terms)], t)


def _clenshaw(c: list[Array], t: Array) -> Array:
    first, second = jnp.zeros_like(t), jnp.zeros_like(t)
    for ck in c[:0:-1]:
        first, second = ck + 2 * t * first - second, first
    return c[0] + t * first - second
