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

from tensorprog.interpret import spans
from tensorprog.interpret.finite import Inputs, Params, apply, widths
from tensorprog.interpret.initial import gaussians, scale
from tensorprog.interpret.precision import double
from tensorprog.interpret.spans import Span
from tensorprog.kernels.points import Points, blocks, count, points_of
from tensorprog.kernels.products import BUDGET, Gradient, alike, concatenated, condensed, factors, held, inner_products, prefers_pairs
from tensorprog.kernels.tensors import base_size, size_of_point, unit_rates
from tensorprog.language.instr import Embedding
from tensorprog.language.program import Network
from tensorprog.language.tensors import variance
from tensorprog.transform.backprop import Backprop, backprop

Outputs = Literal["trace", "full", "first"]
Scalars = Mapping[str, ArrayLike]

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
        scalars: values of initial scalars that the program leaves open.
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
    gradients = alike([_gradients(network, back, n, params, x, scalars, copies) for x in panels])
    both = [{name: factors(g) for name, g in side.items()} for side in gradients]
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


# The gradient of every tensor.


def _gradients(network: Network, back: Backprop, n: int, params: Params, x: Points, scalars: Scalars, copies: int) -> dict[str, Gradient]:
    p, size, points = network.program, widths(network.program, n), count(x)
    values = _both_passes(network, back, n, params, x, scalars, copies)
    base = size[back.base]

    def side(name: str) -> Array | Span:
        a, once = values[name], copies == 1 or name in p.axes_of
        if isinstance(a, Span):
            return replace(a, coordinates=_canonical(back, name, a.coordinates, once, points))
        return _canonical(back, name, a, once, points)

    def dense(name: str) -> Array:
        return _dense(side(name))

    def unit(name: str) -> bool:
        return network.trained(name).convention == "unit"

    out: dict[str, Gradient] = {}
    for m in p.matrices:
        if uses := back.uses[m.name]:
            (l, basis_l), (r, basis_r) = (_together([side(use[i]) for use in uses]) for i in (0, 1))
            out[m.name] = Gradient(l, r, (m.sigma**2 if unit(m.name) else 1.0) / (size[m.cols] * base), basis_l, basis_r)
    embedded = [v for v in p.vectors if isinstance(v.law, Embedding) and v.name in back.adjoint]
    for name in dict.fromkeys(v.law.matrix for v in embedded if isinstance(v.law, Embedding)):
        out[name] = _embedding(network, name, [(v.law, dense(back.adjoint[v.name])) for v in embedded if isinstance(v.law, Embedding)], x, base)
    parameters = _units(network, {name: dense(back.adjoint[name]) for name in gaussians(back.program) if name in back.adjoint})
    return out | {name: Gradient(g, jnp.ones((1, points, 1, 1, 1), g.dtype), 1.0 / base) for name, g in parameters.items()}


def _together(uses: list[Array | Span]) -> tuple[Array, Array | None]:
    """The vectors of several uses, or coordinates and their basis."""
    if isinstance(only := uses[0], Span) and len(uses) == 1:
        return only.coordinates, only.basis
    return concatenated([_dense(use) for use in uses]), None


def _dense(a: Array | Span) -> Array:
    return a.dense if isinstance(a, Span) else a


def _both_passes(network: Network, back: Backprop, n: int, params: Params, x: Points, scalars: Scalars, copies: int) -> dict[str, Array | Span]:
    """Values of the backward program: those of the body as they are, of several outputs gradients with a leading dimension of `copies`."""
    own = {name: params[name] for name in dict.fromkeys(r.vector for r in network.readouts) if name not in network.program.init}
    given = {**scalars, **back.scalars(n)}

    def body(name: str) -> bool:
        return name in network.program.axes_of

    def once(vectors: Mapping[str, Array]) -> dict[str, Array | Span]:
        values = spans.run(back.program, {**params, **vectors}, n, x, given)
        return {name: a if body(name) or copies == 1 else _dense(a) for name, a in values.items()}  # the bases of several outputs are several

    if copies == 1:
        return once({name: v[0] for name, v in own.items()})
    names = (*back.program.init, *(i.out for i in back.program.body))
    return jax.vmap(once, out_axes={name: None if body(name) else 0 for name in names})(own)


def _canonical(back: Backprop, name: str, a: Array, once: bool, points: int) -> Array:
    """(copies, N, output positions, positions, width) from the layout of an interpreter; without copies there if it is the same `once` for all."""
    axes = back.program.axes_of[name]
    a = a[None] if once else a
    if a.ndim == len(axes) + 2:  # depends on no data
        a = a[:, None]
    a = jnp.broadcast_to(a, (a.shape[0], points, *a.shape[2:]))
    outputs = [c for c in back.outputs.values() if c in axes]
    order = [2 + axes.index(c) for c in (*outputs, *(c for c in axes if c not in outputs))]
    a = a.transpose(0, 1, *order, a.ndim - 1)
    inner, rest = a.shape[2 : 2 + len(outputs)], a.shape[2 + len(outputs) : -1]
    return a.reshape(*a.shape[:2], prod(inner), prod(rest), a.shape[-1])


def _embedding(network: Network, name: str, gradients: list[tuple[Embedding, Array]], x: Points, base: int) -> Gradient:
    unit = network.trained(name).convention == "unit"
    if not unit:
        variance(network, name)  # refuses several sigmas
    here = [(law, g) for law, g in gradients if law.matrix == name]
    l = concatenated([(law.sigma if unit else 1.0) * g for law, g in here])
    data = (x[law.input] for law, _ in here)
    r = concatenated([xi.astype(l.dtype).reshape(1, xi.shape[0], 1, prod(xi.shape[1:-1]), xi.shape[-1]) for xi in data])
    return Gradient(l, r, 1.0 / (r.shape[-1] * base))


def _units(network: Network, gradients: Mapping[str, Array]) -> dict[str, Array]:
    """Gradients (copies, N, O, positions, n) of vectors -> (copies, N, O, 1, positions times n) of what is trained."""
    p = network.program
    law = gaussians(p)
    shape = {name: tuple(p.size[a] for a in sorted(v.axes)) for name, v in law.items()}
    zero = {name: jnp.zeros((1, 1, 1, *shape[name], 1)) for name in law}
    apart = zero | {name: g.reshape(*g.shape[:3], *shape[name], g.shape[-1]) for name, g in gradients.items() if name in law}
    scaled = scale(p, apart)
    out: dict[str, Array] = {}
    for name, g in gradients.items():
        unit = network.trained(name).convention == "unit"
        if name in law and unit:
            g = scaled[name]
        elif not unit and name not in law:
            g = g / variance(network, name) ** 0.5
        out[name] = g.reshape(*g.shape[:3], 1, prod(g.shape[3:]))
    return out


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
