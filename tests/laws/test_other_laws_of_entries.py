"""The limit does not know the law of a matrix's entries, only their variance (Golikov & Yang 2022, "Non-Gaussian Tensor Programs")."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tensorprog.interpret.finite import Law, sample
from tensorprog.kernels.empirical import compiled
from tensorprog.kernels.limit import kernels
from tests.finite_networks import tied

X = np.random.default_rng(0).standard_normal((2, 3))
SEEDS = 32


def error(law: Law, n: int, wanted: jax.Array) -> float:
    """Root mean square over seeds of the relative Frobenius error of the NTK, for a network with W and W^T in its forward pass."""
    kernel = compiled(tied(), n)

    def one(key: jax.Array) -> jax.Array:
        return jnp.linalg.norm(kernel(sample(tied(), key, n, 3, law), X).ntk - wanted) / jnp.linalg.norm(wanted)

    errors = jax.jit(lambda keys: jax.lax.map(one, keys))(jax.random.split(jax.random.key(1), SEEDS))
    return float(jnp.sqrt((errors**2).mean()))


@pytest.mark.parametrize("law", ["rademacher", "uniform"])
def test_kernels_converge_to_the_same_limit(law: Law) -> None:
    """16 times the width: the error falls by 4. Over 32 seeds each error is known to 1 / sqrt(2 * 32) = 12%, their ratio to 18%; 3 of these."""
    wanted = kernels(tied(), X).ntk
    narrow, wide = error(law, 24, wanted), error(law, 384, wanted)
    assert wide < 0.15
    assert 4 / 1.6 < narrow / wide < 4 * 1.6
