"""Independent references: plain numpy functions, scipy integration, brute force."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from scipy import integrate, special

from tensorprog.gaussian import Estimate, Strategy, expect

FUNCTIONS: dict[str, Callable[[float], float]] = {
    "relu": lambda x: max(x, 0.0),
    "step": lambda x: float(x > 0),
    "abs": abs,
    "sign": np.sign,
    "erf": special.erf,
    "gaussian": lambda x: np.exp(-x * x),
    "sin": np.sin,
    "cos": np.cos,
    "exp": np.exp,
    "tanh": np.tanh,
    "sigmoid": special.expit,
    "gelu": lambda x: x * special.ndtr(x),
}
DEFAULT = Strategy()
QUADRATURE = Strategy(closed=False, series=False)
SERIES = Strategy(closed=False)
SAMPLING = Strategy(closed=False, max_dimension=0)


def covariance(*rows):
    """cov(i, j) of a matrix given by its rows."""
    return lambda i, j: rows[i][j]


def pair(a, b, c):
    return covariance((a, c), (c, b))


def jitted(product, cov, strategy: Strategy = DEFAULT, mean=(0.0, 0.0, 0.0, 0.0)) -> Estimate:
    """`expect` as users meet it: compiled, with covariances that are arguments. `cov` is a matrix or rows of arrays; means are structural."""
    rows = [[jnp.asarray(x) for x in row] for row in cov]
    return jax.jit(lambda c: expect(product, mean, lambda i, j: c[i][j], strategy))(rows)


def gram(a, b, c):
    return ((a, c), (c, b))


def expectation_2d(f, g, a: float, b: float, c: float, m: float = 0.0, n: float = 0.0, cut: tuple[float, ...] = (0.0,)) -> float:
    """E f(m + u) g(n + v) by adaptive integration over v inside u, cut where the integrand may jump."""
    s, r, t = np.sqrt(a), c / np.sqrt(a), np.sqrt(b - c * c / a)

    def phi(x):
        return np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi)

    def inner(x: float) -> float:
        places = sorted(y for y in ((k - n - r * x) / t for k in cut) if -9 < y < 9)
        edges = [-9.0, *places, 9.0]
        return sum(integrate.quad(lambda y: g(n + r * x + t * y) * phi(y), lo, hi, epsabs=1e-13, limit=200)[0] for lo, hi in pairwise(edges))

    places = sorted(x for x in ((k - m) / s for k in cut) if -9 < x < 9)
    edges = [-9.0, *places, 9.0]
    return sum(integrate.quad(lambda x: f(m + s * x) * phi(x) * inner(x), lo, hi, epsabs=1e-12, limit=200)[0] for lo, hi in pairwise(edges))
