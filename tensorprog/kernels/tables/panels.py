"""A table at pairs of points by NumPy, in panels of rows that stay in cache: once takes less time than to compile it (Clenshaw 1955)."""

from __future__ import annotations

from functools import partial
from itertools import accumulate

import numpy as np

from tensorprog.kernels.execution.memory import aligned
from tensorprog.kernels.execution.threads import in_threads
from tensorprog.kernels.tables.cosine import Middle
from tensorprog.kernels.tables.evaluate import Norms, Side
from tensorprog.kernels.tables.series import Series
from tensorprog.kernels.tables.table import Table

ROWS = 64


def by_panels(table: Table, left: Side, right: Side | None, own: np.ndarray | None) -> list[np.ndarray] | None:
    """K of every output, (N1, N2), symmetric to the last bit where `right` is None; None if a pair is near equal or opposite directions.

    By the shortest series in the cosine that serves all pairs; those of points with themselves (right = None) are `own`, (outputs, N).
    """
    u, v = (np.asarray(side.rounded) for side in (left, right or left))
    cos = u @ v.T
    if right is None:
        np.fill_diagonal(cos, 0.0)
    largest = max(cos.max(initial=0.0), -cos.min(initial=0.0))
    middle = next((m for m in table.middles if largest <= m.radius), None)
    if middle is None:
        return None
    out = [aligned(cos.shape, cos.dtype) for _ in table.outputs]
    for k, series in zip(out, middle.series, strict=True):
        rows, columns = (_factors(series, side.norms, cos.dtype) for side in (left, right or left))
        signed = rows * series.signs.astype(cos.dtype)
        in_threads(partial(_panel, k, cos, middle, series.ranks, (signed, columns), right is None), range(0, len(cos), ROWS))
        k *= np.asarray(left.norms.scale)[:, None] * np.asarray((right or left).norms.scale)
    if own is not None:
        for k, alone in zip(out, own, strict=True):
            np.fill_diagonal(k, alone)
    return out


def _factors(series: Series, norms: Norms, dtype: np.dtype) -> np.ndarray:
    """v of all products at the norms, (N or 1, R)."""
    return (np.asarray(norms.chebyshev) @ series.functions).astype(dtype)


def _panel(
    out: np.ndarray, cos: np.ndarray, middle: Middle, ranks: tuple[int, ...], factors: tuple[np.ndarray, np.ndarray], symmetric: bool, at: int
) -> None:
    """The rows from `at` on; where the kernel is symmetric, from the diagonal on, and the columns below it as well."""
    here, there = slice(at, at + ROWS), slice(at if symmetric else 0, None)
    x = cos[here, there] / cos.dtype.type(middle.radius)
    rows, columns = (a if len(a) == 1 else a[part] for a, part in zip(factors, (here, there), strict=True))
    part = summed(ranks, rows, columns.T, x)
    if symmetric:
        square = part[:, : len(part)]
        square[:] = np.triu(square) + np.triu(square, 1).T
        out[there, here] = part.T
    out[here, there] = part


def summed(ranks: tuple[int, ...], rows: np.ndarray, columns: np.ndarray, x: np.ndarray) -> np.ndarray:
    """sum_n T_n(x_ij) sum_r rows[i, r] columns[r, j], where ranks[n] products stand beside T_n."""
    starts = list(accumulate(ranks, initial=0))
    first, second, products, twice = np.zeros_like(x), np.zeros_like(x), np.empty_like(x), 2 * x
    for n in range(len(ranks) - 1, 0, -1):
        _step(first, second, products, twice, rows[:, starts[n] : starts[n + 1]], columns[starts[n] : starts[n + 1]])
        first, second = second, first
    _step(first, second, products, x, rows[:, : starts[1]], columns[: starts[1]])
    return second


def _step(first: np.ndarray, second: np.ndarray, products: np.ndarray, x: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> None:
    """second := x first + rows @ columns - second."""
    np.negative(second, out=second)
    if rows.shape[1]:
        second += np.matmul(rows, columns, out=products) if products.shape == (len(rows), columns.shape[1]) else rows @ columns
    np.multiply(x, first, out=products)
    second += products
