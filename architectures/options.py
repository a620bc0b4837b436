"""What architectures share: counts, one number for all layers or one a layer, pieces of an axis, biases that may be absent, filters."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import TypeVar

import tensorprog as tp

PerLayer = float | tuple[float, ...]
Symbol = TypeVar("Symbol")


def positive(**counts: int) -> None:
    """Nothing, if all counts are at least 1.

    Raises:
        tp.InvalidProgram: one is not.
    """
    for name, count in counts.items():
        if count < 1:
            raise tp.InvalidProgram(f"[option] {name} is {count}. Give a whole number >= 1.")


def per_layer(value: PerLayer, depth: int) -> tuple[float, ...]:
    """`value` for every one of `depth` layers.

    Raises:
        tp.InvalidProgram: another number of values than layers, or no layer.
    """
    positive(depth=depth)
    values = value if isinstance(value, tuple) else (float(value),) * depth
    if len(values) != depth:
        raise tp.InvalidProgram(f"[option] {len(values)} values for a depth of {depth}. Give one value, or one for each layer.")
    return values


def split(total: int, pieces: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes of pieces that follow each other along an axis.

    Raises:
        tp.InvalidProgram: they do not make up the axis.
    """
    if sum(pieces) != total or min(pieces) < 1:
        raise tp.InvalidProgram(f"[option] pieces of {', '.join(map(str, pieces))} do not make up {total}. Give sizes that add up to it.")
    return pieces


def biased(h: tp.Value, name: str, sigma: float, *, train: bool = True) -> tp.Value:
    """h + b; no bias at all where its sigma is 0."""
    return h + tp.bias(name, sigma, width=h.width, train=train) if sigma and h.width else h


def filters(tensor: Callable[[str, float], Symbol], name: str, sigma: float, kernel: int, dims: int) -> dict[tuple[int, ...], Symbol]:
    """The tensors of a convolution, name_t for every tap t of a cube of side `kernel`; together they have the variance sigma^2."""
    taps = list(product(range(kernel), repeat=dims))
    return {tap: tensor("_".join([name, *map(str, tap)]), sigma / len(taps) ** 0.5) for tap in taps}
