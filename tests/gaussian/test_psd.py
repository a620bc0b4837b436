"""Square roots of singular and slightly indefinite matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tensorprog.errors import InvalidProgram
from tensorprog.gaussian.psd import cholesky, factor, root


def gram(rank: int, n: int = 5) -> np.ndarray:
    r = np.random.default_rng(rank).standard_normal((n, rank))
    return r @ r.T


@pytest.mark.parametrize("rank", [0, 1, 3, 5])
def test_root(rank: int) -> None:
    c = gram(rank)
    r, clipped = factor(c)
    np.testing.assert_allclose(r @ r.T, c, atol=1e-13)
    assert clipped < 1e-14


def test_batches() -> None:
    c = np.stack([gram(2), gram(4)])
    r = root(jnp.asarray(c))
    np.testing.assert_allclose(r @ r.swapaxes(-1, -2), c, atol=1e-13)


def test_rounding_is_clipped_and_reported() -> None:
    c = np.array([[1.0, 1.0 + 1e-12], [1.0 + 1e-12, 1.0]])
    r, clipped = factor(c)
    assert np.isfinite(r).all()
    assert clipped == pytest.approx(1e-12, rel=1e-3)


@pytest.mark.parametrize(
    ("c", "message"),
    [
        ([[1.0, 2.0], [2.0, 1.0]], "indefinite"),
        ([[1.0, 0.5], [0.0, 1.0]], "symmetric"),
        ([[1.0, np.nan], [np.nan, 1.0]], "NaN"),
        ([1.0, 2.0], "square"),
        ([[-1.0]], "indefinite"),
    ],
)
def test_bad_matrices_are_refused(c: list, message: str) -> None:
    with pytest.raises(InvalidProgram, match=message):
        factor(c, "the covariance of g1, g2")


def test_derivative() -> None:
    """Sylvester's equation, against finite differences; finite at double and at vanishing eigenvalues."""
    c, step = jnp.asarray(gram(5) + np.eye(5)), jnp.asarray(gram(2))
    _, tangent = jax.jvp(root, (c,), (step,))
    h = 1e-5
    np.testing.assert_allclose(tangent, (root(c + h * step) - root(c - h * step)) / (2 * h), atol=1e-8)
    for singular in (jnp.eye(3), jnp.zeros((3, 3)), jnp.ones((3, 3))):
        assert np.isfinite(jax.grad(lambda c: root(c).sum())(singular)).all()


def test_cholesky_of_singular_matrices() -> None:
    r = np.random.default_rng(3).standard_normal((4, 2))
    c = r @ r.T
    rows = cholesky(c.tolist())
    full = np.array([[float(rows[i][j]) if j <= i else 0.0 for j in range(4)] for i in range(4)])
    np.testing.assert_allclose(full @ full.T, c, atol=1e-14)
