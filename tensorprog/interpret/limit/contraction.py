"""Sums of products of arrays with named positions, over two leading dimensions (points of x1, points of x2) that broadcast.

Pairs are contracted as batched matrix products of three dimensions, so that a leading dimension of one operand alone is a row of the product and
costs no copy.
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


class Named(NamedTuple):
    """An array with a name for each dimension."""

    array: Array
    names: tuple[Index, ...]

    def sizes(self) -> dict[Index, int]:
        return dict(zip(self.names, self.array.shape, strict=True))


class Step(NamedTuple):
    """Two operands and the number of products in their contraction."""

    i: int
    j: int
    work: int


def contract(operands: list[tuple[Array, tuple[Index, ...]]], out: tuple[Index, ...]) -> Array:
    """Sum, over all names not in `out`, of the product; arrays and result are (N1 or 1, N2 or 1, *positions)."""
    if all(i in out for _, names in operands for i in names):
        return product(place(a, names, out) for a, names in operands)
    parts = [_named(a, names) for a, names in operands]
    keep = {*out, *LEADING}
    for step in path([p.sizes() for p in parts], keep):
        others = [p for k, p in enumerate(parts) if k not in (step.i, step.j)]
        parts = [*others, _pair(parts[step.i], parts[step.j], keep | {n for p in others for n in p.names})]
    total = _summed(parts[0], keep)
    sizes = total.sizes()
    order = [n for n in (*LEADING, *out) if n in sizes]
    moved = total.array.transpose([total.names.index(n) for n in order])
    return moved.reshape([sizes.get(n, 1) for n in (*LEADING, *out)])


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


def _named(a: Array, names: tuple[Index, ...]) -> Named:
    """Leading dimensions of size 1 are dropped: they broadcast."""
    kept = [n for n, size in zip(LEADING, a.shape[:2], strict=True) if size != 1]
    return Named(a.reshape(*(size for size in a.shape[:2] if size != 1), *a.shape[2:]), (*kept, *names))


def path(parts: Sequence[Mapping[Index, int]], keep: set[Index]) -> Iterator[Step]:
    """Pairs of operands to contract one after another, the product taking the last place.

    First those that share a position or have none, and of these the pair with the least work.
    """
    now = [dict(p) for p in parts]

    def step(i: int, j: int) -> tuple[bool, int]:
        a, b = now[i].keys() - {*LEADING}, now[j].keys() - {*LEADING}
        return bool(a and b) and a.isdisjoint(b), prod({**now[i], **now[j]}.values())

    while len(now) > 1:
        i, j = min(((i, j) for j in range(len(now)) for i in range(j)), key=lambda pair: step(*pair))
        yield Step(i, j, step(i, j)[1])
        rest = [p for k, p in enumerate(now) if k not in (i, j)]
        needed = keep | {n for p in rest for n in p}
        now = [*rest, {n: size for n, size in {**now[i], **now[j]}.items() if n in needed}]


def _summed(p: Named, needed: set[Index]) -> Named:
    gone = [n for n in p.names if n not in needed]
    if not gone:
        return p
    kept, sizes = tuple(n for n in p.names if n in needed), p.sizes()
    flat = p.array.transpose([p.names.index(n) for n in (*kept, *gone)]).reshape(-1, prod(sizes[n] for n in gone))
    return Named(flat.sum(1).reshape([sizes[n] for n in kept]), kept)


def _pair(x: Named, y: Named, needed: set[Index]) -> Named:
    """The product of two operands, summed over the names that nothing else needs."""
    x, y = _summed(x, needed | set(y.names)), _summed(y, needed | set(x.names))
    sizes = {**x.sizes(), **y.sizes()}
    batch = [n for n in x.names if n in y.names and n in needed]
    inner = [n for n in x.names if n in y.names and n not in needed]
    left = [n for n in x.names if n not in y.names]
    right = [n for n in y.names if n not in x.names]

    def matrix(p: Named, *groups: list[Index]) -> Array:
        order = [n for g in groups for n in g]
        return p.array.transpose([p.names.index(n) for n in order]).reshape([prod(sizes[n] for n in g) for g in groups])

    found = matrix(x, batch, left, inner) @ matrix(y, batch, inner, right)
    names = (*batch, *left, *right)
    return Named(found.reshape([sizes[n] for n in names]), names)
