"""Data sets as networks read them: for every input an array (N, *positions, d) over the same N points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jax import Array

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.finite import Inputs, inputs_of
from tensorprog.language.program import Network

Points = Mapping[str, Array]


def points_of(network: Network, x: Inputs) -> dict[str, Array]:
    """The data of every input, checked.

    Raises:
        InvalidProgram: a shape that is not (N, *positions, d), different N, or an entry that is not finite.
    """
    data = inputs_of(network.program, x)
    for i in network.program.inputs:
        if data[i.name].ndim != len(i.axes) + 2:
            wanted = ", ".join(["points", *sorted(i.axes), "d"])
            raise InvalidProgram(f"[input] {i.name} has shape {data[i.name].shape}, but needs ({wanted}).")
    if len({a.shape[0] for a in data.values()}) != 1:
        raise InvalidProgram("[input] the inputs have different numbers of points, or there is no input. Give every input the same points.")
    return data


def count(data: Mapping[str, Any], axis: int = 0) -> int:
    """How many points arrays of every input have, along an axis."""
    return next(iter(data.values())).shape[axis]


def blocks(data: Points, size: int) -> list[dict[str, Array]]:
    """The points in blocks of `size`, the last one perhaps smaller."""
    if count(data) <= size:
        return [dict(data)]
    return [{name: a[i : i + size] for name, a in data.items()} for i in range(0, count(data), size)]
