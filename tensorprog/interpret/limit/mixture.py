"""Normalized functions: E of atoms times negative powers of sums of squares, as an integral over Gaussian scales (Yang 2020, TP II, App. E.4).

    Q^{-a} = 1/Gamma(a) int_0^inf s^{a-1} e^{-s Q} ds,        Q = eps + sum_k w_k u_k^2,

and e^{-s Q} goes into the Gaussian law: with u = R z, u'_m has covariance R_m (I + R^T D R)^{-1} R_m^T, D = diag(2 s_r w_k), and the weight is
det(I + R^T D R)^{-1/2} e^{-s eps}. One sum of squares (one batch) is one integral, two (two batches) are two; what is left inside has a closed form.
The integral over log s is a trapezoidal sum, which converges exponentially; its error is measured by a coarser one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import lgamma

import jax
import jax.numpy as jnp
from jax import Array

from tensorprog.gaussian.expect import expect
from tensorprog.gaussian.problem import AnyFactor, Estimate, Strategy
from tensorprog.interpret.limit.lift import is_power, squares
from tensorprog.interpret.limit.problem import instances, moved
from tensorprog.interpret.limit.scalar import Index, Scalars
from tensorprog.interpret.limit.variable import Atom, Composite, Lin, Poly, Use

CHUNK = 128  # nodes at a time
CUT = 1e-12  # eigenvalues and residual variances below this part of the whole are 0


@dataclass(frozen=True, eq=False)
class Quadratic:
    """Q^{-power}, Q = offset + sum weights * form^2."""

    power: float
    offset: float
    forms: tuple[Use, ...]
    weights: tuple[float, ...]


def quadratics(scalars: Scalars, uses: tuple[Use, ...]) -> list[Quadratic] | None:
    """The negative powers of sums of squares among the factors, those of one sum together; None where another composite stands beside them."""
    powers: dict[tuple[Poly, tuple[Index, ...]], float] = {}
    for use in uses:
        if not isinstance(use.factor, Composite):
            continue
        exponent = is_power(use.factor.fn)
        if exponent is None or exponent >= 0:
            return None
        key = (use.factor.args[0], use.idx)
        powers[key] = powers.get(key, 0.0) - exponent
    found = [_quadratic(scalars, poly, idx, a) for (poly, idx), a in powers.items()]
    whole = [q for q in found if q is not None]
    return whole if whole and len(whole) == len(found) <= 2 and all(isinstance(u.factor, Lin | Atom | Composite) for u in uses) else None


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


def integrate(
    sums: list[Quadratic], factors: Sequence[AnyFactor], mains: int, cov: Callable[[Use | int, Use | int], Array], strategy: Strategy, degree: float
) -> Estimate:
    """The expectation, over (N1, N2, positions).

    Args:
        factors: what stands beside the squares, over the coordinates 0 .. mains - 1.
        cov: covariance of two coordinates (a number) or forms of the squares, as arrays that broadcast over (N1, N2, positions).
        degree: how many powers of the coordinates the factors have together; it sets how far the integrals reach.
    """
    forms = [f for q in sums for f in q.forms]
    gram = _stacked([[cov(f, g) for g in forms] for f in forms])
    values, vectors = jnp.linalg.eigh(gram)
    alive = values > CUT * values[..., -1:]
    root = vectors * jnp.sqrt(jnp.where(alive, values, 0.0))[..., None, :]  # gram = root root^T
    inverse = vectors * jnp.where(alive, jnp.where(alive, values, 1.0) ** -0.5, 0.0)[..., None, :]
    main = [jnp.stack(jnp.broadcast_arrays(*(cov(m, f) for f in forms)), -1) for m in range(mains)]
    loads = [(c[..., None, :] @ inverse)[..., 0, :] for c in main]
    rest = {(i, j): _residual(cov, loads, i, j) for i in range(mains) for j in range(i, mains)}
    owner = jnp.array([k for k, q in enumerate(sums) for _ in q.forms])
    weights = jnp.array([w for q in sums for w in q.weights])
    scale = jnp.stack([q.offset + (jnp.diagonal(gram, axis1=-2, axis2=-1) * weights * (owner == k)).sum(-1) for k, q in enumerate(sums)], -1)
    taus, step = _nodes(sums, strategy, degree)

    def at(tau: Array) -> Array:
        """The integrand summed over a chunk of nodes (chunk, squares)."""
        s = jnp.exp(tau) / scale[..., None, :]
        d = 2 * s[..., owner] * weights
        inner = jnp.eye(root.shape[-1]) + jnp.einsum("...gr,...kg,...gt->...krt", root, d, root)
        factor = jnp.linalg.cholesky(inner)
        log_weight = -jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1)).sum(-1)
        for k, q in enumerate(sums):
            log_weight += q.power * jnp.log(s[..., k]) - q.offset * s[..., k] - lgamma(q.power)
        whitening = jax.scipy.linalg.solve_triangular(factor, jnp.broadcast_to(jnp.eye(factor.shape[-1]), factor.shape), lower=True)
        solved = [jnp.einsum("...krt,...t->...kr", whitening, x) for x in loads]

        def conditional(i: int, j: int) -> Array:
            return (solved[i] * solved[j]).sum(-1) + rest[min(i, j), max(i, j)][..., None]

        value = expect(factors, [0.0] * mains, conditional, strategy).value if factors else jnp.ones((1, 1, 1, 1))
        return (jnp.exp(log_weight) * value).sum(-1)

    total = jax.lax.map(at, taus).sum(0) * step
    return Estimate(total, "quadrature")


def _residual(cov: Callable[[Use | int, Use | int], Array], loads: list[Array], i: int, j: int) -> Array:
    """What of Cov(i, j) the squares do not carry; exactly 0 where it is rounding."""
    c = cov(i, j)
    left = c - (loads[i] * loads[j]).sum(-1)
    size = jnp.sqrt(cov(i, i) * cov(j, j))
    return jnp.where(jnp.abs(left) <= 1e-10 * size, 0.0, left)


def _stacked(rows: list[list[Array]]) -> Array:
    flat = jnp.broadcast_arrays(*(a for row in rows for a in row))
    return jnp.stack(flat, -1).reshape(*flat[0].shape, len(rows), len(rows))


def _nodes(sums: list[Quadratic], strategy: Strategy, degree: float) -> tuple[Array, float]:
    """Nodes in log s, as chunks (chunks, CHUNK, squares), and their weight: four a `strategy.nodes` for one integral, one a dimension for two."""
    count = 4 * strategy.nodes if len(sums) == 1 else strategy.nodes
    grids: list[Array] = []
    step = 1.0
    for q in sums:
        decay = max(0.5, (len(q.forms) - 1 + degree / len(sums)) / 2 - q.power)
        low, high = -32.0 / q.power, 32.0 / decay
        grids.append(jnp.linspace(low, high, count))
        step *= (high - low) / (count - 1)
    grid = jnp.stack(jnp.meshgrid(*grids, indexing="ij"), -1).reshape(-1, len(sums))
    short = -grid.shape[0] % CHUNK
    padded = jnp.concatenate([grid, jnp.full((short, len(sums)), -1e4)])  # e^{-1e4} = 0: no weight
    return padded.reshape(-1, CHUNK, len(sums)), step


__all__ = ["Quadratic", "integrate", "quadratics"]
