"""Sums of products of arrays with named positions, over two leading dimensions (points of x1, points of x2) that broadcast.

Pairs are contracted as batched matrix products of three dimensions, so that a leading dimension of one operand alone is a row of the product and
costs no copy. For the same reason arrays are worked on with the second point behind the positions of the first (`turned`): products from the left and
everything entry by entry then read them as they lie.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from math import prod
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from tensorprog.interpret.limit.scalar import Index

LEADING = ("#1", "#2")
Operand = tuple[Array, tuple[Index, ...]]  # (N1 or 1, N2 or 1, *positions), and the names of its positions


class Named(NamedTuple):
    """An array with a name for each dimension."""

    array: Array
    names: tuple[Index, ...]

    def sizes(self) -> dict[Index, int]:
        return dict(zip(self.names, self.array.shape, strict=True))

    def to(self, order: Sequence[Index]) -> Array:
        """The dimensions in another order."""
        return self.array.transpose([self.names.index(n) for n in order])

    def among(self, order: Sequence[Index]) -> Array:
        """The same, with dimensions of size 1 for the names that it has not."""
        sizes = self.sizes()
        return self.to([n for n in order if n in sizes]).reshape([sizes.get(n, 1) for n in order])


class Step(NamedTuple):
    """Two operands and the number of products in their contraction."""

    i: int
    j: int
    work: int


def contract(operands: list[Operand], out: tuple[Index, ...], factor: float = 1.0, *, turn: bool = False) -> Array:
    """A factor times the sum, over all names not in `out`, of the product; (N1 or 1, N2 or 1, *positions), worked on as `turned` if asked."""
    half = len(out) // 2 if turn else 0
    if all(i in out for _, names in operands for i in names):
        return unturned(scaled(factor, product(turned(place(a, names, out), half) for a, names in operands)), half)
    keep = {*out, *LEADING}
    total = _summed(opened(operands, keep, turn=turn), keep)
    sizes = total.sizes()
    moved = Named(scaled(factor, total.array), total.names).to([n for n in (*LEADING, *out) if n in sizes])
    return moved.reshape([sizes.get(n, 1) for n in (*LEADING, *out)])


def opened(operands: list[Operand], keep: set[Index], *, turn: bool) -> Named:
    """The product of operands, summed over what is not in `keep`; but a last sum of entries is left to be taken."""
    parts = [_named(a, names, len(names) // 2 if turn else 0) for a, names in operands]
    for step in path([p.sizes() for p in parts], keep):
        x, y = parts[step.i], parts[step.j]
        parts = [p for k, p in enumerate(parts) if k not in (step.i, step.j)]
        found = _pair(x, y, keep.union(*(p.names for p in parts)), turn=turn)
        parts.append(_summed(found, keep.union(*(p.names for p in parts))) if parts else found)
    return parts[0]


def summed_together(products: Iterable[Named]) -> list[Array]:
    """The sums over positions of products, (N1, N2) or with 1 for either; those of one shape are added first."""
    alike: dict[Hashable, list[Named]] = {}
    for p in products:
        alike.setdefault((p.array.shape, *(p.names.index(n) if n in p.names else -1 for n in LEADING)), []).append(p)
    sums = (_summed(Named(total(p.array for p in same), same[0].names), {*LEADING}) for same in alike.values())
    return [p.among(LEADING) for p in sums]


def turned(a: Array, half: int) -> Array:
    """(N1, N2, *positions) -> (N1, *the first `half` positions, N2, *the others)."""
    return a.transpose(0, *range(2, 2 + half), 1, *range(2 + half, a.ndim)) if half and a.ndim > 2 else a


def unturned(a: Array, half: int) -> Array:
    """The inverse of `turned`."""
    return a.transpose(0, 1 + half, *range(1, 1 + half), *range(2 + half, a.ndim)) if half and a.ndim > 2 else a


def total(arrays: Iterable[Array]) -> Array:
    """The sum of arrays that broadcast."""
    return reduce(jnp.add, _alike(lax.add, arrays))


def product(arrays: Iterable[Array]) -> Array:
    """The product of arrays that broadcast, entry by entry."""
    return reduce(jnp.multiply, _alike(lax.mul, arrays))


def _alike(operation: Callable[[Array, Array], Array], arrays: Iterable[Array]) -> list[Array]:
    """Arrays of one shape and type made one: without the rules of broadcasting, an operation is traced several times faster."""
    found: dict[Hashable, Array] = {}
    for a in arrays:
        key = (a.shape, a.dtype, a.weak_type)
        found[key] = operation(found[key], a) if key in found else a
    return list(found.values())


def scaled(factor: float, a: Array) -> Array:
    return a if factor == 1.0 else factor * a


def place(a: Array, names: tuple[Index, ...], out: tuple[Index, ...]) -> Array:
    """The positions of a brought to `out`, of size 1 where a has none."""
    if names == out:
        return a
    shape = dict(zip(names, a.shape[2:], strict=True))
    moved = a.transpose(0, 1, *(2 + names.index(i) for i in out if i in shape))
    return moved.reshape(*a.shape[:2], *(shape.get(i, 1) for i in out))


def _named(a: Array, names: tuple[Index, ...], half: int) -> Named:
    """Leading dimensions of size 1 are dropped: they broadcast."""
    kept = [n for n, size in zip((*LEADING, *names), a.shape, strict=True) if size != 1 or n not in LEADING]
    half = half if LEADING[0] in kept else 0  # what depends on the second point alone has its positions behind it
    every = (LEADING[0], *names[:half], LEADING[1], *names[half:])
    order = [n for n in every if n in kept]
    bare = Named(a.reshape([size for n, size in zip((*LEADING, *names), a.shape, strict=True) if n in kept]), tuple(kept))
    return Named(bare.to(order), tuple(order))


def path(parts: Sequence[Mapping[Index, int]], keep: set[Index]) -> Iterator[Step]:
    """Pairs of operands to contract one after another, the product taking the last place.

    First those that share a position or have none, and of these the pair with the least work. Of equals, vectors of the first point and matrices of
    the second one: what they leave is small, or lies as others are read (`turned`).
    """
    now = [dict(p) for p in parts]

    def step(i: int, j: int) -> tuple[bool, int, bool, bool]:
        a, b = now[i].keys() - {*LEADING}, now[j].keys() - {*LEADING}
        small, large = sorted((now[i], now[j]), key=len)
        first, matrix = LEADING[0] in small, not small.keys() <= large.keys()
        return bool(a and b) and a.isdisjoint(b), prod({**now[i], **now[j]}.values()), small.keys() != large.keys(), first == matrix

    while len(now) > 1:
        i, j = min(((i, j) for j in range(len(now)) for i in range(j)), key=lambda pair: step(*pair))
        yield Step(i, j, step(i, j)[1])
        rest = [p for k, p in enumerate(now) if k not in (i, j)]
        needed = keep | {n for p in rest for n in p}
        now = [*rest, {n: size for n, size in {**now[i], **now[j]}.items() if n in needed}]


def _summed(p: Named, needed: set[Index]) -> Named:
    """Where what stays lies between what is summed, the last dimension as a product with ones: all entries are then made in one pass."""
    a, gone = p.array, [k for k, n in enumerate(p.names) if n not in needed]
    if not gone:
        return p
    if gone[-1] == a.ndim - 1 and gone != [*range(gone[0], a.ndim)]:
        a = jnp.matmul(a, jnp.ones(a.shape[gone.pop()], a.dtype), precision="highest")
    return Named(a.sum(gone), tuple(n for n in p.names if n in needed))


def _pair(x: Named, y: Named, needed: set[Index], *, turn: bool) -> Named:
    """The product of two operands, summed over names that nothing else needs, unless it is made entry by entry.

    As `turned`, the larger one is read as it lies.
    """
    x, y = _summed(x, needed | set(y.names)), _summed(y, needed | set(x.names))
    if turn:
        small, large = sorted((x, y), key=lambda p: (len(p.names), LEADING[0] in p.names))
        inner = {n for n in small.names if n in large.names and n not in needed}
        last = {*large.names[-1:]} <= inner
        if not inner or set(large.names) <= set(small.names) or (last and set(small.names) <= set(large.names)):
            return _by_entries(large, small)
        x, y = (large, small) if last else (small, large)
    shared = [n for n in x.names if n in y.names]
    inner = [n for n in shared if n not in needed]
    batch = [n for n in shared if n in needed]
    left, right = ([n for n in p.names if n not in shared] for p in (x, y))
    sizes = {**x.sizes(), **y.sizes()}

    def matrix(p: Named, *groups: list[Index]) -> Array:
        return p.to([n for g in groups for n in g]).reshape([prod(sizes[n] for n in g) for g in groups])

    found = matrix(x, batch, left, inner) @ matrix(y, batch, inner, right)
    names = (*batch, *left, *right)
    return Named(found.reshape([sizes[n] for n in names]), names)


def _by_entries(x: Named, y: Named) -> Named:
    order = (*x.names, *(n for n in y.names if n not in x.names))
    return Named(x.among(order) * y.among(order), order)
