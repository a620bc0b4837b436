"""Training a finite network by SGD, beside which kernel gradient descent is its limit (Yang & Littwin 2021, Theorem 5.3).

theta_{t+1} = theta_t - eta_t rate q_{t+1}, q_{t+1} = mu q_t + dL(f_t(B_t)) / dtheta, on the unit-variance tensors of `sample` (NTK
parametrization), with the rates that `Network.training` gives them. Steps, batches, schedules and losses mean what they mean in
`dynamics.gradient_descent`. Adam moves the same tensors, by its own q; no kernel descent is its limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.finite import Inputs, Params, apply
from tensorprog.interpret.precision import double
from tensorprog.kernels import adam as adaptive
from tensorprog.kernels.adam import Adam, Averages
from tensorprog.kernels.dynamics.descent import Rate, batch_indices, schedule
from tensorprog.kernels.dynamics.losses import LossLike, squared, total
from tensorprog.kernels.dynamics.trajectory import Reduction
from tensorprog.kernels.points import Points, count, points_of
from tensorprog.kernels.products import BUDGET
from tensorprog.kernels.tensors import size_of_point, unit_rates
from tensorprog.language.program import Network

Scalars = Mapping[str, ArrayLike]
_State = tuple[Params, Averages]  # the tensors that move; the momentum, or Adam's averages


class Path(NamedTuple):
    """Outputs of a network along its training, at R recorded times; the layout of one time is that of `apply`."""

    time: Array  # (R,): steps taken
    train: Array  # (R, N, ..)
    test: Array  # (R, M, ..); M = 0 without test points
    params: Params  # after the last step
    snapshots: Params  # (R, *shape) of every tensor that moves, at the recorded times; empty unless asked for


@double
def train(
    network: Network,
    params: Params,
    n: int,
    x: Inputs,
    y: ArrayLike,
    *,
    rate: Rate,
    steps: int,
    loss: LossLike = squared,
    batches: ArrayLike | None = None,
    momentum: ArrayLike = 0.0,
    reduction: Reduction = "sum",
    record: int | Sequence[int] = 1,
    x_test: Inputs = None,
    scalars: Scalars | None = None,
    adam: Adam | None = None,
    snapshots: bool = False,
) -> Path:
    """Train the network from `params` on (x, y) and record its outputs on the way. Pure: jit, and vmap over `params`, go through.

    Args:
        x, y: N points (N, *positions, d), or one such array an input, and their targets.
        rate: eta: a number, one number a step, or a function of the step.
        loss: L(f, y) of one point, from `dynamics` or any JAX-differentiable function.
        batches: the points of each step, (steps,) or (steps, B), e.g. from `dynamics.minibatches`; all points unless given.
        reduction: a batch's loss is the "sum" over its points, or their "mean".
        record: keep every so many steps, or just these steps in increasing order (0: before training).
        x_test: points to look at but not to train on.
        scalars: values of initial scalars, in place of those in the program; needed for those without a value there.
        adam: Adam instead of gradient descent; a tensor's rate then multiplies its step, and there is no momentum beside Adam's own.
        snapshots: keep the tensors at the recorded times too.

    Raises:
        InvalidProgram: a shape, an index or a number that has no meaning, or a tensor that cannot be trained as the network says.
    """
    data, target = points_of(network, x), jnp.asarray(y)
    points = count(data)
    if target.shape[:1] != (points,):
        raise InvalidProgram(f"[shape] y has shape {target.shape}, but x has {points} points. Give every point its target.")
    batch, eta, keep = batch_indices(batches, steps, points), schedule(rate, steps), _recorded(record, steps)
    looked = data if x_test is None else {name: jnp.concatenate([data[name], a]) for name, a in points_of(network, x_test).items()}
    rates = {name: r for name, r in unit_rates(network, n).items() if r != 0.0}
    factor = 1.0 if reduction == "sum" else 1.0 / (points if batch is None else batch.shape[1])

    def value(moving: Params, xb: Points, yb: Array) -> Array:
        return factor * total(loss, apply(network, {**params, **moving}, n, xb, scalars), yb)

    def step(t: Array, state: _State) -> _State:
        theta, memory = state
        b = slice(None) if batch is None else batch[t]
        g = jax.grad(value)(theta, {name: a[b] for name, a in data.items()}, target[b])
        if adam is not None:
            q, memory = adaptive.direction(adam, t, g, memory)
        else:
            q = {name: momentum * memory.first[name] + g[name] for name in rates}
            memory = Averages(q, {})
        return {name: theta[name] - eta[t].astype(q[name].dtype) * r * q[name] for name, r in rates.items()}, memory

    def outputs(theta: Params) -> tuple[Array, Array, Params]:
        seen = _look(network, {**params, **theta}, n, looked, scalars)
        return seen[:points], seen[points:], theta if snapshots else {}

    def stretch(state: _State, bounds: tuple[Array, Array]) -> tuple[_State, tuple[Array, Array, Params]]:
        state = jax.lax.fori_loop(*bounds, step, state)
        return state, outputs(state[0])

    theta = {name: jnp.asarray(params[name]) for name in rates}
    memory = adaptive.start(theta) if adam is not None else Averages(jax.tree.map(jnp.zeros_like, theta), {})
    ends = jnp.asarray(keep)
    begins = jnp.concatenate([jnp.zeros(1, ends.dtype), ends[:-1]])
    state, (seen, tested, kept) = jax.lax.scan(stretch, (theta, memory), (begins, ends))
    theta, _ = jax.lax.fori_loop(ends[-1], jnp.asarray(steps, ends.dtype), step, state)
    return Path(ends, seen, tested, {**params, **theta}, kept)


def _look(network: Network, params: Params, n: int, data: Points, scalars: Scalars | None) -> Array:
    """f at all points, so many at a time that their vectors fit."""
    at_once = max(1, BUDGET // size_of_point(network, n))
    if count(data) <= at_once:
        return apply(network, params, n, data, scalars)
    return jax.lax.map(lambda xi: apply(network, params, n, xi, scalars), data, batch_size=at_once)


def _recorded(record: int | Sequence[int], steps: int) -> tuple[int, ...]:
    keep = tuple(range(0, steps + 1, record)) if isinstance(record, int) and record > 0 else record
    if isinstance(keep, int) or not keep or list(keep) != sorted(set(keep)) or not 0 <= keep[0] <= keep[-1] <= steps:
        raise InvalidProgram(f"[record] {record} says no steps between 0 and {steps} in increasing order. Give a positive number, or such steps.")
    return tuple(keep)
