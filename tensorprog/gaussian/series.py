"""Mehler's formula: E f(u) g(v) = sum_k f_k g_k rho^k, with the Hermite coefficients f_k = E f(m + sqrt(a) z) h_k(z).

For a kernel of N1 x N2 pairs it costs (N1 + N2) one-dimensional integrals a degree instead of N1 N2 two-dimensional ones.
"""

from __future__ import annotations

from functools import reduce

import jax.numpy as jnp
from jax import Array, lax

from tensorprog.gaussian.functions import function
from tensorprog.gaussian.law import Law, correlation, is_zero, root
from tensorprog.gaussian.problem import Composite, Estimate, Factor, Power, Strategy
from tensorprog.gaussian.product import Product
from tensorprog.gaussian.rules import hermite
from tensorprog.language.nonlin import parity


def has_series(product: Product) -> bool:
    """Functions of exactly two coordinates, of one coordinate each, without kinks."""
    coords = {f.coord for f in product if not isinstance(f, Composite)}
    return len(coords) == 2 and all(isinstance(f, Power) or (isinstance(f, Factor) and not f.fn.kinks) for f in product)


def series(product: Product, u: Law, strategy: Strategy) -> tuple[Estimate, Array]:
    """The series up to degree K, with the bound of its tail by Cauchy and Schwarz and Parseval:

    |sum_{k > K} f_k g_k rho^k| <= |rho|^{K+1} sqrt(E f^2 - sum_{k <= K} f_k^2) sqrt(the same of g).

    Returns:
        The estimate, and sqrt(E f^2 E g^2), to which its error is to be compared.
    """
    i, j = dict.fromkeys(f.coord for f in product if not isinstance(f, Composite))
    rho, _ = correlation(u.cov(i, i), u.cov(j, j), u.cov(i, j))
    (f, f_tail, f_size), (g, g_tail, g_size) = (_coefficients(product, at, u, strategy) for at in (i, j))
    start, step = _degrees(product, i, j, u)
    value = _horner(f[start::step], g[start::step], rho**step) * rho**start
    size = f_size * g_size
    bound = jnp.abs(rho) ** (strategy.terms + 1) * f_tail * g_tail + 16 * jnp.finfo(size.dtype).eps * size
    return Estimate(value, "series", lax.stop_gradient(bound)), size


def _coefficients(product: Product, at: int, u: Law, strategy: Strategy) -> tuple[Array, Array, Array]:
    """f_k, shape (K + 1, *batch); the root of the tail of E f^2; sqrt(E f^2)."""
    rule, h = hermite(2 * strategy.nodes, strategy.terms)
    mean = u.mean(at)
    x = root(u.cov(at, at))[..., None] * rule.points
    x = x if is_zero(mean) else x + jnp.asarray(mean)[..., None]
    values = reduce(jnp.multiply, (_value(f, x) for f in product if not isinstance(f, Composite) and f.coord == at))
    coefficients = jnp.moveaxis(values @ (rule.weights[:, None] * h), -1, 0)
    square = (values**2 * rule.weights).sum(-1)
    tail = root(square - (coefficients**2).sum(0))
    return coefficients, tail, root(square)


def _value(f: Factor | Power, x: Array) -> Array:
    return x**f.degree if isinstance(f, Power) else function(f.fn)(f.scale * x + f.shift)


def _degrees(product: Product, i: int, j: int, u: Law) -> tuple[int, int]:
    """(first degree, step) of the terms that do not vanish by parity."""
    for at in (i, j):
        sign = 1 if is_zero(u.mean(at)) else 0
        for f in product:
            if isinstance(f, Power) and f.coord == at:
                sign *= (-1) ** f.degree
            elif isinstance(f, Factor) and f.coord == at:
                sign *= parity(f.fn) if f.shift == 0 else 0
        if sign:
            return (0 if sign > 0 else 1), 2
    return 0, 1


def _horner(f: Array, g: Array, rho: Array) -> Array:
    """sum_k f_k g_k rho^k."""
    start = jnp.zeros(jnp.broadcast_shapes(f.shape[1:], g.shape[1:], rho.shape), jnp.result_type(f, g, rho))
    return lax.scan(lambda total, fg: (total * rho + fg[0] * fg[1], None), start, (f, g), reverse=True)[0]
