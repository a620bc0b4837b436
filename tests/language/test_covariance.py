"""Positive semidefinite or not, against eigenvalues."""

from __future__ import annotations

import numpy as np
import pytest

from tensorprog.language.covariance import TOLERANCE, indefinite


@pytest.mark.parametrize("n", [1, 2, 5, 20])
@pytest.mark.parametrize("rank", [0, 1, 3, 20])
def test_products_of_a_matrix_with_its_transpose_pass(n: int, rank: int) -> None:
    a = np.random.default_rng(n + 100 * rank).normal(size=(n, rank)) * 10.0 ** np.random.default_rng(rank).integers(-3, 4, size=(n, 1))
    assert indefinite((a @ a.T).tolist()) is None


@pytest.mark.parametrize("seed", range(30))
def test_the_verdict_is_that_of_the_eigenvalues(seed: int) -> None:
    """Far from the tolerance on either side: smallest eigenvalue +-1% of the largest."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 12))
    q, _ = np.linalg.qr(rng.normal(size=(n, n)))
    least = 0.01 if seed % 2 else -0.01
    k = q @ np.diag([1.0, *rng.uniform(0.05, 1, n - 2), least]) @ q.T
    found = indefinite(((k + k.T) / 2).tolist())
    assert (found is None) == (least > 0)


def test_singular_laws_pass_and_what_lies_beyond_does_not() -> None:
    assert indefinite([[1.0, 1.0], [1.0, 1.0]]) is None
    assert indefinite([[0.0, 0.0], [0.0, 1.0]]) is None
    assert indefinite([[1.0, 0.1 * 3], [0.3, 0.09]]) is None  # 0.1 * 3 is not 0.3: rounding of the input
    assert indefinite([[1.0, 1.0 + 1e-6], [1.0 + 1e-6, 1.0]]) is not None
    assert indefinite([[0.0, 0.1], [0.1, 0.0]]) is not None
    assert indefinite([[0.0, 0.1], [0.1, 1.0]]) is not None
    assert indefinite([[-1.0]]) == (0, -1.0)


def test_it_does_not_depend_on_the_scale() -> None:
    for scale in (1e-200, 1e200):
        assert indefinite([[scale, 2 * scale], [2 * scale, scale]]) is not None
        assert indefinite([[scale, 0.5 * scale], [0.5 * scale, scale]]) is None


def test_the_member_and_its_conditional_variance_are_named() -> None:
    found = indefinite([[4.0, 2.0, 0.0], [2.0, 0.5, 0.0], [0.0, 0.0, 1.0]])
    assert found == (1, pytest.approx(-0.5, abs=TOLERANCE))
