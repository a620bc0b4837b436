"""Closed forms: which products of atoms have one, and its value."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import combinations

import jax.numpy as jnp
from jax import Array, lax

from tensorprog.gaussian import erf, ramp
from tensorprog.gaussian.law import Law, correlation, is_zero, pin, tilt, weigh
from tensorprog.gaussian.problem import AnyFactor, Composite, Factor, Power, Scalars
from tensorprog.gaussian.product import Product, Terms, degree, kind, lower, normal, slopes
from tensorprog.gaussian.trig import waves
from tensorprog.gaussian.wick import polynomial

SHAPES = frozenset({"exp", "gaussian", "delta"})  # atoms of Gaussian shape: absorbed into the law


def closed_form(terms: Terms, u: Law) -> Array | None:
    """sum of coefficient * E product, or None where a product has no closed form here. Structure alone decides."""
    reduced = [(c * d, product) for c, (d, product) in ((c, normal(product)) for c, product in terms)]
    if not all(has_closed_form(product, u) for _, product in reduced):
        return None
    total = jnp.asarray(0.0)
    for c, product in reduced:
        if c != 0.0:
            total = total + c * expectation(product, u)
    return total


def rcond(terms: Terms, u: Law) -> Array | float:
    """`Estimate.rcond` of a closed form, the smallest of its products.

    That of two steps; sin^2 theta of two deltas, and of a delta and a step away from 0; 1 / sqrt(1 + 2 r^2 Var u) of erf(r u), and
    1 / (1 + r^2 Var u) of what else varies on a scale 1 / r.
    """
    found: list[Array] = []
    for factors in ([f for f in product if isinstance(f, Factor)] for c, product in terms if c):
        for f in factors:
            if kind(f) not in ("ramp", "delta"):
                spread = f.scale**2 * jnp.asarray(u.cov(f.coord, f.coord))
                found.append(1 / jnp.sqrt(1 + 2 * spread) if kind(f) == "erf" else 1 / (1 + spread))
        for f, g in combinations([f for f in factors if kind(f) in ("ramp", "delta") and degree(f) <= 0], 2):
            i, j = f.coord, g.coord
            if degree(f) == degree(g) == 0:
                found.append(ramp.rcond(u.cov(i, i), u.cov(j, j), u.cov(i, j)))
            elif i != j and (degree(f) == degree(g) or f.shift or g.shift):
                _, rest = correlation(u.cov(i, i), u.cov(j, j), u.cov(i, j))
                found.append(jnp.where(rest > 0, rest, float(degree(f) == degree(g))))  # at rest = 0 that of two deltas is infinite
    return lax.stop_gradient(reduce(jnp.minimum, found)) if found else 1.0


def has_closed_form(product: Product, u: Law) -> bool:
    """Powers times: nothing, waves, one erf or one ramp with any mean, two erfs or two ramps with zero means; or three steps with zero means."""
    if any(isinstance(f, Composite) for f in product):
        return False
    functions = [f for f in product if isinstance(f, Factor) and kind(f) not in SHAPES]
    kinds = {"wave" if kind(f) in ("sin", "cos") else kind(f) for f in functions}
    match tuple(kinds):
        case () | ("wave",):
            return True
        case ("erf",) | ("ramp",) if len(functions) == 1:
            return True
        case ("erf",) | ("ramp",) if len(functions) == 2:
            return _centred(product, u)
        case ("ramp",) if len(functions) == 3:
            return _centred(product, u) and len(product) == 3 and all(degree(f) == 0 for f in functions)
        case _:
            return False


def _centred(product: Product, u: Law) -> bool:
    """All arguments have mean 0, by structure, also after absorption."""
    return all(
        is_zero(u.mean(f.coord)) and (isinstance(f, Power) or (f.shift == 0 and kind(f) != "exp")) for f in product if not isinstance(f, Composite)
    )


def absorb(product: Product, u: Law, shapes: frozenset[str] = SHAPES) -> tuple[Array | float, Product, Law]:
    """E product(u) = weight E rest(u'): factors of Gaussian shape go into the law."""
    weight: Array | float = 1.0
    rest: list[AnyFactor] = []
    rates: dict[int, float] = {}
    for f in product:
        match kind(f):
            case "exp" if "exp" in shapes and isinstance(f, Factor):
                rates[f.coord] = rates.get(f.coord, 0.0) + f.scale
                weight = weight if f.shift == 0 else weight * jnp.exp(f.shift)
            case ("gaussian" | "delta") as shape if shape in shapes and isinstance(f, Factor):
                factor, u = (weigh if shape == "gaussian" else pin)(u, f.coord, f.scale, f.shift)
                weight = factor * weight
            case _:
                rest.append(f)
    if rates:
        factor, u = tilt(u, rates)
        weight = factor * weight
    return weight, tuple(rest), u


def expectation(product: Product, u: Law) -> Array:
    """E product for a product that has a closed form."""
    coefficient, product = normal(product)
    if coefficient == 0.0:
        return jnp.asarray(0.0)
    weight, rest, u = absorb(product, u)
    weight = weight * coefficient
    functions = [f for f in rest if isinstance(f, Factor)]
    if not functions:
        return weight * polynomial({f.coord: f.degree for f in rest if isinstance(f, Power)}, u)
    at = next((at for at, f in enumerate(rest) if isinstance(f, Power)), None)
    return weight * (_stein(rest, at, u) if at is not None else _functions(functions, u))


def _stein(product: Product, at: int, u: Law) -> Array:
    """Stein's lemma: E[u_i F] = m_i E F + sum_j C_ij E d_j F, for the power at that place."""
    power, rest = product[at], lower(product, at)
    assert isinstance(power, Power)
    i = power.coord
    total = jnp.asarray(0.0)
    if not is_zero(u.mean(i)):
        total = total + u.mean(i) * expectation(rest, u)
    for j, c, term in slopes(rest):
        if not is_zero(u.cov(i, j)):
            total = total + c * u.cov(i, j) * expectation(term, u)
    return total


def _functions(fs: Sequence[Factor], u: Law) -> Array:
    """Waves, error functions or ramps, without powers."""

    def cov(f: Factor, g: Factor) -> Scalars:
        return f.scale * g.scale * u.cov(f.coord, g.coord)

    match kind(fs[0]), fs:
        case (("sin" | "cos"), _):
            return waves(fs, u)
        case "erf", (f,):
            return erf.single(_mean(f, u), cov(f, f))
        case "erf", (f, g):
            return erf.pair(cov(f, f), cov(g, g), cov(f, g))
        case _, (f,):
            return ramp.single(degree(f), _mean(f, u), cov(f, f)) * undecided(f, u)
        case _, (f, g):
            return ramp.pair(degree(f), degree(g), cov(f, f), cov(g, g), cov(f, g))
        case _:
            f, g, h = fs
            return ramp.orthant((cov(f, f), cov(g, g), cov(h, h)), (cov(f, g), cov(f, h), cov(g, h)))


def _mean(f: Factor, u: Law) -> Scalars:
    mean = u.mean(f.coord)
    return f.shift if is_zero(mean) else f.scale * mean + f.shift


def undecided(f: AnyFactor, u: Law) -> Array | float:
    """NaN where a delta has fixed the argument of a step at its jump: delta(u) 1[u > 0] has no expectation. Else 1."""
    if not (u.pinned and isinstance(f, Factor) and kind(f) == "ramp" and degree(f) == 0 and is_zero(_mean(f, u))):
        return 1.0
    return jnp.where(jnp.asarray(u.cov(f.coord, f.coord)) > 0, 1.0, jnp.nan)
