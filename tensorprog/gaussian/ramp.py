"""Expectations of ramps r_k(u) = max(u, 0)^k, with r_0(u) = 1[u > 0], r_{-1} = delta: arc-cosine kernels (Cho & Saul 2009).

At variance 0 a function has its value at the mean: r_0(0) = 0.
"""

from __future__ import annotations

from functools import cache, partial
from math import gamma, pi, sqrt

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import ndtr

from tensorprog.gaussian.law import angle, correlation, is_zero, ratio, root
from tensorprog.gaussian.problem import Scalars

DENSITY = 1 / sqrt(2 * pi)  # of a standard normal at 0


def half_moment(k: int) -> float:
    """E r_k(z) for a standard normal z, k >= 0."""
    return 2 ** (k / 2 - 1) * gamma((k + 1) / 2) / sqrt(pi)


def half_power(a: Scalars, k: int) -> Array:
    """a^(k/2); 1[a > 0] for k = 0, as r_0(0) = 0."""
    a = jnp.asarray(a)
    if k == -1:
        return 1 / jnp.sqrt(a)
    if k == 0:
        return jnp.where(a > 0, 1.0, 0.0)
    whole = a ** (k // 2)
    return whole * root(a) if k % 2 else whole


def single(k: int, m: Scalars, a: Scalars) -> Array:
    """E r_k(u), u ~ N(m, a), k >= 0: I_k = m I_{k-1} + (k-1) a I_{k-2}, from I_0 = Phi(m/sqrt a), I_1 = m I_0 + sqrt a phi(m/sqrt a)."""
    if is_zero(m):
        return half_moment(k) * half_power(a, k)
    s = root(a)
    t = ratio(m, s)
    below, value = s * DENSITY * jnp.exp(-0.5 * t * t), jnp.where(s > 0, ndtr(t), jnp.where(jnp.asarray(m) > 0, 1.0, 0.0))
    for order in range(1, k + 1):
        below, value = value, m * value + (below if order == 1 else (order - 1) * a * below)
    return value


@partial(jax.jit, static_argnums=(0, 1))
def pair(j: int, k: int, a: Scalars, b: Scalars, c: Scalars) -> Array:
    """E r_j(u) r_k(v), zero means, variances a, b, covariance c; j, k >= -1.

    For unit variances, with s = sqrt(1 - rho^2) and the angle theta of (rho, s), Stein's lemma on u r_{j-1}(u) r_k(v) gives
    R_{jk} = (j-1) R_{j-2,k} + rho k R_{j-1,k-1}  (a factor 0 is read as 1: there the derivative is a delta),
    from R_{00} = (pi - theta) / (2 pi),  R_{k,-1} = phi(0) s^k E r_k(z),  R_{-1,-1} = 1 / (2 pi s).
    Exact at equal and opposite inputs. A delta that meets a delta there is infinite; one that meets a step is not a number.
    """
    rho, rest = correlation(a, b, c)
    s = root(rest)

    @cache
    def unit(j: int, k: int) -> Scalars:
        if j < k:
            return unit(k, j)
        if k == -1:
            return 1 / (2 * pi * s) if j == -1 else DENSITY * half_moment(j) * s**j
        if j == 0:
            return (pi - angle(s, rho)) / (2 * pi)
        return max(j - 1, 1) * unit(j - 2, k) + rho * (max(k, 1) * unit(j - 1, k - 1))

    value = half_power(a, j) * half_power(b, k) * unit(j, k)
    return jnp.where(rest > 0, value, jnp.nan) if {j, k} == {-1, 0} else value


@jax.jit
def rcond(a: Scalars, b: Scalars, c: Scalars) -> Array:
    """By how much E r_0(u) r_0(v) = (pi - theta) / 2 pi divides the rounding of a correlation: pi sin theta, here bounded from theta.

    Where `correlation` finds the inputs to be equal or opposite, which they need not be in truth, it is 0 in float64, and eps in float32.
    """
    rho, rest = correlation(a, b, c)
    theta = angle(root(rest), rho)
    apart = 2 * jnp.minimum(theta, pi - theta)  # at most pi sin(theta); pi at variance 0, where the value is 0
    return apart if apart.dtype == jnp.float64 else jnp.maximum(apart, jnp.finfo(apart.dtype).eps)


@jax.jit
def orthant(variances: tuple[Scalars, Scalars, Scalars], covariances: tuple[Scalars, Scalars, Scalars]) -> Array:
    """P(u, v, w > 0) for zero means = (2 pi - sum of the three angles) / (4 pi); covariances of (u, v), (u, w), (v, w)."""
    a, b, d = variances
    angles = [angle(root(rest), rho) for rho, rest in map(correlation, (a, a, b), (b, d, d), covariances)]
    inside = (2 * pi - angles[0] - angles[1] - angles[2]) / (4 * pi)
    return inside * half_power(a, 0) * half_power(b, 0) * half_power(d, 0)
