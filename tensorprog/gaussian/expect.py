"""E prod_i factor_i(u) for Gaussian u: the order of resorts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax.numpy as jnp

from tensorprog.gaussian.closed import SHAPES, absorb, closed_form, expectation, rcond, undecided
from tensorprog.gaussian.integrand import coordinates
from tensorprog.gaussian.law import Law, is_zero, law
from tensorprog.gaussian.problem import AnyFactor, Composite, Estimate, Factor, Power, Scalars, Strategy
from tensorprog.gaussian.product import Product, atoms, normal
from tensorprog.gaussian.quadrature import quadrature
from tensorprog.gaussian.sampling import sampling
from tensorprog.gaussian.series import has_series, series
from tensorprog.language.nonlin import parity

DEFAULT = Strategy()


def expect(factors: Sequence[AnyFactor], mean: Sequence[Scalars], cov: Callable[[int, int], Scalars], strategy: Strategy = DEFAULT) -> Estimate:
    """E prod_i factor_i(u), u ~ N(mean, C), C_ij = cov(i, j), asked for lazily; arrays broadcast.

    In this order: odd products are 0; closed forms; factors of Gaussian shape go into the law; polynomials (Wick); the Hermite series for pairs
    of smooth functions; quadrature; sampling. Which way is taken depends on the factors, never on the data.
    """
    product, u = tuple(factors), law(mean, cov)
    if is_odd(product, mean):
        return Estimate(jnp.asarray(0.0), "closed form")
    if all(isinstance(f, Power) for f in product):
        return Estimate(expectation(product, u), "polynomial")
    terms = atoms(product) if strategy.closed else None
    value = closed_form(terms, u) if terms is not None else None
    if terms is not None and value is not None:
        return Estimate(value, "closed form", rcond=rcond(terms, u))
    coefficient, product = normal(product)
    if coefficient == 0.0:
        return Estimate(jnp.asarray(0.0), "closed form")
    weight, rest, u = absorb(product, u, SHAPES if strategy.closed else frozenset({"delta"}))
    for f in rest:
        weight = weight * undecided(f, u)
    found = _numerically(rest, u, strategy)
    return Estimate(coefficient * weight * found.value, found.method, abs(coefficient) * jnp.abs(weight) * found.error)


def _numerically(product: Product, u: Law, strategy: Strategy) -> Estimate:
    """Wick where only powers are left; else the series, quadrature or sampling."""
    inside, _ = coordinates(product)
    if not inside:
        return Estimate(expectation(product, u), "polynomial")
    if len(inside) > strategy.max_dimension:
        return sampling(product, u, strategy)
    if strategy.series and has_series(product):
        return series(product, u, strategy)
    return quadrature(product, u, strategy)


def is_odd(product: Sequence[AnyFactor], mean: Sequence[Scalars]) -> bool:
    """u -> -u turns the sign of the product and leaves the law: its expectation is 0."""
    sign = 1
    for f in product:
        match f:
            case Power(i, degree) if is_zero(mean[i]):
                sign *= (-1) ** degree
            case Factor(fn, i, _, 0) if is_zero(mean[i]):
                sign *= parity(fn)
            case Power() | Factor() | Composite():
                return False
    return sign == -1
