"""Functions that jump, of variables that are no linear forms: signs of products exactly; where a density would be needed, a refusal and a way out."""

import jax
import pytest

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
