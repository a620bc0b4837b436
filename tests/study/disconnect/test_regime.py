"""Fluctuation and drift of kernels, the stability of the Jacobian, natural gradient descent, and functions beside the infinite-width prediction."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tensorprog as tp
from tensorprog.errors import InvalidProgram
from tensorprog.interpret.finite import sample
from tensorprog.kernels.empirical import empirical_kernels
from tensorprog.study.disconnect.fluctuation import drift, horizon, initial_ntk, ntk_of_one_point, spread
from tensorprog.study.disconnect.infinite import functions, in_mup
from tensorprog.study.disconnect.natural import gradient_descent_beside, jacobian, natural_gradient_descent
from tensorprog.study.fit import slope
from tensorprog.study.networks import perceptron

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((5, 4)), RNG.standard_normal(5)


@tp.network
def random_features(x: tp.Data) -> tp.Output:
    """Linear in what is trained: theory of linearized networks holds exactly."""
    return tp.readout("v") @ tp.relu(tp.embedding("U", 2**0.5, train=False) @ x)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def test_the_law_of_one_hidden_layer() -> None:
    """K(x, x) averages n independent h_+^2 + 2 v^2 1(h > 0), h ~ N(0, 2): mean 2, variance 12, so that Var / mean^2 = 3 / n exactly."""
    x = RNG.standard_normal((1, 5))
    x *= np.sqrt(5) / np.linalg.norm(x)
    s = spread(ntk_of_one_point(perceptron(depth=1), x, 24, 1500, jax.random.key(0)))
    assert abs(s.mean - 2) < 4 * (12 / 24 / 1500) ** 0.5  # four standard errors
    assert s.low < 3 / 24 < s.high  # a fixed key: the interval holds it


def test_a_variance_needs_two_seeds() -> None:
    with pytest.raises(InvalidProgram, match="two seeds"):
        spread(np.ones(1))


def test_the_jacobian_squares_to_the_empirical_kernel() -> None:
    net = in_mup(perceptron(depth=2, sigma_b=0.3))
    params = sample(net, jax.random.key(1), 7, 4)
    gram = sum(j @ j.T for j in jacobian(net, params, 7, X).values())
    np.testing.assert_allclose(gram, empirical_kernels(net, params, 7, X).ntk, rtol=1e-11)


def test_the_initial_kernel_of_mup_is_that_of_the_ntk_parametrization() -> None:
    net = perceptron(depth=1)
    np.testing.assert_allclose(initial_ntk(in_mup(net), X), initial_ntk(net, X), rtol=1e-14)


def test_natural_gradient_descent_of_a_linear_model_is_the_theory() -> None:
    """The loss is (1 - eta)^(2k) of its start, the Jacobian does not move, and gradient descent is its linearization, within theory's bound."""
    net = random_features()
    with jax.enable_x64(False):  # tensors of JAX's default precision are taken as they are
        params = sample(net, jax.random.key(2), 16, 4)
    path = natural_gradient_descent(net, params, 16, X, Y, rate=0.3, steps=6)
    np.testing.assert_allclose(path.loss / path.loss[0], 0.7 ** (2 * np.arange(7)), rtol=1e-8)
    assert float(path.constant) < 1e-6
    assert float(path.distance.max()) < float(path.radius)
    beside = gradient_descent_beside(net, params, 16, X, Y, steps=6)
    np.testing.assert_allclose(beside.loss, beside.linearized, rtol=1e-9)
    assert (beside.loss <= beside.bound * (1 + 1e-12)).all()


def test_natural_gradient_descent_refuses() -> None:
    net = perceptron(depth=1)
    params = sample(net, jax.random.key(3), 2, 4)
    with pytest.raises(InvalidProgram, match=r"\(0, 1\]"):
        natural_gradient_descent(net, params, 2, X, Y, rate=1.5)
    with pytest.raises(InvalidProgram, match="singular"):
        natural_gradient_descent(net, params, 2, RNG.standard_normal((20, 4)), np.zeros(20))
    with pytest.raises(InvalidProgram, match=r"\[shape\]"):
        natural_gradient_descent(net, params, 2, X, Y[:, None])


def test_the_horizon_is_where_the_flow_has_the_level() -> None:
    """One direction: the loss is e^(-2 t), t = rate times steps, and the rate is 1."""
    rate, steps = horizon(jnp.eye(1), np.ones(1), np.exp(-9.5))
    assert rate == 1.0
    assert steps == 5
    with pytest.raises(InvalidProgram, match="less contradictory"):
        horizon(jnp.ones((2, 2)), np.array([1.0, -1.0]), 0.1)


@pytest.mark.slow
def test_the_kernel_drifts_less_with_width_only_in_the_ntk_parametrization() -> None:
    """Slopes -1 and 0 in theory; three widths and four seeds leave about +- 0.2."""
    net, widths = perceptron(depth=1, nonlinearity="tanh", sigma=1.0), (32, 64, 128)
    lazy, rich = (slope(widths, drift(n, X, Y, widths, 4, jax.random.key(0))).value for n in (net, in_mup(net)))
    assert abs(lazy + 1) < 0.4
    assert abs(rich) < 0.4


@pytest.mark.slow
def test_functions_approach_the_prediction_only_in_the_ntk_parametrization() -> None:
    """Slopes -1/2 and 0 in theory; the fluctuation over four seeds at three widths is about 0.2."""
    net, widths = perceptron(depth=1), (32, 128, 512)
    found = [functions(n, X, Y, X[:3] + 0.5, widths, 4, jax.random.key(1), level=0.05) for n in (net, in_mup(net))]
    lazy, rich = (slope(widths, np.stack([f.distance for f in by_width.values()])).value for by_width in found)
    assert abs(lazy + 0.5) < 0.4
    assert rich > -0.3
    assert (found[0][512].loss < 0.2).all()


def test_a_prediction_starts_from_the_network_itself() -> None:
    """A linear model with many features: the network is its own kernel's prediction up to the kernel's fluctuation, about 4 / sqrt(n) here."""
    found = functions(random_features(), X, Y, X[:3] + 0.5, (2048,), 1, jax.random.key(1), level=0.3)[2048]
    assert found.distance.max() < 0.1
    assert found.loss.max() < 1.0
