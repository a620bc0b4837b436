"""Empirical NNGP and NTK of a finite network by structured products (Novak, Sohl-Dickstein & Schoenholz 2022, arXiv 2206.08720, section 3).

The gradient of a tensor is a sum of outer products l r^T over uses and positions (language.md 5), so its part of the kernel is

    K_w(xi, xi') = sigma^2 / (n_in N) sum_{uses, positions s, t} (l_s . l'_t) (r_s . r'_t),

from the forward and backward vectors of the program alone: no Jacobian of (points) x (parameters) is ever formed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isqrt, prod
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import register_dataclass
from jax.typing import ArrayLike

from tensorprog.interpret.finite import Inputs, Params, apply, widths
from tensorprog.interpret.precision import double
from tensorprog.kernels.gradients import Scalars, gradients
from tensorprog.kernels.points import Points, blocks, count, points_of
from tensorprog.kernels.products import BUDGET, Gradient, alike, condensed, factors, held, inner_products, prefers_pairs
from tensorprog.kernels.tensors import base_size, size_of_point, unit_rates
from tensorprog.language.program import Network
from tensorprog.language.tensors import variance
from tensorprog.transform.backprop import Backprop, backprop

Outputs = Literal["trace", "full", "first"]

NARROW = 128  # vectors: a matrix product with fewer takes more time for each of them


@partial(register_dataclass, data_fields=["nngp", "ntk", "by_parameter"], meta_fields=[])
@dataclass(frozen=True)
class EmpiricalKernels:
    """Kernels of one finite network, of shape (N1, N2, *output positions, *output positions).

    With `outputs="full"` the shape is (N1, N2, C, C, *output positions, *output positions) for C outputs; "trace" averages the blocks of
    an output with itself, "first" takes the first of them.

    Attributes:
        nngp: sigma_v^2 x . x' / N summed over readouts: the covariance of f over readout vectors, given the body. Tends to the NNGP.
        ntk: sum over trained tensors of df/dw . df'/dw times their learning rates (times N for kind "moment").
        by_parameter: the contribution of every tensor; they add up to `ntk`. Empty where it was not asked for.
    """

    nngp: Array
    ntk: Array
    by_parameter: Mapping[str, Array]


def empirical_kernels(
    network: Network,
    params: Params,
    n: int,
    x1: Inputs,
    x2: Inputs = None,
    *,
    outputs: Outputs = "trace",
    scalars: Scalars | None = None,
    tile: int | None = None,
    parts: bool = True,
) -> EmpiricalKernels:
    """NNGP and NTK of the network with these tensors, at base width n.

    Args:
        params: unit-variance tensors, from `sample` or trained.
        x1, x2: (N, *positions, d), or one such array an input; x2 None: x1.
        outputs: what to do with several outputs; see `EmpiricalKernels`.
        scalars: values of initial scalars, in place of those in the program; needed for those without a value there.
        tile: compute tiles of so many points, which bounds memory; None: a size that fits.
        parts: False leaves out `by_parameter`, which takes as much memory a tensor as the whole.

    Raises:
        InvalidProgram: data or tensors that do not fit the network.
    """
    return compiled(network, n, outputs=outputs, tile=tile, parts=parts)(params, x1, x2, scalars)


def compiled(network: Network, n: int, *, outputs: Outputs = "trace", tile: int | None = None, parts: bool = True) -> Callable[..., EmpiricalKernels]:
    """`empirical_kernels` as a function of (params, x1, x2=None, scalars=None) that is compiled once and called for many tensors and data."""
    points = tile or max(1, BUDGET // (3 * network.outputs * size_of_point(network, n)))
    one = jax.jit(partial(_tile, network, backprop(network), n, outputs, parts))

    @double
    def kernels(params: Params, x1: Inputs, x2: Inputs = None, scalars: Scalars | None = None) -> EmpiricalKernels:
        left = points_of(network, x1)
        right = left if x2 is None else points_of(network, x2)
        rows, columns = blocks(left, points), blocks(right, points)

        def pair(i: int, j: int) -> EmpiricalKernels:
            return one(params, rows[i], None if x2 is None and j == i else columns[j], dict(scalars or {}))

        return _assembled(pair, len(rows), len(columns), outputs, x2 is None)

    return kernels


@double
def empirical_ntk_jacobian(
    network: Network, params: Params, n: int, x1: Inputs, x2: Inputs = None, *, outputs: Outputs = "trace", scalars: Scalars | None = None
) -> EmpiricalKernels:
    """The same kernels from the whole Jacobian by automatic differentiation: a check, for small networks."""
    left = points_of(network, x1)
    right = left if x2 is None else points_of(network, x2)
    rates = unit_rates(network, n)
    boost = base_size(network, n) if network.kind == "moment" else 1
    jacobian = jax.jit(jax.jacrev(lambda p, x: apply(network, p, n, x, scalars)))
    jacobians = [jacobian(dict(params), x) for x in (left, right)]
    shape = tuple(network.program.size[a] for a in network.output_axes)

    def product(name: str) -> Array:
        a, b = (j[name].reshape(-1, network.outputs, prod(shape), params[name].size) for j in jacobians)
        full = jnp.einsum("acop,bdqp->abcdoq", a, b)
        return _reduce(full.reshape(*full.shape[:4], *shape, *shape), outputs)

    products = {name: product(name) for name in network.parameters}
    by_parameter = {name: rates[name] * k for name, k in products.items()}
    nngp = sum(boost * products[name] for name in dict.fromkeys(r.vector for r in network.readouts))
    return EmpiricalKernels(jnp.asarray(nngp), jnp.asarray(sum(by_parameter.values())), by_parameter)


# One tile.


def _tile(
    network: Network, back: Backprop, n: int, outputs: Outputs, parts: bool, params: Params, x1: Points, x2: Points | None, scalars: Scalars
) -> EmpiricalKernels:
    copies = network.outputs if outputs != "first" else 1
    together = copies if outputs == "full" else 1
    panels = [x1, x2] if x2 is not None else blocks(x1, _panel(back, n, together, count(x1)))
    found = alike([gradients(network, back, n, params, x, scalars, copies) for x in panels])
    both = [{name: factors(g) for name, g in side.items()} for side in found]
    points = count(x1), count(x1 if x2 is None else x2)
    left, right = ([condensed({name: g[k] for name, g in side.items()}, *points, outputs == "full") for side in both] for k in (0, 1))

    def block(i: int, j: int) -> EmpiricalKernels:
        k = _block(network, outputs, parts, copies, left[i], right[j])
        return k if i != j else jax.tree.map(lambda a, b: (a + b) / 2, k, _mirrored(k, outputs))

    return block(0, 1) if x2 is not None else _assembled(block, len(panels), len(panels), outputs, True)


def _panel(back: Backprop, n: int, copies: int, points: int) -> int:
    """Points of a panel: all, a half or a quarter. Panels save the blocks that are transposes. They pay where much is done by pairs of positions:
    narrower products are slower, and gradients that are formed slab by slab would be formed once a block."""
    size, width = back.program.size, widths(back.program, n)

    def positions(name: str) -> int:
        return prod(size[a] for a in back.program.axes_of[name] if a not in back.outputs.values())

    uses = {m: sum(positions(l) for l, _ in back.uses[m.name]) for m in back.program.matrices if back.uses[m.name]}
    vectors = copies * points * max(uses.values(), default=1)
    outputs = copies * prod(size[c] for c in back.outputs.values())
    pairs = {m for m, s in uses.items() if prefers_pairs(points, points, s, width[m.rows], width[m.cols], (outputs, 1))}
    pays = bool(pairs) and held(outputs * points * sum(width[m.rows] * width[m.cols] for m in uses if m not in pairs))
    return max(1, -(-points // (1 if not pays else 4 if vectors >= 8 * NARROW else 2 if vectors >= 2 * NARROW else 1)))


def _block(
    network: Network, outputs: Outputs, parts: bool, copies: int, left: Mapping[str, Gradient], right: Mapping[str, Gradient]
) -> EmpiricalKernels:
    one, other = (next(iter(side.values())).l for side in (left, right))
    shape = (one.shape[1], other.shape[1], *(network.program.size[a] for a in network.output_axes * 2))
    sizes = (*shape[:2], copies, copies, *shape[2:]) if outputs == "full" else shape
    readouts = dict.fromkeys(r.vector for r in network.readouts)

    def kernel(weights: Mapping[str, float]) -> Array:
        """The sum over tensors of their kernels times their weights."""
        moving = [name for name, c in weights.items() if name in left and c != 0.0]
        own = [name for name in moving if name in readouts and name not in network.program.init]  # every output has its own
        found: list[Array] = []
        for names, local in ((own, True), ([name for name in moving if name not in own], False)):
            if names:
                here, there = (_weighted(weights, side, names) for side in (left, right))
                found.append(_over_outputs(here, there, copies, outputs == "full", local, shape))
        return sum(found[1:], found[0]) if found else jnp.zeros(sizes, one.dtype)

    rates = {name: network.trained(name).rate for name in network.parameters}
    by_parameter = {name: kernel({name: rate}) for name, rate in rates.items()} if parts else {}
    ntk = sum(by_parameter.values()) if parts else kernel(rates)
    return EmpiricalKernels(kernel({name: _as_unit(network, name) for name in readouts}), jnp.asarray(ntk), by_parameter)


def _weighted(weights: Mapping[str, float], gradients: Mapping[str, Gradient], names: list[str]) -> list[Gradient]:
    return [replace(gradients[name], factor=weights[name] * gradients[name].factor) for name in names]


def _as_unit(network: Network, name: str) -> float:
    return variance(network, name) if network.trained(name).convention == "sigma" else 1.0


def _over_outputs(left: Sequence[Gradient], right: Sequence[Gradient], copies: int, full: bool, local: bool, shape: tuple[int, ...]) -> Array:
    """The kernel between outputs c and d: all of them, or the mean over c = d."""

    def of(change: Callable[[Array], Array]) -> Array:
        def changed(side: Sequence[Gradient]) -> list[Gradient]:
            return [replace(g, l=change(g.l), r=change(g.r)) for g in side]

        return inner_products(changed(left), changed(right))

    def same(c: ArrayLike) -> Array:
        return of(lambda a: a[0] if a.shape[0] == 1 else a[c]).reshape(shape)

    if not full:
        return same(0) if copies == 1 or local else jax.lax.map(same, jnp.arange(copies)).mean(0)
    if local:
        blocks = same(0)
        return blocks[:, :, None, None] * jnp.eye(copies, dtype=blocks.dtype).reshape(copies, copies, *(1,) * (blocks.ndim - 2))
    positions = isqrt(prod(shape[2:]))
    together = of(lambda a: _as_positions(a, copies)).reshape(*shape[:2], copies, positions, copies, positions)
    return together.swapaxes(3, 4).reshape(*shape[:2], copies, copies, *shape[2:])


def _as_positions(a: Array, copies: int) -> Array:
    """(C, N, O, S, width) -> (N, C O, S, width): copies of the output beside its positions; 1 where nothing depends on the output."""
    if a.shape[0] == 1 and a.shape[2] == 1:
        return a[0]
    return jnp.moveaxis(jnp.broadcast_to(a, (copies, *a.shape[1:])), 0, 1).reshape(a.shape[1], copies * a.shape[2], *a.shape[3:])


# Tiles.


def _assembled(tile: Callable[[int, int], EmpiricalKernels], rows: int, columns: int, outputs: Outputs, symmetric: bool) -> EmpiricalKernels:
    """All tiles as one; of a symmetric kernel those below the diagonal are transposes."""
    tiles: dict[tuple[int, int], EmpiricalKernels] = {}
    for i in range(rows):
        for j in range(columns):
            tiles[i, j] = _mirrored(tiles[j, i], outputs) if symmetric and j < i else tile(i, j)
    return _joined([_joined([tiles[i, j] for j in range(columns)], 1) for i in range(rows)], 0)


def _mirrored(k: EmpiricalKernels, outputs: Outputs) -> EmpiricalKernels:
    """K(x2, x1) from K(x1, x2): points, outputs and output positions change sides."""

    def turn(a: Array) -> Array:
        first = 4 if outputs == "full" else 2
        half = (a.ndim - first) // 2
        pairs = [i for j in range(0, first, 2) for i in (j + 1, j)]
        return a.transpose(*pairs, *range(first + half, a.ndim), *range(first, first + half))

    return replace(jax.tree.map(turn, k))


def _joined(parts: list[EmpiricalKernels], axis: int) -> EmpiricalKernels:
    return parts[0] if len(parts) == 1 else jax.tree.map(lambda *a: jnp.concatenate(a, axis), *parts)


def _reduce(full: Array, outputs: Outputs) -> Array:
    """(N1, N2, C, C, ..) -> what is asked."""
    match outputs:
        case "full":
            return full
        case "first":
            return full[:, :, 0, 0]
        case "trace":
            return jnp.moveaxis(jnp.diagonal(full, axis1=2, axis2=3), -1, 0).mean(0)
