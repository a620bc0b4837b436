"""One-dimensional quadrature rules, each with a coarser rule on the same points, whose difference estimates the error."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, pi, sqrt

import jax.numpy as jnp
import numpy as np
from jax import Array

from tensorprog.gaussian.law import ratio

HALF_WIDTH = 9.5  # the standard normal beyond has mass 2e-21
SERIES_HALF_WIDTH = 13.0  # for Hermite functions, which spread to 2 sqrt(k)


@dataclass(frozen=True, eq=False)
class Rule:
    """sum_q weights[q] f(points[q]), and the same with `coarse` weights."""

    points: np.ndarray
    weights: np.ndarray
    coarse: np.ndarray


def density(x: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * x * x) / sqrt(2 * pi)


@lru_cache(maxsize=64)
def trapezoid(nodes: int, half_width: float = HALF_WIDTH) -> Rule:
    """The trapezoidal rule for E f(z): for f analytic in a strip |Im z| < d its error is about exp(-2 pi d / step).

    It beats Gauss-Hermite of as many points, most of which lie where the density is nil (Goodwin 1949; Trefethen 2022, "Exactness of quadrature
    formulas"). The coarse rule takes every second point.
    """
    nodes += 1 - nodes % 2
    x = np.linspace(-half_width, half_width, nodes)
    w = density(x)
    even = np.where(np.arange(nodes) % 2 == 0, w, 0.0)
    return Rule(x, w / w.sum(), even / even.sum())


@lru_cache(maxsize=64)
def gauss_legendre(nodes: int) -> Rule:
    """Gauss-Legendre on [0, 1]; the coarse rule is the interpolatory one without every fourth point."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    kept = np.flatnonzero(np.arange(nodes) % 4 != 2)
    basis = np.polynomial.legendre.legvander(x[kept], len(kept) - 1)
    exact = np.zeros(len(kept))
    exact[0] = 2.0
    coarse = np.zeros(nodes)
    coarse[kept] = np.linalg.solve(basis.T, exact)
    return Rule((x + 1) / 2, w / 2, coarse / 2)


@lru_cache(maxsize=64)
def gauss_hermite(nodes: int) -> Rule:
    """Gauss-Hermite for E f(z): exact for polynomials of degree 2 nodes - 1. Its coarse rule is itself."""
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    w = w / w.sum()
    return Rule(x, w, w)


@lru_cache(maxsize=16)
def hermite(terms: int) -> tuple[Rule, np.ndarray]:
    """A trapezoidal rule and the Hermite polynomials h_k = He_k / sqrt(k!) on its points, shape (nodes, terms + 1).

    h_k(x) exp(-x^2/2) has the frequencies around sqrt(k): the rule resolves sqrt(terms), and 100 more for the function whose coefficients are taken.
    """
    rule = trapezoid(ceil(2 * SERIES_HALF_WIDTH * (sqrt(terms) + 100) / (2 * pi)), SERIES_HALF_WIDTH)
    h = np.ones((len(rule.points), terms + 1))
    for k in range(terms):
        h[:, k + 1] = (rule.points * h[:, k] - (sqrt(k) * h[:, k - 1] if k else 0.0)) / sqrt(k + 1)
    return rule, h


def relative_error(fine: Array, coarse: Array, size: Array) -> Array:
    """Of the fine rule, relative to `size`, from its distance d to the coarse one: min(1, 10 d, (200 d)^2), in the manner of QUADPACK.

    More points take a power of a geometric error, hence the square; 10 d holds for integrands that are less smooth than they say.
    """
    d = ratio(jnp.abs(fine - coarse), size)
    return jnp.minimum(jnp.minimum(1.0, 10 * d), (200 * d) ** 2)
