"""A Gaussian law whose covariances are asked for lazily, and what factors e^{r.u}, e^{-(su+b)^2} and delta(su+b) make of it.

A factor of Gaussian shape is absorbed into the law: E[factor(u) F(u)] = weight E'[F(u)], where E' is again Gaussian.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import pi, sqrt

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from tensorprog.gaussian.odd import over_root
from tensorprog.gaussian.problem import Scalars

ROUNDING = 32.0  # 1 - rho^2 below this many units of rounding is 0: two inputs are equal or opposite
CLOSEST = (ROUNDING * 2.0**-52) ** 0.5  # the angle in float64 below which they are so


@dataclass(frozen=True)
class Law:
    """u ~ N(mean, C); `pinned` says that an observation without noise was made, after which a step at variance 0 has no value."""

    mean: Callable[[int], Scalars]
    cov: Callable[[int, int], Scalars]
    pinned: bool = False


def law(mean: Sequence[Scalars], cov: Callable[[int, int], Scalars]) -> Law:
    """Each entry is asked for once; cov(i, j) and cov(j, i) are one entry."""
    ordered = cache(cov)
    return Law(lambda i: mean[i], lambda i, j: ordered(min(i, j), max(i, j)))


def is_zero(x: Scalars) -> bool:
    """A structural zero: a Python number, known when the computation is built."""
    return isinstance(x, int | float) and x == 0


def times(x: Scalars, y: Scalars) -> Scalars:
    """x y, where a structural zero stays one."""
    return 0.0 if is_zero(x) or is_zero(y) else x * y


@jax.jit
def root(x: Scalars) -> Array:
    """sqrt(max(x, 0)) with derivative 0 where x <= 0."""
    x = jnp.asarray(x)
    return jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1.0)), 0.0)


@jax.jit
def inverse_root(x: Scalars) -> Array:
    """1 / sqrt(x), and 0 (also in the derivative) where x <= 0."""
    x = jnp.asarray(x)
    return jnp.where(x > 0, 1 / jnp.sqrt(jnp.where(x > 0, x, 1.0)), 0.0)


@jax.jit
def ratio(x: Scalars, y: Array) -> Array:
    """x / y, and 0 (also in the derivative) where y = 0."""
    return jnp.where(y == 0, 0.0, x / jnp.where(y == 0, 1.0, y))


@jax.jit
def correlation(a: Scalars, b: Scalars, c: Scalars) -> tuple[Array, Array]:
    """(rho, 1 - rho^2) of variances a, b and covariance c.

    1 - rho^2 = (1 - rho)(1 + rho) is exactly 0 where it is within rounding of 0. rho itself is not clipped: on the diagonal the derivative
    in c must not vanish. Both are formed after scaling, so that a b may over- or underflow. A vanishing variance gives (0, 1).
    """
    rho = c * inverse_root(a) * inverse_root(b)
    rest = (1 - rho) * (1 + rho)
    return rho, jnp.where(rest > ROUNDING * jnp.finfo(rest.dtype).eps, rest, 0.0)


@jax.jit
def angle(s: Array, rho: Array) -> Array:
    """The angle in [0, pi] of the point (rho, s) of the upper half circle: 2 atan(s / (1 + |rho|)) or what is left to pi, faster than atan2."""
    below = 1 + jnp.abs(rho)
    t = s / below
    half = 2 * s * over_root(np.arctan, t * t, 1.0, (8, 21))
    return jnp.where(rho < 0, pi * below - half, half) / below


def tilt(u: Law, rate: Mapping[int, float]) -> tuple[Array, Law]:
    """E e^{r.u} F(u) = e^{r.m + r.Cr/2} E F(u + C r)."""
    shift = cache(lambda j: sum(r * u.cov(i, j) for i, r in rate.items()))
    exponent = sum(r * (u.mean(i) + 0.5 * shift(i)) for i, r in rate.items())
    return jnp.exp(jnp.asarray(exponent)), Law(lambda j: u.mean(j) + shift(j), u.cov, u.pinned)


def weigh(u: Law, i: int, scale: float, shift: float) -> tuple[Array, Law]:
    """E e^{-(s u_i + b)^2} F(u): an observation u_i = -b/s with noise of variance 1/(2 s^2)."""
    noise, off = 0.5 / scale**2, _add(u.mean(i), shift / scale)
    total = u.cov(i, i) + noise
    weight = jnp.sqrt(noise / jnp.asarray(total))
    return (weight if is_zero(off) else weight * jnp.exp(-0.5 * off**2 / total)), _observe(u, i, off, noise)


def pin(u: Law, i: int, scale: float, shift: float) -> tuple[Array, Law]:
    """E delta(s u_i + b) F(u): the density of s u_i + b at 0, and the law given u_i = -b/s. Infinite where u_i has variance 0."""
    off, variance = _add(u.mean(i), shift / scale), jnp.asarray(u.cov(i, i))
    weight = 1 / (abs(scale) * sqrt(2 * pi) * jnp.sqrt(variance))
    return (weight if is_zero(off) else weight * jnp.exp(-0.5 * off**2 / variance)), _observe(u, i, off, 0.0)


def _observe(u: Law, i: int, off: Scalars, noise: float) -> Law:
    """The law given u_i - m_i + noise = -off (Bayes): C_jk - C_ji C_ik / (C_ii + noise), m_j - C_ji off / (C_ii + noise).

    A variance is formed as C_jj ((1 - rho^2) C_ii + noise) / (C_ii + noise), which keeps its sign.
    """

    def total() -> Array:
        return jnp.asarray(u.cov(i, i) + noise)

    def mean(j: int) -> Scalars:
        gain = times(u.cov(j, i), off)
        return u.mean(j) if is_zero(gain) else u.mean(j) - ratio(gain, total())

    @cache
    def cov(j: int, k: int) -> Scalars:
        if i in (j, k):
            return times(u.cov(j, k), noise / total()) if noise else 0.0
        if is_zero(u.cov(j, i)) or is_zero(u.cov(i, k)):
            return u.cov(j, k)
        if j == k:
            _, rest = correlation(u.cov(i, i), u.cov(j, j), u.cov(i, j))
            return u.cov(j, j) * (rest * u.cov(i, i) + noise) / total() if noise else u.cov(j, j) * rest
        return u.cov(j, k) - u.cov(j, i) * ratio(u.cov(i, k), total())

    return Law(cache(mean), lambda j, k: cov(min(j, k), max(j, k)), u.pinned or noise == 0)


def _add(x: Scalars, y: float) -> Scalars:
    return x if y == 0 else x + y
