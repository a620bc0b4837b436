"""What the limit of a program reads from outside: Gram matrices of its inputs, variances, given scalars."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import replace
from math import prod

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.precision import traced
from tensorprog.language.instr import Embedding, Gaussian, InitScalar
from tensorprog.language.program import Program

Data = Mapping[str, ArrayLike]
Arrays = Mapping[str, Array] | Mapping[str, np.ndarray] | Mapping[str, Array | np.ndarray]


def variances(program: Program) -> dict[str, float]:
    """sigma^2 of every matrix and embedding, and the variance of every Gaussian vector, by name."""
    out: dict[str, float] = {m.name: m.sigma**2 for m in program.matrices}
    for v in program.vectors:
        match v.law:
            case Embedding(matrix, _, sigma):
                out[matrix] = sigma**2
            case Gaussian(_, variance):
                out[v.name] = variance
    return out


def check_variances(program: Program, names: Collection[str], readouts: Collection[str] = ()) -> None:
    """Variances can be given to the tensors that have one number as variance, and to `readouts`.

    Raises:
        InvalidProgram: another name, or a vector with covariances.
    """
    known = {*variances(program), *readouts} - {name for c in program.covariances for name in (c.a, c.b)}
    if unknown := sorted({*names} - known):
        raise InvalidProgram(f"[variances] {unknown[0]} is given, but is no tensor with a variance. There are {', '.join(sorted(known))}.")


def opened(program: Program, scalars: Mapping[str, ArrayLike]) -> Program:
    """The program with the scalars open that are given, also where they have values of their own; what is given is the limit.

    Raises:
        InvalidProgram: a name that is no initial scalar.
    """
    for name in scalars:
        if not isinstance(program.init.get(name), InitScalar):
            raise InvalidProgram(f"[scalar] {name} is given, but is no initial scalar of the program. Leave it out.")
    return replace(program, scalars=tuple(c if _is_known(c, scalars) else replace(c, value=None, exponent=0.0) for c in program.scalars))


def _is_known(c: InitScalar, given: Mapping[str, ArrayLike]) -> bool:
    """Whether the limit of a scalar is its own: nothing else is given."""
    own = 0.0 if c.exponent < 0 else c.value
    return c.name not in given or (own is not None and not traced(given[c.name]) and bool(np.all(np.asarray(given[c.name]) == own)))


def leaves(
    program: Program, sides: tuple[Arrays, Arrays], given: Mapping[str, Array | float], overrides: Mapping[str, Array | float]
) -> Callable[[Hashable], Array]:
    """The arrays of the graph's leaves, of shape (N1 or 1, N2 or 1, *positions)."""
    known = variances(program) | dict(overrides)

    def leaf(key: Hashable) -> Array:
        match key:
            case ("variance", str(name)):
                return jnp.asarray(known[name]).reshape(1, 1)
            case ("gram", str(a), int(i), str(b), int(j)):
                return gram(sides[i][a], sides[j][b], i, j, len(_input_axes(program, a)))
            case ("data", str(a), int(i)):
                return jnp.expand_dims(sides[i][a] / sides[i][a].shape[-1] ** 0.5, 1 - i)
            case ("scalar", str(name)):
                if name not in given:
                    raise InvalidProgram(f"[init] the scalar {name} has no value of its own. Give scalars={{{name!r}: ...}}.")
                a = jnp.asarray(given[name])
                axes = len(program.axes_of[name])
                return a.reshape(*(a.shape[: a.ndim - axes] or (1,)), 1, *a.shape[a.ndim - axes :]) if a.ndim > axes else a.reshape(1, 1, *a.shape)
            case ("tensor", tuple(shape), tuple(values)):
                return jnp.array(values).reshape(1, 1, *shape)
            case ("eye", int(size)):
                return jnp.eye(size)[None, None]
            case _:
                raise KeyError(key)

    return leaf


def gram(a: Array | np.ndarray, b: Array | np.ndarray, i: int, j: int, rank: int) -> Array:
    """<a, b> / d for data (N, *positions, d) of the sides i and j: (N1 or 1, N2 or 1, *positions of a, *positions of b)."""
    letters = "abcdefghijklm"
    p, q = letters[:rank], letters[rank : rank + b.ndim - 2]
    if i == j:
        out = jnp.einsum(f"n{p}z,n{q}z->n{p}{q}", a, b) / a.shape[-1]
        return out[:, None] if i == 0 else out[None]
    first, second = (a, b) if i == 0 else (b, a)
    flat = jnp.reshape(first, (-1, first.shape[-1])) @ jnp.reshape(second, (-1, second.shape[-1])).T / a.shape[-1]
    whole = flat.reshape(*first.shape[:-1], *second.shape[:-1])  # one matrix product; what is contracted next stands beside the points that it is of
    rows, columns = range(1, first.ndim - 1), range(first.ndim, whole.ndim)
    return whole.transpose(0, first.ndim - 1, *((*rows, *columns) if i == 0 else (*columns, *rows)))


def _input_axes(program: Program, name: str) -> tuple[str, ...]:
    return next(i.axes for i in program.inputs if i.name == name)


def data_of(program: Program, x: ArrayLike | Data | None, label: str = "inputs") -> dict[str, Array | np.ndarray]:
    """The data of every input slot as (N, *positions, d), checked.

    Raises:
        InvalidProgram: a missing input, a wrong number or size of positions, no features, different numbers of points, NaN or infinite entries.
    """
    if x is None:
        x = {}
    if not isinstance(x, Mapping):
        if len(program.inputs) != 1:
            names = ", ".join(i.name for i in program.inputs) or "none"
            raise InvalidProgram(
                f"[input] {label} is one array, but the program has {len(program.inputs)} inputs ({names}). Give a mapping from input to array."
            )
        x = {program.inputs[0].name: x}
    out: dict[str, Array | np.ndarray] = {}
    for slot in program.inputs:
        if slot.name not in x:
            raise InvalidProgram(f"[input] {label} lacks {slot.name}. Give an array of shape (N, {', '.join([*slot.axes, 'd'])}).")
        a = _numbers(x[slot.name], f"{label} for {slot.name}")
        if jnp.iscomplexobj(a):
            raise InvalidProgram(f"[input] {label} for {slot.name} are complex numbers. Give real ones: real and imaginary parts as features.")
        a = a if a.dtype in (jnp.float32, jnp.float64) else a.astype(jnp.result_type(float))
        shape = tuple(program.size[axis] for axis in sorted(slot.axes))
        if a.ndim != len(shape) + 2 or a.shape[1:-1] != shape:
            wanted = ", ".join(["N", *(f"{axis}={n}" for axis, n in zip(sorted(slot.axes), shape, strict=True)), "d"])
            raise InvalidProgram(f"[input] {label} for {slot.name} has shape {a.shape}, not ({wanted}). Put the points first and the features last.")
        if not a.shape[-1]:
            raise InvalidProgram(f"[input] {label} for {slot.name} has no features: its shape is {a.shape}. Give at least one.")
        out[slot.name] = a
    if len({a.shape[0] for a in out.values()}) > 1:
        counts = ", ".join(f"{name}: {a.shape[0]}" for name, a in out.items())
        raise InvalidProgram(f"[input] the inputs have different numbers of points ({counts}). Give one row of each input a point.")
    for name, a in out.items():
        bad = _bad_rows(a)
        if bad:
            raise InvalidProgram(f"[input] {label} for {name} has NaN or infinite entries in row {bad[0]}. Remove or repair the row.")
    return out


def _numbers(x: ArrayLike, what: str) -> Array | np.ndarray:
    """x as it was given: what NumPy has stays there, a copy."""
    if isinstance(x, np.ndarray) and (x.dtype == bool or jnp.issubdtype(x.dtype, jnp.number)):
        return np.array(x)
    try:
        return jnp.asarray(x)
    except (TypeError, ValueError) as error:
        raise InvalidProgram(f"[input] {what} is no array of numbers ({error}). Give numbers.") from error


def _bad_rows(a: Array | np.ndarray) -> list[int]:
    from jax.core import Tracer

    if isinstance(a, Tracer) or prod(a.shape) == 0:
        return []
    finite = np.isfinite(np.asarray(a)).reshape(a.shape[0], -1).all(axis=1)
    return [int(i) for i in np.flatnonzero(~finite)]
