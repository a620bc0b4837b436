"""What particles are given: the program's functions, its data, its scalars, the sizes; all checked before anything is sampled."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram, OutsideTheory
from tensorprog.interpret.particles.roots import Reals
from tensorprog.language.expr import Apply, Expr, Growth, Ref, refs, walk
from tensorprog.language.instr import InitScalar, Input, MatMul
from tensorprog.language.program import Program
from tensorprog.language.text import parse_expression


def check_functions(p: Program, *, differentiated: bool) -> None:
    """Refuse what samples cannot see: a delta; where dots are derivatives, a jump.

    Raises:
        OutsideTheory: naming the line of the body.
    """
    worst = Growth.POLYNOMIAL if differentiated else Growth.DISTRIBUTION
    for line, i in enumerate(p.body, 1):
        applied = () if isinstance(i, MatMul) else (e.fn for e in walk(i.psi) if isinstance(e, Apply))
        for f in applied:
            if f.growth in (worst, Growth.DISTRIBUTION):
                way_out = "Rewrite the program without it" if f.growth is Growth.DISTRIBUTION else 'Use dots="stein"'
                raise OutsideTheory(f"body line {line}: {i.out}: [particles] {f.name} jumps, and samples do not see its derivative. {way_out}.")


def check_sizes(samples: int, block: int, replicates: int, dims: int) -> None:
    """Raises InvalidProgram where the sizes are not powers of two, or too small to say anything."""
    if any(m < 1 or m & (m - 1) for m in (samples, block)) or block > samples or replicates < 2:
        raise InvalidProgram(
            f"[particles] samples = {samples} and chunk = {block} must be powers of two, chunk <= samples, and replicates = {replicates} at least 2."
        )
    if samples < 2 * dims:
        raise InvalidProgram(f"[particles] {samples} samples do not resolve {dims} members: the bias is of their ratio. Take more samples.")


def read_inputs(p: Program, inputs: Mapping[str, ArrayLike] | ArrayLike | None) -> dict[str, Reals]:
    """Every input as an array (*batch, *axes, d); one array stands for the one input.

    Raises:
        InvalidProgram: inputs are missing or unknown, of a wrong shape, or not finite.
    """
    names = [i.name for i in p.inputs]
    if inputs is not None and not isinstance(inputs, Mapping):
        if len(names) != 1:
            raise InvalidProgram(f"[input] one array is given, but the inputs are {names}. Give a mapping from each name to its array.")
        inputs = {names[0]: inputs}
    given = inputs or {}
    missing, unknown = [name for name in names if name not in given], sorted(set(given) - set(names))
    if missing or unknown:
        raise InvalidProgram(f"[input] the inputs are {names}. Missing: {missing}, unknown: {unknown}.")
    return {i.name: _input(p, i, np.asarray(given[i.name], dtype=np.float64)) for i in p.inputs}


def _input(p: Program, i: Input, a: Reals) -> Reals:
    sizes = tuple(p.size[axis] for axis in sorted(i.axes))
    if a.ndim <= len(sizes) or a.shape[a.ndim - 1 - len(sizes) : -1] != sizes:
        wanted = ", ".join(["*batch", *(f"{axis}={size}" for axis, size in zip(sorted(i.axes), sizes, strict=True)), "d"])
        raise InvalidProgram(f"[input] {i.name} has shape {a.shape}, not ({wanted}). Put the points first and the features last.")
    if not np.isfinite(a).all():
        raise InvalidProgram(f"[input] {i.name} has entries that are NaN or infinite. Clean the data first.")
    return a


def read_scalar(p: Program, c: InitScalar, given: Mapping[str, ArrayLike]) -> Reals:
    """The limit of an initial scalar value n^exponent: the value, or 0 where the exponent is negative; what is given is the limit itself."""
    if c.name not in given and c.value is None:
        raise InvalidProgram(f"[scalar] the initial scalar {c.name} has no value. Give it: scalars={{{c.name!r}: ...}}.")
    value = np.asarray(given[c.name] if c.name in given else (c.value or 0.0) * (c.exponent == 0), dtype=np.float64)
    axes = tuple(p.size[a] for a in sorted(c.axes))
    return np.broadcast_to(value, (*value.shape[: max(value.ndim - len(axes), 0)], *axes))


def members(p: Program, data: Mapping[str, Reals], scalars: Mapping[str, Reals] | None = None) -> dict[str, int]:
    """The members of every vector, over axes and data points.

    Raises:
        InvalidProgram: the batch dimensions of inputs and scalars do not broadcast.
    """
    batches = {i.name: data[i.name].shape[: -1 - len(i.axes)] for i in p.inputs}
    batches |= {name: a.shape[: a.ndim - len(p.axes_of[name])] for name, a in (scalars or {}).items()}
    try:
        batch = prod(np.broadcast_shapes(*batches.values()))
    except ValueError:
        listed = ", ".join(f"{name}: {shape}" for name, shape in batches.items())
        raise InvalidProgram(f"[input] the batch dimensions do not fit together ({listed}). Give every input the same data points.") from None
    return {name: batch * prod(p.size[a] for a in p.axes_of[name]) for name, width in p.width_of.items() if width is not None}


def most_roots(p: Program, members: Mapping[str, int]) -> int:
    """A bound on the number of roots: the members of initial vectors and of products."""
    names = [*(v.name for v in p.vectors), *(i.out for i in p.body if isinstance(i, MatMul))]
    return max(1, sum(members[name] for name in names))


def read_expression(p: Program, psi: Expr | str) -> Expr:
    """The expression, or what its text says; over variables of the program.

    Raises:
        InvalidProgram: the text is no expression, or reads a name that the program does not have.
    """
    e = (Ref(psi) if psi in p.width_of else parse_expression(psi)) if isinstance(psi, str) else psi
    unknown = [r for r in refs(e) if r not in p.width_of]
    if unknown:
        raise InvalidProgram(f"{p.name} has no variable {', '.join(unknown)}. It has {', '.join(p.width_of)}.")
    return e


def check_name(p: Program, name: str, *, scalar: bool) -> None:
    """Raises InvalidProgram where the program has no such scalar (or vector)."""
    kind = [x for x, width in p.width_of.items() if (width is None) == scalar]
    if name not in kind:
        raise InvalidProgram(f"{p.name} has no {'scalar' if scalar else 'vector'} {name}. It has {', '.join(kind) or 'none'}.")
