"""The product of factors as a function of arrays: what quadrature and sampling evaluate."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import assert_never

import jax.numpy as jnp
from jax import Array

from tensorprog.gaussian.functions import function
from tensorprog.gaussian.problem import AnyFactor, Composite, Factor, Power
from tensorprog.gaussian.product import Product


def coordinates(product: Product) -> tuple[list[int], list[int]]:
    """(those inside functions, those that occur only as powers), in order of appearance."""
    inside = list(dict.fromkeys(i for f in product if not isinstance(f, Power) for i in (f.coords if isinstance(f, Composite) else (f.coord,))))
    powers = dict.fromkeys(f.coord for f in product if isinstance(f, Power))
    return inside, [i for i in powers if i not in inside]


def kinks(product: Product, coord: int) -> tuple[float, ...]:
    """Where functions of this coordinate have kinks."""
    found = {(k - f.shift) / f.scale for f in product if isinstance(f, Factor) and f.coord == coord and f.scale != 0 for k in f.fn.kinks}
    return tuple(sorted(found))


def evaluate(product: Product, u: Mapping[int, Array], batch: tuple[int, ...]) -> Array:
    """The product at u, each of a shape that broadcasts to (*batch, *points); composites are called with the full (*batch, number of points)."""

    def value(f: AnyFactor) -> Array:
        match f:
            case Factor(fn, i, scale, shift):
                return function(fn)(scale * u[i] + shift)
            case Power(i, degree):
                return u[i] ** degree
            case Composite(call, coords):
                full = jnp.broadcast_shapes(*(a.shape for a in u.values()), (*batch, *(1,) * (max(a.ndim for a in u.values()) - len(batch))))
                out = call(*(jnp.broadcast_to(u[i], full).reshape(*batch, -1) for i in coords))
                return out.reshape(*out.shape[:-1], *full[len(batch) :])
            case _:
                assert_never(f)

    return reduce(jnp.multiply, map(value, product))
