"""What holds for every law: symmetry, Cauchy-Schwarz, positive kernels, homogeneity, independence, odd and even."""

from math import comb

import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from tensorprog.gaussian import Factor, Power, expect
from tensorprog.gaussian.product import slope
from tensorprog.language.nonlin import fn
from tests.gaussian.reference import pair

FAMILIES = [["relu", "step", "abs", "sign"], ["erf", "gaussian", "gelu"], ["sin", "cos", "gaussian"]]  # closed forms within each
ATOMS = st.sampled_from(sorted({name for family in FAMILIES for name in family})).map(fn)
PAIRS = st.sampled_from(FAMILIES).flatmap(lambda family: st.tuples(*(st.sampled_from(family).map(fn),) * 2))
VARIANCE = st.floats(1e-6, 1e6)
CORRELATION = st.one_of(st.floats(-1.0, 1.0), st.sampled_from([-1.0, 0.0, 1.0, 1 - 1e-15, -1 + 1e-12]))
SCALE = st.floats(-3.0, 3.0).filter(lambda s: abs(s) > 0.1)


def value(product, a, b, c) -> float:
    return float(expect(product, [0.0, 0.0], pair(a, b, c)).value)


@settings(max_examples=25)
@given(PAIRS, VARIANCE, VARIANCE, CORRELATION, SCALE, SCALE)
def test_a_pair(fg, a, b, rho, s, t) -> None:
    """Finite; symmetric; within Cauchy-Schwarz; (a, b, c) with scales s, t is (s^2 a, t^2 b, s t c) without."""
    f, g = fg
    c = rho * np.sqrt(a) * np.sqrt(b)
    left, right = Factor(f, 0, s), Factor(g, 1, t)
    here = value([left, right], a, b, c)
    sizes = value([left, left], a, b, c) * value([right, right], a, b, c)
    size = np.sqrt(max(sizes, 0.0))
    assert np.isfinite(here)
    assert abs(here) <= size * (1 + 1e-12) + 1e-13
    # Next to equal inputs the kernel of steps shows a rounding eps of rho as eps / angle, where the angle is at least sqrt(32 eps).
    assert value([Factor(g, 0, t), Factor(f, 1, s)], b, a, c) == pytest.approx(here, rel=1e-12, abs=1e-8 * size)
    scaled = value([Factor(f, 0), Factor(g, 1)], s * s * a, t * t * b, s * t * c)
    assert scaled == pytest.approx(here, rel=1e-12, abs=1e-8 * size)


@settings(max_examples=12)
@given(ATOMS, st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_kernels_are_positive(f, seed: int, rank: int) -> None:
    """The kernel of 5 inputs, some of them equal or opposite, has no eigenvalue below rounding."""
    x = np.random.default_rng(seed).standard_normal((5, rank))
    x[3], x[4] = x[0], -x[1]
    c = jnp.asarray(x @ x.T)
    a = jnp.diagonal(c)
    kernel = expect([Factor(f, 0), Factor(f, 1)], [0.0, 0.0], pair(a[:, None], a[None, :], c)).value
    assert np.linalg.eigvalsh(kernel).min() > -1e-7 * np.trace(kernel)  # 1e-8 is a rounding of rho next to equal inputs
    np.testing.assert_allclose(jnp.diagonal(kernel), expect([Factor(f, 0), Factor(f, 0)], [0.0], lambda i, j: a).value, rtol=1e-12)


@settings(max_examples=20)
@given(PAIRS, VARIANCE, VARIANCE)
def test_independent_factors(fg, a, b) -> None:
    f, g = fg
    one, other = (expect([Factor(h, 0)], [0.0], lambda i, j, v=v: v).value for h, v in ((f, a), (g, b)))
    assert value([Factor(f, 0), Factor(g, 1)], a, b, 0.0) == pytest.approx(float(one * other), rel=1e-11, abs=1e-13 * np.sqrt((1 + a) * (1 + b)))


@settings(max_examples=15)
@given(st.integers(0, 4), st.integers(0, 4), VARIANCE, VARIANCE, CORRELATION)
def test_wick_against_the_explicit_sum(p: int, q: int, a: float, b: float, rho: float) -> None:
    """E u^p v^q for v = rho u + sqrt(1 - rho^2) w, binomially."""

    def moment(k: int) -> float:
        return 0.0 if k % 2 else float(np.prod(np.arange(1, k, 2)))

    explicit = sum(comb(q, k) * rho**k * np.sqrt(1 - rho * rho) ** (q - k) * moment(p + k) * moment(q - k) for k in range(q + 1))
    scale = np.sqrt(a) ** p * np.sqrt(b) ** q
    found = value([Power(0, p), Power(1, q)] if p and q else [Power(i, d) for i, d in ((0, p), (1, q)) if d], a, b, rho * np.sqrt(a) * np.sqrt(b))
    assert found == pytest.approx(explicit * scale, rel=1e-11, abs=1e-12 * scale)


@settings(max_examples=15)
@given(ATOMS, VARIANCE, VARIANCE, CORRELATION)
def test_steins_lemma(f, a, b, rho) -> None:
    """E v f(u) = c E f'(u), the derivative by the table."""
    c = rho * np.sqrt(a) * np.sqrt(b)
    left = value([Factor(f, 0), Power(1, 1)], a, b, c)
    right = c * sum(k * value(product, a, b, c) for k, product in slope(Factor(f, 0)))
    assert left == pytest.approx(right, rel=1e-11, abs=1e-13 * np.sqrt(b))
