"""E prod_i factor_i(u) for Gaussian u: the order of resorts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax.numpy as jnp

from tensorprog.gaussian.closed import absorb, closed_form
from tensorprog.gaussian.law import is_zero, law
from tensorprog.gaussian.problem import AnyFactor, Composite, Estimate, Factor, Power, Scalars, Strategy
from tensorprog.gaussian.product import atoms
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
    terms = atoms(product) if strategy.closed else None
    value = closed_form(terms, u) if terms is not None else None
    if value is not None:
        return Estimate(value, "polynomial" if all(isinstance(f, Power) for f in product) else "closed form")
    raise NotImplementedError(absorb)


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
