"""NNGP and NTK of a network in the limit (Yang 2020, "Tensor Programs II", eq. 12; Yang & Littwin 2021, Theorem 5.1).

A trained matrix contributes sigma_W^2 (m/N) sum over pairs of its uses and positions of E[l l'] E[r r'], where its gradient is sum l r^T; a trained
vector p contributes var_p (m_p/N) sum E[Z^{dp} Z^{dp'}]; an embedding sigma_U^2 (m/N) sum E[dg dg'] <xi, xi'> / d. The network is read once
for x1 and once for x2.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial, reduce
from math import isqrt, prod
from operator import and_
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram, OutsideTheory
from tensorprog.gaussian.problem import Strategy
from tensorprog.interpret.limit.data import Data, data_of, leaves
from tensorprog.interpret.limit.master import LEFT, RIGHT, Dots, Master, primed
from tensorprog.interpret.limit.mixture import quadratics
from tensorprog.interpret.limit.numbers import Numbers
from tensorprog.interpret.limit.problem import forms_of
from tensorprog.interpret.limit.scalar import Expectation, Hot, Node, S, rename
from tensorprog.interpret.limit.theorem import EXACT, Run, measured, methods_of
from tensorprog.interpret.limit.variable import Composite
from tensorprog.kernels.assembly import Points, assembled, count, mirrored
from tensorprog.kernels.precision import double, traced
from tensorprog.kernels.result import Kernels, refuse_infinite, refuse_unresolved
from tensorprog.kernels.uncompiled import traced_once
from tensorprog.language.instr import Embedding, InitVector
from tensorprog.language.program import Network
from tensorprog.language.valid import check
from tensorprog.transform.backprop import Backprop, backprop
from tensorprog.transform.flatten import without_deltas

Arrays = Mapping[str, Array]
DEEP = 250  # scalars of a pair of points, those of some 13 dense layers
CACHED, HELD = 1 << 18, 8_000_000  # numbers in an array that stays in cache, and in one of 64 MiB


@dataclass(frozen=True)
class Symbolic:
    """The kernels of a network as symbolic scalars, before any data: a pure function of Gram entries once compiled."""

    network: Network
    master: Master
    nngp: S
    contributions: Mapping[str, S]
    order: tuple[str, ...]


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
        self.left, self.right = master.env(LEFT), master.env(RIGHT)
        self.copies = tuple(b.outputs.values())

    def trained(self, name: str) -> S:
        training = self.network.trained(name)
        if training.rate == 0.0:
            return self.s.zero
        whole = self._whole(name)
        if training.convention == "sigma" and not self._is_readout(name):
            whole = self.s.product((whole, self.s.function(-1.0, (self.s.leaf(("variance", name)),))))
        elif training.convention == "sigma":
            sigma = next(r.sigma for r in self.network.readouts if r.vector == name)
            whole = self.s.product((whole,), None, sigma**-2.0)
        return self.s.product((whole,), None, training.rate)

    def _is_readout(self, name: str) -> bool:
        return any(r.vector == name for r in self.network.readouts)

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
        return self._contract(self._pair(use[0], other[0]), self._pair(use[1], other[1]))

    def embedding(self, name: str, vectors: list[InitVector]) -> S:
        parts: list[S] = []
        for v in vectors:
            for w in vectors:
                if v.name not in self.b.adjoint or w.name not in self.b.adjoint:
                    continue
                parts.append(self._contract(self._gradients(v.name, w.name), self._pair(v.name, w.name)))
        return self.s.product((self.s.total((1.0, s) for s in parts),), None, self._ratio(vectors[0].width))

    def vector(self, v: object) -> S:
        assert isinstance(v, InitVector)
        if v.name not in self.b.adjoint:
            return self.s.zero
        both = self._gradients(v.name, v.name)
        same = {primed(a): a for a in sorted(v.axes)}  # independent entries: only equal positions meet
        summed = self._contract(rename(both, same))
        return self.s.product((self.s.leaf(("variance", v.name)), summed), None, self._ratio(v.width))

    def _gradients(self, x: str, y: str) -> S:
        return self._pair(self.b.adjoint[x], self.b.adjoint[y])

    def _pair(self, x: str, y: str) -> S:
        return self.master.pair(self.left[x], self.right[y])

    def _contract(self, *parts: S) -> S:
        return self.s.product(parts, (*self.copies, *map(primed, self.copies)))

    def _ratio(self, width: str) -> float:
        p = self.b.program
        return float(p.width[width].ratio / p.width[self.b.base].ratio)


@dataclass(frozen=True)
class Compiled:
    """The kernels of one network as a function of data: read and compiled once, called many times; pure, so that it can be differentiated and mapped.

    `__call__(x1, x2=None)` returns `Kernels`; see `kernels`.
    """

    network: Network
    symbolic: Symbolic
    tile: Callable[[Arrays | Points, Arrays | Points, Array | np.ndarray, Mapping[str, Array | float]], Kernels]
    block: int | None = None
    parts: bool = True

    @double
    def __call__(self, x1: ArrayLike | Data, x2: ArrayLike | Data | None = None, variances: Mapping[str, Array | float] | None = None) -> Kernels:
        program, given = self.network.program, dict(variances or {})
        left = data_of(program, x1, "x1")
        right = left if x2 is None else data_of(program, x2, "x2")
        same_features(left, right)
        if traced((left, right, given)):
            whole = self.tile(left, right, same_points(left, right), given)
            return _symmetric(whole) if x2 is None else whole
        found = self._by_blocks(_numpy(left), None if x2 is None else _numpy(right), given)
        refuse_infinite(found)
        refuse_unresolved((found.nngp, found.ntk), found.error, found.method)
        return found

    def _by_blocks(self, left: Points, right: Points | None, variances: Mapping[str, Array | float]) -> Kernels:
        """By small blocks where all expectations have closed forms; else by large ones, in which what reads one point only is shared."""

        def block(a: Points, b: Points) -> Kernels:
            return self.tile(a, b, same_points(a, b), variances)

        most = max(1, count(left), count(right or left))
        small = self.block or min(most, _side(self.symbolic, CACHED))
        outline = jax.eval_shape(block, *({name: a[:small] for name, a in side.items()} for side in (left, right or left)))
        exact = {*outline.method.split(" and ")} <= EXACT
        return assembled(block, left, right, small if exact else self.block or min(most, _side(self.symbolic, HELD)), parts=self.parts)


def compiled(
    network: Network,
    *,
    strategy: Strategy = Strategy(),
    dots: Dots = "derivative",
    flat_steps: bool = False,
    block: int | None = None,
    ntk: bool = True,
    parts: bool = True,
) -> Compiled:
    """The exact kernels of a network, read once; see `kernels.limit.kernels` for the arguments. Without `ntk` that of the result is 0."""
    check_network(network)
    if network.kind != "ntk":
        raise OutsideTheory("[readout] f = v . x / n tends to 0 and has no NNGP. Use a readout of kind 'ntk', or `limit` on the program.")
    found = symbolic(network, matched=True, dots=dots, flat_steps=flat_steps, ntk=ntk)
    return Compiled(network, found, runnable(found, partial(_tile, found, strategy)), block, parts)


def runnable(found: Symbolic, f: Callable[..., Any]) -> Callable[..., Any]:
    """f compiled; by NumPy where the kernels are so many small steps one after another that compiling them takes minutes, and computing a second."""
    deep = sum(1 for _ in nodes(found)) > DEEP and not any(node.sizes for node in nodes(found))
    return traced_once(f) if deep else jax.jit(f)


def check_network(network: Network) -> None:
    """Refuse what has no kernel: a bare program, a network that `check` refuses."""
    if not isinstance(network, Network):
        raise InvalidProgram(
            f"[kernel] a kernel is that of a network, not of {type(network).__name__}. Give it a readout (tp.network), or use `limit`."
        )
    check(network).raise_if_invalid()


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


def nodes(found: Symbolic) -> Iterator[Node]:
    """What the kernels are computed from, each once."""
    numbers = Numbers(found.master.e, lambda key: jnp.zeros((1, 1)), Strategy())
    seen: set[Node] = set()
    stack = [found.nngp.node, *(s.node for s in found.contributions.values())]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            yield node
            stack.extend(numbers.children(node))


def same_features(left: Arrays, right: Arrays) -> None:
    for name, a in left.items():
        if a.shape[-1] != right[name].shape[-1]:
            raise InvalidProgram(f"[input] {name} has {a.shape[-1]} features in x1 and {right[name].shape[-1]} in x2. Give both the same features.")


def _numpy(data: Arrays) -> Points:
    return {name: np.asarray(a, np.float64) for name, a in data.items()}


def _symmetric(k: Kernels) -> Kernels:
    """A tile of points with themselves, symmetric to the last bit."""

    def mean(a: Array) -> Array:
        return (a + mirrored(a)) / 2

    return replace(k, nngp=mean(k.nngp), ntk=mean(k.ntk), by_parameter={name: mean(a) for name, a in k.by_parameter.items()})


def same_points(a: Mapping[str, Any], b: Mapping[str, Any]) -> Any:
    """(N1, N2), true where two points are equal entry by entry; for arrays of NumPy and of JAX."""
    return reduce(and_, ((v[:, None] == b[name][None]).all(tuple(range(2, v.ndim + 1))) for name, v in a.items()))


def _side(found: Symbolic, numbers: int) -> int:
    """The points a side of a block at which no array over two points and positions has many more numbers than so."""
    positions = max(prod(node.sizes) for node in nodes(found) if not isinstance(node.op, Hot))
    return max(1, isqrt(numbers // positions))


def _tile(found: Symbolic, strategy: Strategy, left: Arrays, right: Arrays, same: Array, overrides: Mapping[str, Array | float]) -> Kernels:
    """The kernels of one tile; `overrides` are variances of tensors and values of open scalars, by name."""
    program = found.master.program
    fetch = leaves(program, (left, right), overrides, overrides)
    shape = (*same.shape, *(program.size[a.rstrip("'")] for a in found.order))

    def run(how: Strategy) -> Run:
        numbers = Numbers(found.master.e, fetch, how, same)
        nngp = jnp.broadcast_to(numbers.value(found.nngp, found.order), shape)
        parts = {name: jnp.broadcast_to(numbers.value(c, found.order), shape) for name, c in found.contributions.items()}
        return Run((nngp, sum(parts.values(), jnp.zeros_like(nngp)), parts), methods_of(numbers), len(numbers.estimates))

    (nngp, ntk, parts), errors, method = measured(run, strategy)
    error = jnp.maximum(errors[0].max(initial=0.0), errors[1].max(initial=0.0))
    return Kernels(nngp, ntk, parts, error, method)
