"""Functions that jump, of variables that are no linear forms: signs of products exactly; where a density would be needed, a refusal and a way out."""

import jax
import pytest
from scipy.stats import norm

import tensorprog as tp


@tp.program
def masked() -> tp.Value:
    """E sign(-2 v step(h) e^u) v = -E|v| / 2, whose factors are read one by one."""
    v, u, h = tp.initial("v"), tp.initial("u"), tp.initial("h")
    return tp.moment(tp.sign(-2.0 * v * tp.step(h) * tp.exp(u)) * v).named("c")


@tp.program
def tied() -> tp.Value:
    """The dot of W^T x needs the density of h u + z at 0."""
    v, u, z, w = tp.initial("v"), tp.initial("u"), tp.initial("z"), tp.matrix("W")
    h = w @ v
    return tp.moment((w.T @ tp.sign(h * u + z)) * v).named("c")


@tp.program
def tied_with_product() -> tp.Value:
    """sign(h u) u: the dot is E 2 delta(h) |u| = (2 / sqrt(2 pi)) sqrt(2 / pi) = 2 / pi."""
    v, u, w = tp.initial("v"), tp.initial("u"), tp.matrix("W")
    h = w @ v
    return tp.moment((w.T @ (tp.sign(h * u) * u)) * v).named("c")


def test_the_sign_of_a_product_is_a_product_of_signs() -> None:
    with jax.enable_x64(True):
        assert float(tp.limit(masked()).scalar("c")) == pytest.approx(-((1 / (2 * 3.141592653589793)) ** 0.5), abs=1e-12)  # E|v| = sqrt(2 / pi)


def test_its_dot_is_exact() -> None:
    with jax.enable_x64(True):
        for dots in ("derivative", "stein"):
            assert float(tp.limit(tied_with_product(), dots=dots).scalar("c")) == pytest.approx(2 / 3.141592653589793, abs=1e-8)


def test_the_derivative_of_a_jump_of_another_variable_is_refused() -> None:
    with jax.enable_x64(True), pytest.raises(tp.OutsideTheory, match=r"\[dot\].*Take dots=\"stein\", or sample"):
        tp.limit(tied()).scalar("c")


@tp.program
def shifted() -> tuple[tp.Value, ...]:
    """Products with jumps away from 0, and the dot of one: E[d/dh step(h + c) h] = P(h > -c) - c phi(c)."""
    a, b = tp.gaussians("a", "b", covariance=[[1.0, 0.6], [0.6, 1.5]])
    z, w = tp.initial("z"), tp.matrix("W")
    h = w @ z
    dot = tp.moment((w.T @ (tp.step(h + 0.5) * h)) * z).named("dot")
    square = tp.moment(a**2 * tp.step(a - 1.0) ** 2).named("square")
    return dot, square, tp.moment(a * b * tp.step(1.0 - 2.0 * a)).named("pair")


def test_jumps_away_from_zero_are_pinned_where_they_are() -> None:
    found = tp.limit(shifted())
    assert float(found.scalar("dot")) == pytest.approx(norm.cdf(0.5) - 0.5 * norm.pdf(0.5), abs=1e-13)
    assert float(found.scalar("square")) == pytest.approx(norm.sf(1.0) + norm.pdf(1.0), abs=1e-13)  # int_1^oo u^2 phi
    assert float(found.scalar("pair")) == pytest.approx(0.6 * (norm.cdf(0.5) - 0.5 * norm.pdf(0.5)), abs=1e-13)  # E b given a is 0.6 a
