"""Training programs given their data: outputs f_0 .. f_T at finite width, in the limit, and by particles (Yang & Littwin 2021, App. D.1).

| meaning   | of the unrolled program                              | is                                        |
| --------- | ---------------------------------------------------- | ----------------------------------------- |
| finite    | `finite_outputs`                                     | SGD on the sampled network, to rounding   |
| limit     | `limit_outputs`                                      | kernel gradient descent (NTK parametrization); the feature-learning limit (muP) |
| particles | `particle_outputs`                                   | the same, sampled, for every program      |

In the NTK parametrization f_0 is random in the limit: the program is conditioned on it, and it is given.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import jax
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike

from tensorprog.errors import InternalError, InvalidProgram
from tensorprog.gaussian.problem import Estimate, Strategy
from tensorprog.interpret.finite import Inputs, Params, apply, run
from tensorprog.interpret.limit.master import Dots
from tensorprog.interpret.limit.theorem import limit
from tensorprog.interpret.particles.estimate import Particles, particles
from tensorprog.interpret.precision import double
from tensorprog.kernels.points import count, points_of
from tensorprog.language.expr import Ref
from tensorprog.language.program import Network
from tensorprog.transform.prune import pruned
from tensorprog.transform.quotient import at_limit
from tensorprog.transform.unroll import Entrywise, Unrolled, unroll


@double
def finite_outputs(u: Unrolled, params: Params, n: int, inputs: Inputs, labels: ArrayLike, start: ArrayLike | None = None) -> Array:
    """f_0 .. f_T of the network with these tensors, (T + 1, samples, *outputs): SGD, to rounding.

    Args:
        params: tensors of the network from `sample` at base width n.
        inputs: all samples, (samples, *positions, d), or one such array an input.
        labels: (samples, *outputs); those of probes are not read.
        start: f_0; by default that of the network itself. With another f_0 condition the readout on it first (`conditioned`).
    """
    f_0 = first_outputs(u, params, n, inputs) if start is None and u.start else start
    values = run(u.program, tensors(u, params), n, _slots(u, inputs), given(u, inputs, labels, f_0, n))
    return jnp.stack([jnp.moveaxis(values[f], _place(u), 0) for f in u.f])


@double
def first_outputs(u: Unrolled, params: Params, n: int, inputs: Inputs) -> Array:
    """f_0 of the network with these tensors, (samples, *outputs); with weight decay in the kernel regime one for every time before: f of the network
    whose tensors have only decayed, which the program is conditioned on too.
    """
    own = params if u.outputs is None else tensors(u, params)
    found = [apply(u.network, {name: kept.get(name, 1.0) * a for name, a in own.items()}, n, inputs) for kept in u.kept[: len(u.start)]]
    return found[0] if len(found) == 1 else jnp.stack(found)


@double
def limit_outputs(
    u: Unrolled, inputs: Inputs, labels: ArrayLike, start: ArrayLike | None = None, *, dots: Dots = "derivative", strategy: Strategy = Strategy()
) -> Estimate:
    """f°_0 .. f°_T, (T + 1, samples, *outputs), with the error of each number.

    Where features are learned the exact limit is for polynomials and for one hidden layer: other numbers nest deeper at every step, and their cost
    multiplies. `particle_outputs` has no such bound.

    Args:
        start: f_0 in the NTK parametrization, 0 unless given.
        dots: as in `limit`; "drop" shows what training would be if W^T were independent of W.
    """
    data = {name: a[None] for name, a in _slots(u, inputs).items()}
    compiled = u.powers.deviation > 0  # where features are learned every number is new at every step, and compiling costs more than it saves
    found = limit(u.program, data, scalars=given(u, inputs, labels, start), strategy=strategy, dots=dots, jit=compiled)
    estimates = [Estimate(e.value[0], e.method, jnp.asarray(e.error)[0]) for e in found.estimates([Ref(f) for f in u.f])]
    return _joined(u, estimates)


@double
def particle_outputs(
    u: Unrolled, inputs: Inputs, labels: ArrayLike, start: ArrayLike | None = None, *, key: Array, samples: int = 2**16, replicates: int = 8
) -> Estimate:
    """f°_0 .. f°_T as `limit_outputs`, by sampling, with standard errors."""
    found = limit_samples(u, inputs, labels, start, key=key, samples=samples, replicates=replicates)
    return _joined(u, [found.scalar(f) for f in u.f])


@double
def limit_samples(
    u: Unrolled,
    inputs: Inputs,
    labels: ArrayLike,
    start: ArrayLike | None = None,
    *,
    keep: Collection[str] = (),
    key: Array,
    samples: int = 2**16,
    replicates: int = 8,
) -> Particles:
    """The limit of f_0 .. f_T, of the variables to `keep` and of what they need, sampled: for moments of any of them."""
    program = pruned(at_limit(u.program), (*u.f, *keep))
    return particles(program, samples=samples, replicates=replicates, key=key, inputs=_slots(u, inputs), scalars=given(u, inputs, labels, start))


@double
def conditioned(network: Network, params: Params, n: int, inputs: Inputs, start: ArrayLike) -> dict[str, Array]:
    """The tensors with the readout moved so that the network begins at f_0 = `start` on these inputs (Yang & Littwin 2021, App. D.1.1).

        v^ = v + A^+ (f_0 - f(v)),    f(v) = A v linear in the readout vectors v;

    with v Gaussian this is the law of v given the outputs, and v^ has the limit of v.

    Raises:
        InvalidProgram: a readout vector that the body also reads, in which f is not linear.
    """
    names = list(dict.fromkeys(r.vector for r in network.readouts))
    if inside := [name for name in names if name in network.program.init]:
        raise InvalidProgram(f"[conditioning] {inside} are read in the body too, and f is not linear in them. Train from the network's own f_0.")

    def f(v: dict[str, Array]) -> Array:
        return apply(network, {**params, **v}, n, inputs).ravel()

    v, unravel = ravel_pytree({name: params[name] for name in names})
    a = jax.jacobian(lambda flat: f(unravel(flat)))(v)
    moved = v + jnp.linalg.lstsq(a, jnp.asarray(start, dtype=v.dtype).ravel() - a @ v)[0]
    return {**params, **unravel(moved)}


def given(u: Unrolled, inputs: Inputs, labels: ArrayLike, start: ArrayLike | None = None, n: int | None = None) -> dict[str, Array]:
    """The initial scalars of a training program: labels, f_0, Gram scalars of the inputs and, at base width n, powers and ratios of the widths.

    Raises:
        InvalidProgram: labels or f_0 whose shape is not (samples, *outputs).
    """
    p = u.program
    data = _slots(u, inputs)
    shape = tuple(p.size[a] for a in (u.sample, *u.network.output_axes))
    known: dict[str, Array] = {u.labels: _over(u, labels, shape, "labels")}
    starts = jnp.zeros((len(u.start), *shape)) if start is None else jnp.asarray(start, dtype=float)
    starts = starts[None] if starts.shape == shape and len(u.start) == 1 else starts
    known |= {name: _over(u, f, shape, "f_0") for name, f in zip(u.start, starts, strict=False)}
    if len(u.start) > 1 and starts.shape != (len(u.start), *shape):
        raise InvalidProgram(f"[shape] f_0 has shape {starts.shape}; with weight decay give one a time, {(len(u.start), *shape)} (`first_outputs`).")
    for key, name in u.inputs.items():
        match key:
            case ("gram", a, b):
                known[name] = _gram(u, name, a, b, data)
            case ("input", a):
                known[name] = _features(u, name, a, data)
            case _:
                raise InternalError(f"{name} holds {key}")
    return known if n is None else known | {name: jnp.asarray(a) for name, a in u.scalars(n).items()}


def tensors(u: Unrolled, params: Params) -> dict[str, Array]:
    """The tensors of the network as those of the program, where a readout is a family over the outputs and not an array with that dimension first."""
    out = dict(params)
    for r in u.network.readouts:
        v = params[r.vector]
        if v.ndim == len(r.axes) + 2:
            out[r.vector] = v[0]
        elif u.outputs is not None and u.outputs in r.axes:
            out[r.vector] = jnp.moveaxis(v, 0, sorted(r.axes).index(u.outputs))
    return out


def _slots(u: Unrolled, inputs: Inputs) -> dict[str, Array]:
    """Inputs (samples, *positions, d) in the layout of the program, axes sorted by name."""
    names = [i.name for i in u.program.inputs]
    if not isinstance(inputs, Mapping):
        if len(names) != 1 or inputs is None:
            raise InvalidProgram(f"[input] the inputs are {names}. Give a mapping from each name to its array.")
        inputs = {names[0]: inputs}
    missing = [name for name in names if name not in inputs]
    if missing:
        raise InvalidProgram(f"[input] the inputs are {names}; missing: {missing}. Give all samples of each.")
    return {i.name: jnp.moveaxis(jnp.asarray(inputs[i.name]), 0, sorted(i.axes).index(u.sample)) for i in u.program.inputs}


def _over(u: Unrolled, a: ArrayLike, shape: tuple[int, ...], what: str) -> Array:
    """An array (samples, *outputs) in the layout of the program."""
    a = jnp.asarray(a, dtype=float)
    if a.shape != shape:
        raise InvalidProgram(f"[shape] {what} of shape {a.shape} are given for {shape}: samples, then outputs. Give one for every sample and output.")
    return jnp.moveaxis(a, 0, _place(u))


def _place(u: Unrolled) -> int:
    """Where the samples stand among the axes of f."""
    return sorted((u.sample, *u.network.output_axes)).index(u.sample)


def _gram(u: Unrolled, name: str, a: str, b: str, data: Mapping[str, Array]) -> Array:
    """<xi_a, xi_b> / d over the axes of the Gram scalar in sorted order."""
    axes = next(c.axes for c in u.program.scalars if c.name == name)
    first, second = (sorted(i.axes) for i in (next(i for i in u.program.inputs if i.name == x) for x in (a, b)))
    whole = jnp.tensordot(data[a], data[b], axes=(-1, -1)) / data[a].shape[-1]
    split = len(first)
    then = dict(zip(next(i.axes for i in u.program.inputs if i.name == b), axes[split:], strict=True))
    order = [*first, *(then[x] for x in second)]
    return jnp.transpose(whole, [order.index(x) for x in sorted(axes)])


def _features(u: Unrolled, name: str, a: str, data: Mapping[str, Array]) -> Array:
    """xi / sqrt(d) over the axes of its scalar in sorted order, the features among them."""
    axes = sorted(next(c.axes for c in u.program.scalars if c.name == name))
    own = sorted(next(i.axes for i in u.program.inputs if i.name == a))
    return jnp.moveaxis(data[a] / data[a].shape[-1] ** 0.5, -1, next(k for k, x in enumerate(axes) if x not in own))


def _joined(u: Unrolled, found: list[Estimate]) -> Estimate:
    at = _place(u)
    value, error = (
        jnp.stack([jnp.moveaxis(jnp.asarray(a), at, 0) for a in arrays]) for arrays in ([e.value for e in found], [e.error for e in found])
    )
    return Estimate(value, found[0].method, error)


@double
def tangent_operator(
    network: Network, inputs: Inputs, chi: ArrayLike, optimizer: Entrywise, *, key: Array | None = None, samples: int = 2**14
) -> Estimate:
    """The neural tangent operator of an optimizer in the NTK parametrization: f_1 - f_0 = -eta K_Q(chi) (Yang & Littwin 2023, TP IVb, Def. 2.4.4).

        K_Q(chi)_a = sum_l < dh^l_a | Q(sum_i chi_i |dh^l_i> <x^(l-1)_i|) |x^(l-1)_a>

    Q of the identity would give the NTK times chi. It is read off the limit of one step of the unrolled program.

    Args:
        inputs: (samples, *positions, d), or one such array an input.
        chi: dL/df at every sample, (samples, *outputs).
        key: sample the limit by particles, `samples` of them; exact unless given.

    Returns:
        K_Q(chi), (samples, *outputs), at the rate 1 whatever the optimizer's own.
    """
    data = points_of(network, inputs)
    dims = {name: a.shape[-1] for name, a in data.items()}
    u = unroll(network, count(data), steps=1, optimizer=replace(optimizer, rate=1.0), dims=dims)
    labels = -jnp.asarray(chi, dtype=float)  # of the squared loss at f_0 = 0: chi = f_0 - y
    found = limit_outputs(u, data, labels) if key is None else particle_outputs(u, data, labels, key=key, samples=samples)
    return Estimate(-found.value[1], found.method, jnp.asarray(found.error)[1])
