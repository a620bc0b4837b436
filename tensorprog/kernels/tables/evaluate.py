"""A table at pairs of points: angles from chords, then a series a pair (Clenshaw 1955)."""

from __future__ import annotations

from functools import partial, reduce
from itertools import islice
from math import pi
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from tensorprog.gaussian.odd import over_root
from tensorprog.kernels.execution.compiling import quickly

WRITTEN = 512  # products that are written out
CLOSE = 1e-5  # 1 - |cos theta| below which the chord is formed from the two vectors

Numbers = Array | np.ndarray
Ranks = tuple[tuple[int, ...], ...]  # of the series of every output


class Norms(NamedTuple):
    """What a table reads of the norms of points.

    Attributes:
        scale: q^(m/2), (N,) or (1,), in the precision of the result.
        chebyshev: T_0 .. of log q, (N, size) or (1, 1).
    """

    scale: Numbers
    chebyshev: Numbers


class Side(NamedTuple):
    """Points as a table reads them: unit vectors (N, d) in float64, the same in the precision of the result, and norms."""

    unit: Numbers
    rounded: Numbers
    norms: Norms


class Functions(NamedTuple):
    """Of the series of every output: `Series.functions`, `Series.signs`."""

    functions: tuple[Numbers, ...]
    signs: tuple[Numbers, ...]


@partial(jax.jit, static_argnames="ranks")
def by_angles(
    left: Side, right: Side | None, series: Functions, b: Array | float, start: Array | float, own: Numbers | None = None, *, ranks: Ranks
) -> tuple[tuple[Array, ...], Array]:
    """K of every output, (N1, N2), and whether a pair lies before the start of the series, by the series of a `Table`; the rest as `by_cosines`."""
    dtype = jnp.asarray(left.norms.scale).dtype.name
    u, whole = angles(jnp.asarray(left.unit), None if right is None else jnp.asarray(right.unit), dtype) - start, pi - start
    t = (2 * u * (1 + whole * b) / (whole * (1 + b * u)) - 1).astype(dtype)
    return _summed(left.norms, None if right is None else right.norms, series, t, own, ranks), (u < 0).any()


@quickly(donate_argnames="room", keep_unused=True)
def cosines(left: Numbers, right: Numbers | None, room: Array | None = None) -> tuple[Array, Array]:
    """(cos theta, its largest size) of unit vectors; of points with themselves (right = None) the diagonal is left at 0.

    `room` is an array of the shape of the result whose memory is used for it: new memory for every block would take as long as the block.
    """
    cos = _cosines(jnp.asarray(left), None if right is None else jnp.asarray(right))
    if right is None:
        cos = jnp.where(jnp.eye(len(left), dtype=bool), 0.0, cos)
    return cos, jnp.abs(cos).max()


@quickly(static_argnames="ranks", donate_argnames="room", keep_unused=True)
def by_cosines(
    cos: Array,
    left: Norms,
    right: Norms | None,
    series: Functions,
    radius: Array | float,
    own: Numbers | None = None,
    room: tuple[Array, ...] | None = None,
    *,
    ranks: Ranks,
) -> tuple[Array, ...]:
    """K of every output at pairs with |cos theta| <= radius, by the series of a `Middle`; `room` as before, for every output.

    Of points with themselves (right = None) both triangles are equal to the last bit, and the diagonal is `own`, (outputs, N).
    """
    return _summed(left, right, series, cos / jnp.asarray(radius, cos.dtype), own, ranks)


def _summed(left: Norms, right: Norms | None, series: Functions, x: Array, own: Numbers | None, ranks: Ranks) -> tuple[Array, ...]:
    scale = jnp.asarray(left.scale)[:, None] * jnp.asarray((left if right is None else right).scale)
    kernels: list[Array] = []
    for functions, signs, beside in zip(series.functions, series.signs, ranks, strict=True):
        columns = (jnp.asarray(functions).T @ jnp.asarray((left if right is None else right).chebyshev).T).astype(x.dtype)
        rows = columns.T if right is None else (jnp.asarray(left.chebyshev) @ functions).astype(x.dtype)
        kernels.append(scale * products(rows * jnp.asarray(signs, x.dtype), columns, x, beside))
    if own is None:
        return tuple(kernels)
    same = jnp.eye(len(x), dtype=bool)
    return tuple(jnp.where(same, one, k) for k, one in zip(kernels, jnp.asarray(own), strict=True))


def _cosines(u: Array, v: Array | None) -> Array:
    """u v^T, symmetric to the last bit where v is None."""
    found = u @ (u if v is None else v).T
    return (found + found.T) / 2 if v is None else found


def angles(u: Array, v: Array | None, dtype: str) -> Array:
    """The angles between unit vectors (A, d) and (B, d), also near 0 and pi, where arccos loses half of the digits: 2 asin |u -+ v| / 2.

    Cosines are found in float64, which leaves 1e-8 of the angle, enough for float32. For float64 the chord of a close pair is formed from its
    vectors. Where v is None, those of u with itself.
    """
    cos = _cosines(u, v)
    square = jnp.maximum((1 - jnp.abs(cos)) / 2, 0.0)
    if dtype == "float64":
        square = lax.cond((2 * square < CLOSE).any(), partial(_chords, u, u if v is None else v, cos, square), lambda: square)
    square = square.astype(dtype)
    theta = 2 * _root(square) * over_root(np.arcsin, square, 0.5, (9, 21))
    return jnp.where(cos < 0, jnp.asarray(pi, dtype) - theta, theta)


def _chords(u: Array, v: Array, cos: Array, square: Array) -> Array:
    """|u -+ v|^2 / 4 where it is small."""
    sign = jnp.where(cos < 0, -1.0, 1.0)
    exact = ((u[:, None] - sign[..., None] * v[None]) ** 2).sum(-1) / 4
    return jnp.where(2 * square < CLOSE, exact, square)


def _root(x: Array) -> Array:
    return jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1.0)), 0.0)


def products(rows: Array, columns: Array, x: Array, ranks: tuple[int, ...]) -> Array:
    """sum_n T_n(x_ij) sum_r rows[i, r] columns[r, j], where ranks[n] products stand beside T_n.

    The sums are written out, so that all of it is one loop over pairs, which holds what it needs in registers. Of more than `WRITTEN` products a
    compiler makes no loop in useful time: they are products of matrices, one for every n.
    """
    if len(columns) > WRITTEN:
        return _by_matrices(rows, columns, x, ranks)
    ones = [1] * len(columns)
    sides = zip(lax.split(rows, ones, 1), lax.split(columns, ones, 0), strict=True)  # and not jnp, of which a thousand operations take long to trace
    terms = (lax.mul(lax.broadcast_in_dim(a, x.shape, (0, 1)), lax.broadcast_in_dim(b, x.shape, (0, 1))) for a, b in sides)
    nothing, twice = jnp.zeros_like(x), 2 * x
    c = [reduce(lax.add, islice(terms, rank)) if rank else nothing for rank in ranks]
    first, second = nothing, nothing
    for cn in c[:0:-1]:
        first, second = lax.add(lax.mul(twice, first), lax.sub(cn, second)), first
    return lax.add(lax.mul(x, first), lax.sub(c[0], second))


def _by_matrices(rows: Array, columns: Array, x: Array, ranks: tuple[int, ...]) -> Array:
    """The same, the products beside every T_n filled up with zeros to one number."""
    most, starts = np.arange(max(ranks)), np.cumsum([0, *ranks[:-1]])[:, None]
    place = np.where(most < np.array(ranks)[:, None], starts + most, len(columns))
    left = jnp.pad(rows, ((0, 0), (0, 1)))[:, place].swapaxes(0, 1)
    right = jnp.pad(columns, ((0, 1), (0, 0)))[place]

    def step(last: tuple[Array, Array], factors: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        first, second = last
        return (2 * x * first + (factors[0] @ factors[1] - second), first), None

    nothing = jnp.zeros_like(x)
    (first, second), _ = lax.scan(step, (nothing, nothing), (left[1:], right[1:]), reverse=True)
    return x * first + (left[0] @ right[0] - second)
