"""Answers by sampling: the mean over independent replicates of the construction, and its standard error.

Bias: moments of M samples enter nonlinearly, so a replicate with k vectors multiplied by a matrix is biased by O(k / M), below its O(M^{-1/2}) noise
where k^2 < M; the standard error does not see it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram, OutsideTheory
from tensorprog.interpret.particles.construction import Construction, Dots, construct, stack
from tensorprog.interpret.particles.roots import Normals, Reals, initial_forms
from tensorprog.language.expr import Apply, Expr, Growth, Ref, refs, walk
from tensorprog.language.instr import InitScalar, Input, Instr, MatMul
from tensorprog.language.program import Network, Program

MEMORY = 2**30  # bytes of samples that one block may take


@dataclass(frozen=True)
class Estimate:
    """A sampled number (or array): its value, its standard error, and how it was found."""

    value: Reals
    error: Reals
    method: str

    def agrees(self, exact: ArrayLike, errors: float = 4.0, within: float = 1e-12) -> bool:
        """Whether every entry lies within that many standard errors (or `within`, absolutely)."""
        return bool(np.all(np.abs(self.value - np.asarray(exact)) <= errors * self.error + within))


@dataclass(frozen=True)
class Particles:
    """The limit of a program, sampled. Samples are made again, block by block, for every question."""

    program: Program
    replicates: tuple[Construction, ...]

    def scalar(self, name: str) -> Estimate:
        """The limit of a scalar, an array (*batch, *axes)."""
        if name not in self.program.width_of or not self.program.is_scalar(name):
            raise InvalidProgram(f"{self.program.name} has no scalar {name!r}. {_choices(self.program, scalars=True)}")
        return self._over_replicates([c.scalars[name] for c in self.replicates])

    def moment(self, psi: Expr | str) -> Estimate:
        """E psi(Z^x1..; c1..) of an expression, or of its text."""
        e = _expression(psi)
        for r in refs(e):
            if r not in self.program.width_of:
                raise InvalidProgram(f"{self.program.name} has no variable {r!r}. {_choices(self.program)}")
        with jax.enable_x64(True):
            return self._over_replicates([c.expectation(e) for c in self.replicates])

    def gram(self, x: str, y: str | None = None) -> Estimate:
        """E Z^x Z^y over all pairs of members, an array (*batch, *axes of x, *batch, *axes of y)."""
        return self.grams([(x, x if y is None else y)])[0]

    def covariance(self, x: str, y: str | None = None) -> Estimate:
        """Cov(Z^x, Z^y) over all pairs of members, an array (*batch, *axes of x, *batch, *axes of y)."""
        return self.grams([(x, x if y is None else y)], centered=True)[0]

    def grams(self, pairs: list[tuple[str, str]], centered: bool = False) -> list[Estimate]:
        """Several tables of E Z^x Z^y (or covariances) in one pass over the samples."""
        names = tuple(dict.fromkeys(name for pair in pairs for name in pair))
        for name in names:
            if self.program.width_of.get(name) is None:
                raise InvalidProgram(f"{self.program.name} has no vector {name!r}. {_choices(self.program)}")
        with jax.enable_x64(True):
            tables = [c.mean(names, _moments(names, pairs)) for c in self.replicates]
        return [self._over_replicates([_table(t, x, y, centered) for t in tables]) for x, y in pairs]

    def _over_replicates(self, results: list[Any]) -> Estimate:
        values = np.stack([np.asarray(r, dtype=np.float64) for r in results])
        method = f"particles, {len(values)} x {self.replicates[0].normals.samples} samples"
        return Estimate(values.mean(0), values.std(0, ddof=1) / np.sqrt(len(values)), method)


def _moments(names: tuple[str, ...], pairs: list[tuple[str, str]]) -> Callable[[Mapping[str, Array], Reals], Any]:
    def of(v: Mapping[str, Array], normals: Reals) -> Any:
        m = normals.shape[1]
        rows = {name: stack([v[name]], m) for name in names}
        second = {f"{x} {y}": (rows[x] @ rows[y].T / m).reshape(*v[x].shape[:-1], *v[y].shape[:-1]) for x, y in pairs}
        return second, {name: v[name].mean(-1) for name in names}

    return of


def _table(moments: Any, x: str, y: str, centered: bool) -> Reals:
    second, first = moments
    product = np.multiply.outer(np.asarray(first[x]), np.asarray(first[y]))
    return np.asarray(second[f"{x} {y}"]) - (product if centered else 0.0)


def particles(
    program: Program | Network,
    *,
    samples: int = 65536,
    replicates: int = 8,
    key: Array,
    inputs: Mapping[str, ArrayLike] | None = None,
    scalars: Mapping[str, ArrayLike] | None = None,
    drop_dots: bool = False,
    dots: Dots = "stein",
    chunk: int | None = None,
) -> Particles:
    """Sample the limit of a program (or of a network's body).

    Args:
        samples: M, a power of two; the error falls as M^{-1/2} or faster.
        replicates: independent repetitions, at least 2: the standard error comes from their spread.
        key: a JAX random key.
        inputs: an array (*batch, *axes in sorted order, d) for every input of the program; batch dimensions are data points.
        scalars: values of the initial scalars that the program leaves open.
        drop_dots: leave out every dot (the gradient independence assumption: wrong in general).
        dots: "stein" regresses on earlier hats and is right for every function; "autodiff" differentiates Z, and refuses functions that jump.
        chunk: samples made at a time, a power of two; by default what takes about a gigabyte.

    Raises:
        InvalidProgram: inputs, scalars or sample sizes that do not fit the program.
        OutsideTheory: a function whose samples carry no information: a delta, or with dots="autodiff" any function that jumps.
    """
    p = program.program if isinstance(program, Network) else program
    _check_functions(p, dots)
    data = _data(p, inputs or {})
    members = _members(p, data)
    block = chunk or _block(samples, sum(members.values()))
    if replicates < 2 or any(m < 1 or m & (m - 1) for m in (samples, block)) or block > samples:
        raise InvalidProgram(f"samples = {samples} and chunk = {block} must be powers of two, chunk <= samples, and replicates = {replicates} at least 2.")
    seeds = [int(s) for s in np.asarray(jax.random.bits(key, (replicates,), dtype="uint32"))]
    with jax.enable_x64(True):
        constructions = tuple(
            construct(_start(p, data, scalars or {}, Normals(seed, samples, block, sum(members.values()))), drop_dots=drop_dots, dots=dots)
            for seed in seeds
        )
    return Particles(p, constructions)


def _start(p: Program, data: Mapping[str, Reals], given: Mapping[str, ArrayLike], normals: Normals) -> Construction:
    forms = initial_forms(p, data)
    return Construction(
        p, normals, forms, {c.name: jax.numpy.asarray(_limit(p, c, given)) for c in p.scalars},
        next_root=1 + max((int(f.dims.max(initial=-1)) for f in forms.values()), default=-1),
    )  # fmt: skip


def _limit(p: Program, c: InitScalar, given: Mapping[str, ArrayLike]) -> Reals:
    """value n^exponent as n grows: the value, or 0 where the exponent is negative."""
    shape = tuple(p.size[a] for a in sorted(c.axes))
    value = given.get(c.name, c.value)
    if value is None:
        raise InvalidProgram(f"the initial scalar {c.name!r} has no value. Pass scalars={{{c.name!r}: ...}}.")
    array = np.asarray(value, dtype=np.float64)
    return (array if array.ndim >= len(shape) else np.broadcast_to(array, shape)) * float(c.exponent == 0)


def _data(p: Program, inputs: Mapping[str, ArrayLike]) -> dict[str, Reals]:
    missing, unknown = [i.name for i in p.inputs if i.name not in inputs], set(inputs) - {i.name for i in p.inputs}
    if missing or unknown:
        raise InvalidProgram(f"{p.name} reads the inputs {[i.name for i in p.inputs]}; missing: {missing}, unknown: {sorted(unknown)}.")
    return {i.name: _checked(p, i, np.asarray(inputs[i.name], dtype=np.float64)) for i in p.inputs}


def _checked(p: Program, i: Input, a: Reals) -> Reals:
    sizes = tuple(p.size[axis] for axis in sorted(i.axes))
    if a.ndim <= len(sizes) or a.shape[a.ndim - 1 - len(sizes) : -1] != sizes:
        raise InvalidProgram(f"input {i.name!r} has shape {a.shape}; wanted (*batch, {', '.join(map(str, (*sizes, 'd')))}).")
    if not np.isfinite(a).all():
        raise InvalidProgram(f"input {i.name!r} has entries that are NaN or infinite.")
    return a


def _members(p: Program, data: Mapping[str, Reals]) -> dict[str, int]:
    """How many roots each initial vector and product may need: its members, over axes and data points."""
    batch = max((int(np.prod(a.shape[: a.ndim - 1 - len(i.axes)])) for i in p.inputs for a in (data[i.name],)), default=1)
    names = [*(v.name for v in p.vectors), *(i.out for i in p.body if isinstance(i, MatMul))]
    return {name: batch * int(np.prod([p.size[a] for a in p.axes_of[name]])) for name in names}


def _block(samples: int, members: int) -> int:
    block = samples
    while block > 1024 and 3 * 8 * members * block > MEMORY:
        block //= 2
    return block


def _check_functions(p: Program, dots: Dots) -> None:
    jumps = Growth.DISTRIBUTION if dots == "stein" else Growth.POLYNOMIAL
    for line, i in enumerate(p.body, 1):
        for f in _functions(i):
            if f.growth in (Growth.DISTRIBUTION, jumps):
                way_out = "Rewrite the program without it" if f.growth is Growth.DISTRIBUTION else 'Use dots="stein"'
                raise OutsideTheory(f"line {line}: {i.out}: [particles] {f.name} jumps, and its derivative is not seen by samples. {way_out}.")


def _functions(i: Instr) -> list[Any]:
    return [] if isinstance(i, MatMul) else [e.fn for e in walk(i.psi) if isinstance(e, Apply)]


def _expression(psi: Expr | str) -> Expr:
    if not isinstance(psi, str):
        return psi
    from tensorprog.language.text import parse_expression

    return parse_expression(psi) if not psi.isidentifier() else Ref(psi)


def _choices(p: Program, scalars: bool = False) -> str:
    names = [name for name, width in p.width_of.items() if width is None or not scalars]
    return f"It has {', '.join(names) or 'none'}."
