"""E F(z) for Gaussian z: closed forms, exact polynomials, quadrature, sampling. Knows nothing of programs."""

from tensorprog.gaussian.expect import expect
from tensorprog.gaussian.problem import Composite, Estimate, Factor, Power, Strategy

__all__ = ["Composite", "Estimate", "Factor", "Power", "Strategy", "expect"]
