"""NNGP and NTK of a network by sampling: the double sum over uses (Yang 2020, "Tensor Programs II", eq. 12) on sampled moments.

A second way to the kernels of `kernels.limit`, by other means and for any program; slower, and known to a standard error only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram, OutsideTheory
from tensorprog.interpret.initial import shares
from tensorprog.interpret.limit.data import Data, data_of
from tensorprog.interpret.particles import particles
from tensorprog.interpret.particles.construction import Construction, Dots, stack
from tensorprog.interpret.particles.roots import Reals
from tensorprog.interpret.precision import double
from tensorprog.kernels.result import Kernels
from tensorprog.language.instr import Embedding
from tensorprog.language.program import Network
from tensorprog.language.tensors import variance
from tensorprog.transform.backprop import Backprop, backprop


@double
def particle_kernels(
    network: Network,
    x1: ArrayLike | Data,
    x2: ArrayLike | Data | None = None,
    *,
    samples: int = 65536,
    replicates: int = 8,
    key: Array,
    scalars: Mapping[str, ArrayLike] | None = None,
    dots: Dots = "stein",
    chunk: int | None = None,
) -> Kernels:
    """The limiting kernels, sampled; `error` is the largest standard error of any entry. Arguments as for `kernels` and `particles`.

    Raises:
        InvalidProgram: data or sizes that do not fit.
        OutsideTheory: a readout of another kind than "ntk"; functions whose derivative samples do not see.
    """
    if network.kind != "ntk":
        raise OutsideTheory("[readout] f = v . x / n tends to 0 and has no kernel in the NTK scaling. Use a readout of kind 'ntk', or `particles`.")
    b = backprop(network)
    left = data_of(network.program, x1, "x1")
    right = left if x2 is None else data_of(network.program, x2, "x2")
    both = left if x2 is None else {name: jnp.concatenate([left[name], right[name]]) for name in left}
    n1, n2 = (next(iter(side.values())).shape[0] for side in (left, right))
    if not max(n1, n2):
        raise InvalidProgram("[input] there are no points to sample. Give at least one.")
    sides = slice(0, n1), slice(0, n2) if x2 is None else slice(n1, n1 + n2)
    sampled = particles(b.program, samples=samples, replicates=replicates, key=key, inputs=both, scalars=scalars, dots=dots, chunk=chunk)
    parameters = [name for name in network.parameters if network.trained(name).rate != 0.0]
    found = sampled.estimate(lambda c: _Contributions(network, b, c, sides).all(parameters))
    nngp, ntk, *parts = found.value
    return Kernels(nngp, ntk, dict(zip(parameters, parts, strict=True)), jnp.asarray(found.error)[:2].max(initial=0.0), found.method)


@dataclass(frozen=True)
class _Contributions:
    """What each tensor adds to the kernel in one replicate, between the data points of two sides."""

    network: Network
    b: Backprop
    construction: Construction
    sides: tuple[slice, slice]

    def all(self, parameters: list[str]) -> Reals:
        """NNGP, NTK and the contributions of the parameters, stacked."""
        moments = self.moments()
        readouts = dict.fromkeys(r.vector for r in self.network.readouts)
        nngp = sum(self.whole(name, moments) for name in readouts)
        parts = [self.factor(name) * self.whole(name, moments) for name in parameters]
        return np.stack(np.broadcast_arrays(nngp, sum(parts), *parts))

    def moments(self) -> dict[tuple[str, str], Reals]:
        """E Z^x Z^y for every pair that enters, x on the left side and y on the right."""
        uses = [pair for pairs in self.b.uses.values() for a in pairs for other in pairs for pair in zip(a, other, strict=True)]
        gradients = [self.b.adjoint[v.name] for v in self.b.program.vectors if v.name in self.b.adjoint]
        pairs = list(dict.fromkeys([*uses, *((x, y) for x in gradients for y in gradients)]))

        def of(values: Mapping[str, Array], roots: Reals) -> dict[str, Reals]:
            return {f"{x} {y}": self.second(values[x], x, values[y], y, roots.shape[1]) for x, y in pairs}

        found: Any = self.construction.mean({name for pair in pairs for name in pair}, of)
        return {pair: found[f"{pair[0]} {pair[1]}"] for pair in pairs}

    def second(self, x: Array, x_name: str, y: Array, y_name: str, samples: int) -> Reals:
        """E x y, (N1 or 1, *axes of x, N2 or 1, *axes of y)."""
        a, b = (self.side(v, name, s) for v, name, s in zip((x, y), (x_name, y_name), self.sides, strict=True))
        return (stack([a], samples) @ stack([b], samples).T / samples).reshape(*a.shape[:-1], *b.shape[:-1])

    def side(self, a: Any, name: str, side: slice) -> Any:
        return a[side] if a.ndim > 1 + len(self.b.program.axes_of[name]) else a[None]

    def whole(self, name: str, moments: Mapping[tuple[str, str], Reals]) -> Reals:
        """The contribution in the convention "unit" at rate 1, (N1, N2, *output axes, *output axes)."""
        p = self.b.program
        zero = np.zeros((1, 1, *(p.size[c] for c in (*self.copies, *self.copies))))
        if name in p.matrix:
            m = p.matrix[name]
            uses = self.b.uses.get(name, ())
            pairs = (((l, s), (r, t)) for l, r in uses for s, t in uses)
            total = sum((self.contract(first, moments[first], second, moments[second]) for first, second in pairs), zero)
            return m.sigma**2 * self.ratio(m.rows) * total
        joint = shares(p, name) if self.network.trained(name).convention == "unit" else {}
        if joint:
            known = {pair: table for pair, table in joint.items() if self.b.adjoint.keys() >= {*pair}}
            return sum((self._share(pair, table, moments) for pair, table in known.items()), zero)
        vectors = [v for v in p.vectors if v.name in self.b.adjoint and (v.law.matrix == name if isinstance(v.law, Embedding) else v.name == name)]
        total = zero
        for v in vectors:
            for w in vectors:
                gradients = self.b.adjoint[v.name], self.b.adjoint[w.name]
                total = total + self.contract((v.name, w.name), self.law(v.name, w.name), gradients, moments[gradients]) * self.ratio(v.width)
        return total

    def _share(self, pair: tuple[str, str], table: Reals, moments: Mapping[tuple[str, str], Reals]) -> Reals:
        """What units are of the covariance of two vectors, against their gradients."""
        p, gradients = self.b.program, (self.b.adjoint[pair[0]], self.b.adjoint[pair[1]])
        k = len(p.axes_of[pair[0]])
        law = table.reshape(1, *table.shape[:k], 1, *table.shape[k:])
        return self.contract(pair, law, gradients, moments[gradients]) * self.ratio(next(v.width for v in p.vectors if v.name == pair[0]))

    def law(self, x: str, y: str) -> Reals:
        """Cov of two initial vectors of one group, exact: (N1 or 1, *axes of x, N2 or 1, *axes of y)."""
        forms = self.construction.forms
        a, b = (self.side(forms[name].factor.reshape(*forms[name].shape, -1), name, side) for name, side in zip((x, y), self.sides, strict=True))
        return np.tensordot(a, b, (-1, -1))

    def contract(self, first: tuple[str, str], a: Reals, second: tuple[str, str], b: Reals) -> Reals:
        """sum over positions of the product of two tables of moments; points and output positions stay."""
        letters = iter(ascii_lowercase)
        names: dict[tuple[int, str], str] = {}

        def spell(pair: tuple[str, str]) -> str:
            return "".join(
                names.setdefault((side, axis), names.get((side, axis)) or next(letters))
                for side, name in enumerate(pair)
                for axis in ("", *self.b.program.axes_of[name])
            )

        inner = f"{spell(first)},{spell(second)}"
        kept = [names[side, axis] for axis in ("",) for side in (0, 1)] + [names[side, c] for side in (0, 1) for c in self.copies]
        points = [np.broadcast_to(t, self.full(t, pair)) for t, pair in ((a, first), (b, second))]
        return np.einsum(f"{inner}->{''.join(kept)}", *points, optimize=True)

    def full(self, table: Reals, pair: tuple[str, str]) -> tuple[int, ...]:
        """The shape of a table with its dimensions of points filled up."""
        shape = list(table.shape)
        for at, side in ((0, self.sides[0]), (1 + len(self.b.program.axes_of[pair[0]]), self.sides[1])):
            shape[at] = side.stop - side.start
        return tuple(shape)

    @property
    def copies(self) -> tuple[str, ...]:
        return tuple(self.b.outputs.values())

    def ratio(self, width: str) -> float:
        p = self.b.program
        return float(p.width[width].ratio / p.width[self.b.base].ratio)

    def factor(self, name: str) -> float:
        """The learning-rate factor, over sigma^2 where the trained tensor itself has variance sigma^2."""
        training = self.network.trained(name)
        return training.rate / (1.0 if training.convention == "unit" else variance(self.network, name))
