"""Quadrature where there is no closed form: kinks of users' functions, composites, three dimensions, memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tensorprog.gaussian import Composite, Factor, Power, Strategy, expect
from tensorprog.gaussian.rules import gauss_hermite, gauss_legendre, hermite, trapezoid
from tensorprog.language.nonlin import fn, user_function
from tests.gaussian.reference import FUNCTIONS, QUADRATURE, expectation_2d, gram, jitted, pair

KINKED = user_function("kinked", lambda x: jnp.where(x > 0.4, jnp.sin(x), 0.2 * x * x), kinks=(0.4,))


def kinked(x: float) -> float:
    return np.sin(x) if x > 0.4 else 0.2 * x * x


@pytest.mark.parametrize("other", ["tanh", "relu", "kinked"])
def test_kinks_of_a_users_function(other: str) -> None:
    """The outer function jumps at 0.4, the inner one at 0 or 0.4, and the means move both."""
    f, g = (Factor(KINKED, 0), Factor(KINKED if other == "kinked" else fn(other), 1))
    found = jitted([f, g], gram(1.3, 0.7, 0.9), mean=(0.3, -0.2))
    assert found.method == "quadrature"
    reference = expectation_2d(kinked, kinked if other == "kinked" else FUNCTIONS[other], 1.3, 0.7, 0.9, 0.3, -0.2, cut=(0.0, 0.4))
    assert found.value == pytest.approx(reference, abs=1e-10)  # what the adaptive integration reaches
    assert found.error < 1e-11


def test_scale_and_shift_move_the_kink() -> None:
    found = jitted([Factor(KINKED, 0, -2.0, 0.5)], [[1.3]])
    x = np.linspace(-12, 12, 2_000_001)
    w = np.exp(-0.5 * x * x)
    u = 0.5 - 2 * np.sqrt(1.3) * x
    reference = (np.where(u > 0.4, np.sin(u), 0.2 * u * u) * w).sum() / w.sum()
    assert found.value == pytest.approx(reference, abs=1e-5)  # the reference's step times the jump
    assert found.error < 1e-9


def test_a_sharp_inner_kink_keeps_its_accuracy() -> None:
    """tanh x relu up to equal and opposite inputs, where it is an integral over the kinked variable alone."""
    c = jnp.array([0.3, 0.999, 1 - 1e-8, 1.0, -1.0])
    found, finer = (
        jitted([Factor(fn("tanh"), 0), Factor(fn("relu"), 1)], gram(1.0, 1.0, c), Strategy(nodes=n, panel=p)) for n, p in ((121, 40), (301, 100))
    )
    np.testing.assert_allclose(found.value, finer.value, atol=1e-13)
    line = jitted([Factor(fn("tanh"), 0), Factor(fn("relu"), 0)], [[1.0]]).value
    np.testing.assert_allclose(found.value[3:], [line, -line], rtol=1e-12)


def test_the_error_estimate_is_honest() -> None:
    """Functions that hide their kink or turn sharply: the error is above the truth, and says when it is large."""
    hidden = user_function("hidden", lambda x: jnp.where(x > 0.123, 1.0, 0.0))
    found = jitted([Factor(hidden, 0)], [[1.0]])
    exact = 0.5 - 0.5 * float(jax.scipy.special.erf(0.123 / np.sqrt(2)))
    assert abs(found.value - exact) < found.error
    sharp = jitted([Factor(fn("tanh"), 0, 30.0), Factor(fn("tanh"), 1, 30.0)], gram(1.0, 1.0, 0.5), QUADRATURE)
    exact = jitted([Factor(fn("tanh"), 0, 30.0), Factor(fn("tanh"), 1, 30.0)], gram(1.0, 1.0, 0.5), Strategy(series=False, nodes=2001))
    assert abs(sharp.value - exact.value) < sharp.error
    assert exact.error < 1e-9


def test_composites() -> None:
    """A function of two coordinates is called with the full shape, and equals the product that it is."""

    def call(x, y):
        assert x.shape == y.shape
        assert x.shape[:-1] == (3, 2)
        return jnp.tanh(x) * jnp.sin(y)

    a, b = jnp.array([[0.5], [1.0], [1.5]]), jnp.array([[0.7, 1.1]])
    law_of = gram(a, b, 0.5 * jnp.sqrt(a * b))
    found = jitted([Composite(call, (0, 1), "tanh sin")], law_of)
    product = jitted([Factor(fn("tanh"), 0), Factor(fn("sin"), 1)], law_of)
    assert found.method == "quadrature"
    np.testing.assert_allclose(found.value, product.value, rtol=1e-11)


def test_a_composite_may_carry_arrays_over_the_batch() -> None:
    gain = jnp.array([1.0, 2.0])
    found = jitted([Composite(lambda x: gain[:, None] * x * x, (0,), "gain")], [[jnp.array([0.5, 3.0])]], Strategy(points=64))
    np.testing.assert_allclose(found.value, gain * jnp.array([0.5, 3.0]), rtol=1e-13)


def test_chunks_do_not_change_the_value_or_its_derivative() -> None:
    product, cov = [Factor(KINKED, 0), Factor(fn("tanh"), 1)], ((1.0, 0.3), (0.3, 2.0))

    def answer(strategy):
        return jax.jit(jax.value_and_grad(lambda a: expect(product, [0.0] * 2, lambda i, j: a * cov[i][j], strategy).value))(1.0)

    np.testing.assert_allclose(answer(Strategy(points=500)), answer(Strategy()), rtol=1e-11)


def test_three_dimensions_of_smooth_functions() -> None:
    """E tanh(u) sin(v) cos(w): given u, sin v cos w = (sin(v + w) + sin(v - w)) / 2 has a closed form, which leaves one dimension."""
    cov = np.array(((1.0, 0.3, -0.2), (0.3, 2.0, 0.5), (-0.2, 0.5, 0.8)))
    found = jitted([Factor(fn("tanh"), 0), Factor(fn("sin"), 1), Factor(fn("cos"), 2)], cov)
    rule, gain = trapezoid(401), cov[0, 1:]
    rest = cov[1:, 1:] - np.outer(gain, gain)
    waves = sum(0.5 * np.sin(t @ gain * rule.points) * np.exp(-0.5 * t @ rest @ t) for t in (np.array([1, 1]), np.array([1, -1])))
    assert found.method == "quadrature"
    assert found.value == pytest.approx((rule.weights * np.tanh(rule.points) * waves).sum(), rel=1e-10)


def test_powers_beside_functions_cost_no_dimension() -> None:
    """Four coordinates, one of them inside a function. Stein: E u_1 u_2 tanh(u_0)^2 by conditioning on u_0."""
    cov = ((1.3, 0.4, -0.3, 0.1), (0.4, 0.7, 0.2, 0.1), (-0.3, 0.2, 0.9, 0.3), (0.1, 0.1, 0.3, 0.6))
    found = jitted([Power(1, 1), Power(2, 1), Factor(fn("tanh"), 0), Factor(fn("tanh"), 0)], cov, Strategy(max_dimension=1))
    rule = trapezoid(401)
    u = np.sqrt(1.3) * rule.points
    given = (0.4 / 1.3 * u) * (-0.3 / 1.3 * u) + 0.2 + 0.4 * 0.3 / 1.3
    assert found.method == "quadrature"
    assert found.value == pytest.approx((rule.weights * given * np.tanh(u) ** 2).sum(), rel=1e-12)


def test_exponential_growth() -> None:
    found = jitted([Factor(fn("exp"), 0, 1.2), Factor(fn("exp"), 1)], gram(1.3, 0.7, 0.4), QUADRATURE)
    assert found.value == pytest.approx(np.exp(0.5 * (1.44 * 1.3 + 0.7 + 2.4 * 0.4)), rel=1e-12)


def test_rules() -> None:
    """Moments: of the normal law to degree 12; of the interval [0, 1]; Hermite polynomials are orthonormal."""
    for rule in (trapezoid(121), gauss_hermite(7)):
        for k, moment in ((0, 1), (2, 1), (4, 3), (6, 15), (12, 10395)):
            assert (rule.points**k * rule.weights).sum() == pytest.approx(moment, rel=1e-12)
            assert (rule.points**k * rule.coarse).sum() == pytest.approx(moment, rel=1e-9)
    rule = gauss_legendre(20)
    for k in (0, 1, 8, 14):
        assert (rule.points**k * rule.coarse).sum() == pytest.approx(1 / (k + 1), rel=1e-12)
    rule, h = hermite(20)
    np.testing.assert_allclose(h.T @ (rule.weights[:, None] * h), np.eye(21), atol=1e-12)


def test_under_vmap() -> None:
    f = fn("tanh")

    def kernel(c):
        return expect([Factor(f, 0), Factor(f, 1)], [0.0, 0.0], pair(1.0, 1.0, c)).value

    c = jnp.array([0.1, 0.5, 0.9])
    np.testing.assert_allclose(jax.jit(jax.vmap(kernel))(c), jitted([Factor(f, 0), Factor(f, 1)], gram(1.0, 1.0, c)).value, rtol=1e-12)
