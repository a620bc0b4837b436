"""Functions of a symmetric matrix without its eigenvectors: K = Q T Q^T by reflections, T = Z diag(values) Z^T (Golub & Van Loan 2013, 8.3-8.4).

For few right sides r, V^T r = Z^T (Q^T r) and V u = Q (Z u) cost much less than V = Q Z, and the whole a third less than all eigenvectors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_blas_funcs, get_lapack_funcs

from tensorprog.errors import InternalError

Floats = NDArray[np.floating]
BLOCK = 64  # reflections that LAPACK applies together, and what it takes beside: 65 x 64 numbers


@dataclass(frozen=True)
class Householder:
    """The eigenvalues of a matrix, ascending, and its eigenvectors as reflections times those of T."""

    values: Floats
    tridiagonal: Floats
    reflections: Floats | None  # below the diagonal of (N, N), the first of them none; None: Q is one
    factors: Floats

    def to_modes(self, r: Floats) -> Floats:
        """V^T r."""
        return _product(self.tridiagonal, self._reflected(r, "T"), transpose=True)

    def from_modes(self, u: Floats) -> Floats:
        """V u."""
        return self._reflected(_product(self.tridiagonal, u), "N", overwrite=True)

    def apply(self, gains: Floats, r: Floats) -> Floats:
        """V diag(g) V^T r for every row g of gains (T, N): (T, N, m)."""
        u = gains[:, None, :] * self.to_modes(r).T  # (T, m, N), which LAPACK takes as the columns of (N, T m)
        out = self.from_modes(u.reshape(-1, u.shape[2]).T)
        return np.swapaxes(out.T.reshape(u.shape), 1, 2)

    def serving(self, columns: int) -> Householder:
        """For that many right sides and results together: with the eigenvectors themselves, where they then cost less than reflections."""
        if 4 * columns < 3 * len(self.values):
            return self
        return replace(self, tridiagonal=self._reflected(self.tridiagonal, "N"), reflections=None)

    def _reflected(self, a: Floats, transpose: str, *, overwrite: bool = False) -> Floats:
        """Q a ("N"), or Q^T a ("T")."""
        if self.reflections is None:
            return a
        (apply,) = get_lapack_funcs(("ormqr",), dtype=a.dtype)
        out, _, info = apply("L", transpose, self.reflections, self.factors, a, (a.shape[1] + 65) * BLOCK, overwrite_c=overwrite)
        return _checked(out, info)


def householder(k: Floats) -> Householder:
    """The decomposition of a symmetric matrix of float32 or float64, in this precision."""
    scale = np.ldexp(k.dtype.type(1), int(np.frexp(np.abs(k).max(initial=0.0))[1]))  # a power of two, so that nothing overflows
    reduce, split = get_lapack_funcs(("sytrd", "stevd"), dtype=k.dtype)
    both, diagonal, beside, factors, info = reduce((k / scale).T, lower=1, lwork=(len(k) + 65) * BLOCK, overwrite_a=1)
    values, tridiagonal, failed = split(*_checked((diagonal, beside), info))
    reflections, none = np.concatenate([both[:, :1], both[:, :-1]], axis=1), k.dtype.type(0)
    return Householder(_checked(values * scale, failed), tridiagonal, np.asfortranarray(reflections), np.r_[none, factors])


def _product(a: Floats, b: Floats, *, transpose: bool = False) -> Floats:
    """By the BLAS that LAPACK uses: the threads of NumPy's, a second one, would still wait for work on the cores that the first needs."""
    (gemm,) = get_blas_funcs(("gemm",), dtype=a.dtype)
    return gemm(1.0, a, b, trans_a=transpose)


def _checked(found: Any, info: int) -> Any:
    if info:
        raise InternalError(f"LAPACK gave up on an eigenvalue problem (info = {info}).")
    return found
