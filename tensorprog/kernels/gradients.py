"""The gradient of every tensor of a finite network as a sum of outer products l r^T over uses and positions (language.md 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from tensorprog.interpret import spans
from tensorprog.interpret.finite import Params, widths
from tensorprog.interpret.initial import gaussians, scale
from tensorprog.interpret.spans import Span
from tensorprog.kernels.points import Points, count
from tensorprog.kernels.products import Gradient, concatenated
from tensorprog.language.instr import Embedding
from tensorprog.language.program import Network
from tensorprog.language.tensors import variance
from tensorprog.transform.backprop import Backprop

Scalars = Mapping[str, ArrayLike]


def gradients(network: Network, back: Backprop, n: int, params: Params, x: Points, scalars: Scalars, copies: int) -> dict[str, Gradient]:
    """The gradient of every tensor with respect to `copies` outputs."""
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
