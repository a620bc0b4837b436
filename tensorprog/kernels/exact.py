"""NNGP and NTK of a network in the limit (Yang 2020, "Tensor Programs II", eq. 12; Yang & Littwin 2021, Theorem 5.1).

A trained matrix contributes sigma_W^2 (m/N) sum over pairs of its uses and positions of E[l l'] E[r r'], where its gradient is sum l r^T; a trained
vector p contributes var_p (m_p/N) sum E[Z^{dp} Z^{dp'}]; an embedding sigma_U^2 (m/N) sum E[dg dg'] <xi, xi'> / d. The network is read once
for x1 and once for x2.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import isqrt, prod

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram, OutsideTheory
from tensorprog.gaussian.problem import Strategy
from tensorprog.interpret.limit.data import Data, data_of, leaves
from tensorprog.interpret.limit.master import LEFT, RIGHT, Dots, Master, primed
from tensorprog.interpret.limit.mixture import quadratics
from tensorprog.interpret.limit.numbers import Numbers
from tensorprog.interpret.limit.problem import forms_of
from tensorprog.interpret.limit.scalar import Expectation, Node, S, rename
from tensorprog.interpret.limit.theorem import Run, measured, methods_of
from tensorprog.interpret.limit.variable import Composite
from tensorprog.kernels.precision import double
from tensorprog.kernels.result import Kernels, refuse_infinite
from tensorprog.language.instr import Embedding, InitVector
from tensorprog.language.program import Network
from tensorprog.language.valid import check
from tensorprog.transform.backprop import Backprop, backprop
from tensorprog.transform.flatten import without_deltas

Arrays = Mapping[str, Array]


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
    tile: Callable[[Arrays, Arrays, Array, Mapping[str, Array | float]], Kernels]
    block: int | None = None

    @double
    def __call__(self, x1: ArrayLike | Data, x2: ArrayLike | Data | None = None, variances: Mapping[str, Array | float] | None = None) -> Kernels:
        program = self.network.program
        left = data_of(program, x1, "x1")
        right = left if x2 is None else data_of(program, x2, "x2")
        same_features(left, right)
        n1, n2 = _points(left), _points(right)
        size = self.block or _fitting(self.symbolic, max(n1, n2))
        starts1, starts2 = range(0, max(n1, 1), size), range(0, max(n2, 1), size)
        tiles: dict[tuple[int, int], Kernels] = {}
        for i in starts1:
            for j in starts2:
                if x2 is None and j < i:
                    tiles[i, j] = _mirrored(tiles[j, i])
                else:
                    a, b = _slice(left, i, size), _slice(right, j, size)
                    tile = self.tile(a, b, same_points(a, b), dict(variances or {}))
                    tiles[i, j] = _symmetric(tile) if x2 is None and i == j else tile
        found = _joined([_joined([tiles[i, j] for j in starts2], 1) for i in starts1], 0)
        refuse_infinite(found)
        return found


def compiled(
    network: Network,
    *,
    strategy: Strategy = Strategy(),
    dots: Dots = "derivative",
    flat_steps: bool = False,
    block: int | None = None,
    ntk: bool = True,
) -> Compiled:
    """The exact kernels of a network, read once; see `kernels.limit.kernels` for the arguments. Without `ntk` that of the result is 0."""
    check_network(network)
    if network.kind != "ntk":
        raise OutsideTheory("[readout] f = v . x / n tends to 0 and has no NNGP. Use a readout of kind 'ntk', or `limit` on the program.")
    found = symbolic(network, matched=True, dots=dots, flat_steps=flat_steps, ntk=ntk)
    return Compiled(network, found, jax.jit(partial(_tile, found, strategy)), block)


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
    seen: set[Node] = set()
    stack = [found.nngp.node, *(s.node for s in found.contributions.values())]
    most = 0
    numbers = Numbers(found.master.e, lambda key: jnp.zeros((1, 1)), Strategy())
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if isinstance(node.op, Expectation):
            uses = node.op.problem.uses
            if any(isinstance(u.factor, Composite) for u in uses) and quadratics(found.master.scalars, uses) is None:
                most = max(most, len({f for u in uses for f in forms_of(u, {})}))
                if most > 3:
                    return most
        stack.extend(numbers.children(node))
    return most


def same_features(left: Arrays, right: Arrays) -> None:
    for name, a in left.items():
        if a.shape[-1] != right[name].shape[-1]:
            raise InvalidProgram(f"[input] {name} has {a.shape[-1]} features in x1 and {right[name].shape[-1]} in x2. Give both the same features.")


def _points(data: Arrays) -> int:
    return next(iter(data.values())).shape[0]


def _slice(data: Arrays, start: int, size: int) -> Arrays:
    return {name: a[start : start + size] for name, a in data.items()}


def _mirrored(k: Kernels) -> Kernels:
    """K(x2, x1) from K(x1, x2): points and output positions change sides."""
    half = (k.nngp.ndim - 2) // 2
    order = (1, 0, *range(2 + half, 2 + 2 * half), *range(2, 2 + half))
    turn = partial(jnp.transpose, axes=order)
    return replace(k, nngp=turn(k.nngp), ntk=turn(k.ntk), by_parameter={name: turn(a) for name, a in k.by_parameter.items()})


def _symmetric(k: Kernels) -> Kernels:
    """A tile of points with themselves, symmetric to the last bit."""
    turned = _mirrored(k)
    return replace(jax.tree.map(lambda a, b: (a + b) / 2, k, turned), error=k.error)


def _joined(parts: list[Kernels], axis: int) -> Kernels:
    if len(parts) == 1:
        return parts[0]
    return jax.tree.map(lambda *a: jnp.concatenate(a, axis) if a[0].ndim else jnp.stack(a).max(), *parts)


def same_points(a: Arrays, b: Arrays) -> Array:
    """(N1, N2), true where two points are equal entry by entry."""
    equal = [(v[:, None] == b[name][None]).all(tuple(range(2, v.ndim + 1))) for name, v in a.items()]
    return jnp.stack(equal).all(0)


def _fitting(found: Symbolic, points: int) -> int:
    """A tile size at which an array over two points and two families of positions stays near 64 MiB."""
    program = found.master.program
    positions = max(prod(program.size[a] for a in axes) for axes in program.axes_of.values())
    return max(1, min(points, isqrt(8_000_000 // positions**2)))


def _tile(found: Symbolic, strategy: Strategy, left: Arrays, right: Arrays, same: Array, overrides: Mapping[str, Array | float]) -> Kernels:
    """The kernels of one tile."""
    program = found.master.program
    fetch = leaves(program, (left, right), {}, overrides)
    shape = (*same.shape, *(program.size[a.rstrip("'")] for a in found.order))

    def run(how: Strategy) -> Run:
        numbers = Numbers(found.master.e, fetch, how, same)
        nngp = jnp.broadcast_to(numbers.value(found.nngp, found.order), shape)
        parts = {name: jnp.broadcast_to(numbers.value(c, found.order), shape) for name, c in found.contributions.items()}
        return Run((nngp, sum(parts.values(), jnp.zeros_like(nngp)), parts), methods_of(numbers), len(numbers.estimates))

    (nngp, ntk, parts), errors, method = measured(run, strategy)
    error = jnp.maximum(errors[0].max(initial=0.0), errors[1].max(initial=0.0))
    return Kernels(nngp, ntk, parts, error, method)
