"""Reflections and the eigenvectors of the tridiagonal matrix are the eigenvectors of the whole."""

import numpy as np
import pytest

from tensorprog.kernels.dynamics.householder import householder

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("n", "columns"), [(2, 1), (30, 2), (30, 40)], ids=["two points", "few right sides", "many right sides"])
@pytest.mark.parametrize("scale", [1e-290, 1.0, 1e290])
def test_functions_of_a_matrix(n: int, columns: int, scale: float) -> None:
    """Two gains at once; with many right sides the eigenvectors are formed."""
    a = RNG.standard_normal((n, n))
    k, r = scale * (a + a.T), RNG.standard_normal((n, columns))
    found = householder(k).serving(columns)
    values, vectors = np.linalg.eigh(k)
    np.testing.assert_allclose(found.values, values, atol=1e-13 * np.abs(values).max())
    np.testing.assert_allclose(found.from_modes(found.to_modes(r)), r, atol=1e-13)
    gains = np.stack([np.tanh(values / scale), np.ones(n)])
    wanted = np.einsum("ij,tj,kj,km->tim", vectors, gains, vectors, r)
    np.testing.assert_allclose(found.apply(gains, r), wanted, atol=1e-12)


def test_the_precision_is_that_of_the_matrix() -> None:
    k = np.diag(np.arange(5, dtype=np.float32)) + np.float32(0.1)
    found = householder(k)
    assert found.values.dtype == found.from_modes(np.ones((5, 1), np.float32)).dtype == np.float32


def test_a_matrix_of_zeros() -> None:
    np.testing.assert_array_equal(householder(np.zeros((4, 4))).values, np.zeros(4))
