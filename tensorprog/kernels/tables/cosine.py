"""Blocks of pairs that are far from equal and from opposite directions: a series in the cosine itself, which is short there and needs no arccosine.

A kernel is analytic in cos theta but for theta = 0 and pi, so that its Chebyshev series on |cos theta| <= r falls as (r / (1 + sqrt(1 - r^2)))^k.
Random directions in many dimensions are all of this kind.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tensorprog.kernels.tables.chebyshev import Angle, coefficients, length, points, vandermonde
from tensorprog.kernels.tables.series import Series, decomposed

RADII = (0.8, 0.93)
SAMPLES = 256
ARCCOSINE = 24  # what an angle costs, in terms of a series


@dataclass(frozen=True)
class Middle:
    """The kernel of every output as a series in cos theta / radius."""

    radius: float
    series: tuple[Series, ...] = field(repr=False)


def middles(c: np.ndarray, angle: Angle, tolerance: float) -> tuple[Middle, ...]:
    """The series in cos theta, for every radius at which they cost less than that in t(theta).

    What they drop is `tolerance` of each output at most.

    Args:
        c: (outputs, size, size, terms), the coefficients in t(theta) at the Chebyshev points of the norms.
    """
    out: list[Middle] = []
    for radius in RADII:
        values = c @ vandermonde(angle.t(np.arccos(radius * points(SAMPLES))), c.shape[-1]).T
        found = coefficients(values, 3)
        size = np.abs(found).max((1, 2, 3), keepdims=True)
        terms = length(found / np.where(size > 0, size, 1.0), 3, tolerance / 16)
        if terms <= c.shape[-1] + ARCCOSINE:
            out.append(Middle(radius, tuple(decomposed(one, tolerance / 2) for one in found[..., :terms])))
    return tuple(out)
