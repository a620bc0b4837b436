"""Mehler's series against quadrature: value, bound, what happens where it does not converge, and its speed."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tensorprog.gaussian import Factor, Power, Strategy, expect
from tensorprog.gaussian.law import law
from tensorprog.gaussian.series import has_series, series
from tensorprog.language.nonlin import fn
from tests.gaussian.reference import QUADRATURE, gram, jitted, pair

VARIANCES = (jnp.array([[0.3], [1.0], [1.5]]), jnp.array([[0.3, 1.0, 1.5]]))
GRAM = gram(*VARIANCES, jnp.array([[0.3, -0.2, 0.5], [-0.2, 1.0, 0.9], [0.5, 0.9, 1.5]]))


@pytest.mark.parametrize(("f", "g"), [("tanh", "tanh"), ("sigmoid", "silu"), ("softplus", "softplus"), ("erf", "sin")])
def test_series_equals_quadrature(f: str, g: str) -> None:
    product = [Factor(fn(f), 0), Factor(fn(g), 1)]
    found, reference = (jitted(product, GRAM, s) for s in (Strategy(closed=False), QUADRATURE))
    assert found.method == "series"
    assert (np.abs(found.value - reference.value) <= found.error + reference.error).all()
    assert (found.error < 1e-10).all()


def test_means_powers_and_scales() -> None:
    product = [Factor(fn("tanh"), 0, 0.8, 0.1), Power(0, 2), Factor(fn("sigmoid"), 1, -1.2)]
    found, reference = (jitted(product, GRAM, s, mean=(0.4, -0.3)) for s in (Strategy(), QUADRATURE))
    assert found.method == "series"
    np.testing.assert_allclose(found.value, reference.value, rtol=1e-11)


def test_the_bound_holds_when_the_series_is_cut_early() -> None:
    """Parseval and Cauchy-Schwarz: a bound, not an estimate."""
    product = (Factor(fn("tanh"), 0), Factor(fn("tanh"), 1))
    exact = jitted(product, GRAM, Strategy()).value
    for terms in (3, 9, 21):
        found = jax.jit(lambda terms=terms: series(product, law([0.0, 0.0], lambda i, j: GRAM[i][j]), Strategy(terms=terms)))()
        off = np.abs(found.value - exact)
        assert (off <= found.error).all()
        assert off.max() > 0.05 * found.error.max()  # and not a void one: it is nearly attained on the diagonal


def test_the_error_tells_where_the_coefficients_are_not_resolved() -> None:
    """tanh(20 u) is nearly a sign: it turns between two points of the rule, and its coefficients fall like k^(-3/4)."""
    product = [Factor(fn("tanh"), 0, 20.0), Factor(fn("tanh"), 1, 20.0)]
    cov = gram(1.0, 1.0, jnp.array([0.5, 0.95, 1.0]))
    found = jitted(product, cov)
    reference = jitted(product, cov, Strategy(series=False, nodes=1501))
    assert (np.abs(found.value - reference.value) <= found.error + reference.error).all()
    milder = jitted([Factor(fn("tanh"), 0, 3.0), Factor(fn("tanh"), 1, 3.0)], gram(1.0, 1.0, 1.0))
    assert milder.error < 1e-9


def test_which_products_have_a_series() -> None:
    tanh = fn("tanh")
    assert has_series((Factor(tanh, 0), Factor(tanh, 1), Power(1, 1)))
    assert not has_series((Factor(tanh, 0), Factor(tanh, 0)))
    assert not has_series((Factor(tanh, 0), Factor(fn("relu"), 1)))
    assert not has_series((Factor(tanh, 0), Factor(tanh, 1), Power(2, 1)))


@pytest.mark.slow
def test_a_kernel_of_500_by_500_takes_less_than_a_second() -> None:
    x = np.random.default_rng(0).standard_normal((500, 50))
    c = jnp.asarray(x @ x.T / 50)
    a = jnp.diagonal(c)
    kernel = jax.jit(lambda c: expect([Factor(fn("tanh"), 0), Factor(fn("tanh"), 1)], [0.0, 0.0], pair(a[:, None], a[None, :], c)).value)
    jax.block_until_ready(kernel(c))
    start = time.perf_counter()
    jax.block_until_ready(kernel(c))
    assert time.perf_counter() - start < 1.0
