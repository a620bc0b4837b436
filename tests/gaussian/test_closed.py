"""Closed forms against recorded digits, forced quadrature and adaptive integration."""

import jax.numpy as jnp
import numpy as np
import pytest

from tensorprog.errors import OutsideTheory
from tensorprog.gaussian import Estimate, Factor, Power, Strategy, expect
from tensorprog.gaussian.law import angle
from tensorprog.language.nonlin import fn
from tests.gaussian.reference import FUNCTIONS, QUADRATURE, covariance, expectation_2d, gram, jitted, pair

CENTRED = [0.0, 0.0]


def both(product, mean, cov, strategy=QUADRATURE) -> tuple[Estimate, Estimate]:
    return expect(product, mean, covariance(*cov)), jitted(product, cov, strategy, mean)


# T1 of the notes (Tensor Programs II, Facts E.2-3), variances 1, covariance 1/2.
T1 = {"relu": (fn("relu"), 0.304498890522), "step": (fn("step"), 1 / 3), "erf": (fn("erf"), 0.216346895939)}


@pytest.mark.parametrize("name", T1)
def test_dual_activations(name: str) -> None:
    f, value = T1[name]
    found = expect([Factor(f, 0), Factor(f, 1)], CENTRED, pair(1.0, 1.0, 0.5))
    assert found.method == "closed form"
    assert found.value == pytest.approx(value, abs=1e-12)


def test_dual_of_the_derivative_of_erf_and_diagonals() -> None:
    gaussian = fn("gaussian")
    slope = expect([Factor(gaussian, 0), Factor(gaussian, 1)], CENTRED, pair(1.0, 1.0, 0.5)).value * 4 / np.pi
    assert slope == pytest.approx(0.450158158079, abs=1e-12)
    slope = expect([Factor(gaussian, 0), Factor(gaussian, 1)], CENTRED, pair(1.0, 1.0, 1.0)).value * 4 / np.pi
    assert slope == pytest.approx(0.569410034734, abs=1e-12)
    assert expect([Factor(fn("erf"), 0), Factor(fn("erf"), 0)], [0.0], covariance((1.0,))).value == pytest.approx(0.464559054398, abs=1e-12)


@pytest.mark.parametrize(("f", "g"), [("relu", "step"), ("erf", "erf"), ("sin", "cos"), ("abs", "relu"), ("gelu", "gelu"), ("gaussian", "step")])
def test_pairs_against_adaptive_integration(f: str, g: str) -> None:
    a, b, c = 1.3, 0.7, -0.4
    reference = expectation_2d(FUNCTIONS[f], FUNCTIONS[g], a, b, c)
    found = expect([Factor(fn(f), 0), Factor(fn(g), 1)], CENTRED, pair(a, b, c))
    assert found.method == "closed form"
    assert found.value == pytest.approx(reference, abs=1e-9)  # what the adaptive integration reaches


@pytest.mark.parametrize(("j", "k"), [(0, 0), (0, 1), (1, 1), (0, 3), (2, 3), (3, 3)])
def test_ramps(j: int, k: int) -> None:
    product = [Factor(fn("ramp", j), 0, -2.0), Factor(fn("ramp", k), 1, 0.5)]
    closed, numeric = both(product, CENTRED, gram(1.3, 0.7, jnp.array([0.8, -0.8, 0.1])))
    assert closed.method == "closed form"
    assert numeric.method == "quadrature"
    np.testing.assert_allclose(closed.value, numeric.value, rtol=1e-10)


PRODUCTS = {
    "gelu pair": [Factor(fn("gelu"), 0), Factor(fn("gelu"), 1)],
    "gelu of other scales": [Factor(fn("gelu"), 0, 2.0), Factor(fn("gelu"), 1, -0.3)],
    "powers and erf": [Power(0, 3), Factor(fn("erf"), 1, 0.8)],
    "powers and two erfs": [Power(0, 1), Power(1, 3), Factor(fn("erf"), 0, 0.8), Factor(fn("erf"), 1, 1.7)],
    "three gaussians": [Factor(fn("gaussian"), 0, 0.5), Factor(fn("gaussian"), 0, 0.7), Factor(fn("gaussian"), 1)],
    "erfs and a gaussian": [Factor(fn("erf"), 0), Factor(fn("erf"), 1), Factor(fn("gaussian"), 0)],
    "erfs on one coordinate": [Factor(fn("erf"), 0), Factor(fn("erf"), 0, 0.5), Power(1, 2)],
    "ramps on one coordinate": [Factor(fn("relu"), 0), Factor(fn("step"), 0, 2.0), Power(0, 1), Factor(fn("relu"), 1)],
    "ramp and gaussian": [Factor(fn("relu"), 0), Factor(fn("gaussian"), 1), Power(1, 2)],
    "ramps and powers": [Factor(fn("relu"), 0), Factor(fn("step"), 1, -1.0), Power(0, 2), Power(1, 1)],
    "waves": [Factor(fn("sin"), 0, 0.7, 0.3), Factor(fn("cos"), 1, 1.3), Factor(fn("sin"), 1, 0.2, -0.5)],
    "gabor": [Factor(fn("gaussian"), 0), Factor(fn("sin"), 0), Factor(fn("gaussian"), 1), Factor(fn("sin"), 1)],
    "wave and power": [Factor(fn("sin"), 0), Factor(fn("cos"), 1), Power(0, 1), Power(1, 2)],
    "exponentials": [Factor(fn("exp"), 0, 0.5, 0.1), Factor(fn("exp"), 1, -0.3), Power(1, 3)],
    "exponential and erf": [Factor(fn("exp"), 0, 0.5), Factor(fn("erf"), 1)],
    "exponential and ramp": [Factor(fn("exp"), 0, 0.5), Factor(fn("ramp", 3), 1, -0.6, 0.2)],
    "abs and sign": [Factor(fn("abs"), 0), Factor(fn("sign"), 1), Power(1, 1)],
    "hermite": [Factor(fn("hermite", 3), 0), Factor(fn("hermite", 3), 1)],
    "leaky": [Factor(fn("leaky_relu", 0.2), 0), Factor(fn("abrelu", -0.5, 1.3), 1)],
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_closed_form_equals_quadrature(name: str) -> None:
    a, b, c = jnp.array([(1.3, 0.7, 0.8), (1.0, 1.0, -0.2), (0.9, 0.4, 0.6), (1.0, 1.0, 1.0), (0.5, 2.0, -1.0)]).T
    closed, numeric = both(PRODUCTS[name], CENTRED, gram(a, b, c))
    assert closed.method in ("closed form", "polynomial")
    np.testing.assert_allclose(closed.value, numeric.value, rtol=1e-10, atol=1e-12)


WITH_MEANS = {
    "erf": [Factor(fn("erf"), 0, 1.5, -0.3)],
    "erf, powers, gaussian": [Factor(fn("erf"), 0, 1.5, -0.3), Power(1, 2), Factor(fn("gaussian"), 1, 0.4, 0.2)],
    "relu": [Factor(fn("relu"), 0, -1.5, 0.3)],
    "ramp 4": [Factor(fn("ramp", 4), 0, -1.5, 0.3), Power(1, 1)],
    "step and powers": [Factor(fn("step"), 0, 1.5, 0.3), Power(0, 2), Power(1, 1)],
    "waves": [Factor(fn("sin"), 0, 0.7, 0.3), Factor(fn("sin"), 1), Factor(fn("exp"), 1, 0.5)],
    "powers": [Power(0, 3), Power(1, 2)],
}


@pytest.mark.parametrize("name", WITH_MEANS)
def test_closed_form_with_means(name: str) -> None:
    closed, numeric = both(WITH_MEANS[name], [0.4, -0.9], gram(1.3, 0.7, 0.8))
    assert closed.method in ("closed form", "polynomial")
    np.testing.assert_allclose(closed.value, numeric.value, rtol=1e-10)


def test_three_steps() -> None:
    cov = ((1.0, 0.3, -0.2), (0.3, 2.0, 0.5), (-0.2, 0.5, 0.8))
    closed, numeric = both([Factor(fn("step"), 0), Factor(fn("step"), 1, -2.0), Factor(fn("step"), 2)], [0.0] * 3, cov)
    assert closed.method == "closed form"
    np.testing.assert_allclose(closed.value, numeric.value, rtol=1e-9)


def test_two_erfs_and_gaussians_in_four_dimensions() -> None:
    """Against sampling: within 4 standard errors."""
    r = np.random.default_rng(0).standard_normal((4, 6))
    c = r @ r.T / 6
    product = [Factor(fn("erf"), 0), Factor(fn("erf"), 1), Factor(fn("gaussian"), 2), Factor(fn("gaussian"), 3, 0.5), Power(3, 2)]
    closed, sampled = both(product, [0.0] * 4, c, Strategy(closed=False, max_dimension=0))
    assert closed.method == "closed form"
    assert sampled.method == "sampling"
    assert abs(closed.value - sampled.value) < 4 * sampled.error
    assert sampled.error < 0.01 * abs(closed.value)


def test_deltas() -> None:
    """delta is the limit of narrow densities; pairs are derivatives of the step kernel in the means."""
    a, b, c = 1.3, 0.7, 0.4
    delta = Factor(fn("delta"), 0, -2.0)
    density = 1 / np.sqrt(2 * np.pi * a) / 2
    assert expect([delta], [0.0], covariance((a,))).value == pytest.approx(density, rel=1e-14)
    rest = b - c * c / a
    found = expect([delta, Factor(fn("relu"), 1)], CENTRED, pair(a, b, c))
    assert found.value == pytest.approx(density * np.sqrt(rest / (2 * np.pi)), rel=1e-14)
    found = expect([delta, Factor(fn("delta"), 1)], CENTRED, pair(a, b, c))
    assert found.value == pytest.approx(1 / (2 * np.pi * np.sqrt(a * b - c * c)) / 2, rel=1e-14)
    found = expect([Factor(fn("delta"), 0, 1.0, -0.5), Factor(fn("tanh"), 1)], CENTRED, pair(a, b, c))
    numeric = expect([Factor(fn("tanh"), 0)], [0.5 * c / a], covariance((rest,)))
    assert found.value == pytest.approx(float(numeric.value) * np.exp(-0.125 / a) / np.sqrt(2 * np.pi * a), rel=1e-13)


def test_a_degenerate_delta_is_never_silent() -> None:
    delta, step, relu = (fn(name) for name in ("delta", "step", "relu"))
    with pytest.raises(OutsideTheory, match="delta"):
        expect([Factor(delta, 0), Factor(step, 0)], [0.0], covariance((1.0,)))
    with pytest.raises(OutsideTheory, match="delta"):
        expect([Factor(delta, 0), Factor(delta, 0)], [0.0], covariance((1.0,)))
    equal = pair(1.0, 1.0, 1.0)
    assert not np.isfinite(expect([Factor(delta, 0), Factor(delta, 1)], CENTRED, equal).value)
    assert np.isnan(expect([Factor(delta, 0), Factor(step, 1)], CENTRED, equal).value)
    assert not np.isfinite(expect([Factor(delta, 0)], [0.0], covariance((0.0,))).value)
    assert expect([Factor(delta, 0), Factor(relu, 1)], CENTRED, equal).value == 0.0  # relu is 0 where its argument is
    assert expect([Factor(delta, 0), Power(0, 2)], [0.0], covariance((1.0,))).value == 0.0


def test_odd_products_ask_for_no_covariance() -> None:
    def never(i: int, j: int) -> float:
        raise AssertionError("a covariance was asked for")

    assert expect([Factor(fn("tanh"), 0), Factor(fn("gaussian"), 1)], CENTRED, never).value == 0.0
    assert expect([Power(0, 1), Power(1, 2)], CENTRED, never).value == 0.0


def test_wick() -> None:
    a, b, c = 1.3, 0.7, 0.4
    moment = expect([Power(0, 2), Power(1, 4)], CENTRED, pair(a, b, c))
    assert moment.method == "polynomial"
    assert moment.value == pytest.approx(3 * a * b * b + 12 * c * c * b, rel=1e-14)
    assert expect([Power(0, 2), Power(0, 1)], [2.0], covariance((a,))).value == pytest.approx(8 + 6 * a, rel=1e-14)
    assert expect([], [], covariance()).value == 1.0


def test_arrays_broadcast() -> None:
    a, b = jnp.array([[0.5], [1.0], [2.0]]), jnp.array([[0.5, 1.0, 1.5, 2.0]])
    c = 0.9 * jnp.sqrt(a * b)
    for name in ("relu", "erf", "tanh", "sin"):
        f = fn(name)
        many = jitted([Factor(f, 0), Factor(f, 1)], gram(a, b, c))
        assert many.value.shape == (3, 4)
        one = jitted([Factor(f, 0), Factor(f, 1)], gram(a[1, 0], b[0, 2], c[1, 2]))
        np.testing.assert_allclose(many.value[1, 2], one.value, rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_angles_near_equal_and_opposite_inputs(dtype: type) -> None:
    """To a few units of rounding of the angle itself, also where it is small; the polynomial of the arctangent is cut below that."""
    theta = np.concatenate([np.linspace(1e-3, np.pi, 5001), np.logspace(-12, -3, 100)])
    s, rho = np.sin(theta).astype(dtype), np.cos(theta).astype(dtype)
    found = np.asarray(angle(jnp.asarray(s), jnp.asarray(rho)))
    assert found.dtype == dtype
    np.testing.assert_allclose(found, np.arctan2(s.astype(float), rho.astype(float)), rtol=6 * np.finfo(dtype).eps)


def test_rounding_of_covariances_is_divided_by_rcond() -> None:
    """Steps at an angle theta: the value moves by eps / (2 pi sin theta), half of what rcond says of a value of at most 1/2."""
    step = fn("step")
    for theta in (1e-5, 1e-3, 0.1, 1.5, 3.0, np.pi - 1e-3):
        eps = 1e-3 * min(theta, np.pi - theta) ** 2
        at, off = (expect([Factor(step, 0), Factor(step, 1)], CENTRED, pair(1.0, 1.0, np.cos(theta) + d)) for d in (0.0, eps))
        assert abs(off.value - at.value) <= 0.5 * eps / at.rcond
        assert at.rcond <= np.pi * np.sin(theta) <= 2 * at.rcond
    assert expect([Factor(step, 0), Factor(step, 1)], CENTRED, pair(1.0, 1.0, 1.0)).rcond == 0.0  # equal, or too close to tell
    assert expect([Factor(fn("relu"), 0), Factor(fn("relu"), 1)], CENTRED, pair(1.0, 1.0, 1.0 - 1e-10)).rcond == 1.0
    assert expect([Factor(fn("erf"), 0), Factor(fn("erf"), 1)], CENTRED, pair(9.0, 4.0, 1.0)).rcond == pytest.approx(19**-0.5)
    assert expect([Factor(fn("delta"), 0), Factor(fn("delta"), 1)], CENTRED, pair(1.0, 1.0, np.cos(0.1))).rcond == pytest.approx(np.sin(0.1) ** 2)
