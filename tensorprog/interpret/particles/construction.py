"""The construction of Z (Yang & Littwin 2021, Def. B.3): constants found line by line, and the map from roots to Z that they define.

Given the constants (limits of scalars, coefficients of hats and dots), every Z^x is a function of the roots, sample by sample. So samples need not
be kept: any block of them can be made again, and differentiating this very function gives the dots a second way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import log2, prod
from typing import Any, Literal, assert_never

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from tensorprog.errors import Diverged
from tensorprog.interpret.expression import evaluate
from tensorprog.interpret.outer import outer
from tensorprog.interpret.particles.operator import Direction, dot_weights, extend, scale
from tensorprog.interpret.particles.roots import Form, Normals, Reals
from tensorprog.language.expr import Expr, Ref, copies, refs, walk
from tensorprog.language.instr import Instr, MatMul, Moment, Nonlin, OuterNonlin
from tensorprog.language.program import Program

Dots = Literal["stein", "derivative", "drop"]
COPIES = 1024  # iid copies over which an OuterNonlin averages


@dataclass(frozen=True)
class Dot:
    """weights @ (all members of the vectors `args`)."""

    weights: Reals
    args: tuple[str, ...]


@dataclass
class Construction:
    """One replicate: the roots and the constants found so far."""

    program: Program
    normals: Normals
    forms: dict[str, Form]
    scalars: dict[str, Array]
    dots: dict[str, Dot] = field(default_factory=dict[str, Dot])
    next_root: int = 0
    kept: dict[str, Array] = field(default_factory=dict[str, Array])
    apart: dict[tuple[int, int], dict[str, Array]] = field(default_factory=dict[tuple[int, int], dict[str, Array]])

    def values(self, names: Iterable[str]) -> Iterator[dict[str, Array]]:
        """The named variables at every block of samples; kept between calls where there is a single block."""
        names = tuple(names)
        if len(self.normals) == 1:
            self.fill(names, self.normals[0], self.kept)
            yield self.kept
            return
        for b in range(len(self.normals)):
            yield self.fill(names, self.normals[b], {})

    def release(self) -> None:
        """Forget the samples; the constants stay, and the samples can be made again."""
        self.kept.clear()
        self.normals.release()

    def fill(self, names: Iterable[str], roots: Reals | Array, values: dict[str, Array]) -> dict[str, Array]:
        """Z of the named vectors, and of all that they are made of, as a function of the roots (D, M)."""
        wanted = self.needed(names, values)
        for name in (*self.program.init, *self.program.instruction):
            if name in wanted:
                values[name] = self.scalars[name] if self.program.is_scalar(name) else self.vector(name, roots, values)
        return values

    def vector(self, name: str, roots: Reals | Array, values: Mapping[str, Array]) -> Array:
        """Z^x from roots and earlier vectors, an array (*batch, *axes, M)."""
        i = self.program.instruction.get(name)
        if isinstance(i, Nonlin):
            out = evaluate(i.psi, values, self.program.axes_of, self.vectors)
            return out if any(r in self.vectors for r in refs(i.psi)) else out[..., None]
        if isinstance(i, OuterNonlin):
            return outer(i.psi, values, self.others(i.psi), self.program.axes_of, self.vectors, roots.shape[-1])
        form = self.forms[name]
        out: Any = form.mean + form.factor @ roots[form.dims]
        start = 0
        for arg in self.dots[name].args if name in self.dots else ():
            y = values[arg].reshape(prod(values[arg].shape[:-1]), values[arg].shape[-1])
            out += self.dots[name].weights[:, start : start + len(y)] @ y
            start += len(y)
        return out.reshape(*form.shape, out.shape[-1])

    def others(self, psi: Expr) -> dict[int, dict[str, Array]]:
        """What psi reads at other coordinates: iid copies, for each coordinate samples of its own, COPIES pairs (triples ..) of them in all."""
        read = copies(psi)
        size = 1 << round(log2(COPIES) / len(read))
        found: dict[int, dict[str, Array]] = {}
        for k in read:
            names = {e.name for e in walk(psi) if isinstance(e, Ref) and e.copy == k}
            values = self.apart.setdefault((k, size), {})
            if not names <= values.keys():
                self.fill(names, self.normals[0][:, (k - 1) * size : k * size], values)
            found[k] = values
        return found

    def needed(self, names: Iterable[str], known: Mapping[str, Any] = {}) -> set[str]:
        """The names and what their Z is made of: a product needs only the vectors of its dot."""
        found: set[str] = set()
        pending = [name for name in names if name not in known]
        while pending:
            name = pending.pop()
            if name in found:
                continue
            found.add(name)
            i = self.program.instruction.get(name)
            below = self.dots[name].args if name in self.dots else _own(i.psi) if isinstance(i, Nonlin | OuterNonlin) else ()
            pending += [r for r in below if r not in known]
        return found

    @property
    def vectors(self) -> frozenset[str]:
        return frozenset(name for name, width in self.program.width_of.items() if width is not None)

    def mean(self, names: Iterable[str], f: Callable[[Mapping[str, Array], Reals], Any]) -> Any:
        """The mean over all samples of f(values, roots), a pytree; f averages over its block."""
        names = tuple(names)
        parts = [f(v, self.normals[b]) for b, v in enumerate(self.values(names))]
        return jax.tree.map(lambda *x: sum(x) / len(x), *parts)

    def expectation(self, psi: Expr) -> Array:
        """E psi(Z^x1..; c1..), or psi of scalars."""
        if not any(r in self.vectors for r in refs(psi)):
            return evaluate(psi, self.scalars, self.program.axes_of, self.vectors)
        return self.mean(refs(psi), lambda v, _: evaluate(psi, v, self.program.axes_of, self.vectors).mean(-1))


def _own(psi: Expr) -> tuple[str, ...]:
    """What psi reads at its own coordinate."""
    return tuple(dict.fromkeys(e.name for e in walk(psi) if isinstance(e, Ref) and e.copy == 0))


def stack(arrays: Iterable[Array], samples: int) -> Reals:
    """All members of the vectors as rows, (members, M)."""
    return np.concatenate([np.broadcast_to(np.asarray(a), (*a.shape[:-1], samples)).reshape(-1, samples) for a in arrays])


def last_reads(p: Program) -> dict[str, int]:
    """The last line that reads the samples of each vector, or that makes it; a product reads all that its matrix has multiplied so far."""
    last: dict[str, int] = {}
    multiplied: dict[str, dict[str, None]] = {}
    for k, i in enumerate(p.body):
        match i:
            case MatMul(out, matrix, arg):
                read = multiplied.setdefault(matrix, {})
                read[arg] = None
            case Nonlin(out, psi) | OuterNonlin(out, psi) | Moment(out, psi):
                read = refs(psi)
            case _:
                assert_never(i)
        last |= dict.fromkeys((out, *read), k)
    return last


def live(p: Program, members: Mapping[str, int]) -> int:
    """The most members whose samples some later line still reads, over all lines."""
    last = last_reads(p)
    change = np.zeros(len(p.body) + 1, dtype=np.int64)
    for k, i in enumerate(p.body):
        change[k] += members.get(i.out, 0)
    for name, k in last.items():
        change[k + 1] -= members.get(name, 0)
    return int(sum(members.get(name, 0) for name in p.init if name in last) + change.cumsum().max(initial=0))


def construct(c: Construction, dots: Dots, *, lean: bool = False) -> Construction:
    """Find the constants of every line, in order.

    Args:
        lean: samples are made line by line, and forgotten after the last line that reads them; they can be made again.
    """
    directions: dict[tuple[str, bool], Direction] = {}
    last = last_reads(c.program) if lean else {}
    for k, i in enumerate(c.program.body):
        _constants(c, i, directions, dots)
        if lean and last[i.out] > k:
            c.fill([i.out], c.normals[0], c.kept)
        for name in [name for name in c.kept if lean and last[name] <= k]:
            del c.kept[name]
    return c


def _constants(c: Construction, i: Instr, directions: dict[tuple[str, bool], Direction], dots: Dots) -> None:
    match i:
        case MatMul():
            _matmul(c, i, directions, dots)
        case Nonlin() | OuterNonlin():
            pass
        case Moment(out, psi):
            c.scalars[out] = c.expectation(psi)
        case _:
            assert_never(i)


def direction(i: MatMul) -> tuple[str, bool]:
    """W and W^T are two matrices to the hats (Yang & Littwin 2021, Def. B.3)."""
    return i.matrix, i.transpose


def _matmul(c: Construction, i: MatMul, directions: dict[tuple[str, bool], Direction], dots: Dots) -> None:
    s, s_opposite = (scale(c.program, i.matrix, t) for t in (i.transpose, not i.transpose))
    here = directions.get(direction(i), Direction())
    opposite = directions.get(direction(MatMul(i.out, i.matrix, i.arg, not i.transpose)), Direction())
    roots = np.intersect1d(opposite.dims, _roots(c, i.arg))

    def moments(v: Mapping[str, Array], normals: Reals) -> tuple[Reals, Reals, Reals]:
        m = normals.shape[1]
        x = stack([v[i.arg]], m)
        earlier = stack([v[a] for a in (i.arg, *here.args)], m)
        return x @ earlier.T / m, x @ normals[roots].T / m, np.zeros(v[i.arg].shape[:-1])

    second, first, shape = c.mean((i.arg, *here.args), moments)
    if not np.isfinite(second).all():
        raise Diverged(
            f"[moment] the second moments of {i.arg} are beyond the range of numbers. Where training diverges, take a smaller learning rate."
        )
    own, cross = np.split(second, [len(second)], axis=1)
    directions[direction(i)], coordinates = extend(here, i.arg, own, cross, c.next_root)
    c.next_root += coordinates.shape[1] - len(here.dims)
    c.forms[i.out] = Form(s * coordinates, directions[direction(i)].dims, shape.shape)
    if dots == "drop" or not len(roots):
        return
    regression = np.zeros((len(own), len(opposite.dims)))
    regression[:, np.isin(opposite.dims, roots)] = first if dots == "stein" else _derivatives(c, i.arg, roots)
    c.dots[i.out] = Dot(dot_weights(opposite, regression, s, s_opposite), opposite.args)


def _roots(c: Construction, name: str) -> np.ndarray:
    """The roots that Z of a vector is a function of."""
    dims = [c.forms[n].dims for n in c.needed([name]) if n in c.forms]
    return np.concatenate(dims) if dims else np.zeros(0, dtype=np.int64)


def _derivatives(c: Construction, name: str, dims: np.ndarray) -> Reals:
    """E[dZ^x / d root_j] for every member of x, (members, len(dims)): constants held fixed (Yang & Littwin 2021, Remark B.5)."""

    def block(normals: Reals) -> Reals:
        def members(moved: Array) -> Array:
            roots = jnp.asarray(normals).at[dims].set(moved)
            x = c.fill([name], roots, {})[name]
            return x.reshape(-1, x.shape[-1]).mean(1)

        return np.asarray(jax.jacrev(members)(jnp.asarray(normals[dims])).sum(-1))

    return np.mean([block(c.normals[b]) for b in range(len(c.normals))], axis=0)
