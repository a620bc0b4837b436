"""A kernel matrix cut into square tiles; where it is symmetric, the tiles of one triangle."""

from __future__ import annotations

from dataclasses import dataclass

TileIndex = tuple[int, int]


@dataclass(frozen=True)
class Grid:
    """K(x1, x2) of shape (rows, columns) in tiles of `size` points; tile (i, j) is K(x1[i size : (i+1) size], x2[j size : (j+1) size])."""

    rows: int
    columns: int
    size: int
    symmetric: bool

    @property
    def shape(self) -> tuple[int, int]:
        """How many tiles there are each way."""
        return -(-self.rows // self.size), -(-self.columns // self.size)

    @property
    def tiles(self) -> tuple[TileIndex, ...]:
        """The tiles that are computed: all, or (i, j) with j >= i."""
        m, n = self.shape
        return tuple((i, j) for i in range(m) for j in range(i if self.symmetric else 0, n))

    def row(self, i: int) -> slice:
        """The points of x1 in tile row i."""
        return slice(i * self.size, min((i + 1) * self.size, self.rows))

    def column(self, j: int) -> slice:
        """The points of x2 in tile column j."""
        return slice(j * self.size, min((j + 1) * self.size, self.columns))
