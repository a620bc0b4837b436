"""Quadrature in the coordinates of a semi-definite Cholesky factor: u = m + L x, one dimension inside the other.

Coordinates whose functions have kinks come first (outermost), coordinates that occur only as powers last, where a few Gauss-Hermite points are exact.
A dimension with kinks is cut into panels: at the kink, and around the place where an inner kink crosses the centre of the inner density, which is
sharp when that variable is almost determined by the outer ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import pi, prod, sqrt

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from tensorprog.gaussian.integrand import coordinates, evaluate, kinks
from tensorprog.gaussian.law import Law, is_zero, ratio, root
from tensorprog.gaussian.problem import Estimate, Power, Scalars, Strategy
from tensorprog.gaussian.product import Product
from tensorprog.gaussian.rules import HALF_WIDTH, Rule, gauss_hermite, gauss_legendre, trapezoid

LAYER = 9.0  # half width, in standard deviations, of the layer around an inner kink


@dataclass(frozen=True)
class Axis:
    """One dimension: a coordinate, its rule, the number of panels (0: the rule is for the whole line, with the density in its weights)."""

    coord: int
    rule: Rule
    panels: int


@dataclass(frozen=True)
class Kink:
    """u_coord = at is a kink; `level` is the coordinate's dimension."""

    level: int
    at: float


def quadrature(product: Product, u: Law, strategy: Strategy) -> Estimate:
    """E product by nested rules.

    The error is estimated from the difference d to coarser rules in the manner of QUADPACK (Piessens et al. 1983): min(1, 200 d / s)^2 s, with s = E |product|,
    and never less than rounding. Memory: the points are visited in chunks, so that about `strategy.points` numbers are held at a time.
    """
    inside, powers = coordinates(product)
    inside.sort(key=lambda i: not kinks(product, i))
    order = [*inside, *powers]
    bends = tuple(Kink(level, at) for level, i in enumerate(order) for at in kinks(product, i))
    axes = _axes(product, order, len(inside), bends, strategy)
    factor = cholesky([[u.cov(i, j) for j in order] for i in order])
    means = [u.mean(i) for i in order]
    batch = np.broadcast_shapes(*(jnp.shape(x) for x in (*means, *(entry for row in factor for entry in row))))

    def visit(points: Sequence[tuple[Array, Array]], weights: Array, coarse: Array) -> tuple[Array, Array, Array]:
        x, density_weight = _place(points, axes, factor, means, bends)
        values = evaluate(product, dict(zip(order, _variables(means, factor, x), strict=True)), batch)
        fine = values * density_weight
        return (fine * weights).sum(-1), (fine * coarse).sum(-1), (jnp.abs(fine) * weights).sum(-1)

    value, coarse, size = _accumulate(visit, axes, batch, strategy.points)
    value, coarse, size = (jnp.broadcast_to(a, np.broadcast_shapes(a.shape, batch)) for a in (value, coarse, size))
    return Estimate(value, "quadrature", lax.stop_gradient(_error(value, coarse, size)))


def cholesky(cov: Sequence[Sequence[Scalars]]) -> list[list[Array]]:
    """Lower L with L L^T = C, C semi-definite: a pivot within rounding of 0 gives a column 0, and a row never exceeds its variance.

    Without pivoting this is backward stable: where a pivot is only rounding, so is its product with the column below it.
    """
    n = len(cov)
    factor: list[list[Array]] = [[] for _ in range(n)]
    left = [jnp.asarray(cov[i][i], dtype=float) for i in range(n)]  # variance of i not yet explained
    for k in range(n):
        eps = jnp.finfo(left[k].dtype).eps
        pivot = root(jnp.where(left[k] > 8 * eps * jnp.asarray(cov[k][k]), left[k], 0.0))
        factor[k].append(pivot)
        for i in range(k + 1, n):
            rest = cov[i][k] - sum((factor[i][m] * factor[k][m] for m in range(k)), start=0.0)
            bound = root(left[i])
            entry = ratio(rest, pivot)
            entry = jnp.where(jnp.abs(entry) > bound, jnp.sign(entry) * bound, entry)
            factor[i].append(entry)
            left[i] = (bound - entry) * (bound + entry)
    return factor


def _axes(product: Product, order: Sequence[int], inside: int, bends: Sequence[Kink], strategy: Strategy) -> list[Axis]:
    """Rules by dimension: panels where a kink lies at or below the level, else trapezoid; Gauss-Hermite for powers."""
    nodes, panel = (strategy.nodes, strategy.panel) if inside <= 2 else (strategy.nodes // 2, strategy.panel // 2)
    degree = sum(f.degree for f in product if isinstance(f, Power))
    axes = []
    for level, i in enumerate(order):
        own, deeper = sum(b.level == level for b in bends), sum(b.level > level for b in bends)
        if level >= inside:
            axes.append(Axis(i, gauss_hermite(degree // 2 + 1), 0))
        elif own or deeper:
            axes.append(Axis(i, gauss_legendre(panel), own + 3 * deeper + 1))
        else:
            axes.append(Axis(i, trapezoid(nodes), 0))
    return axes


def _place(
    points: Sequence[tuple[Array, Array]], axes: Sequence[Axis], factor: Sequence[Sequence[Array]], means: Sequence[Scalars], bends: Sequence[Kink]
) -> tuple[list[Array], Array]:
    """The points x of all dimensions from (reference point, panel number), and the weight of panels and density."""
    x: list[Array] = []
    weight = jnp.asarray(1.0)
    for level, (axis, (reference, panel)) in enumerate(zip(axes, points, strict=True)):
        if not axis.panels:
            x.append(reference)
            continue
        edges = _edges(level, x, factor, means, bends)
        lower = jnp.take_along_axis(edges, jnp.broadcast_to(panel[:, None], (*edges.shape[:-2], panel.shape[0], 1)), -1)[..., 0]
        upper = jnp.take_along_axis(edges, jnp.broadcast_to(panel[:, None] + 1, (*edges.shape[:-2], panel.shape[0], 1)), -1)[..., 0]
        here = lower + (upper - lower) * reference
        x.append(here)
        weight = weight * (upper - lower) * jnp.exp(-0.5 * here * here) / sqrt(2 * pi)
    return x, weight


def _edges(level: int, x: Sequence[Array], factor: Sequence[Sequence[Array]], means: Sequence[Scalars], bends: Sequence[Kink]) -> Array:
    """Sorted ends of the panels, shape (*batch, points, panels + 1)."""
    cuts = []
    for bend in bends:
        if bend.level < level:
            continue
        row = factor[bend.level]
        mean = jnp.asarray(means[bend.level])[..., None] + sum((row[k][..., None] * x[k] for k in range(level)), start=0.0)
        slope = row[level][..., None]
        at = jnp.where(slope == 0, HALF_WIDTH, ratio(bend.at - mean, slope))
        cuts.append(at)
        if bend.level > level:
            spread = sum((row[k] ** 2 for k in range(level + 1, bend.level + 1)), start=jnp.asarray(0.0))
            layer = LAYER * ratio(root(spread)[..., None], jnp.abs(slope))
            cuts += [at - layer, at + layer]
    shape = np.broadcast_shapes(*(c.shape for c in cuts), *(a.shape for a in x))
    inner = jnp.stack([jnp.broadcast_to(jnp.clip(c, -HALF_WIDTH, HALF_WIDTH), shape) for c in cuts], -1)
    inner = jnp.sort(inner, -1) if len(cuts) > 1 else inner
    end = jnp.full((*shape, 1), HALF_WIDTH, inner.dtype)
    return jnp.concatenate([-end, inner, end], -1)


def _variables(means: Sequence[Scalars], factor: Sequence[Sequence[Array]], x: Sequence[Array]) -> list[Array]:
    """u = m + L x, each of shape (*batch, points)."""
    return [
        sum((row[k][..., None] * x[k] for k in range(len(row))), start=0.0 if is_zero(mean) else jnp.asarray(mean)[..., None])
        for mean, row in zip(means, factor, strict=True)
    ]


def _accumulate(
    visit: Callable[[Sequence[tuple[Array, Array]], Array, Array], tuple[Array, Array, Array]], axes: Sequence[Axis], batch: tuple[int, ...], budget: int
) -> tuple[Array, Array, Array]:
    """Sum `visit` over the points of the product rule, a chunk at a time."""
    sizes = [max(axis.panels, 1) * len(axis.rule.points) for axis in axes]
    total = prod(sizes)
    chunk = min(total, max(1, budget // max(prod(batch), 1)))

    def part(start: Array | int) -> tuple[Array, Array, Array]:
        index = start + jnp.arange(chunk)
        points: list[tuple[Array, Array]] = []
        weights = coarse = jnp.where(index < total, 1.0, 0.0)
        index = jnp.minimum(index, total - 1)
        for axis, size in zip(reversed(axes), reversed(sizes), strict=True):
            panel, node = jnp.divmod(index % size, len(axis.rule.points))
            index = index // size
            points.insert(0, (jnp.asarray(axis.rule.points)[node], panel))
            weights = weights * jnp.asarray(axis.rule.weights)[node]
            coarse = coarse * jnp.asarray(axis.rule.coarse)[node]
        return visit(points, weights, coarse)

    if chunk == total:
        return part(0)
    zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(part, 0))
    step = jax.checkpoint(lambda sums, start: (jax.tree.map(jnp.add, sums, part(start)), None))
    return lax.scan(step, zeros, jnp.arange(0, total, chunk))[0]


def _error(value: Array, coarse: Array, size: Array) -> Array:
    """Halving the points takes the square root of a geometric error: hence the square; 200 is for algebraic ones."""
    relative = ratio(jnp.abs(value - coarse), size)
    return size * (jnp.minimum(1.0, 200 * relative) ** 2 + 16 * jnp.finfo(size.dtype).eps)
