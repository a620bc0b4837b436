"""The evidence of a network's Gaussian process: its value, its gradient in every sigma^2, its maximum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.datasets import load_diabetes

import tensorprog as tp
from architectures import ZOO
from tensorprog.interpret.limit.data import variances
from tensorprog.kernels.architecture import relu_mlp
from tensorprog.kernels.evidence import Tuned, log_evidence, tuned, with_variances
from tensorprog.kernels.exact import compiled

X = np.random.default_rng(0).normal(size=(12, 3))
Y = np.random.default_rng(1).normal(size=(12, 2))
NET = ZOO["mlp"](depth=1, sigma_b=0.3, nonlinearity="erf", sigma_v=1.5)
KERNELS = compiled(NET)
GIVEN = {"U": 1.3, "b1": 0.2, "v": 1.9}  # sigma^2


@jax.jit
def evidence(logs: jax.Array) -> jax.Array:
    """log p(Y) at the logarithms of the variances of U, b1, v and of the noise."""
    u, b, v, noise = jnp.exp(logs)
    return log_evidence(KERNELS(X, None, {"U": u, "b1": b, "v": v / 1.5**2}).nngp, Y, noise)


def test_it_is_the_gaussian_density() -> None:
    k = np.asarray(KERNELS(X).nngp)
    direct = sum(multivariate_normal(np.zeros(12), k + 0.2 * np.eye(12)).logpdf(y) for y in Y.T)
    assert float(log_evidence(k, Y, 0.2)) == pytest.approx(direct, rel=1e-12)


def test_other_variances_are_another_network() -> None:
    net = with_variances(NET, GIVEN)
    assert variances(net.program) == pytest.approx({"U": 1.3, "b1": 0.2})
    assert net.readouts[0].sigma ** 2 == pytest.approx(1.9)
    np.testing.assert_allclose(tp.kernels(net, X).nngp, KERNELS(X, None, GIVEN | {"v": 1.9 / 1.5**2}).nngp, rtol=1e-13)


def test_the_gradient_is_that_of_differences() -> None:
    at, step = jnp.log(jnp.array([*GIVEN.values(), 0.1])), 1e-5
    numeric = [(evidence(at + e) - evidence(at - e)) / (2 * step) for e in step * jnp.eye(4)]
    np.testing.assert_allclose(jax.grad(evidence)(at), numeric, rtol=1e-6, atol=1e-6)  # central differences: step^2 and eps / step


@pytest.fixture(scope="module")
def found() -> Tuned:
    return tuned(NET, X, Y, noise=0.1)


def test_the_maximum_is_one(found: Tuned) -> None:
    """At the maximum the gradient in the logarithms vanishes, but for what is on the boundary; and the start is worse."""
    assert found.converged
    start = jnp.log(jnp.array([2.0, 0.09, 2.25, 0.1]))
    best = jnp.log(jnp.array([found.variances["U"], found.variances["b1"], found.variances["v"], found.noise]))
    assert float(evidence(best)) == pytest.approx(found.log_evidence, rel=1e-9)
    assert float(evidence(best)) > float(evidence(start))
    inside = jnp.abs(best - start) < np.log(1e4) - 1e-6
    assert float(jnp.abs(jnp.where(inside, jax.grad(evidence)(best), 0.0)).max()) < 1e-2  # L-BFGS stops at a relative change of 1e-9
    np.testing.assert_allclose(
        tp.kernels(found.network, X).nngp, KERNELS(X, None, found.variances | {"v": found.variances["v"] / 2.25}).nngp, rtol=1e-12
    )


@pytest.mark.slow
def test_known_noise_is_found() -> None:
    """Targets drawn from a network's own process: the noise is found to within its sampling error, 2 sigma^2 / sqrt(2 N k)."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(40, 3))
    k = np.asarray(KERNELS(x).nngp)
    y = np.linalg.cholesky(k + 0.25 * np.eye(40)) @ rng.normal(size=(40, 30))
    found = tuned(NET, x, y, names=["v"], noise=1.0)
    assert found.noise == pytest.approx(0.25, rel=4 * np.sqrt(2 / 1200))
    assert found.variances["v"] == pytest.approx(2.25, rel=4 * np.sqrt(2 / (30 * 4)))  # the few large eigenvalues of K carry it


@pytest.mark.slow
def test_the_estimator_tunes_itself(found: Tuned) -> None:
    model = tp.NNGPRegressor(NET, noise=0.1, tune=True).fit(X, Y)
    assert model.log_evidence_ == pytest.approx(found.log_evidence, rel=1e-9)
    assert model.noise_ == pytest.approx(found.noise)
    assert model.network_ == found.network


def test_bad_input_is_named() -> None:
    with pytest.raises(tp.InvalidProgram, match="W7 is no tensor with a variance"):
        tuned(NET, X, Y, names=["W7"])
    with pytest.raises(tp.InvalidProgram, match="noise"):
        tuned(NET, X, Y, noise=0.0)


def test_a_start_with_far_too_little_noise_does_not_end_in_noise_alone() -> None:
    """Targets that are all noise have the evidence -(N / 2) log(2 pi e) at best; the network explains more, from wherever its noise starts."""
    x, y = load_diabetes(return_X_y=True)
    y = (y[:40] - y[:40].mean()) / y[:40].std()
    assert tuned(relu_mlp(), x[:40], y, noise=1e-3).log_evidence > -20 * np.log(2 * np.pi * np.e) + 5
