"""Natural gradient descent, and the conditions of its fast convergence (Zhang, Martens & Grosse 2019, arXiv 1905.10961, Theorem 1).

theta' = theta - eta J^T (J J^T)^{-1} (f - y). With G_0 = J_0 J_0^T of full rank and a Jacobian that is stable around theta_0,

    |J(theta) - J_0|_2 <= (C / 3) sqrt(lambda_min(G_0)),  C < 1/2,  for |theta - theta_0| <= 3 |y - f_0| / sqrt(lambda_min(G_0)),

the loss after k steps is at most (1 - eta)^k of its start; the linearized network has exactly (1 - eta)^{2k}. C' = 3 sup |J - J_0|_2 /
sqrt(lambda_min(G_0)), the supremum over the path that was walked, is a lower bound of the C that the theorem needs: C' >= 1/2 refutes it.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.finite import Inputs, Params, apply
from tensorprog.interpret.precision import double
from tensorprog.kernels.dynamics import gradient_descent, largest_stable_rate
from tensorprog.kernels.points import Points, points_of
from tensorprog.kernels.tensors import unit_rates
from tensorprog.kernels.train import train
from tensorprog.language.program import Network


class NaturalPath(NamedTuple):
    """A run of natural gradient descent; the loss is |f - y|^2 / 2."""

    loss: Array  # (steps + 1,)
    change: Array  # (steps + 1,): |J_k - J_0|_2
    distance: Array  # (steps + 1,): |theta_k - theta_0|
    radius: Array  # 3 |y - f_0| / sqrt(lambda_min(G_0)), within which the theorem wants a stable Jacobian
    lambda_min: Array  # of G_0
    lambda_max: Array

    @property
    def constant(self) -> Array:
        """C' along the path."""
        return 3.0 * self.change.max() / jnp.sqrt(self.lambda_min)


class Descent(NamedTuple):
    """Gradient descent at the rate 1 / lambda_max(G_0), and what theory says of it."""

    loss: Array  # (steps + 1,)
    linearized: Array  # the same of the network linearized at theta_0: kernel gradient descent with G_0
    bound: Array  # (1 - lambda_min / lambda_max)^{2k} of the first loss


def jacobian(network: Network, params: Params, n: int, x: Inputs) -> dict[str, Array]:
    """J by tensor, (outputs and points, entries), in coordinates where every tensor has rate 1: the sum of J_w J_w^T is the empirical NTK."""
    data, rates = points_of(network, x), _moving(network, n)

    def f(moving: Params) -> Array:
        return apply(network, {**params, **moving}, n, data).ravel()

    parts = jax.jacrev(f)({name: params[name] for name in rates})
    return {name: r**0.5 * parts[name].reshape(len(parts[name]), -1) for name, r in rates.items()}


@double
def natural_gradient_descent(network: Network, params: Params, n: int, x: Inputs, y: ArrayLike, *, rate: float = 0.5, steps: int = 15) -> NaturalPath:
    """Walk `steps` steps of natural gradient descent from `params`, watching the Jacobian.

    Args:
        x, y: N points, and targets of the shape of the outputs at them.
        rate: eta in (0, 1].

    Raises:
        InvalidProgram: a rate outside (0, 1], more outputs than parameters, or targets of another shape.
    """
    data, target = points_of(network, x), jnp.asarray(y)
    entries = sum(params[name].size for name in _moving(network, n))
    if not 0.0 < rate <= 1.0:
        raise InvalidProgram(f"[rate] natural gradient descent at the rate {rate} does not converge. Take one in (0, 1].")
    if target.size > entries:
        raise InvalidProgram(f"[study] {target.size} outputs and {entries} parameters: J J^T is singular. Take a wider network or fewer points.")
    if (shape := jax.eval_shape(lambda p: apply(network, p, n, data), dict(params)).shape) != target.shape:
        raise InvalidProgram(f"[shape] y has shape {target.shape}, but f at the points has shape {shape}.")
    return jax.jit(partial(_natural, network, n, steps))(_precise(params), data, target, jnp.asarray(rate))


def _natural(network: Network, n: int, steps: int, params: Params, data: Points, y: Array, rate: Array) -> NaturalPath:
    rates = _moving(network, n)
    start = {name: params[name] for name in rates}

    def look(theta: Params) -> tuple[Array, dict[str, Array]]:
        whole = {**params, **theta}
        return (apply(network, whole, n, data) - y).ravel(), jacobian(network, whole, n, data)

    r0, j0 = look(start)
    spectrum = jnp.linalg.eigvalsh(_gram(j0))

    def step(theta: Params, _: None) -> tuple[dict[str, Array], tuple[Array, Array, Array]]:
        r, j = look(theta)
        change = _gram({name: j[name] - j0[name] for name in rates})
        distance = sum(((theta[name] - start[name]) ** 2).sum() / rates[name] for name in rates)
        dual = jnp.linalg.solve(_gram(j), r)
        moved = {name: theta[name] - rate * a**0.5 * (dual @ j[name]).reshape(theta[name].shape) for name, a in rates.items()}
        return moved, (0.5 * r @ r, jnp.sqrt(jnp.maximum(jnp.linalg.eigvalsh(change)[-1], 0.0)), jnp.sqrt(jnp.asarray(distance)))

    _, (loss, change, distance) = jax.lax.scan(step, start, None, steps + 1)
    return NaturalPath(loss, change, distance, 3.0 * jnp.linalg.norm(r0) / jnp.sqrt(spectrum[0]), spectrum[0], spectrum[-1])


@double
def gradient_descent_beside(network: Network, params: Params, n: int, x: Inputs, y: ArrayLike, *, steps: int) -> Descent:
    """Gradient descent of the same network for `steps` steps; arguments as of `natural_gradient_descent`."""
    data, target, params = points_of(network, x), jnp.asarray(y), _precise(params)
    kernel = _gram(jax.jit(lambda p: jacobian(network, p, n, data))(params))
    rate = 0.5 * largest_stable_rate(kernel)
    path = jax.jit(lambda p: train(network, p, n, data, target, rate=rate, steps=steps))(params)
    f0 = path.train[0].ravel()
    linear = gradient_descent(kernel, target.ravel(), rate=rate, steps=steps, f0=f0).train
    spectrum = jnp.linalg.eigvalsh(kernel)

    def loss(f: Array) -> Array:
        return 0.5 * ((f.reshape(steps + 1, -1) - target.ravel()) ** 2).sum(1)

    first = loss(linear)[0]
    return Descent(loss(path.train), loss(linear), first * (1.0 - spectrum[0] / spectrum[-1]) ** (2 * jnp.arange(steps + 1)))


def _gram(j: Params) -> Array:
    return jnp.asarray(sum(a @ a.T for a in j.values()))


def _moving(network: Network, n: int) -> dict[str, float]:
    return {name: r for name, r in unit_rates(network, n).items() if r != 0.0}


def _precise(params: Params) -> dict[str, Array]:
    """The tensors in the precision of the work: C' divides by a small eigenvalue."""
    return {name: jnp.asarray(a, jnp.result_type(float)) for name, a in params.items()}
