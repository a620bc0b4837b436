"""Training a finite network: every step is SGD by hand, and wide networks follow kernel gradient descent."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.finite import apply, sample
from tensorprog.kernels.dynamics import cross_entropy, gradient_descent, squared
from tensorprog.kernels.empirical import empirical_kernels
from tensorprog.kernels.tensors import unit_rates
from tensorprog.kernels.train import train
from tensorprog.language.program import Network, Training
from tests.finite_networks import layernorm, mlp, mup, vector_outputs

WIDTH, RNG = 9, np.random.default_rng(0)
X, X_TEST, Y = RNG.standard_normal((5, 3)), RNG.standard_normal((2, 3)), RNG.standard_normal(5)


def by_hand(network: Network, params, rates, batches, momentum, loss):
    """SGD in a Python loop on the unit tensors; yields f on the training points before every step and after the last."""
    q = jax.tree.map(jnp.zeros_like, params)
    of = unit_rates(network, WIDTH)
    gradient = jax.jit(jax.grad(lambda p, x, y: sum(loss(f, t) for f, t in zip(apply(network, p, WIDTH, x), y, strict=True))))
    yield apply(network, params, WIDTH, X)
    for eta, b in zip(rates, batches, strict=True):
        g = gradient(params, X[b], Y[b])
        q = {name: momentum * q[name] + g[name] for name in params}
        params = {name: params[name] - eta * of[name] * q[name] for name in params}
        yield apply(network, params, WIDTH, X)


@pytest.mark.parametrize("build", [mlp, mup])
def test_steps_are_sgd_by_hand(build) -> None:
    """Momentum, a schedule, minibatches, and rates and conventions of single tensors (mlp has both)."""
    network = build()
    params = sample(network, jax.random.key(0), WIDTH, 3)
    batches, rates = np.array([[0, 1], [2, 3], [4, 0]]), np.array([0.1, 0.05, 0.2])
    path = train(network, params, WIDTH, X, Y, rate=rates, steps=3, batches=batches, momentum=0.6, x_test=X_TEST)
    np.testing.assert_allclose(path.train, list(by_hand(network, params, rates, batches, 0.6, squared)), rtol=1e-11)
    np.testing.assert_allclose(path.test[0], apply(network, params, WIDTH, X_TEST), rtol=1e-12)
    np.testing.assert_allclose(path.test[-1], apply(network, path.params, WIDTH, X_TEST), rtol=1e-12)


def test_the_sigma_convention_trains_the_tensor_itself() -> None:
    """W' = sigma w trained at rate eta: the same path as a network with sigma 1 whose w starts at sigma w."""
    network = replace(mlp(), training={name: Training(0.0) for name in ("U", "b", "v")} | {"W": Training(1.0, "sigma")})
    params = sample(network, jax.random.key(1), WIDTH, 3)
    one = replace(network, program=replace(network.program, matrices=(replace(network.program.matrices[0], sigma=1.0),)))
    path, other = (train(net, p, WIDTH, X, Y, rate=0.3, steps=4) for net, p in ((network, params), (one, {**params, "W": 1.3 * params["W"]})))
    np.testing.assert_allclose(path.train, other.train, rtol=1e-12)
    np.testing.assert_array_equal(path.params["U"], params["U"])


def test_recording_chosen_steps() -> None:
    network = mlp()
    params = sample(network, jax.random.key(2), WIDTH, 3)
    whole = train(network, params, WIDTH, X, Y, rate=0.1, steps=6)
    some = train(network, params, WIDTH, X, Y, rate=lambda t: 0.1, steps=6, record=(0, 1, 5))
    assert whole.test.shape == (7, 0)
    np.testing.assert_array_equal(some.time, [0, 1, 5])
    np.testing.assert_allclose(some.train, whole.train[np.array([0, 1, 5])], rtol=1e-12)
    np.testing.assert_allclose(some.params["W"], whole.params["W"], rtol=1e-12)  # the steps after the last record are taken too


def test_vector_outputs_with_labels_learn() -> None:
    network, labels = vector_outputs(), np.array([0, 2, 1, 1, 0])
    params = sample(network, jax.random.key(3), 64, 3)
    path = train(network, params, 64, X, labels, rate=0.3, steps=80, loss=cross_entropy, reduction="mean", record=80)
    loss = [float(np.mean([cross_entropy(f, jnp.asarray(y)) for f, y in zip(at, labels, strict=True)])) for at in path.train]
    assert path.train.shape == (2, 5, 3)
    assert loss[1] < 0.5 * loss[0]


@pytest.mark.parametrize("build", [mlp, layernorm])
def test_small_steps_follow_the_empirical_kernel(build) -> None:
    """f_1 - f_0 = - eta K (f_0 - y) + O(eta^2), whatever the width and the rates of the tensors: each halving of eta quarters the remainder."""
    network = build()
    params = sample(network, jax.random.key(5), WIDTH, 3)
    k = empirical_kernels(network, params, WIDTH, X).ntk
    f0 = apply(network, params, WIDTH, X)
    rates = np.array([4e-4, 2e-4, 1e-4])
    rest = []
    for eta in rates:
        moved = train(network, params, WIDTH, X, Y, rate=eta, steps=1).train[1] - f0
        rest.append(float(np.linalg.norm(moved + eta * k @ (f0 - Y))))
    slopes = np.diff(np.log(rest)) / np.diff(np.log(rates))
    np.testing.assert_allclose(slopes, 2.0, atol=0.05)


def test_wide_networks_follow_kernel_gradient_descent() -> None:
    """Each from its own f_0 and with its own kernel at the start; the deviation falls with the width (Theorem 5.3)."""
    network = replace(mlp(), training={})
    far = []
    for n in (32, 512):
        params = sample(network, jax.random.key(6), n, 3)
        path = train(network, params, n, X, Y, rate=0.1, steps=40, record=40)
        kernel = empirical_kernels(network, params, n, X).ntk
        limit = gradient_descent(kernel, Y, rate=0.1, steps=40, f0=path.train[0], record=40)
        far.append(float(np.linalg.norm(path.train[-1] - limit.train[-1]) / np.linalg.norm(limit.train[-1] - path.train[0])))
    # 16 times the width: a deviation of order n^(-1/2) falls by 4, fluctuating by a factor of less than 2
    assert far[1] < 0.5 * far[0]
    assert far[1] < 0.1


def test_what_cannot_be_trained_is_refused() -> None:
    network = mlp()
    params = sample(network, jax.random.key(7), WIDTH, 3)
    with pytest.raises(InvalidProgram, match="5 points"):
        train(network, params, WIDTH, X, Y[:4], rate=0.1, steps=1)
    with pytest.raises(InvalidProgram, match="record"):
        train(network, params, WIDTH, X, Y, rate=0.1, steps=3, record=(2, 1))
    still = replace(network, program=replace(network.program, matrices=(replace(network.program.matrices[0], sigma=0.0),)))
    with pytest.raises(InvalidProgram, match="variance 0"):
        train(still, params, WIDTH, X, Y, rate=0.1, steps=1)
