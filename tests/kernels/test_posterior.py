"""The Gaussian process posterior: the readout-only ensemble at infinity, textbook formulas, and a singular kernel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from tensorprog.errors import InvalidProgram
from tensorprog.kernels.dynamics import Blocks, ensemble_flow
from tensorprog.kernels.posterior import posterior


@pytest.fixture
def nngp() -> Blocks:
    features = jax.random.normal(jax.random.key(0), (9, 12))
    return Blocks.split(features @ features.T / 12, 6)


Y = jnp.array([[0.3, 1.0], [-1.0, 0.5], [0.8, 0.1], [0.0, 0.2], [1.1, -0.4], [0.7, 0.9]])


def test_without_noise_it_is_the_readout_trained_to_infinity(nngp: Blocks) -> None:
    found, flow = posterior(nngp, Y), ensemble_flow(nngp, nngp, Y, [np.inf])
    np.testing.assert_allclose(found.mean, flow.test_mean[0], atol=1e-11)
    np.testing.assert_allclose(found.cov, flow.test_cov[0], atol=1e-11)


def test_with_noise_it_is_the_conditional_law(nngp: Blocks) -> None:
    found = posterior(nngp, Y, noise=0.3)
    s = nngp.train + 0.3 * jnp.eye(6)
    np.testing.assert_allclose(found.mean, nngp.cross @ jnp.linalg.solve(s, Y), atol=1e-12)
    np.testing.assert_allclose(found.cov, nngp.test - nngp.cross @ jnp.linalg.solve(s, nngp.cross.T), atol=1e-12)
    assert found.log_evidence == pytest.approx(sum(multivariate_normal(np.zeros(6), s).logpdf(y) for y in Y.T), rel=1e-12)


def test_a_repeated_observation_adds_nothing(nngp: Blocks) -> None:
    rows = np.array([0, 1, 2, 3, 4, 5, 5])
    doubled = Blocks(nngp.train[jnp.ix_(rows, rows)], nngp.cross[:, rows], nngp.test)
    once, twice = posterior(nngp, Y), posterior(doubled, Y[rows])
    np.testing.assert_allclose(twice.mean, once.mean, atol=1e-9)
    np.testing.assert_allclose(twice.cov, once.cov, atol=1e-9)


def test_relative_noise_is_in_units_of_the_mean_variance(nngp: Blocks) -> None:
    level = 0.1 * float(jnp.diagonal(nngp.train).mean())
    np.testing.assert_allclose(posterior(nngp, Y, noise=0.1, relative=True).mean, posterior(nngp, Y, noise=level).mean, atol=1e-13)


def test_the_evidence_has_a_gradient_in_the_noise(nngp: Blocks) -> None:
    evidence = lambda s: posterior(nngp, Y, noise=s).log_evidence  # noqa: E731
    numeric = (evidence(0.3 + 1e-5) - evidence(0.3 - 1e-5)) / 2e-5
    assert jax.grad(evidence)(0.3) == pytest.approx(float(numeric), rel=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"cross": np.ones((3, 5))}, "nngp.cross"), ({"train": -np.eye(6)}, "positive semidefinite"), ({"train": np.full((6, 6), np.nan)}, "is nan")],
)
def test_bad_input_is_named(nngp: Blocks, change: dict, message: str) -> None:
    with pytest.raises(InvalidProgram, match=message):
        posterior(nngp._replace(**change), Y)
    with pytest.raises(InvalidProgram, match="noise"):
        posterior(nngp, Y, noise=-1.0)
