"""Adam is optax's Adam, step by step, and trains a network in the place of gradient descent."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.finite import apply, sample
from tensorprog.kernels.adam import Adam
from tensorprog.kernels.tensors import unit_rates
from tensorprog.kernels.train import train
from tests.finite_networks import mlp

WIDTH, RNG = 9, np.random.default_rng(0)
X, Y = RNG.standard_normal((6, 3)), RNG.standard_normal(6)
BATCHES = np.array([[0, 1], [2, 3], [4, 5], [1, 3], [0, 5]])


def test_training_by_adam_is_optax() -> None:
    """Other decays, a schedule, minibatches, tensors with rates of their own (they multiply the step); equal to rounding."""
    network, adam, rates = mlp(), Adam(0.8, 0.95, 1e-3), 0.1 / np.arange(1, 6)
    params = sample(network, jax.random.key(0), WIDTH, 3)
    path = train(network, params, WIDTH, X, Y, rate=rates, steps=5, batches=BATCHES, adam=adam, record=(0, 2, 5), snapshots=True)
    rule = optax.scale_by_adam(adam.beta1, adam.beta2, adam.epsilon)
    theta, state, of, seen = params, rule.init(params), unit_rates(network, WIDTH), [params]
    gradient = jax.jit(jax.grad(lambda p, x, y: 0.5 * jnp.sum((apply(network, p, WIDTH, x) - y) ** 2)))
    for b, rate in zip(BATCHES, rates, strict=True):
        moved, state = rule.update(gradient(theta, X[b], Y[b]), state)
        theta = {name: theta[name] - rate * of[name] * moved[name] for name in theta}
        seen.append(theta)
    for name in theta:
        np.testing.assert_allclose(path.params[name], theta[name], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(path.snapshots[name], jnp.stack([seen[t][name] for t in (0, 2, 5)]), rtol=1e-10, atol=1e-12)


def test_the_precision_of_the_tensors_is_kept() -> None:
    params = sample(mlp(), jax.random.key(0), WIDTH, 3, dtype="float32")
    path = train(mlp(), params, WIDTH, X, Y, rate=0.1, steps=3, adam=Adam())
    assert {a.dtype for a in path.params.values()} == {jnp.dtype("float32")}


def test_no_snapshots_unless_asked_for() -> None:
    assert train(mlp(), sample(mlp(), jax.random.key(0), WIDTH, 3), WIDTH, X, Y, rate=0.1, steps=1).snapshots == {}


@pytest.mark.parametrize("numbers", [(1.0, 0.9, 1e-8), (0.9, -0.1, 1e-8), (0.9, 0.9, 0.0)])
def test_meaningless_numbers_are_refused(numbers) -> None:
    with pytest.raises(InvalidProgram, match=r"\[adam\]"):
        Adam(*numbers)
