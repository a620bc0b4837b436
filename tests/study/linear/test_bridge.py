"""The two-layer linear network as a Tensor Program: both infinite-width limits, and the finite network, by its closed form."""

import numpy as np
import pytest

from tensorprog.study.frame import Run
from tensorprog.study.linear.balance import correlation
from tensorprog.study.linear.bridge import feature_limit, feature_limit_descent, kernel_limit, widths
from tensorprog.study.linear.tasks import regression


def test_both_limits_are_approached_and_the_program_trains_as_its_products_do() -> None:
    """Three widths that quadruple, 16 seeds: the exponent spreads by 0.06 over seeds of the study."""
    found = widths(Run(0), (64, 256, 1024), 16, 0.2)
    failed = [f"{c.claim}: {c.measured:.4g}, wanted {c.wanted}" for c in found.checks if not c.passed]
    assert not failed, "; ".join(failed)


def test_small_steps_of_the_recursion_are_the_closed_form() -> None:
    sigma = np.random.default_rng(0).standard_normal((2, 3))
    errors = []
    for steps in (200, 400):
        path = feature_limit_descent(sigma, 2.0 / steps, steps)
        errors.append(np.abs(path[-1] - feature_limit(sigma, np.array([2.0]))[0]).max())
    np.testing.assert_allclose(errors[0] / errors[1], 2.0, rtol=0.02)  # gradient descent is first order in the step


def test_the_kernel_limit_of_a_linear_network_is_exponential() -> None:
    """K = 2 x . x' / d on whitened inputs: W2 W1 approaches Sigma as e^{-2 t / d}."""
    x, y = regression(4, 2, 12, 1.0, 0)
    f = kernel_limit(x, y, np.zeros_like(y), np.array([0.0, 1.0, 3.0]))
    target = x @ correlation(x, y).T
    for t, at in zip((0.0, 1.0, 3.0), f, strict=True):
        np.testing.assert_allclose(at, -np.expm1(-t / 2) * target, atol=1e-12)


@pytest.mark.slow
def test_exponents_at_large_widths() -> None:
    checks = widths(Run(0), (64, 128, 256, 512, 1024, 2048), 64, 0.06).checks
    assert all(c.passed for c in checks), [c for c in checks if not c.passed]
