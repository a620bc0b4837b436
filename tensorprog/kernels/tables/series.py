"""Kernels as sums of few products: sum_n T_n(x) sum_r sign_nr v_nr(s) v_nr(s'), term by term symmetric in the norms of the two points."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tensorprog.kernels.tables.chebyshev import coefficients


@dataclass(frozen=True)
class Series:
    """One kernel of x and two norms.

    Attributes:
        ranks: how many products stand beside T_0, T_1, ..
        functions: (size, R), the Chebyshev coefficients of all v in the variable of the norms.
        signs: (R,).
    """

    ranks: tuple[int, ...]
    functions: np.ndarray = field(repr=False)
    signs: np.ndarray = field(repr=False)

    def sum(self, left: np.ndarray, right: np.ndarray, chebyshev: np.ndarray) -> np.ndarray:
        """The kernel of pairs (P,) from v at either side, (P or 1, R), and T_0 .. T_{n-1} at their x, (P, n): the definition, for checks."""
        beside = np.repeat(np.arange(len(self.ranks)), self.ranks)
        return (self.signs * left * right * chebyshev[:, beside]).sum(-1)


def decomposed(c: np.ndarray, tolerance: float) -> Series:
    """The fewest products whose distance from sum_n T_n c_n is at most `tolerance` times the largest |c|.

    Every c_n, symmetric, is the sum of its eigenvectors; of all of them together the smallest are dropped (Eckart & Young 1936).

    Args:
        c: (size, size, terms), values at the Chebyshev points of the norms.
    """
    stacked = np.moveaxis(c + c.swapaxes(0, 1), -1, 0) / 2
    eigenvalues, vectors = np.linalg.eigh(stacked)
    bounds = np.abs(eigenvalues) * np.abs(vectors).max(1) ** 2  # of one product; T_n is at most 1
    order = np.argsort(bounds, axis=None)
    dropped = np.cumsum(bounds.ravel()[order]) <= tolerance * np.abs(c).max(initial=0.0)
    kept = np.ones(bounds.size, bool)
    kept[order[dropped]] = False
    kept = kept.reshape(bounds.shape)
    ranks = kept.sum(1)[: max(1, int(np.max(np.nonzero(kept.any(1))[0], initial=0)) + 1)]
    values = (np.sqrt(np.abs(eigenvalues))[:, None] * vectors).swapaxes(1, 2)[kept]
    return Series(tuple(map(int, ranks)), coefficients(values.T, 0), np.sign(eigenvalues[kept]))
