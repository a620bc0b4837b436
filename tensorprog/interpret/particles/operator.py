"""A matrix in the limit: |W| = hat(W) + dot(W), Gaussian operator plus adjoint of its transpose's (Yang & Littwin 2023, sec. 2.6.3).

Keep an orthonormal basis Q_1..Q_r of the span of the vectors multiplied so far, E Q_i Q_j = [i = j]. Then, with iid standard normals e_i,

    [matmul-hat]  hat(W x) = s sum_i E[Q_i Z^x] e_i,   so that Cov(hat(W x), hat(W y)) = s^2 E Z^x Z^y,

and a new x adds the directions of its residual: drawing hats conditionally on earlier ones and factorizing a possibly singular covariance are the
same step. With P_j, e'_j, s' the basis, normals and scale of the other direction, Stein's lemma gives

    [matmul-dot]  dot(W x) = (s^2 / s') sum_j P_j E[e'_j Z^x],  which is s^2 sum_{W^T y earlier} Z^y E[dZ^x / d hat(W^T y)].

A basis is kept as coefficients on the vectors themselves, Q = T x, so everything here is small matrices of sample moments.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tensorprog.interpret.particles.roots import Reals
from tensorprog.language.program import Program

SPAN_CUT = 1e-10  # a residual below this share of a vector's second moment is rounding: the vector lies in the span


@dataclass(frozen=True)
class Direction:
    """W (or W^T) so far: the vectors multiplied, the basis T of their span, and the root of each basis vector."""

    args: tuple[str, ...] = ()
    basis: Reals = field(default_factory=lambda: np.zeros((0, 0)))
    dims: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


def scale(program: Program, matrix: str, transpose: bool) -> float:
    """s, with Cov of hats = s^2 E Z^x Z^y: sigma for W, sigma sqrt(rows / cols) for W^T (Yang 2020, Setup F.5)."""
    m = program.matrix[matrix]
    ratio = program.width[m.rows].ratio / program.width[m.cols].ratio
    return m.sigma * float(ratio) ** 0.5 if transpose else m.sigma


def extend(d: Direction, arg: str, own: Reals, cross: Reals, first: int) -> tuple[Direction, Reals]:
    """Multiply one more family of vectors.

    Args:
        own: E Z^x Z^x' over the members of the family, (p, p).
        cross: E Z^x Z^y over members and all earlier vectors, (p, k).
        first: the next free root.

    Returns:
        the extended direction, and the coordinates E[Q_i Z^x] of the members in its basis, (p, r).
    """
    size = np.sqrt(own.diagonal())
    size = np.where(size > 0, size, 1.0)[:, None]
    old = cross @ d.basis.T
    residual = (own - old @ old.T) / (size * size.T)
    w, q = np.linalg.eigh(residual)
    keep = w > SPAN_CUT
    w, q = w[keep][::-1], q[:, keep][:, ::-1]
    new = size * q * np.sqrt(w)
    rows = (q / np.sqrt(w) / size).T
    basis = np.block([[d.basis, np.zeros((len(d.basis), len(own)))], [-rows @ old @ d.basis, rows]])
    dims = np.concatenate([d.dims, np.arange(first, first + len(w))])
    return Direction((*d.args, arg), basis, dims), np.concatenate([old, new], axis=1)


def dot_weights(opposite: Direction, regression: Reals, s: float, s_opposite: float) -> Reals:
    """(s^2 / s') E[Z^x e'_j] T: the coefficients of the dot on the vectors that the other direction has multiplied, (p, k)."""
    return s**2 / s_opposite * regression @ opposite.basis
