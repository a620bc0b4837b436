"""Quadrature in the coordinates of a semi-definite Cholesky factor, u = m + L x: one dimension inside the other.

Coordinates whose functions have kinks come first (outermost), coordinates that occur only as powers last, where a few Gauss-Hermite points are exact.
A dimension with kinks is cut into panels: at 0, at the kink, and around the place where an inner kink crosses the centre of the inner density,
which is sharp when that variable is almost determined by the outer ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi, prod, sqrt

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from tensorprog.gaussian.integrand import coordinates, evaluate, kinks
from tensorprog.gaussian.law import Law, ratio, root
from tensorprog.gaussian.problem import Estimate, Power, Scalars, Strategy
from tensorprog.gaussian.product import Product
from tensorprog.gaussian.psd import cholesky
from tensorprog.gaussian.rules import HALF_WIDTH, Rule, gauss_hermite, gauss_legendre, relative_error, trapezoid

LAYER = 9.0  # half width, in standard deviations, of the layer around an inner kink

Sums = tuple[Array, Array, Array]  # of the product by the fine rule and by the coarse rule, and of its absolute value


@dataclass(frozen=True)
class Axis:
    """One dimension: its rule, the number of panels (0: the whole line, with the density in the weights), and how many points are held at a time."""

    rule: Rule
    panels: int
    chunk: int

    @property
    def size(self) -> int:
        return len(self.rule.points) * max(self.panels, 1)


@dataclass(frozen=True)
class Kink:
    """A kink of a function of the variable of that dimension, at that value."""

    level: int
    at: float


@dataclass(frozen=True)
class Frame:
    """The product in Cholesky coordinates: variable `order[l]` is means[l] + sum_{k <= l} factor[l][k] x_k."""

    product: Product
    order: tuple[int, ...]
    means: tuple[Scalars, ...]
    factor: tuple[tuple[Array, ...], ...]
    kinks: tuple[Kink, ...]
    axes: tuple[Axis, ...]
    batch: tuple[int, ...]


def quadrature(product: Product, u: Law, strategy: Strategy) -> Estimate:
    """E product by nested rules.

    The error is estimated by `relative_error` with s = E |product|, and never less than rounding. The outer points are visited in chunks, so that
    about `strategy.points` numbers are held at a time.
    """
    frame = _frame(product, u, strategy)
    value, coarse, size = (jnp.broadcast_to(a, np.broadcast_shapes(a.shape, frame.batch)) for a in _integrate(frame, 0, ()))
    error = size * (relative_error(value, coarse, size) + 16 * jnp.finfo(size.dtype).eps)
    return Estimate(value, "quadrature", lax.stop_gradient(error))


def _frame(product: Product, u: Law, strategy: Strategy) -> Frame:
    inside, powers = coordinates(product)
    order = (*sorted(inside, key=lambda i: not kinks(product, i)), *powers)
    means = tuple(u.mean(i) for i in order)
    factor = cholesky([[u.cov(i, j) for j in order] for i in order])
    batch = np.broadcast_shapes(*(jnp.shape(x) for x in means), *(x.shape for row in factor for x in row))
    bends = tuple(Kink(level, at) for level, i in enumerate(order) for at in kinks(product, i))
    return Frame(product, order, means, factor, bends, _axes(product, len(inside), len(order), bends, batch, strategy), batch)


def _axes(product: Product, inside: int, n: int, bends: Sequence[Kink], batch: tuple[int, ...], strategy: Strategy) -> tuple[Axis, ...]:
    """Panels where a kink lies in this or an inner dimension, else the trapezoidal rule; Gauss-Hermite for powers."""
    nodes, panel = (round(n * 2.0 ** (2 - inside)) for n in (strategy.nodes, strategy.panel))
    degree = sum(f.degree for f in product if isinstance(f, Power))
    axes: list[Axis] = []
    room = max(1, strategy.points // max(prod(batch), 1))
    for level in reversed(range(n)):
        own, deeper = sum(b.level == level for b in bends), sum(b.level > level for b in bends)
        if level >= inside:
            rule, panels = gauss_hermite(degree // 2 + 1), 0
        elif own or deeper:
            rule, panels = gauss_legendre(panel), own + 3 * deeper + 2
        else:
            rule, panels = trapezoid(nodes), 0
        chunk = min(room, len(rule.points) * max(panels, 1))
        room = max(1, room // chunk)
        axes.insert(0, Axis(rule, panels, chunk))
    return tuple(axes)


def _integrate(frame: Frame, level: int, x: tuple[Array, ...]) -> Sums:
    """The integral over the dimensions from `level` on, at given outer points: x_k of shape (*batch, p_0, .., p_{level-1})."""
    if level == len(frame.order):
        value = evaluate(frame.product, dict(zip(frame.order, _variables(frame, x), strict=True)), frame.batch)
        return value, value, jnp.abs(value)
    axis = frame.axes[level]
    edges = _edges(frame, level, x) if axis.panels else None

    def part(start: Array | int) -> Sums:
        index = start + jnp.arange(axis.chunk)
        kept = index < axis.size
        panel, node = jnp.divmod(jnp.where(kept, index, 0), len(axis.rule.points))
        here, density = jnp.asarray(axis.rule.points)[node], jnp.where(kept, 1.0, 0.0)
        if edges is not None:
            lower, upper = jnp.take(edges, panel, -1), jnp.take(edges, panel + 1, -1)
            here = lower + (upper - lower) * here
            density = density * (upper - lower) * jnp.exp(-0.5 * here * here) / sqrt(2 * pi)
        value, coarse, size = _integrate(frame, level + 1, (*(a[..., None] for a in x), here))
        weights = density * jnp.asarray(axis.rule.weights)[node]
        return (value * weights).sum(-1), (coarse * density * jnp.asarray(axis.rule.coarse)[node]).sum(-1), (size * weights).sum(-1)

    if axis.chunk == axis.size:
        return part(0)
    zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(part, 0))
    step = jax.checkpoint(lambda sums, start: (jax.tree.map(jnp.add, sums, part(start)), None))
    return lax.scan(step, zeros, jnp.arange(0, axis.size, axis.chunk))[0]


def _edges(frame: Frame, level: int, x: tuple[Array, ...]) -> Array:
    """Sorted ends of the panels, shape (*batch, p_0, .., p_{level-1}, panels + 1)."""
    cuts = [jnp.zeros(())]
    for bend in frame.kinks:
        if bend.level < level:
            continue
        row = [_lift(a, level) for a in frame.factor[bend.level]]
        mean = _lift(frame.means[bend.level], level) + sum((row[k] * x[k] for k in range(level)), start=0.0)
        at = ratio(bend.at - mean, row[level])  # 0 where this dimension does not move the kinked variable
        cuts.append(at)
        if bend.level > level:
            spread = root(sum((a * a for a in row[level + 1 :]), start=jnp.zeros(())))
            layer = LAYER * ratio(spread, jnp.abs(row[level]))
            cuts += [at - layer, at + layer]
    inner = jnp.sort(jnp.stack(jnp.broadcast_arrays(*(jnp.clip(c, -HALF_WIDTH, HALF_WIDTH) for c in cuts)), -1), -1)
    end = jnp.full((*inner.shape[:-1], 1), HALF_WIDTH, inner.dtype)
    return jnp.concatenate([-end, inner, end], -1)


def _variables(frame: Frame, x: tuple[Array, ...]) -> list[Array]:
    """u = m + L x, each of a shape that broadcasts to (*batch, p_0, .., p_{n-1})."""
    n = len(x)
    return [sum((_lift(a, n) * x[k] for k, a in enumerate(row)), start=_lift(mean, n)) for mean, row in zip(frame.means, frame.factor, strict=True)]


def _lift(a: Scalars, points: int) -> Array:
    """Room for axes of points behind the batch."""
    a = jnp.asarray(a)
    return a.reshape(*a.shape, *(1,) * points)
