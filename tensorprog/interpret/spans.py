"""The finite meaning of a program where vectors are combinations of few: x_s = sum_k c_sk b_k, with b_1, .., b_r that belong to no data point.

The embeddings of d features are such: g_s = sum_k xi_sk u_k. So is whatever is linear in them: W x_s = sum_k c_sk (W b_k), residual sums, sums
over positions with weights, layer normalization (x - mean(x) in the basis b_1, .., b_r, 1), so attention up to its weights. A matrix then
multiplies r vectors instead of one for each point and position, and inner products are sums over r numbers instead of n: exactly, up to rounding.
The first nonlinearity of coordinates ends it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from math import prod, sqrt
from typing import assert_never

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import register_dataclass
from jax.typing import ArrayLike

from tensorprog.interpret.expression import evaluate
from tensorprog.interpret.finite import Inputs, Machine, Params, dtype_of, given, inputs_of
from tensorprog.language.expr import Add, Apply, Expr, Gather, Mul, Number, Power, Ref, Softmax, Sum, Tensor, refs
from tensorprog.language.instr import Embedding, Gaussian, Instr, MatMul, Nonlin
from tensorprog.language.program import Program

NARROW = 2  # a basis pays that saves a matrix product so much of its time, of the products W b and c b in place of W x


@register_dataclass
@dataclass(frozen=True)
class Span:
    """Vectors x = coordinates @ basis.

    Attributes:
        coordinates: (*batch, *axes, r), in the layout of `interpret/expression.py` with r for n.
        blocks: the basis (r, n) in pieces, which spans can have in common.
    """

    coordinates: Array
    blocks: tuple[Array, ...]

    @property
    def basis(self) -> Array:
        return jnp.concatenate(self.blocks)

    @property
    def dense(self) -> Array:
        return self.coordinates @ self.basis

    @property
    def pays(self) -> bool:
        many, r, long = prod(self.coordinates.shape[:-1]), self.coordinates.shape[-1], self.blocks[0].shape[1]
        return NARROW * r * (many + long) <= many * long


def run(program: Program, params: Params, n: int, inputs: Inputs = None, scalars: Mapping[str, ArrayLike] | None = None) -> dict[str, Array | Span]:
    """As `finite.run`, with a `Span` for the array of every vector that has one with a small basis."""
    running = _Run(Machine.of(program, params, n), given(program, params, n, inputs, scalars))
    running.begin(inputs)
    for i in program.body:
        running.step(i)
    return {name: x if (x := running.paying(name)) is not None else running.array(name) for name in program.axes_of}


@dataclass
class _Run:
    """A run in progress: every variable has an array, a span, or both once the array of a span was asked for."""

    machine: Machine
    arrays: dict[str, Array]
    spans: dict[str, Span] = field(default_factory=dict)
    ones: dict[int, Array] = field(default_factory=dict)

    def begin(self, inputs: Inputs) -> None:
        """The spans of the initial vectors."""
        program, params = self.machine.program, self.machine.params
        data, dtype = inputs_of(program, inputs), dtype_of(params)
        bases = {v.law.matrix: params[v.law.matrix].T.astype(dtype) for v in program.vectors if isinstance(v.law, Embedding)}
        for v in program.vectors:
            match v.law:
                case Embedding(matrix, name, sigma):
                    xi = data[name].astype(dtype)
                    self.spans[v.name] = Span(sigma / sqrt(xi.shape[-1]) * xi, (bases[matrix],))
                case Gaussian(mean, _):
                    self.spans[v.name] = self._gaussian(self.arrays[v.name].astype(dtype), mean)
                case _:
                    assert_never(v.law)

    def step(self, i: Instr) -> None:
        match i:
            case MatMul(out, _, arg, _) if (x := self.paying(arg)) is not None:
                self.spans[out] = Span(x.coordinates, (self.machine.times(i, x.basis),))
            case Nonlin(out, psi) if (x := self._affine(psi)) is not None:
                self.spans[out] = x
            case _:
                read = (i.arg,) if isinstance(i, MatMul) else refs(i.psi)
                self.arrays[i.out] = self.machine.step(i, {name: self.array(name) for name in read})

    def array(self, name: str) -> Array:
        if name not in self.arrays:
            self.arrays[name] = self.spans[name].dense
        return self.arrays[name]

    def paying(self, name: str) -> Span | None:
        return x if (x := self.spans.get(name)) is not None and x.pays else None

    def _gaussian(self, a: Array, mean: float) -> Span:
        """Every position is of the basis, and so is its mean, apart: large means would be the digits that inner products of differences lose."""
        r = prod(a.shape[:-1])
        own, flat = jnp.eye(r, dtype=a.dtype).reshape(*a.shape[:-1], r), a.reshape(r, a.shape[-1])
        if mean == 0.0:
            return Span(own, (flat,))
        return Span(jnp.concatenate([own, jnp.full((*a.shape[:-1], 1), mean, a.dtype)], -1), (flat - mean, self._one(a)))

    def _affine(self, psi: Expr) -> Span | None:
        """The span of psi(x_1, ..) = A x + b 1, where A mixes positions: A c in the bases of all x, and b in 1, the vector of ones."""
        vectors, orders = self.machine.vectors, _orders(psi, self.machine.vectors)
        old = {name: self.spans[name] for name in refs(psi) if name in vectors & self.spans.keys()}
        others = {name: self.arrays[name] for name in refs(psi) if name not in old}
        if orders is None or max(orders) != 1 or vectors & others.keys():
            return None
        blocks = {id(b): b for x in old.values() for b in x.blocks}
        one = self._one(next(iter(blocks.values())))
        if 0 in orders:
            blocks[id(one)] = one
        coordinates = {name: _placed(x, blocks) for name, x in old.items()}

        def value(of: dict[str, Array]) -> Array:
            return evaluate(psi, {**others, **of}, self.machine.program.axes_of, vectors)

        b, moved = jax.jvp(value, ({name: jnp.zeros_like(c) for name, c in coordinates.items()},), (coordinates,))
        if 0 in orders:
            moved = moved + b * jnp.concatenate([jnp.full(a.shape[0], a is one, a.dtype) for a in blocks.values()])
        x = Span(moved, tuple(blocks.values()))
        return x if x.pays else None

    def _one(self, like: Array) -> Array:
        return self.ones.setdefault(like.shape[-1], jnp.ones((1, like.shape[-1]), like.dtype))


def _placed(x: Span, blocks: Mapping[int, Array]) -> Array:
    """The coordinates of x in a basis of more blocks."""
    ends = [sum(b.shape[0] for b in x.blocks[:k]) for k in range(1, len(x.blocks))]
    own = dict(zip(map(id, x.blocks), jnp.split(x.coordinates, ends, -1), strict=True))
    shape, dtype = x.coordinates.shape[:-1], x.coordinates.dtype
    return jnp.concatenate([own[key] if key in own else jnp.zeros((*shape, b.shape[0]), dtype) for key, b in blocks.items()], -1)


def _orders(e: Expr, vectors: frozenset[str]) -> frozenset[int] | None:
    """The orders in the vectors of the terms of a polynomial in them (whose coefficients are any functions of scalars); None of what is none."""

    def below(*args: Expr) -> list[frozenset[int] | None]:
        return [_orders(arg, vectors) for arg in args]

    match e:
        case Ref(name):
            return frozenset({int(name in vectors)})
        case Number() | Tensor():
            return frozenset({0})
        case Add(terms):
            found = below(*terms)
            return None if None in found else frozenset().union(*(f for f in found if f is not None))
        case Mul(factors):
            found = below(*factors)
            return None if None in found else reduce(_sums, (f for f in found if f is not None))
        case Sum(_, arg) | Gather(arg, _, _, _):
            return _orders(arg, vectors)
        case Power() | Apply() | Softmax():
            return frozenset({0}) if vectors.isdisjoint(refs(e)) else None
        case _:
            assert_never(e)


def _sums(a: frozenset[int], b: frozenset[int]) -> frozenset[int]:
    return frozenset(i + j for i in a for j in b)
