"""The kernels of a network as symbolic scalars (Yang 2020, "Tensor Programs II", eq. 12; Yang & Littwin 2021, Theorem 5.1).

A trained matrix contributes sigma_W^2 (m/N) sum over pairs of its uses and positions of E[l l'] E[r r'], where its gradient is sum l r^T; a trained
vector p contributes var_p (m_p/N) sum E[Z^{dp} Z^{dp'}], correlated ones sum_{p, q} Cov(p, q) E[Z^{dp} Z^{dq'}]; an embedding
sigma_U^2 (m/N) sum E[dg dg'] <xi, xi'> / d. The network is read once for x1 and once for x2.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from math import prod
from operator import or_
from types import MappingProxyType

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from tensorprog.gaussian.law import CLOSEST
from tensorprog.gaussian.problem import Strategy
from tensorprog.interpret.initial import shares
from tensorprog.interpret.limit.master import RIGHT, Dots, Master, primed
from tensorprog.interpret.limit.mixture import quadratics
from tensorprog.interpret.limit.numbers import Numbers
from tensorprog.interpret.limit.plan import below
from tensorprog.interpret.limit.problem import forms_of
from tensorprog.interpret.limit.scalar import Expectation, Hot, Leaf, Node, Op, Product, Regression, S, Total, rename
from tensorprog.interpret.limit.variable import Composite
from tensorprog.kernels.result import Kernels
from tensorprog.language.instr import Embedding, InitVector
from tensorprog.language.program import Network
from tensorprog.transform.backprop import Backprop, backprop
from tensorprog.transform.flatten import without_deltas

Floats = NDArray[np.float64]
Values = tuple[Array, Array, dict[str, Array]]


@dataclass(frozen=True)
class Symbolic:
    """The kernels of a network as symbolic scalars, before any data: a pure function of Gram entries once compiled."""

    network: Network
    master: Master
    nngp: S
    contributions: Mapping[str, S]
    order: tuple[str, ...]

    @property
    def asked(self) -> list[S]:
        return [self.nngp, *self.contributions.values()]


def symbolic(network: Network, *, matched: bool = False, dots: Dots = "derivative", flat_steps: bool = False, ntk: bool = True) -> Symbolic:
    """Read the network for x1 and x2 and write its kernels as symbolic scalars; without the NTK nothing contributes to it."""
    b = backprop(network)
    if flat_steps:
        warnings.warn("flat_steps: derivatives of steps count as 0, as in automatic differentiation; the NTK of the theorem differs", stacklevel=3)
        b = replace(b, program=without_deltas(b.program))
    master = Master(b.program, matched=matched, dots=dots)
    k = _Contributions(network, b, master)
    order = (*b.outputs.values(), *map(primed, b.outputs.values()))
    readouts = dict.fromkeys(r.vector for r in network.readouts)
    nngp = master.scalars.total((1.0, k.vector(b.program.init[name])) for name in readouts)
    return Symbolic(network, master, nngp, {name: k.trained(name) for name in network.parameters if ntk}, order)


class _Contributions:
    """What each tensor adds to the kernel: sums over pairs of uses, the left one for x1, the right one for x2."""

    def __init__(self, network: Network, b: Backprop, master: Master) -> None:
        self.network, self.b, self.master, self.s = network, b, master, master.scalars
        master.env(RIGHT)
        self.copies = tuple(b.outputs.values())

    def trained(self, name: str) -> S:
        training = self.network.trained(name)
        if training.rate == 0.0:
            return self.s.zero
        whole = self._whole(name)
        if training.convention == "sigma":
            sigma = next((r.sigma for r in self.network.readouts if r.vector == name), 1.0)  # a readout vector is N(0, 1), and its sigma a factor
            whole = self.s.product((whole, self.s.function(-1.0, (self.s.leaf(("variance", name)),))), None, sigma**-2.0)
        return self.s.product((whole,), None, training.rate)

    def _whole(self, name: str) -> S:
        p = self.b.program
        if name in p.matrix:
            return self.matrix(name)
        embedded = [v for v in p.vectors if isinstance(v.law, Embedding) and v.law.matrix == name]
        if embedded:
            return self.embedding(name, embedded)
        return self.vector(p.init[name])

    def matrix(self, name: str) -> S:
        uses = self.b.uses.get(name, ())
        scale = self._ratio(self.b.program.matrix[name].rows)
        variance = self.s.leaf(("variance", name))
        pairs = [self._outer(u, w) for u in uses for w in uses]
        return self.s.product((variance, self.s.total((1.0, s) for s in pairs)), None, scale)

    def _outer(self, use: tuple[str, str], other: tuple[str, str]) -> S:
        """sum over positions of E[l l'] E[r r']."""
        pairs = list(zip(use, other, strict=True))
        return self._contract([self.master.across(x, y) for x, y in pairs], reduce(or_, (self._places(x, y) for x, y in pairs)))

    def embedding(self, name: str, vectors: list[InitVector]) -> S:
        parts: list[S] = []
        for v in vectors:
            for w in vectors:
                if v.name not in self.b.adjoint or w.name not in self.b.adjoint:
                    continue
                parts.append(self._contract([self._gradients(v.name, w.name), self.master.across(v.name, w.name)], self._places(v.name, w.name)))
        return self.s.product((self.s.total((1.0, s) for s in parts),), None, self._ratio(vectors[0].width))

    def vector(self, v: object) -> S:
        assert isinstance(v, InitVector)
        joint = shares(self.b.program, v.name)
        if joint and self.network.trained(v.name).convention == "unit":
            return self.s.product((self.s.total((1.0, self._share(a, b, table)) for (a, b), table in joint.items()),), None, self._ratio(v.width))
        if v.name not in self.b.adjoint:
            return self.s.zero
        both = self._gradients(v.name, v.name)
        same = {primed(a): a for a in sorted(v.axes)}  # independent entries: only equal positions meet
        summed = self._contract([rename(both, same)], {a: self.b.program.size[a] for a in v.axes})
        return self.s.product((self.s.leaf(("variance", v.name)), summed), None, self._ratio(v.width))

    def _share(self, x: str, y: str, table: Floats) -> S:
        """sum over positions of what units are of Cov(x, y) times E[dx dy']."""
        if x not in self.b.adjoint or y not in self.b.adjoint or not table.any():
            return self.s.zero
        axes = (*self.b.program.axes_of[x], *map(primed, self.b.program.axes_of[y]))
        law = self.s.leaf(("tensor", table.shape, tuple(map(float, table.ravel()))), table.shape, axes)
        return self._contract([law, self._gradients(x, y)], self._places(x, y))

    def _gradients(self, x: str, y: str) -> S:
        return self.master.across(self.b.adjoint[x], self.b.adjoint[y])

    def _places(self, x: str, y: str) -> dict[str, int]:
        """The sizes of the positions of a pair."""
        p = self.b.program
        return {a: p.size[a] for a in p.axes_of[x]} | {primed(a): p.size[a] for a in p.axes_of[y]}

    def _contract(self, parts: list[S], places: Mapping[str, int]) -> S:
        """The product summed over positions, also over those that it does not depend on."""
        keep = (*self.copies, *map(primed, self.copies))
        read = {i for s in parts for i in s.idx}.union(keep)
        return self.s.product(parts, keep, float(prod(n for a, n in places.items() if a not in read)))

    def _ratio(self, width: str) -> float:
        p = self.b.program
        return float(p.width[width].ratio / p.width[self.b.base].ratio)


def dimension(found: Symbolic) -> int:
    """The most linear forms that any expectation of functions of non-linear variables (composites) reads together; 0 where there is none.

    Closed forms and Wick's rule take any number of forms; composites are left to quadrature up to three, and beyond that to sampling.
    """
    most = 0
    for node in nodes(found):
        if isinstance(node.op, Expectation):
            uses = node.op.problem.uses
            if any(isinstance(u.factor, Composite) for u in uses) and quadratics(found.master.scalars, uses) is None:
                most = max(most, len({f for u in uses for f in forms_of(u, {})}))
                if most > 3:
                    return most
    return most


def nodes(found: Symbolic) -> list[Node]:
    """What the kernels are computed from, each once, after what it reads."""
    return below(unvalued(found), found.asked)


def widest(found: Symbolic) -> int:
    """The positions of the largest array."""
    return max(prod(node.sizes) for node in nodes(found) if not isinstance(node.op, Hot))


def signed(found: Symbolic) -> bool:
    """Whether the kernels are made with negative numbers: then covariances may cancel, and leave more rounding than their own size allows."""

    def negative(op: Op) -> bool:
        match op:
            case Total(terms):
                return any(c < 0 for c, _ in terms)
            case Product(coef, _):
                return coef < 0
            case Leaf(("tensor", _, tuple(numbers))):
                return any(number < 0 for number in numbers)
            case _:
                return isinstance(op, Regression)

    return any(negative(node.op) for node in nodes(found))


def closest(found: Symbolic) -> float:
    """`Numbers.closest` of points that differ. Positions, many of which are equal in truth, are taken to be so where rounding cannot tell."""
    return 1.0 if any(i.axes for i in found.network.program.inputs) else CLOSEST


def expectations(found: Symbolic) -> int:
    """How many expectations the kernels are made of."""
    return sum(isinstance(node.op, Expectation) for node in nodes(found))


def unvalued(found: Symbolic, *, same: bool | None = None, plan: Mapping[Node, Op] = MappingProxyType({})) -> Numbers:
    """The scalars of the kernels as a graph to be walked, without numbers."""
    return Numbers(found.master.e, lambda key: jnp.zeros((1, 1)), Strategy(), same, plan=plan)


def values(found: Symbolic, numbers: Numbers, pairs: tuple[int, int], *, parts: bool = True) -> Values:
    """NNGP, NTK, and what every tensor contributes to it, if asked, (N1, N2, *output positions, *output positions)."""
    shape = (*pairs, *(found.master.program.size[a.rstrip("'")] for a in found.order))
    nngp = jnp.broadcast_to(numbers.value(found.nngp, found.order), shape)
    if found.contributions and not parts and not found.order:
        return nngp, jnp.broadcast_to(numbers.sum([*found.contributions.values()]), shape), {}
    by_parameter = {name: jnp.broadcast_to(numbers.value(c, found.order), shape) for name, c in found.contributions.items()}
    return nngp, sum(by_parameter.values(), jnp.zeros_like(nngp)), by_parameter if parts else {}


def kernels_of(value: Values, error: Values, method: str) -> Kernels:
    """Kernels with the largest error of any entry."""
    nngp, ntk, parts = value
    return Kernels(nngp, ntk, parts, jnp.maximum(error[0], error[1]).max(initial=0.0), method)
