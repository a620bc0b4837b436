"""Eigenvalues by rotations against LAPACK: absolute errors are roundings of the norm, for every rank and scale."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tensorprog.gaussian.jacobi import eigh


def matrices(m: int) -> np.ndarray:
    """Generic ones, the identity, zero, rank one, huge and tiny."""
    a = np.random.default_rng(m).normal(size=(8, m, m))
    a = a + a.transpose(0, 2, 1)
    a[0], a[1], a[2] = np.eye(m), 0.0, 1.0
    a[3] *= 1e-150
    a[4] *= 1e120
    return a


@pytest.mark.parametrize("m", [1, 2, 3, 4, 9, 16])
def test_eigenvalues_and_vectors(m: int) -> None:
    a = matrices(m)
    w, v = map(np.asarray, eigh(jnp.asarray(a)))
    norm = np.maximum(np.linalg.norm(a, axis=(1, 2), keepdims=True), 1e-300)
    rounding = 10 * m * np.finfo(float).eps
    assert np.abs((w - np.linalg.eigvalsh(a)) / norm[..., 0]).max() < rounding
    assert np.abs((v * w[:, None] @ v.transpose(0, 2, 1) - a) / norm).max() < rounding
    assert np.abs(v @ v.transpose(0, 2, 1) - np.eye(m)).max() < rounding


def test_the_derivative_of_eigenvalues() -> None:
    """dw_i = v_i . dA v_i where they are apart."""
    a, da = jnp.asarray(matrices(5)[-2]), jnp.asarray(matrices(5)[-1])
    (_, v), (dw, _) = jax.jvp(eigh, (a,), (da,))
    np.testing.assert_allclose(dw, jnp.diagonal(v.T @ da @ v), atol=1e-12)
    np.testing.assert_allclose(jax.grad(lambda x: eigh(x)[0][-1])(a), jnp.outer(v[:, -1], v[:, -1]), atol=1e-12)
