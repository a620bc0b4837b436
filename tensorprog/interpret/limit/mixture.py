"""Normalized functions: E of atoms times negative powers of sums of squares, as an integral over Gaussian scales (Yang 2020, TP II, App. E.4).

    Q^{-a} = 1/Gamma(a) int_0^inf s^{a-1} e^{-s Q} ds,        Q = eps + sum_k w_k u_k^2 = eps + z^T M z,

and e^{-s Q} goes into the law of z: its covariance becomes (I + 2 s M)^{-1}, and the weight is det(I + 2 s M)^{-1/2} e^{-s eps}, a product over the
eigenvalues of M. One sum of squares (one batch) is one integral, two (two batches) are two; what is left inside has a closed form.
The integral over log s is a trapezoidal sum, which converges exponentially; its error is measured by a coarser one.

Without eps the expectation exists only if enough independent squares keep Q from 0: r squares and factors that vanish with Q to the order d need
r + d > 2 a. The NTK of a normalized batch has a = 1, d = 0: its points, centred, must span three dimensions (four points in general position). In two
dimensions it grows as log(1 / eps), and with width as log n; in one as eps^(-1/2), while finite networks see no gradient at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from math import lgamma, prod

import jax
import jax.numpy as jnp
from jax import Array

from tensorprog.gaussian.expect import expect
from tensorprog.gaussian.jacobi import eigh
from tensorprog.gaussian.problem import AnyFactor, Composite, Estimate, Factor, Power, Strategy
from tensorprog.interpret.limit import variable
from tensorprog.interpret.limit.lift import is_power, squares
from tensorprog.interpret.limit.problem import Coordinates, forms_of, instances, moved
from tensorprog.interpret.limit.scalar import Index, S, Scalars
from tensorprog.interpret.limit.squares import CUT, Law, Quadratic, Read, law, side_by_side, stacked
from tensorprog.interpret.limit.variable import Atom, Lin, Poly, Use
from tensorprog.language.nonlin import parity

POINTS = 1 << 20  # numbers held at a time


def quadratics(scalars: Scalars, uses: tuple[Use, ...]) -> list[Quadratic] | None:
    """The negative powers of sums of squares among the factors, those of one sum together; None where another composite stands beside them."""
    powers: dict[tuple[Poly, tuple[Index, ...]], float] = {}
    for use in uses:
        if not isinstance(use.factor, variable.Composite):
            continue
        exponent = is_power(use.factor.fn)
        if exponent is None or exponent >= 0:
            return None
        key = (use.factor.args[0], use.idx)
        powers[key] = powers.get(key, 0.0) - exponent
    found = [_quadratic(scalars, poly, idx, a) for (poly, idx), a in powers.items()]
    whole = [q for q in found if q is not None]
    return whole if whole and len(whole) == len(found) <= 2 and all(isinstance(u.factor, Lin | Atom | variable.Composite) for u in uses) else None


def _quadratic(scalars: Scalars, p: Poly, idx: tuple[Index, ...], a: float) -> Quadratic | None:
    if not squares(scalars, p):
        return None
    offset, forms, weights = 0.0, list[Use](), list[float]()
    for term in p.terms:
        number, _ = scalars.split(term.coef)
        if not term.uses:
            offset += number
            continue
        for _, at in instances(term, dict(zip(p.axes, idx, strict=True))):
            forms.append(moved(term.uses[0], at))
            weights.append(number)
    return Quadratic(a, offset, tuple(forms), tuple(weights))


def mixture(c: Coordinates, sums: list[Quadratic], read: Read, strategy: Strategy) -> Estimate:
    """The expectation of a problem, powers of `sums` among its factors, from the arrays of its scalars: (N1, N2, all positions in one dimension)."""
    sizes = c.problem.sizes
    ranks = tuple(range(len(sizes)))

    def entry(s: S) -> Array:
        a = read(s, ranks)
        return jnp.broadcast_to(a, (*a.shape[:2], *sizes)).reshape(*a.shape[:2], -1) if ranks else a

    where = {form: k for k, form in enumerate(c.forms)}
    uses = [u for u in c.problem.uses if not isinstance(u.factor, variable.Composite)]
    mains = list(dict.fromkeys(where[f] for u in uses for f in forms_of(u, {})))
    place = {k: m for m, k in enumerate(mains)}
    factors = [replace(f, coord=place[f.coord]) for f in c.factors(entry) if not isinstance(f, Composite)]

    def table(rows: list[int], columns: list[int]) -> Array:
        flat = side_by_side([c.covariance(i, j) for i in rows for j in columns], sizes, read)
        return flat.reshape(*flat.shape[:-1], len(rows), len(columns))

    blocks = [[where[f] for f in q.forms] for q in sums]
    gram = stacked([[table(a, b) for b in blocks] for a in blocks])
    onto = [stacked([[table([m], b) for b in blocks]])[..., 0, :] for m in mains]
    return integrate(sums, factors, law(sums, gram, onto, lambda i, j: table([mains[i]], [mains[j]])[..., 0, 0]), strategy)


def integrate(sums: list[Quadratic], factors: Sequence[AnyFactor], whole: Law, strategy: Strategy) -> Estimate:
    """The expectation of the powers of the sums and of factors of coordinates 0, 1 .., over (N1, N2, positions)."""
    mains = len(whole.loads)
    falls = _falls(sums, whole, factors)
    grids = [_nodes(q, strategy, decay) for q, decay in zip(sums, _decays(sums, factors, falls), strict=True)]
    first, rest = (sums[0], grids[0]), list(zip(sums[1:], grids[1:], strict=True))
    size = prod(jnp.broadcast_shapes(*(a.shape for a in (*whole.rest.values(), *(l[..., 0] for l in whole.loads)))))
    chunk = max(1, min(len(grids[0][0]), POINTS // max(size, 1)))

    def along_first(law: Law) -> Array:
        """The integral over the scale of the first sum, whose quadratic form is diagonal beside every node."""
        q, (taus, step) = first
        values, vectors = eigh(law.squares[0])
        rates = 2 * jnp.where(values > CUT * values[..., -1:], values, 0.0)[..., None, :]
        loads = [(l[..., None, :] @ vectors)[..., 0, :] for l in law.loads]
        short = -len(taus) % chunk
        padded = jnp.concatenate([taus, jnp.full((short,), -1e4)])  # e^{-1e4} = 0: no weight

        def at(tau: Array) -> Array:
            shrunk = 1 / (1 + jnp.exp(tau)[:, None] * rates)  # (.., chunk, squares)
            log_weight = 0.5 * jnp.log(shrunk).sum(-1) + _log_weight(q, law.scale[0], tau)

            @cache
            def conditional(i: int, j: int) -> Array:
                return _damped(loads[i] * loads[j], shrunk) + law.rest[min(i, j), max(i, j)][..., None]

            value = expect(factors, [0.0] * mains, conditional, strategy).value if factors else jnp.ones((1, 1, 1, 1))
            return (jnp.exp(log_weight) * value).sum(-1)

        return jax.lax.map(at, padded.reshape(-1, chunk)).sum(0) * step

    def along_second(q: Quadratic, taus: Array, step: Array) -> Array:
        """e^{-s Q} of the second sum goes into the law, node by node, in the eigenbasis of the second sum."""
        values, vectors = eigh(whole.squares[1])
        rates = 2 * jnp.where(values > CUT * values[..., -1:], values, 0.0)

        def at(tau: Array) -> Array:
            shrunk = 1 / (1 + jnp.exp(tau) * rates)
            log_weight = 0.5 * jnp.log(shrunk).sum(-1) + _log_weight(q, whole.scale[1], tau[None])[..., 0]
            inverse = jnp.sqrt(shrunk)[..., None] * vectors.mT
            loads = [(inverse @ l[..., None])[..., 0] for l in whole.loads]
            given = replace(whole, squares=(inverse @ whole.squares[0] @ inverse.mT, whole.squares[1]), loads=loads)
            return jnp.exp(log_weight) * along_first(given)

        return jax.lax.map(at, taus).sum(0) * step

    value = along_second(rest[0][0], *rest[0][1]) if rest else along_first(whole)
    bare = jnp.stack([fall for q, fall in zip(sums, falls, strict=True) if q.offset == 0.0] or [jnp.asarray(1.0)])
    return Estimate(jnp.where(bare.min() > 0, value, jnp.inf), "quadrature")


def _damped(product: Array, shrunk: Array) -> Array:
    """sum_g product_g shrunk_kg: (N1, N2, positions, squares) and (N1, N2, positions or 1, nodes, squares) to (N1, N2, positions, nodes)."""
    if shrunk.shape[2] > 1:
        return (product[..., None, :] * shrunk).sum(-1)
    return product @ shrunk[:, :, 0].mT  # a matrix product for all positions


def _log_weight(q: Quadratic, scale: Array, tau: Array) -> Array:
    """log of s^a e^{-s offset} / Gamma(a) at s = e^tau / scale: (.., nodes)."""
    at = tau - jnp.log(scale)[..., None]
    return q.power * at - q.offset * jnp.exp(at) - lgamma(q.power)


def _falls(sums: list[Quadratic], law: Law, factors: Sequence[AnyFactor]) -> list[Array]:
    """How fast the integrand falls towards large scales of each sum, e^{-fall tau}, for the data at hand; no faster than along all scales together.

    1/2 for every square and for every power of the coordinates that are functions of the squares, less the power of the sum.
    """

    def fall(rank: Array, carried: list[Array], power: float) -> Array:
        degrees = [jnp.where(carried[f.coord], _degree(f), 0.0) for f in factors if not isinstance(f, Composite)]
        return (rank + sum(degrees, jnp.asarray(0.0))) / 2 - power

    every = [jnp.all(law.rest[m, m] == 0) for m in range(len(law.loads))]
    together = fall(law.rank, every, sum(q.power for q in sums))
    alone = [fall(rank, carried, q.power) for q, rank, carried in zip(sums, law.ranks, law.carried, strict=True)]
    return [jnp.minimum(one, together) for one in alone]


def _decays(sums: list[Quadratic], factors: Sequence[AnyFactor], falls: list[Array]) -> list[tuple[float, Array]]:
    """The fall as a guess before the data are known, and for the data at hand, kept away from 0."""
    whole = sum(_degree(f) for f in factors if not isinstance(f, Composite))
    power = sum(q.power for q in sums)
    out: list[tuple[float, Array]] = []
    for q, fall in zip(sums, falls, strict=True):
        squares = len(q.forms) - 1
        usual = max(0.5, min((squares + whole / len(sums)) / 2 - q.power, (squares + whole) / 2 - power))
        out.append((usual, jnp.clip(fall, 0.25, 4 * usual)))
    return out


def _degree(f: Factor | Power) -> float:
    """The power with which a factor grows or vanishes with its coordinate."""
    if isinstance(f, Power):
        return float(f.degree)
    return max(0.0, f.fn.constants[0]) if f.fn.name == "ramp" else float(parity(f.fn) == -1 and f.shift == 0)


def _nodes(q: Quadratic, strategy: Strategy, decay: tuple[float, Array]) -> tuple[Array, Array]:
    """Nodes of the trapezoidal rule in tau = log(s scale), and its step.

    The integrand is analytic for |Im tau| < pi (its singularities are at s < 0), so the error of step h is e^{-2 pi^2 / h}; cut where it has
    fallen by e^{-reach}. More nodes make the step smaller and the reach longer in the same proportion, so that a coarser rule sees both errors.
    """
    usual, here = decay
    fineness = (strategy.nodes / Strategy.nodes) ** 0.5
    reach = 32.0 * fineness
    count = round(reach * (1 / q.power + 1 / usual) * fineness / 0.6)
    low, high = -reach / q.power, reach / here
    return jnp.linspace(low, high, count), (high - low) / (count - 1)
