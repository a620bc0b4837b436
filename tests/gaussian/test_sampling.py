"""Randomized quasi-Monte Carlo: unbiased within its standard errors, chunked, beyond three dimensions."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tensorprog.gaussian import Composite, Factor, Power, Strategy, expect
from tensorprog.language.nonlin import fn
from tests.gaussian.reference import SAMPLING, gram, jitted


@pytest.mark.parametrize("name", ["relu", "erf", "step"])
def test_within_four_standard_errors_of_the_closed_form(name: str) -> None:
    product = [Factor(fn(name), 0), Factor(fn(name), 1)]
    cov = gram(1.3, jnp.array([0.7, 1.3]), jnp.array([0.4, 1.3]))  # the second pair is of equal inputs
    exact, sampled = jitted(product, cov), jitted(product, cov, SAMPLING)
    assert sampled.method == "sampling"
    assert (np.abs(sampled.value - exact.value) < 4 * sampled.error).all()
    assert (sampled.error < 0.01 * np.abs(exact.value)).all()


def test_four_dimensions() -> None:
    """A composite that is a product of four variables, of singular covariance, against Wick."""
    r = np.random.default_rng(0).standard_normal((4, 3))
    c = r @ r.T / 3  # singular
    composite = Composite(lambda a, b, x, y: a * b * x * y, (0, 1, 2, 3), "product")
    exact = jitted([Power(i, 1) for i in range(4)], c)
    sampled = jitted([composite], c)
    assert exact.method == "polynomial"
    assert sampled.method == "sampling"
    assert abs(sampled.value - exact.value) < 4 * sampled.error


def test_the_standard_error_is_that_of_the_answer() -> None:
    """Over 40 keys the deviations have about the size that was stated: within a factor 2 (40 replicates: 11% of it, and t_15 tails)."""
    product, cov = [Factor(fn("tanh"), 0), Factor(fn("tanh"), 1)], gram(1.3, 0.7, 0.4)
    exact = jitted(product, cov).value

    @jax.jit
    def answer(key):
        return expect(product, [0.0, 0.0], lambda i, j: cov[i][j], Strategy(closed=False, max_dimension=0, samples=256, key=key))

    found = [answer(jax.random.PRNGKey(seed)) for seed in range(40)]
    z = np.array([(e.value - exact) / e.error for e in found])
    assert 0.5 < np.sqrt((z**2).mean()) < 2.0


def test_chunks_do_not_change_the_value() -> None:
    product, cov = [Factor(fn("relu"), 0), Factor(fn("tanh"), 1)], gram(1.3, jnp.array([0.7, 1.3]), 0.4)
    whole, chunked = (jitted(product, cov, Strategy(max_dimension=0, samples=1024, points=points)) for points in (1 << 22, 512))
    np.testing.assert_allclose(chunked.value, whole.value, rtol=1e-12)


def test_derivatives() -> None:
    """Of a tied pair (singular covariance), finite; of a regular one, near the exact derivative."""

    product = [Factor(fn("erf"), 0), Factor(fn("erf"), 1)]

    @partial(jax.jit, static_argnums=1)
    @jax.grad
    def slope(c, strategy):
        return expect(product, [0.0, 0.0], lambda i, j: 1.0 if i == j else c, strategy).value

    assert np.isfinite(slope(1.0, SAMPLING))
    assert slope(0.5, SAMPLING) == pytest.approx(float(slope(0.5, Strategy())), rel=5e-3)  # the standard error of the value is 1e-3 of it
