"""Inner products of gradients that are sums of outer products: <sum_s l_s r_s^T, sum_t l'_t r'_t^T> = sum_{s,t} (l_s . l'_t) (r_s . r'_t).

S positions of vectors of sizes a and b cost S^2 (a + b) by the right side. Where that exceeds the a b of the left side (many pixels,
narrow layers) the gradients themselves are formed, a slab of rows at a time, so that memory stays bounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import jax
import jax.numpy as jnp
from jax import Array

BUDGET = 2**26  # numbers held at a time, in the vectors of a tile or in a slab of gradients: half a GiB in float64


@dataclass(frozen=True)
class Gradient:
    """A tensor's gradient at N points, factor^(1/2) sum_s l_s r_s^T.

    Shapes: l (C, N, O, S, rows), r (C, N, O, S, cols) for C outputs, O output positions and S positions of the vectors; C and O are 1 where nothing
    depends on the output.
    """

    l: Array
    r: Array
    factor: float


def concatenated(sides: list[Array]) -> Array:
    """Several uses as one, with more positions."""
    if len(sides) == 1:
        return sides[0]
    batch = jnp.broadcast_shapes(*(a.shape[:3] for a in sides))
    return jnp.concatenate([jnp.broadcast_to(a, (*batch, *a.shape[3:])) for a in sides], axis=3)


def inner_products(l: Array, r: Array, l2: Array, r2: Array) -> Array:
    """All inner products (N1, N2, O, O) of the gradients of one output, (N, O, S, rows) and (N, O, S, cols), in the cheaper of the two orders."""
    if _prefers_pairs(l.shape[0], l2.shape[0], l.shape[2], l.shape[3], r.shape[3]):
        if prod(l.shape[:3]) * prod(l2.shape[:3]) <= BUDGET // 8:
            return _at_once(l, r, l2, r2)
        return jax.lax.map(lambda one: _by_pairs(one[0], one[1], l2, r2), (l, r))
    return _by_gradients(l, r, l2, r2)


def _prefers_pairs(points: int, points2: int, positions: int, rows: int, cols: int) -> bool:
    """Fewer multiplications for a pair of points than the gradients' inner product and their forming."""
    return positions**2 * (rows + cols) <= rows * cols * (1 + positions / points + positions / points2)


def _at_once(l: Array, r: Array, l2: Array, r2: Array) -> Array:
    """By pairs, as one matrix product a side."""
    both = _outer(l, l2) * _outer(r, r2)
    return both.sum((2, 5)).transpose(0, 2, 1, 3)


def _outer(a: Array, b: Array) -> Array:
    """(N1, O1, S, width) and (N2, O2, S, width) -> (N1, O1, S, N2, O2, S), written as a product of two matrices: XLA would transpose b first."""
    rows, columns = (x.reshape(-1, x.shape[-1]) for x in (a, b))
    return (rows @ columns.T).reshape(*a.shape[:-1], *b.shape[:-1])


def _by_pairs(l: Array, r: Array, l2: Array, r2: Array) -> Array:
    return (jnp.einsum("osi,bpti->bopst", l, l2) * jnp.einsum("osi,bpti->bopst", r, r2)).sum((-2, -1))


def _by_gradients(l: Array, r: Array, l2: Array, r2: Array) -> Array:
    """Gradients formed for a slab of rows at a time."""
    rows, outputs = l.shape[-1], max(l.shape[1], r.shape[1])
    slab = min(rows, max(1, BUDGET // (4 * (l.shape[0] + l2.shape[0]) * outputs * r.shape[-1])))
    slabs = -(-rows // slab)

    def cut(a: Array) -> Array:
        padded = jnp.pad(a, [(0, 0)] * 3 + [(0, slabs * slab - rows)])
        return jnp.moveaxis(padded.reshape(*a.shape[:-1], slabs, slab), -2, 0)

    def gradient(left: Array, right: Array) -> Array:
        both = jnp.broadcast_shapes(left.shape[:3], right.shape[:3])
        return jnp.einsum("aosi,aosj->aoij", *(jnp.broadcast_to(a, (*both, a.shape[-1])) for a in (left, right)))

    def add(total: Array, now: tuple[Array, Array]) -> tuple[Array, None]:
        return total + jnp.einsum("aoij,bpij->abop", gradient(now[0], r), gradient(now[1], r2)), None

    zero = jnp.zeros((l.shape[0], l2.shape[0], outputs, outputs), jnp.result_type(l, r))
    return jax.lax.scan(add, zero, (cut(l), cut(l2)))[0]
