"""A kernel matrix known by its tiles, stored or computed anew at every use: products with it never hold the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

from tensorprog.errors import InvalidProgram
from tensorprog.kernels.tiles.grid import Grid

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class TiledMatrix:
    """K(x1, x2) of one output, (N1, N2), read tile by tile.

    Attributes:
        fetch: tile (i, j), for j >= i where the matrix is symmetric.
    """

    grid: Grid
    dtype: np.dtype[np.floating]
    fetch: Callable[[int, int], Floats]

    @property
    def shape(self) -> tuple[int, int]:
        return self.grid.rows, self.grid.columns

    def tile(self, i: int, j: int) -> Floats:
        """Any tile; below the diagonal of a symmetric matrix the mirror image of the one above."""
        return self.fetch(j, i).T if self.grid.symmetric and j < i else self.fetch(i, j)

    def pieces(self) -> Iterator[tuple[slice, slice, Floats]]:
        """Every tile once, with the rows and columns that it stands for, each as it is read; one triangle where symmetric."""
        for i, j in self.grid.tiles:
            yield self.grid.row(i), self.grid.column(j), self.fetch(i, j)

    def __matmul__(self, v: Floats) -> Floats:
        """K v for v of shape (N2,) or (N2, k): one pass over the tiles.

        Raises:
            InvalidProgram: v has another number of rows.
        """
        v = np.asarray(v)
        if v.shape[:1] != (self.grid.columns,):
            raise InvalidProgram(f"[shape] the kernel is {self.grid.rows} x {self.grid.columns} and v has shape {v.shape}. Give one row a column.")
        out = np.zeros((self.grid.rows, *v.shape[1:]))
        for rows, columns, tile in self.pieces():
            out[rows] += tile @ v[columns]
            if self.grid.symmetric and rows != columns:
                out[columns] += tile.T @ v[rows]
        return out

    def __array__(self, dtype: object = None, copy: bool | None = None) -> Floats:
        """The whole matrix, in memory."""
        out = np.empty(self.shape, self.dtype)
        for rows, columns, tile in self.pieces():
            out[rows, columns] = tile
            if self.grid.symmetric:
                out[columns, rows] = tile.T
        return out if dtype is None else out.astype(dtype)  # pyright: ignore[reportArgumentType, reportCallIssue]

    def diagonal(self) -> Floats:
        """K(x, x) of every point of a square matrix.

        Raises:
            InvalidProgram: it is not square.
        """
        if self.grid.rows != self.grid.columns:
            raise InvalidProgram(f"[shape] the kernel is {self.grid.rows} x {self.grid.columns} and has no diagonal. Leave x2 out.")
        return np.concatenate([np.zeros(0, self.dtype), *(np.diagonal(self.fetch(i, i)) for i in range(self.grid.shape[0]))])

    def column(self, point: int) -> Floats:
        """K(x1, x2[point]), reading one column of tiles.

        Raises:
            InvalidProgram: there is no such point.
        """
        if not 0 <= point < self.grid.columns:
            raise InvalidProgram(f"[shape] there is no point {point} of {self.grid.columns}. Count from 0 to {self.grid.columns - 1}.")
        j, within = divmod(point, self.grid.size)
        return np.concatenate([self.tile(i, j)[:, within] for i in range(self.grid.shape[0])])

    def operator(self) -> LinearOperator:
        """For scipy's iterative solvers."""
        return LinearOperator(self.shape, matvec=self.__matmul__, matmat=self.__matmul__, dtype=np.dtype(float))  # pyright: ignore[reportCallIssue]
