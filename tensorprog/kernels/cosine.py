"""Blocks of pairs that are far from equal and from opposite directions: a series in the cosine itself, which is short there and needs no arccosine.

A kernel is analytic in cos theta but for theta = 0 and pi, so that its Chebyshev series on |cos theta| <= r falls as (r / (1 + sqrt(1 - r^2)))^k.
Random directions in many dimensions are all of this kind.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tensorprog.kernels.chebyshev import Angle, coefficients, length, points, vandermonde

RADII = (0.8, 0.93)
SAMPLES = 256


@dataclass(frozen=True)
class Middle:
    """Coefficients (outputs, r, r, terms) of T_k(cos theta / radius)."""

    radius: float
    core: np.ndarray = field(repr=False)


def middles(core: np.ndarray, angle: Angle, tolerance: float) -> tuple[Middle, ...]:
    """The series in t(theta) as shorter ones in cos theta, for every radius at which they are; what they drop sums to `tolerance` of each output."""
    out: list[Middle] = []
    size = np.abs(core).max((1, 2, 3), keepdims=True)
    for radius in RADII:
        values = core @ vandermonde(angle.t(np.arccos(radius * points(SAMPLES))), core.shape[-1]).T
        found = coefficients(values, 3)
        terms = length(found / np.where(size > 0, size, 1.0), 3, tolerance)
        if terms <= core.shape[-1]:
            out.append(Middle(radius, found[..., :terms]))
    return tuple(out)
