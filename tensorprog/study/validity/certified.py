"""Proved upper bounds of Lip(Dh): for quadratic maps, and for two-layer networks with a smooth nonlinearity.

Lip(Dh) on a ball is the largest operator norm there of the second derivative as a map u -> (v -> D^2 h[u, v]). For n outputs it is at most the root
of the sum of the squares of those of the single outputs, and the largest of those of unit combinations of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tensorprog.errors import InvalidProgram
from tensorprog.study.validity.training import Lipschitz


class Slopes(NamedTuple):
    """sup |phi'| and sup |phi''|."""

    first: float
    second: float


SLOPES = {
    "identity": Slopes(1.0, 0.0),
    "tanh": Slopes(1.0, 4 / 3**1.5),
    "erf": Slopes(2 / np.pi**0.5, 2 * (2 / np.pi) ** 0.5 * np.exp(-0.5)),
    "sin": Slopes(1.0, 1.0),
    "cos": Slopes(1.0, 1.0),
    "sigmoid": Slopes(0.25, 1 / (6 * 3**0.5)),
}


def quadratic(hessians: ArrayLike) -> Lipschitz:
    """Of h_i(w) = c_i + a_i . w + w^T B_i w / 2, everywhere: the root of the largest eigenvalue of sum_i B_i^2.

    Args:
        hessians: (n, p, p), symmetric.
    """
    b = np.asarray(hessians, dtype=np.float64)
    return Lipschitz(float(np.sqrt(np.linalg.eigvalsh(np.einsum("ijk,ikl->jl", b, b))[-1])), certified=True, how="sum of squared Hessians")


def two_layer(x: ArrayLike, readout: ArrayLike, nonlinearity: str, radius: float, reach: float | None = None) -> Lipschitz:
    """Of f(x) = v . phi(U x / sqrt(d)) / sqrt(n), (U, v) trained, on the ball of this radius around them.

    For |c| = 1 the second derivative of sum_a c_a f(x_a) is block diagonal over neurons i, with blocks [[0, g], [g^T, v_i G]] / sqrt(n),
    g = sum_a c_a phi' q_a, G = sum_a c_a phi'' q_a q_a^T, q = x / sqrt(d). With Q the matrix of all q_a, a block's norm is at most
    |phi'| |Q| + |v_i| |phi''| min(|Q|^2, (sum |q_a|^4)^(1/2)).

    Args:
        x: inputs (N, d).
        readout: v (n,).
        reach: how far a single v_i can have moved, if that is less than the radius: see `reach`. The set is then smaller, and still convex.

    Raises:
        InvalidProgram: the nonlinearity has no bounded second derivative that is known here.
    """
    if nonlinearity not in SLOPES:
        known = ", ".join(SLOPES)
        raise InvalidProgram(f"[validity] no bound of the derivatives of {nonlinearity!r} is known, only of {known}. Take `estimated_lipschitz`.")
    slopes, v = SLOPES[nonlinearity], np.asarray(readout, dtype=np.float64).ravel()
    a = np.asarray(x, dtype=np.float64)
    q = a / a.shape[1] ** 0.5
    size = float(np.linalg.norm(q, 2))
    bent = min(size**2, float(np.sqrt((np.linalg.norm(q, axis=1) ** 4).sum())))
    largest = float(np.abs(v).max()) + (radius if reach is None else min(radius, reach))
    value = (slopes.first * size + largest * slopes.second * bent) / len(v) ** 0.5
    return Lipschitz(value, certified=True, how=f"second derivative within {radius:.3g} of the start")


def reach(n: int, points: int, T: float, alpha: float, R0: float, largest: float = 1.0) -> float:
    """How far one v_i can move until T: v_i' = sum_a phi_ia r_a / (alpha sqrt(n)), |r| <= sqrt(2 R0), |phi| <= `largest` (1 for tanh, erf, sin)."""
    return T * largest * float(np.sqrt(2 * points * R0 / n)) / alpha
