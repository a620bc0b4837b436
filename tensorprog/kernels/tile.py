"""The kernels of one tile, K(x1, x2), as a function of two sets of points: what stores, meshes and solvers are built on."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Literal, NamedTuple

import jax
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram
from tensorprog.gaussian.problem import Strategy
from tensorprog.interpret.limit.data import Data, data_of
from tensorprog.interpret.precision import Precision, at_once, floats, traced
from tensorprog.kernels.exact import Compiled, compiled, same_features
from tensorprog.kernels.result import Kernels, refuse_infinite, refuse_unresolved
from tensorprog.kernels.tables.blocks import Points
from tensorprog.kernels.tables.pairs import Pairs, of_pairs
from tensorprog.kernels.tables.table import Table
from tensorprog.kernels.tables.tabulated import Tabulated, points
from tensorprog.language.homogeneity import degree
from tensorprog.language.program import Network

Output = Literal["nngp", "ntk"]
OUTPUTS: tuple[Output, ...] = ("nngp", "ntk")
FEW = 100 * 100  # pairs for which no table is made


class Result(NamedTuple):
    """Kernels by name, the largest absolute error of any entry, and how they were found."""

    kernels: dict[str, Array]
    error: Array
    method: str


class Served(NamedTuple):
    """A table, the points that it serves, and whose it is."""

    tables: Tabulated
    table: Table
    left: Points
    right: Points


class Tile:
    """(x1, x2=None) -> {name: (N1, N2, *output positions, *output positions)} of the kernels asked for; see `tile`."""

    def __init__(self, network: Network, get: Output | Iterable[Output], dtype: Precision, strategy: Strategy) -> None:
        if dtype not in ("float64", "float32"):
            raise InvalidProgram(f"[kernel] kernels are of dtype float64 or float32, not {dtype}.")
        self.asked = wanted(get)
        self.network, self.strategy = network, strategy
        self.dtype: Precision = dtype
        self.exact: Compiled = compiled(network, strategy=strategy, ntk="ntk" in self.asked, parts=False)

    def __reduce__(self) -> tuple[type[Tile], tuple[Network, tuple[Output, ...], Precision, Strategy]]:
        """For other processes, which make their own tables and code."""
        return Tile, (self.network, self.asked, self.dtype, self.strategy)

    def __call__(self, x1: ArrayLike | Data, x2: ArrayLike | Data | None = None) -> dict[str, Array]:
        return self.measured(x1, x2).kernels

    @at_once
    def measured(self, x1: ArrayLike | Data, x2: ArrayLike | Data | None = None) -> Result:
        """The same with error and method."""
        found = None if traced((x1, x2)) else self.tabulated(x1, x2)
        return self._by_rules(x1, x2) if found is None else found

    @at_once
    def diagonal(self, x: ArrayLike | Data) -> Result:
        """K(x, x) of every point alone, {name: (N, *output positions, *output positions)}: N entries, not N^2."""
        found = self.exact.alone(data_of(self.network.program, x, "x")).kernels
        refuse_infinite(found)
        if not traced(found):
            refuse_unresolved((found.nngp, found.ntk), found.error, found.method)
        return self._asked(found)

    @at_once
    def tabulated(self, x1: ArrayLike | Data, x2: ArrayLike | Data | None = None) -> Result | None:
        """The kernels by tables, or None: for few pairs, and where the network or the data have no table."""
        served = self.served(x1, x2)
        if served is None:
            return None
        found = served.tables.by(served.table, served.left, None if x2 is None else served.right, self.dtype)
        return Result(dict(found.kernels), jax.device_put(np.float64(found.error)), found.method)

    @at_once
    def served(self, x1: ArrayLike | Data, x2: ArrayLike | Data | None = None) -> Served | None:
        """The table that serves all pairs of these points, found or made; None where the rules are used."""
        if self._tables is None:
            return None
        left = data_of(self.network.program, x1, "x1")
        right = left if x2 is None else data_of(self.network.program, x2, "x2")
        same_features(left, right)
        a, b = (np.asarray(next(iter(side.values()))) for side in (left, right))
        if len(a) * len(b) < FEW or not a.shape[1]:
            return None
        first = points(a)
        second = first if x2 is None else points(b)
        table = self._tables.table(np.concatenate([first.q, second.q]), self.dtype)
        return None if table is None else Served(self._tables, table, first, second)

    @cached_property
    def _tables(self) -> Tabulated | None:
        """None where the kernels read more of a pair than its three Gram entries."""
        found = self.exact.symbolic
        return Tabulated(Pairs(found, self.strategy, self.asked), degree(self.network)) if of_pairs(found) else None

    def _by_rules(self, x1: ArrayLike | Data, x2: ArrayLike | Data | None) -> Result:
        return self._asked(self.exact(x1, x2, dtype=self.dtype))

    def _asked(self, found: Kernels) -> Result:
        """The kernels asked for, of the dtype asked for, which may round them."""
        if traced(found):
            return Result({name: getattr(found, name).astype(floats(self.dtype)) for name in self.asked}, found.error, found.method)
        kernels = {name: np.asarray(getattr(found, name)) for name in self.asked}
        rounding = np.finfo(self.dtype).eps / 2 * max(np.abs(k).max(initial=0.0) for k in kernels.values())
        rounded = {name: getattr(found, name) if k.dtype == self.dtype else k.astype(self.dtype) for name, k in kernels.items()}
        there, error = jax.device_put((rounded, np.float64(max(float(found.error), rounding))))
        return Result(there, error, found.method)


def tile(network: Network, get: Output | Iterable[Output] = OUTPUTS, *, dtype: Precision = "float64", strategy: Strategy = Strategy()) -> Tile:
    """The kernels of a network as a function (x1, x2=None) -> {name: (N1, N2, *output positions, *output positions)}, to be called many times.

    Where the kernels depend on each pair of points through their norms and their angle alone (`kernels.tables.pairs`), many pairs are evaluated by
    tables, which are made for the first data and kept; elsewhere, for few pairs, and where no table holds its error bound, by the rules themselves.
    `measured(x1, x2)` says which, with the error. With x2 = None the tile is K(x1, x1), symmetric to the last bit.

    Args:
        get: "nngp", "ntk", or both; nothing else is computed where there is a table.
        dtype: of the result; tables are made in float64 for both.

    Raises:
        InvalidProgram: an unknown output or dtype, or data that do not fit the network's inputs.
        OutsideTheory: a network without a kernel, or a kernel that is infinite.
    """
    return Tile(network, get, dtype, strategy)


def wanted(get: Output | Iterable[Output]) -> tuple[Output, ...]:
    """The outputs asked for, in the order of OUTPUTS."""
    names = {get} if isinstance(get, str) else set(get)
    unknown = sorted(names - set(OUTPUTS))
    if unknown or not names:
        raise InvalidProgram(f"[kernel] there is no kernel {', '.join(unknown) or 'asked for'}. Ask for {' and '.join(OUTPUTS)}.")
    return tuple(name for name in OUTPUTS if name in names)
