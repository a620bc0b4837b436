"""Wick's (Isserlis') theorem with means: E prod_i u_i^{d_i}, by Stein's lemma with powers only."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import jax.numpy as jnp
from jax import Array

from tensorprog.gaussian.law import Law, is_zero, times
from tensorprog.gaussian.problem import Scalars


def polynomial(degrees: Mapping[int, int], u: Law) -> Array:
    """E prod_i u_i^{d_i}, exactly: E[u_i p(u)] = m_i E p(u) + sum_j C_ij E d_j p(u)."""
    coords = tuple(sorted(i for i, d in degrees.items() if d))

    @cache
    def moment(d: tuple[int, ...]) -> Scalars:
        first = next((at for at, degree in enumerate(d) if degree), None)
        if first is None:
            return 1.0
        rest = _lower(d, first)
        value = times(u.mean(coords[first]), moment(rest)) if not is_zero(u.mean(coords[first])) else 0.0
        for at, degree in enumerate(rest):
            if degree:
                term = times(degree * u.cov(coords[first], coords[at]), moment(_lower(rest, at)))
                value = term if is_zero(value) else value if is_zero(term) else value + term
        return value

    return jnp.asarray(moment(tuple(degrees[i] for i in coords)), dtype=float)


def _lower(d: tuple[int, ...], at: int) -> tuple[int, ...]:
    return (*d[:at], d[at] - 1, *d[at + 1 :])
