"""Proved upper bounds of Lip(Dh): for quadratic maps, and for two-layer networks with a smooth nonlinearity.

Lip(Dh) on a ball is the largest operator norm there of the second derivative as a map u -> (v -> D^2 h[u, v]). For n outputs it is at most the root
of the sum of the squares of those of the single outputs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

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


def two_layer(x: ArrayLike, readout: ArrayLike, nonlinearity: str, radius: float) -> Lipschitz:
    """Of f(x) = v . phi(U x / sqrt(d)) / sqrt(n), (U, v) trained, on the ball of this radius around them.

    The second derivative of one output is block diagonal over neurons, with blocks [[0, phi' q], [phi' q, v phi'' q q^T]] / sqrt(n), q = x / sqrt(d):
    of norm at most (|phi'| |q| + |v_i| |phi''| |q|^2) / sqrt(n), |v_i| <= max |v_i(0)| + radius.

    Args:
        x: inputs (N, d).
        readout: v (n,).

    Raises:
        InvalidProgram: the nonlinearity has no bounded second derivative that is known here.
    """
    if nonlinearity not in SLOPES:
        known = ", ".join(SLOPES)
        raise InvalidProgram(
            f"[validity] no bound of the second derivative of {nonlinearity!r} is known (known: {known}). Take `estimated_lipschitz`."
        )
    slopes, v = SLOPES[nonlinearity], np.asarray(readout, dtype=np.float64).ravel()
    a = np.asarray(x, dtype=np.float64)
    q: NDArray[np.float64] = np.linalg.norm(a, axis=1) / a.shape[1] ** 0.5
    each = (slopes.first * q + (np.abs(v).max() + radius) * slopes.second * q**2) / len(v) ** 0.5
    return Lipschitz(float(np.linalg.norm(each)), certified=True, how=f"second derivative on a ball of radius {radius:.3g}")
