"""Inner products of gradients that are sums of outer products: <sum_s l_s r_s^T, sum_t l'_t r'_t^T> = sum_{s,t} (l_s . l'_t) (r_s . r'_t).

S positions of vectors of sizes a and b cost S^2 (a + b) by the right side. Where that exceeds the a b of the left side (many pixels,
narrow layers, vectors known by few coordinates) the gradients themselves are formed: once, or a slab of rows at a time where memory is short.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import jax
import jax.numpy as jnp
from jax import Array

BUDGET = 2**26  # numbers held at a time, in the vectors of a tile or in a slab of gradients: half a GiB in float64

TRAFFIC = 100  # multiplications in the time that a number takes to memory and back


@dataclass(frozen=True)
class Gradient:
    """A tensor's gradient at N points, factor^(1/2) sum_s l_s r_s^T.

    Shapes: l (C, N, O, S, rows), r (C, N, O, S, cols) for C outputs, O output positions and S positions of the vectors; C and O are 1 where nothing
    depends on the output. Of one output: without the C.

    Of coordinates in a basis (r, rows) and a basis (r, cols), l and r have the size of these; None: of vectors themselves.
    """

    l: Array
    r: Array
    factor: float
    basis_l: Array | None = None
    basis_r: Array | None = None


def alike(sides: Sequence[Mapping[str, Gradient]]) -> list[dict[str, Gradient]]:
    """Every tensor in coordinates on all sides or on none: a basis that is small beside many points is large beside few."""

    def of(name: str) -> list[Gradient]:
        l, r = (all(getattr(side[name], basis) is not None for side in sides) for basis in ("basis_l", "basis_r"))
        return [_dense(side[name], l, r) for side in sides]

    return [dict(zip(sides[0], found, strict=True)) for found in zip(*map(of, sides[0]), strict=True)]


def _dense(g: Gradient, keep_l: bool, keep_r: bool) -> Gradient:
    if g.basis_l is not None and not keep_l:
        g = replace(g, l=g.l @ g.basis_l, basis_l=None)
    return replace(g, r=g.r @ g.basis_r, basis_r=None) if g.basis_r is not None and not keep_r else g


def factors(g: Gradient) -> tuple[Gradient, Gradient]:
    """The gradient as left and as right factor of inner products, which are then those of plain arrays: one has the inner products of the bases."""
    left = Gradient(g.l, g.r, g.factor)
    if g.basis_l is None and g.basis_r is None:
        return left, left
    l, r = (a if basis is None else a @ (basis @ basis.T) for a, basis in ((g.l, g.basis_l), (g.r, g.basis_r)))
    return left, Gradient(l, r, g.factor)


def condensed(side: Mapping[str, Gradient], points: int, others: int, together: bool) -> dict[str, Gradient]:
    """Gradients that are cheaper to form, for inner products of so many points with others, as one position of rows times cols numbers.

    Of all of them or, where they cannot be held, of none. `together`: inner products of every output with every other, not with itself alone.
    """

    def pairs(g: Gradient) -> bool:
        outputs = (g.l.shape[2] * (g.l.shape[0] if together else 1), g.r.shape[2] * (g.r.shape[0] if together else 1))
        return prefers_pairs(points, others, g.l.shape[3], g.l.shape[4], g.r.shape[4], outputs)

    formed = {name for name, g in side.items() if not pairs(g)}
    outputs = {name: prod(map(max, side[name].l.shape[:3:2], side[name].r.shape[:3:2])) for name in formed}
    if not held(max(points, others) * sum(outputs[name] * side[name].l.shape[4] * side[name].r.shape[4] for name in formed)):
        return dict(side)
    return {name: _condensed(g) if name in formed else g for name, g in side.items()}


def held(numbers: int) -> bool:
    return numbers <= BUDGET // 2


def _condensed(g: Gradient) -> Gradient:
    copies = max(g.l.shape[0], g.r.shape[0])
    l = jax.vmap(_formed)(*(jnp.broadcast_to(a, (copies, *a.shape[1:])) for a in (g.l, g.r)))
    return Gradient(l[..., None, :], jnp.ones((1, l.shape[1], 1, 1, 1), l.dtype), g.factor)


def concatenated(sides: list[Array]) -> Array:
    """Several uses as one, with more positions."""
    if len(sides) == 1:
        return sides[0]
    batch = jnp.broadcast_shapes(*(a.shape[:3] for a in sides))
    return jnp.concatenate([jnp.broadcast_to(a, (*batch, *a.shape[3:])) for a in sides], axis=3)


def inner_products(left: Sequence[Gradient], right: Sequence[Gradient]) -> Array:
    """The inner products (N1, N2, O, O) of gradients of one output, summed over tensors, of every tensor in the cheaper of the two orders."""
    pairs, parts = dict[int, list[tuple[Gradient, Gradient]]](), list[Array]()
    for a, b in zip(left, right, strict=True):
        if prefers_pairs(a.l.shape[0], b.l.shape[0], a.l.shape[2], a.l.shape[3], a.r.shape[3], (a.l.shape[1], a.r.shape[1])):
            pairs.setdefault(a.l.shape[2], []).append((a, b))
        else:
            parts.append(a.factor * _by_gradients(a.l, a.r, b.l, b.r))
    parts += [_by_pairs([a for a, _ in group], [b for _, b in group]) for group in pairs.values()]
    return sum(parts[1:], parts[0])


def prefers_pairs(points: int, points2: int, positions: int, rows: int, cols: int, outputs: tuple[int, int] = (1, 1)) -> bool:
    """Less time for all pairs of points than for forming the gradients, which have to be written and read, and their inner products.

    Args:
        outputs: on how many outputs and output positions the vectors of `rows` and those of `cols` numbers depend.
    """
    pairs, every = points * points2, max(outputs)
    by_pairs = pairs * positions**2 * (outputs[0] ** 2 * rows + outputs[1] ** 2 * cols)
    return by_pairs <= rows * cols * (pairs * every**2 + (positions + TRAFFIC) * (points + points2) * every)


# By pairs of positions.


def _by_pairs(left: Sequence[Gradient], right: Sequence[Gradient]) -> Array:
    """The sum over tensors, whose gradients have equally many positions: at once if memory allows, a tensor at a time, or a point at a time."""
    numbers = max(prod(a.l.shape[:3]) for a in left) * max(prod(b.l.shape[:3]) for b in right)
    if (2 * len(left) + 1) * numbers <= BUDGET // 2:
        return _at_once(left, right)
    if len(left) > 1:
        parts = [_by_pairs([a], [b]) for a, b in zip(left, right, strict=True)]
        return sum(parts[1:], parts[0])
    (a,), (b,) = left, right
    return a.factor * jax.lax.map(lambda one: _of_point(one[0], one[1], b.l, b.r), (a.l, a.r))


def _at_once(left: Sequence[Gradient], right: Sequence[Gradient]) -> Array:
    """One matrix product a side; the tensors are added up before the positions, in one pass."""
    both = [a.factor * _outer(a.l, b.l) * _outer(a.r, b.r) for a, b in zip(left, right, strict=True)]
    total = sum(both[1:], both[0])
    over = jnp.ones(total.shape[-1], total.dtype)  # a product with ones is faster than XLA's sum over two dimensions that are apart
    return jnp.einsum("aosbpt,t->aosbp", total, over).sum(2).transpose(0, 2, 1, 3)


def _outer(a: Array, b: Array) -> Array:
    """(N1, O1, S, width) and (N2, O2, S, width) -> (N1, O1, S, N2, O2, S), written as a product of two matrices: XLA would transpose b first."""
    rows, columns = (x.reshape(prod(x.shape[:-1]), x.shape[-1]) for x in (a, b))
    return (rows @ columns.T).reshape(*a.shape[:-1], *b.shape[:-1])


def _of_point(l: Array, r: Array, l2: Array, r2: Array) -> Array:
    return (jnp.einsum("osi,bpti->bopst", l, l2) * jnp.einsum("osi,bpti->bopst", r, r2)).sum((-2, -1))


# By gradients.


def _by_gradients(l: Array, r: Array, l2: Array, r2: Array) -> Array:
    """Gradients formed for a slab of rows at a time."""
    rows, outputs = l.shape[-1], max(l.shape[1], r.shape[1])
    slab = min(rows, max(1, BUDGET // (4 * (l.shape[0] + l2.shape[0]) * outputs * r.shape[-1])))
    slabs = -(-rows // slab)

    def cut(a: Array) -> Array:
        padded = jnp.pad(a, [(0, 0)] * 3 + [(0, slabs * slab - rows)])
        return jnp.moveaxis(padded.reshape(*a.shape[:-1], slabs, slab), -2, 0)

    def gradient(left: Array, right: Array) -> Array:
        return _formed(left, right)[:, :, None]

    def add(total: Array, now: tuple[Array, Array]) -> tuple[Array, None]:
        return total + _outer(gradient(now[0], r), gradient(now[1], r2))[:, :, 0, :, :, 0], None

    zero = jnp.zeros((l.shape[0], outputs, l2.shape[0], outputs), jnp.result_type(l, r))
    return jax.lax.scan(add, zero, (cut(l), cut(l2)))[0].transpose(0, 2, 1, 3)


def _formed(l: Array, r: Array) -> Array:
    """sum_s l_s r_s^T, flat: (N, O, rows cols) from (N, O, S, rows) and (N, O, S, cols)."""
    batch = jnp.broadcast_shapes(l.shape[:3], r.shape[:3])
    formed = jnp.einsum("aosi,aosj->aoij", *(jnp.broadcast_to(a, (*batch, a.shape[-1])) for a in (l, r)))
    return formed.reshape(*formed.shape[:2], prod(formed.shape[2:]))
