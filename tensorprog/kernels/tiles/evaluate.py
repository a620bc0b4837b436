"""One tile of a kernel by the function of `kernels.tile`: a table where one serves all points, else the rules; on one device or several."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

from tensorprog.errors import InvalidProgram, OutsideTheory
from tensorprog.gaussian.problem import Strategy
from tensorprog.kernels.key import Parts, network_of, parts_of
from tensorprog.kernels.symbolic import dimension
from tensorprog.kernels.tile import OUTPUTS, Tile
from tensorprog.kernels.tiles.rules import ByRules, by_rules
from tensorprog.kernels.tiles.spread import Device, Kernel, Points
from tensorprog.kernels.tiles.tables import ByTable
from tensorprog.language.program import Network

__all__ = ["OUTPUTS", "Device", "Evaluate", "Kernel", "Points", "evaluator", "known"]


class Evaluate(Protocol):
    """K(a, b) on the host, and under "error" the largest absolute error of its entries; K(a, a), symmetric to the last bit, where b is None.

    Attributes:
        positions: the sizes of the output's axes; a tile has shape (points, points, *positions, *positions).
        method: how the kernels are found.
    """

    @property
    def positions(self) -> tuple[int, ...]: ...

    @property
    def method(self) -> str: ...

    def __call__(self, a: Points, b: Points | None = None) -> Kernel: ...


def evaluator(
    network: Network,
    left: Points,
    right: Points | None,
    asked: Sequence[str],
    *,
    size: int,
    dtype: str,
    strategy: Strategy,
    devices: Sequence[Device],
) -> Evaluate:
    """The function of tiles of at most `size` points a side, chosen once for all of these points.

    Args:
        right: None where the kernel is that of `left` with itself.
        devices: over which the rows of a tile are spread.

    Raises:
        InvalidProgram: an unknown kernel or type of number, or a tile without points.
        OutsideTheory: kernels that can only be sampled.
    """
    require(asked, dtype, size)
    tile = known(network, asked, dtype, strategy)
    served = tile.served(left, right)
    if served is not None:
        return ByTable(served.tables, served.table, dtype, size, tuple(devices))
    return _rules(tile, tuple((name, a.shape[1:]) for name, a in left.items()), size, tuple(devices))


def known(network: Network, asked: Sequence[str], dtype: str, strategy: Strategy) -> Tile:
    """`tile(..)`, read once: searches and cross-validation ask for few networks, again and again, and share their tables.

    Raises:
        OutsideTheory: kernels that can only be sampled.
    """
    build = _known if strategy.key is None else _known.__wrapped__  # a random key is no key of a cache
    return build(parts_of(network), tuple(asked), dtype, strategy)


@lru_cache(maxsize=16)
def _known(parts: Parts, asked: tuple[str, ...], dtype: str, strategy: Strategy) -> Tile:
    network = network_of(parts)
    found = Tile(network, asked, dtype, strategy)  # pyright: ignore[reportArgumentType]
    if dimension(found.exact.symbolic) > strategy.max_dimension:
        raise OutsideTheory(
            f"[tiles] the kernels of {network.name} are found by sampling, and samples of different tiles do not form one positive kernel. "
            "Compute them whole with `kernels`."
        )
    return found


@lru_cache(maxsize=16)
def _rules(tile: Tile, features: tuple[tuple[str, tuple[int, ...]], ...], size: int, devices: tuple[Device, ...]) -> ByRules:
    return by_rules(tile, dict(features), size, devices)


def require(asked: Sequence[str], dtype: str, size: int) -> None:
    """Refuse what has no meaning, before any work."""
    if not asked or set(asked) - set(OUTPUTS):
        raise InvalidProgram(f"[tiles] the kernels are {' and '.join(OUTPUTS)}; asked for {', '.join(asked) or 'none'}.")
    if dtype not in ("float64", "float32"):
        raise InvalidProgram(f"[tiles] dtype is float64 or float32, not {dtype}.")
    if size < 1:
        raise InvalidProgram(f"[tiles] a tile has {size} points. Take at least 1.")
