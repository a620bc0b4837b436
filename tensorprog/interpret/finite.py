"""The finite meaning of a program: vectors in R^n, matrices n_out x n_in with N(0, sigma^2 / n_in) entries (Yang & Littwin 2021, Def. 4.1).

All randomness and all that is trained sits in `params`, one array of unit-variance entries a tensor (NTK parametrization):

| tensor                 | shape                         | in the program                          |
| ---------------------- | ----------------------------- | --------------------------------------- |
| matrix w               | (n_out, n_in)                 | W = sigma w / sqrt(n_in)                |
| embedding u            | (n, d)                        | g = sigma u xi / sqrt(d)                |
| vector beta            | (*axes, n)                    | b = mean + root(covariance) beta        |
| readout v of a network | (outputs, *readout axes, n)   | f = sigma v . x / sqrt(n times positions) |

Everything is a pure function of `params` and the inputs: jit (with n static), grad and vmap go through.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod, sqrt
from typing import Literal, assert_never

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike, DTypeLike

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.expression import average, evaluate
from tensorprog.interpret.initial import gaussians, positions, scale
from tensorprog.interpret.outer import outer
from tensorprog.language.expr import copies, refs
from tensorprog.language.instr import Embedding, Gaussian, InitScalar, Input, Instr, MatMul, Moment, Nonlin, OuterNonlin
from tensorprog.language.program import Network, Program, Readout

Params = Mapping[str, Array]
Inputs = Mapping[str, ArrayLike] | ArrayLike | None
Law = Literal["gaussian", "rademacher", "uniform"]


# Sampling.


def shapes(source: Network | Program, n: int, dims: Mapping[str, int] | int | None = None) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a program or network at base width n, as in the table above.

    Args:
        dims: the dimension d of each input; one number if they are all the same.

    Raises:
        InvalidProgram: a width or a dimension is not positive, an input has no dimension, or two readouts disagree on a shared vector.
    """
    program = source.program if isinstance(source, Network) else source
    size = widths(program, n)
    out: dict[str, tuple[int, ...]] = {m.name: (size[m.rows], size[m.cols]) for m in program.matrices}
    for v in program.vectors:
        if isinstance(v.law, Embedding):
            _put(out, v.law.matrix, (size[v.width], _dimension(v.law.input, dims)))
    for v in gaussians(program).values():
        out[v.name] = (*positions(program, v), size[v.width])
    if isinstance(source, Network):
        for r in source.readouts:
            copies = () if r.vector in program.init else (source.outputs,)
            _put(out, r.vector, (*copies, *(program.size[a] for a in sorted(r.axes)), size[r.width]))
    return out


def sample(
    source: Network | Program, key: Array, n: int, dims: Mapping[str, int] | int | None = None, law: Law = "gaussian", dtype: DTypeLike | None = None
) -> dict[str, Array]:
    """Unit-variance tensors of a program or network at base width n.

    `law` is that of the matrices between widths only: any centred law of variance 1 has the same limit there (Golikov & Yang 2022,
    "Non-Gaussian Tensor Programs"). Embeddings, readouts and initial vectors stay Gaussian: an embedding sums over the finite d, and a
    coordinate of a vector is never averaged before a nonlinearity sees it, so that there the limit would change with the law.

    Args:
        key: a jax.random key.
        dims: the dimension d of each input; one number if they are all the same.
        dtype: of the tensors; default JAX's float (float64 under jax.enable_x64).
    """
    dtype = jnp.result_type(float) if dtype is None else dtype
    matrices = {m.name for m in (source.program if isinstance(source, Network) else source).matrices}
    return {
        name: _draw(jax.random.fold_in(key, i), shape, law if name in matrices else "gaussian", dtype)
        for i, (name, shape) in enumerate(shapes(source, n, dims).items())
    }


def _draw(key: Array, shape: tuple[int, ...], law: Law, dtype: DTypeLike) -> Array:
    match law:
        case "gaussian":
            return jax.random.normal(key, shape, dtype)
        case "rademacher":
            return jax.random.rademacher(key, shape, dtype)
        case "uniform":
            return jax.random.uniform(key, shape, dtype, -sqrt(3.0), sqrt(3.0))
        case _:
            raise InvalidProgram(f"no law of matrix entries is called {law!r}. Take gaussian, rademacher or uniform.")


def widths(program: Program, n: int) -> dict[str, int]:
    """The size of each width class at base width n.

    Raises:
        InvalidProgram: n is not a positive integer.
    """
    if int(n) != n or n < 1:
        raise InvalidProgram(f"[width] the base width n is {n}. Give a positive integer.")
    return {w.name: w.at(int(n)) for w in program.widths}


# Running.


def run(program: Program, params: Params, n: int, inputs: Inputs = None, scalars: Mapping[str, ArrayLike] | None = None) -> dict[str, Array]:
    """The array of every variable of the program, in the layout of `interpret/expression.py`, computed in the precision of the tensors.

    Args:
        params: a unit-variance array for every tensor (see the table above), e.g. from `sample`.
        n: the base width the tensors were sampled at.
        inputs: xi of shape (*batch, *axes, d) for each input; the array itself if there is one input. Batch dimensions broadcast.
        scalars: values of initial scalars, in place of those in the program; needed for those without a value there.

    Raises:
        InvalidProgram: an input, a tensor or a scalar is missing, has a wrong shape, or an input is not finite.
    """
    values, machine = given(program, params, n, inputs, scalars), Machine.of(program, params, n)
    for i in program.body:
        values[i.out] = machine.step(i, values)
    return values


def given(program: Program, params: Params, n: int, inputs: Inputs = None, scalars: Mapping[str, ArrayLike] | None = None) -> dict[str, Array]:
    """The arrays of the initial variables; see `run`."""
    dtype = dtype_of(params)
    data = {name: xi.astype(dtype) for name, xi in inputs_of(program, inputs).items()}
    return _initial(program, params, data, widths(program, n)) | {c: a.astype(dtype) for c, a in _scalars(program, n, scalars or {}).items()}


def dtype_of(params: Params) -> DTypeLike:
    """The type that a run computes in: the widest of the tensors', or JAX's float without tensors."""
    return jnp.result_type(*params.values()) if params else jnp.result_type(float)


@dataclass(frozen=True)
class Machine:
    """What carries out the instructions of a program: its tensors, the sizes of its width classes, and which of its variables are vectors."""

    program: Program
    params: Params
    size: Mapping[str, int]
    vectors: frozenset[str]

    @classmethod
    def of(cls, program: Program, params: Params, n: int) -> Machine:
        return cls(program, params, widths(program, n), frozenset(name for name, width in program.width_of.items() if width is not None))

    def step(self, i: Instr, values: Mapping[str, Array]) -> Array:
        """The array of what one instruction computes from those before it."""
        axes = self.program.axes_of
        match i:
            case MatMul(_, _, arg, _):
                return self.times(i, values[arg])
            case Nonlin(out, psi):
                value = evaluate(psi, values, axes, self.vectors)
                constant = self.vectors.isdisjoint(refs(psi))
                return jnp.broadcast_to(value[..., None], (*value.shape, self._width(out))) if constant else value
            case Moment(_, psi):
                mean = evaluate if self.vectors.isdisjoint(refs(psi)) else average
                return mean(psi, values, axes, self.vectors)
            case OuterNonlin(out, psi):
                return outer(psi, values, dict.fromkeys(copies(psi), values), axes, self.vectors, self._width(out))
            case _:
                assert_never(i)

    def times(self, i: MatMul, x: Array) -> Array:
        """W x or W^T x of the vectors in the last dimension of x."""
        m = self.program.matrix[i.matrix]
        w = _tensor(self.params, i.matrix, (self.size[m.rows], self.size[m.cols]))
        return m.sigma / sqrt(self.size[m.cols]) * (x @ (w if i.transpose else w.T))

    def _width(self, name: str) -> int:
        return self.size[self.program.width_of[name] or ""]


def apply(network: Network, params: Params, n: int, inputs: Inputs = None, scalars: Mapping[str, ArrayLike] | None = None) -> Array:
    """f = sum_r sigma_r v_r . x_r / sqrt(N_r) (kind "ntk"; / N_r for "moment"), N_r the number of entries of v_r.

    Returns:
        An array (*batch, outputs, *output_axes); a network with one output has no `outputs` dimension.
    """
    return readout(network, params, n, run(network.program, params, n, inputs, scalars))


def readout(network: Network, params: Params, n: int, values: Mapping[str, Array]) -> Array:
    """f from the variables of the program; see `apply`."""
    size = widths(network.program, n)
    parts = [_read(network, r, params, size, values) for r in network.readouts]
    f = sum(parts[1:], parts[0])
    return jnp.squeeze(f, -1 - len(network.output_axes)) if network.outputs == 1 else f


def _read(network: Network, r: Readout, params: Params, size: Mapping[str, int], values: Mapping[str, Array]) -> Array:
    """By a vector of its own, or by an initial vector of the body, which has the law that it has there."""
    x, own, axes = values[r.of], tuple(sorted(r.axes)), network.program.axes_of[r.of]
    shape = (*(network.program.size[a] for a in own), size[r.width])
    v = values[r.vector][None] if r.vector in network.program.init else _tensor(params, r.vector, (network.outputs, *shape))
    letter = dict(zip(axes, "abcdefghijklm", strict=False))  # o: outputs, z: coordinates
    of, by, to = ("".join(letter[a] for a in names) for names in (axes, own, tuple(a for a in axes if a not in own)))
    total = prod(shape)
    return r.sigma / (sqrt(total) if network.kind == "ntk" else total) * jnp.einsum(f"...{of}z,o{by}z->...o{to}", x, v)


# What is given.


def _initial(program: Program, params: Params, inputs: Mapping[str, Array], size: Mapping[str, int]) -> dict[str, Array]:
    law = gaussians(program)
    units = {name: _tensor(params, name, (*positions(program, v), size[v.width])) for name, v in law.items()}
    values = scale(program, units)
    for v in program.vectors:
        match v.law:
            case Gaussian(mean, _):
                values[v.name] = mean + values[v.name]
            case Embedding(matrix, name, sigma):
                xi = inputs[name]
                u = _tensor(params, matrix, (size[v.width], xi.shape[-1]))
                values[v.name] = sigma / sqrt(xi.shape[-1]) * (xi @ u.T)
            case _:
                assert_never(v.law)
    return values


def _scalars(program: Program, n: int, given: Mapping[str, ArrayLike]) -> dict[str, Array]:
    for name in given:
        if not isinstance(program.init.get(name), InitScalar):
            raise InvalidProgram(f"[scalar] {name} is given, but is no initial scalar of the program. Leave it out.")
    return {c.name: _scalar(program, c, n, given) for c in program.scalars}


def _scalar(program: Program, c: InitScalar, n: int, given: Mapping[str, ArrayLike]) -> Array:
    if c.name not in given and c.value is None:
        raise InvalidProgram(f"[scalar] the initial scalar {c.name} has no value. Give it: scalars={{{c.name!r}: ...}}.")
    value = jnp.asarray(given[c.name] if c.name in given else (c.value or 0.0) * float(n) ** c.exponent)
    shape = tuple(program.size[a] for a in sorted(c.axes))
    batch = value.shape[: max(value.ndim - len(shape), 0)]
    return jnp.broadcast_to(value, (*batch, *shape))


def inputs_of(program: Program, inputs: Inputs) -> dict[str, Array]:
    """The array of every input, checked: shapes always, NaN and infinity where the numbers are known (not under jit).

    Raises:
        InvalidProgram: an input is missing, has a wrong shape, or is not finite.
    """
    if inputs is None:
        given: Mapping[str, ArrayLike] = {}
    elif isinstance(inputs, Mapping):
        given = inputs
    elif len(program.inputs) == 1:
        given = {program.inputs[0].name: inputs}
    else:
        names = ", ".join(i.name for i in program.inputs) or "none"
        raise InvalidProgram(f"[input] one array is given, but the inputs are: {names}. Give a mapping from each name to its array.")
    return {i.name: _input(program, i, given) for i in program.inputs}


def _input(program: Program, i: Input, given: Mapping[str, ArrayLike]) -> Array:
    if i.name not in given:
        raise InvalidProgram(f"[input] {i.name} is missing. Give an array of shape ({', '.join(['*batch', *sorted(i.axes), 'd'])}).")
    xi, axes = jnp.asarray(given[i.name]), sorted(i.axes)
    if xi.ndim < len(axes) + 1:
        raise InvalidProgram(f"[input] {i.name} has shape {xi.shape}, but needs ({', '.join(['*batch', *axes, 'd'])}).")
    for axis, found in zip(axes, xi.shape[xi.ndim - 1 - len(axes) : -1], strict=True):
        if found != program.size[axis]:
            raise InvalidProgram(f"[input] {i.name} has {found} positions along {axis}, whose size is {program.size[axis]}. Shape: {xi.shape}.")
    if not isinstance(xi, Tracer) and not (finite := np.isfinite(np.asarray(xi))).all():
        first = tuple(map(int, np.argwhere(~finite)[0]))
        raise InvalidProgram(f"[input] {i.name} has entries that are NaN or infinite, the first at {first}. Clean the data first.")
    return xi


def _tensor(params: Params, name: str, shape: tuple[int, ...]) -> Array:
    if name not in params:
        raise InvalidProgram(f"[params] the tensor {name} is missing. Sample the parameters of this very program.")
    if params[name].shape != shape:
        raise InvalidProgram(f"[params] {name} has shape {params[name].shape}, expected {shape}. Sample at the same width and input dimension.")
    return params[name]


def _dimension(name: str, dims: Mapping[str, int] | int | None) -> int:
    d = dims if isinstance(dims, int) else (dims or {}).get(name)
    if d is None or d < 1:
        raise InvalidProgram(f"[input] the dimension of {name} is {d}. Give it: dims={{{name!r}: d}}.")
    return d


def _put(out: dict[str, tuple[int, ...]], name: str, shape: tuple[int, ...]) -> None:
    if out.setdefault(name, shape) != shape:
        raise InvalidProgram(f"[network] {name} is used with shapes {out[name]} and {shape}. Give the two uses different names.")
