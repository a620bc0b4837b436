"""E prod_i factor_i(u) for Gaussian u: the order of resorts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tensorprog.gaussian.problem import AnyFactor, Estimate, Scalars, Strategy


def expect(factors: Sequence[AnyFactor], mean: Sequence[Scalars], cov: Callable[[int, int], Scalars], strategy: Strategy = Strategy()) -> Estimate:
    """E prod_i factor_i(u), u ~ N(mean, C), C_ij = cov(i, j), asked for lazily; the arrays broadcast."""
    raise NotImplementedError
