"""The laws that every program obeys, as functions of a program: what the tests beside this file ask of random ones."""

from collections.abc import Collection, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tensorprog.interpret.finite import apply, run, shapes, widths
from tensorprog.interpret.initial import gaussians, scale
from tensorprog.interpret.limit import limit
from tensorprog.kernels.execution.uncompiled import by_numpy
from tensorprog.language.expr import Ref
from tensorprog.language.instr import Embedding, Moment
from tensorprog.language.listing import show
from tensorprog.language.program import Network, Program
from tensorprog.testing import inputs, programs
from tensorprog.testing.agreement import exactly
from tensorprog.transform.backprop import Backprop, backprop
from tensorprog.transform.unfold import member, positions, unfolded

Data = Mapping[str, np.ndarray]
EVERY = tuple(HealthCheck)
GENERATED = [Phase.generate]  # shrinking a law that compiles costs minutes: failures print their program instead
FIXED = settings(max_examples=200, deadline=None, derandomize=True, database=None, suppress_health_check=EVERY, phases=GENERATED)
FEW = settings(FIXED, max_examples=60)
MANY = settings(FIXED, max_examples=5000, derandomize=False)


def drawn(count: int) -> list[tuple[Program, Data]]:
    """The first programs that the suite draws, with data."""
    found: list[tuple[Program, Data]] = []

    @settings(FIXED, max_examples=count)
    @given(st.data())
    def collect(data: st.DataObject) -> None:
        p = data.draw(programs())
        found.append((p, data.draw(inputs(p))))

    collect()
    return found


def assert_backprop_is_grad(network: Network, data: Data, key: jax.Array, n: int = 6) -> None:
    """The gradient of the sum of f over data points, tensor by tensor: automatic differentiation against the backward program."""
    dims = {name: xi.shape[-1] for name, xi in data.items()}
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    params = {name: rng.standard_normal(shape) for name, shape in shapes(network, n, dims).items()}
    b = backprop(network)

    def backward(params: dict[str, jax.Array]) -> dict[str, jax.Array]:
        readouts = {r.vector: params[r.vector][0] for r in network.readouts}
        values = _at_every_point(b.program, run(b.program, {**params, **readouts}, n, data, b.scalars(n)), data)
        return _gradients(network, b, values, data, n)

    wanted = by_numpy(jax.grad(lambda q: apply(network, q, n, data).sum()), params)
    found = by_numpy(backward, params)
    assert found.keys() == wanted.keys()
    for name, gradient in found.items():
        scale_of = 1.0 + float(np.abs(wanted[name]).max())
        text = f"{name} of\n{show(network)}"
        np.testing.assert_allclose(gradient, wanted[name].reshape(gradient.shape), rtol=1e-10, atol=1e-11 * scale_of, err_msg=text)


def _at_every_point(p: Program, values: Mapping[str, jax.Array], data: Data) -> dict[str, jax.Array]:
    """Vectors that do not depend on the data repeat, one copy a data point."""
    points = next(iter(data.values())).shape[:1] if data else ()
    own = {name: len(p.axes_of[name]) + 1 for name in values if not p.is_scalar(name)}
    return {name: jnp.broadcast_to(values[name], (*points, *values[name].shape[values[name].ndim - k :])) for name, k in own.items()}


def _gradients(network: Network, b: Backprop, values: Mapping[str, jax.Array], data: Data, n: int) -> dict[str, jax.Array]:
    """df/dw for the unit tensors: outer products of uses for matrices and embeddings, sums over data points for vectors."""
    p, size = b.program, widths(b.program, n)
    root = size[b.base] ** 0.5
    out = {m.name: jnp.zeros((size[m.rows], size[m.cols])) for m in p.matrices}
    for m in p.matrices:
        for left, right in b.uses[m.name]:
            out[m.name] += m.sigma / size[m.cols] ** 0.5 / root * _outer(values[left], values[right])
    for v in p.vectors:
        if isinstance(v.law, Embedding):
            xi = jnp.asarray(data[v.law.input])
            d = values[b.adjoint[v.name]] if v.name in b.adjoint else jnp.zeros((*xi.shape[:-1], size[v.width]))
            out[v.law.matrix] = out.get(v.law.matrix, 0.0) + v.law.sigma / xi.shape[-1] ** 0.5 / root * _outer(d, xi)
    units = {name: _summed(p, b, name, values, size[v.width]) / root for name, v in gaussians(p).items()}
    body = {name: g for name, g in units.items() if name in network.program.init}
    return out | scale(network.program, body) | {r.vector: units[r.vector][None] for r in network.readouts}


def _outer(left: jax.Array, right: jax.Array) -> jax.Array:
    """The sum over data points and positions of l r^T."""
    return left.reshape(-1, left.shape[-1]).T @ right.reshape(-1, right.shape[-1])


def _summed(p: Program, b: Backprop, name: str, values: Mapping[str, jax.Array], n: int) -> jax.Array:
    shape = (*(p.size[a] for a in p.axes_of[name]), n)
    if name not in b.adjoint:
        return jnp.zeros(shape)
    d = values[b.adjoint[name]]
    return d.reshape(-1, *d.shape[d.ndim - len(shape) :]).sum(0)


def assert_unfolds(p: Program, data: Data) -> None:
    """The limit of every Moment of a family is that of the same program written out vector by vector, within their errors and rounding."""
    moments = [i.out for i in p.body if isinstance(i, Moment)]
    if not p.axes or not moments:
        return
    q = unfolded(p)
    members = {name: _members(p, name, p.axes_of[name]) for name in moments}
    flat = {own: data[i.name][(slice(None), *at)] for i in p.inputs for at, own in _members(p, i.name, i.axes)}
    found = exactly(limit(p, data, jit=False), [Ref(name) for name in moments])
    others = iter(exactly(limit(q, flat, jit=False), [Ref(own) for name in moments for _, own in members[name]]))
    lead = (slice(None),) if p.inputs else ()
    for name, family in zip(moments, found, strict=True):
        for at, own in members[name]:
            one = next(others)
            error = 5 * (np.max(family.error) + np.max(one.error))
            value = np.asarray(family.value)[(*lead, *at)]
            expected = np.broadcast_to(one.value, value.shape)  # a member that reads no data has one value for all points
            np.testing.assert_allclose(value, expected, rtol=1e-8, atol=1e-8 + error, err_msg=f"{own} of\n{show(p)}")


def _members(p: Program, name: str, axes: Collection[str]) -> list[tuple[tuple[int, ...], str]]:
    """The positions of a family and the names of its members."""
    own = sorted(axes)
    return [(tuple(at[axis] for axis in own), member(name, own, at)) for at in positions(own, p.size)]
