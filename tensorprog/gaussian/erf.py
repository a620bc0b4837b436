"""Expectations of erf: one with any mean, two with zero means (Williams 1997)."""

from __future__ import annotations

from math import pi

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import erf

from tensorprog.gaussian.law import root
from tensorprog.gaussian.problem import Scalars


@jax.jit
def single(m: Scalars, a: Scalars) -> Array:
    """E erf(u) = erf(m / sqrt(1 + 2a)), u ~ N(m, a)."""
    return erf(m / jnp.sqrt(1 + 2 * jnp.asarray(a)))


@jax.jit
def pair(a: Scalars, b: Scalars, c: Scalars) -> Array:
    """E erf(u) erf(v) = (2/pi) asin(2c / sqrt((1 + 2a)(1 + 2b))) for zero means.

    With p = sqrt(1 + 2a), q = sqrt(1 + 2b) and t = 2c/(pq) the arcsine is atan2(t, sqrt(1 - t^2)),
    where 1 - t^2 = (1 + 2a + 2b + 4(ab - c^2)) / (pq)^2 does not cancel: it is a sum of what is not negative.
    """
    a, b = jnp.asarray(a), jnp.asarray(b)
    p, q = 1 + 2 * a, 1 + 2 * b
    x, y = root(a / p) * root(b / q), c / (jnp.sqrt(p) * jnp.sqrt(q))
    rest = (1 / p) * (2 * b / q) + 1 / q + 4 * (x - y) * (x + y)
    return 2 / pi * jnp.arctan2(2 * y, root(rest))
