"""Equal, opposite and zero inputs; extreme variances; derivatives there; single precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tensorprog.gaussian import Factor, Strategy, expect
from tensorprog.language.nonlin import fn
from tests.gaussian.reference import QUADRATURE, SERIES, gram, jitted, pair

CENTRED = [0.0, 0.0]
WAYS = {"closed": Strategy(), "quadrature": QUADRATURE, "series": SERIES}
# E f(u) f(u) and E f(u) f(-u) at variance a = 1.7.
A = 1.7
DIAGONAL = {
    "relu": (A / 2, 0.0),
    "step": (0.5, 0.0),
    "abs": (A, A),
    "sign": (1.0, -1.0),
    "erf": (2 / np.pi * np.arcsin(2 * A / (1 + 2 * A)), -2 / np.pi * np.arcsin(2 * A / (1 + 2 * A))),
    "sin": ((1 - np.exp(-2 * A)) / 2, -(1 - np.exp(-2 * A)) / 2),
    "identity": (A, -A),
}


@pytest.mark.parametrize(
    ("name", "way"),
    [
        *((name, "closed") for name in DIAGONAL),
        ("relu", "quadrature"),
        ("sign", "quadrature"),
        ("erf", "quadrature"),
        ("erf", "series"),
        ("sin", "series"),
    ],
)
def test_equal_and_opposite_inputs(name: str, way: str) -> None:
    f = fn(name)
    product = [Factor(f, 0), Factor(f, 1)]
    equal, opposite = DIAGONAL[name]
    # Within 16 units of rounding of the edge, on both sides of it: what a kernel's own rounding makes of equal inputs.
    c = A * (1 + np.array([0.0, 1e-15, -1e-15, 3e-15, -3e-15]))
    found = jitted(product, gram(A, A, jnp.concatenate([c, -c])), WAYS[way]).value
    np.testing.assert_allclose(found, np.repeat([equal, opposite], 5), rtol=2e-14, atol=2e-14)


@pytest.mark.parametrize(
    ("name", "way", "at_zero"),
    [
        ("relu", "closed", 0.0),
        ("step", "closed", 0.0),
        ("sign", "closed", 0.0),
        ("cos", "closed", 1.0),
        ("gelu", "closed", 0.0),
        ("step", "quadrature", 0.0),
        ("sigmoid", "quadrature", 0.5),
        ("sigmoid", "series", 0.5),
    ],
)
def test_zero_inputs(name: str, way: str, at_zero: float) -> None:
    f = fn(name)
    one = jitted([Factor(f, 0)], [[1.7]], WAYS[way]).value.item()
    a, b = jnp.array([0.0, 1.7, 0.0]), jnp.array([0.0, 0.0, 1.7])
    found = jitted([Factor(f, 0), Factor(f, 1)], gram(a, b, 0 * a), WAYS[way]).value
    np.testing.assert_allclose(found, [at_zero**2, one * at_zero, one * at_zero], atol=1e-14)


@pytest.mark.parametrize("name", ["relu", "step", "abs"])
def test_nearly_equal_and_opposite_inputs(name: str) -> None:
    """rho = cos(angle) is rounded: 1e-16 in rho is 1e-16 / sin(angle) in the angle, which the step kernel shows to first order."""
    f, angle = fn(name), np.array([1e-7, 1e-5, 1e-3, np.pi - 1e-3, np.pi - 1e-5])
    exact = {
        "relu": (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi),
        "step": (np.pi - angle) / (2 * np.pi),
        "abs": 2 * (np.sin(angle) + (np.pi / 2 - angle) * np.cos(angle)) / np.pi,
    }[name]
    for strategy in (Strategy(), QUADRATURE):
        found = jitted([Factor(f, 0), Factor(f, 1)], gram(1.0, 1.0, jnp.cos(angle)), strategy).value
        assert (np.abs(found - exact) < 1e-15 / np.sin(angle) + 1e-14).all()


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e150, 1e300])
def test_extreme_variances(scale: float) -> None:
    for name, power in (("relu", 1), ("step", 0), ("sign", 0)):
        f = fn(name)
        product = [Factor(f, 0), Factor(f, 1)]
        unit = expect(product, CENTRED, pair(1.3, 0.7, 0.4)).value
        found = expect(product, CENTRED, pair(1.3 * scale, 0.7 * scale, 0.4 * scale)).value
        np.testing.assert_allclose(found / scale**power, unit, rtol=1e-13)
    erf = expect([Factor(fn("erf"), 0), Factor(fn("erf"), 1)], CENTRED, pair(1.3 * scale, 0.7 * scale, 0.4 * scale)).value
    sign = expect([Factor(fn("sign"), 0), Factor(fn("sign"), 1)], CENTRED, pair(1.3, 0.7, 0.4)).value
    expected = 4 / np.pi * 0.4 * scale if scale < 1 else sign  # erf is linear near 0, a sign far from it
    np.testing.assert_allclose(erf, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "way"), [("relu", "closed"), ("gelu", "closed"), ("abs", "quadrature"), ("tanh", "quadrature"), ("tanh", "series"), ("sin", "series")]
)
def test_derivatives(name: str, way: str) -> None:
    """Price's theorem: d/dc E f(u) f(v) = E f'(u) f'(v); d/da = E f''(u) f(v) / 2, here by finite differences."""
    f = fn(name)

    def kernel(a, b, c):
        return expect([Factor(f, 0), Factor(f, 1)], CENTRED, pair(a, b, c), WAYS[way]).value

    at, h = jnp.array([1.3, 0.7, 0.4]), 1e-5
    gradient = jax.jit(jax.grad(lambda x: kernel(*x)))(at)
    up, down = jnp.split(jax.jit(kernel)(*(at[:, None] + h * jnp.concatenate([jnp.eye(3), -jnp.eye(3)], 1))), 2)
    np.testing.assert_allclose(gradient, (up - down) / (2 * h), atol=1e-8)  # h^2 and rounding / h


@pytest.mark.parametrize(("name", "way"), [("relu", "closed"), ("erf", "closed"), ("step", "closed"), ("step", "quadrature"), ("tanh", "series")])
def test_derivatives_are_finite_at_degenerate_points(name: str, way: str) -> None:
    f = fn(name)
    points = jnp.array([(1.0, 1.0, 1.0), (1.0, 1.0, -1.0), (1.0, 0.0, 0.0), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0 + 2e-16)]).T
    gradient = jax.jit(jax.grad(lambda x: expect([Factor(f, 0), Factor(f, 1)], CENTRED, pair(*x), WAYS[way]).value.sum()))(points)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(("name", "slope"), [("relu", "step"), ("erf", "gaussian")])
def test_derivative_in_the_covariance_on_the_diagonal(name: str, slope: str) -> None:
    factor = 4 / np.pi if name == "erf" else 1.0
    found = jax.grad(lambda c: expect([Factor(fn(name), 0), Factor(fn(name), 1)], CENTRED, pair(1.3, 1.3, c)).value)(1.3)
    assert found == pytest.approx(factor * float(expect([Factor(fn(slope), 0), Factor(fn(slope), 1)], CENTRED, pair(1.3, 1.3, 1.3)).value), rel=1e-13)


def test_a_jump_moves_with_the_mean() -> None:
    """d/dm P(u > 0) is the density: it comes from the edge of a panel alone."""
    found = jax.jit(jax.grad(lambda m: expect([Factor(fn("step"), 0)], [m], pair(1.0, 1.0, 0.0), QUADRATURE).value))(0.3)
    assert found == pytest.approx(np.exp(-0.045) / np.sqrt(2 * np.pi), rel=1e-12)


@pytest.mark.parametrize(("name", "way"), [("relu", "closed"), ("step", "closed"), ("erf", "closed"), ("relu", "quadrature"), ("tanh", "series")])
def test_single_precision(name: str, way: str) -> None:
    f = fn(name)
    single = [jnp.float32(x) for x in (1.3, 1.3, 1.3)]
    with jax.enable_x64(False):
        found = jitted([Factor(f, 0), Factor(f, 1)], gram(*single), WAYS[way]).value
    assert found.dtype == jnp.float32
    exact = jitted([Factor(f, 0), Factor(f, 0)], [[1.3]]).value
    assert found == pytest.approx(float(exact), rel=5e-6)


@pytest.mark.parametrize("c", [0.3, -1.0])
def test_three_dimensions_with_duplicates(c: float) -> None:
    """u_1 = +-u_0: the third variable keeps its correlation with both."""
    rows = ((1.0, c, 0.5), (c, 1.0, 0.5 * c), (0.5, 0.5 * c, 1.0))
    if c == 0.3:
        rows = ((1.0, c, 0.5), (c, 1.0, 0.5), (0.5, 0.5, 1.0))
    product = [Factor(fn("tanh"), 0), Factor(fn("tanh"), 1), Factor(fn("cos"), 2)]
    found = jitted(product, rows)
    assert found.method == "quadrature"
    if abs(c) == 1.0:
        two = jitted([Factor(fn("tanh"), 0), Factor(fn("tanh"), 0), Factor(fn("cos"), 1)], gram(1.0, 1.0, 0.5))
        np.testing.assert_allclose(found.value, c * two.value, rtol=1e-9)
    else:
        sampled = jitted(product, rows, Strategy(max_dimension=0))
        assert abs(found.value - sampled.value) < 4 * sampled.error
