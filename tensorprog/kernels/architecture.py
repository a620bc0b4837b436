"""From a table of numbers to kernels: the network that an estimator means, rows laid out over its axes, its kernels on them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from tensorprog.build.declare import bias, matrix
from tensorprog.build.functions import nonlinearity
from tensorprog.build.inputs import Data, Output, embedding, readout
from tensorprog.build.network import network
from tensorprog.errors import InvalidProgram
from tensorprog.gaussian.problem import Strategy
from tensorprog.kernels.tiles.evaluate import OUTPUTS, evaluator, known
from tensorprog.kernels.tiles.grid import Grid
from tensorprog.language.program import Network

Floats = NDArray[np.float64]
Architecture = Network | Callable[..., Network]
TILE = 256  # the most points a side of a tile


@network
def relu_mlp(x: Data, depth: int = 2, phi: str = "relu", sigma_w: float = 2**0.5, sigma_b: float = 0.3, sigma_v: float = 1.0) -> Output:
    """h^1 = U x + b^1, h^{l+1} = W^{l+1} phi(h^l) + b^{l+1}, f = v . phi(h^L) / sqrt(n): what estimators mean where no architecture is given."""
    if depth < 1:
        raise InvalidProgram(f"[option] depth is {depth}. Give a whole number >= 1.")
    h = embedding("U", sigma_w) @ x + bias("b1", sigma_b)
    for l in range(2, depth + 1):
        h = matrix(f"W{l}", sigma_w) @ nonlinearity(phi)(h) + bias(f"b{l}", sigma_b)
    return readout("v", sigma_v) @ nonlinearity(phi)(h)


def built(architecture: Architecture | None, options: Mapping[str, Any] | None) -> Network:
    """The network of an architecture with its options.

    Raises:
        InvalidProgram: options that are no mapping, or for a network that is already built; a network with several inputs, or with output positions.
    """
    given = relu_mlp if architecture is None else architecture
    if not isinstance(options, Mapping | None):
        raise InvalidProgram(f"[architecture] options are {options!r}. Give a mapping of names to values: {{'depth': 3}}.")
    if isinstance(given, Network) and options:
        raise InvalidProgram(f"[architecture] {given.name} is a network already and takes no options ({', '.join(options)}). Give the function.")
    found = given if isinstance(given, Network) else given(**(options or {})) if callable(given) else None
    if not isinstance(found, Network):
        raise InvalidProgram(f"[architecture] {given!r} is no network and builds none. Give a network, or a function made by `tp.network`.")
    if len(found.program.inputs) != 1 or found.output_axes:
        raise InvalidProgram(
            f"[architecture] {found.name} has {len(found.program.inputs)} inputs and output positions {found.output_axes}. "
            "A table of numbers feeds one input, and one number is read out: pool or flatten the positions in the readout."
        )
    return found


def options_of(architecture: Architecture | None) -> dict[str, Any]:
    """The options of an architecture with their defaults; none of a network that is already built, or of what is no architecture."""
    given = relu_mlp if architecture is None else architecture
    if not callable(given):
        return {}
    parameters = inspect.signature(given).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def arranged(found: Network, x: Floats) -> Floats:
    """Rows of numbers, (N, features), over the axes of the network's input, (N, *positions, d), in order.

    Raises:
        InvalidProgram: a row is not finite, or the features do not divide among the positions.
    """
    if len(bad := np.flatnonzero(~np.isfinite(x).all(axis=1))):
        raise InvalidProgram(f"[input] X has NaN or infinite entries in row {bad[0]}. Remove or repair the row.")
    slot = found.program.inputs[0]
    sizes = tuple(found.program.size[a] for a in sorted(slot.axes))
    if x.shape[1] % prod(sizes):
        raise InvalidProgram(f"[architecture] {x.shape[1]} features do not divide among the positions {sizes} of {slot.name} in {found.name}.")
    return x.reshape(len(x), *sizes, x.shape[1] // prod(sizes))


def width_of(points: int) -> int:
    """Points a side of a tile: a power of two, so that the folds of a cross-validation share one compiled function."""
    return min(TILE, 1 << (max(points, 2) - 1).bit_length())


def between(found: Network, x1: Floats, x2: Floats | None = None, get: Sequence[str] = ("ntk",), size: int | None = None) -> dict[str, Floats]:
    """The kernels asked for of arranged points x1 and x2 (default x1), (N1, N2) each: by a table where one serves, else by tiles of `size` points."""
    right, name = x1 if x2 is None else x2, found.program.inputs[0].name
    asked = OUTPUTS if "ntk" in get else tuple(get)  # the NTK comes with the NNGP at little cost
    tabulated = known(found, asked, "float64", Strategy()).tabulated(x1, x2)
    if tabulated is not None:
        return {kernel: np.asarray(tabulated.kernels[kernel]) for kernel in get}
    size = size or width_of(max(len(x1), len(right)))
    sides = {name: x1}, None if x2 is None else {name: x2}
    evaluate = evaluator(found, *sides, asked, size=size, dtype="float64", strategy=Strategy(), devices=jax.local_devices()[:1])
    grid = Grid(len(x1), len(right), size, x2 is None)
    out = {kernel: np.empty((len(x1), len(right))) for kernel in get}
    for i, j in grid.tiles:
        a, b = grid.row(i), grid.column(j)
        tile = evaluate({name: x1[a]}, None if x2 is None and i == j else {name: right[b]})
        for kernel in get:
            out[kernel][a, b] = tile[kernel]
            if x2 is None:
                out[kernel][b, a] = tile[kernel].T
    return out


def diagonal(found: Network, x: Floats, get: Sequence[str] = ("nngp",)) -> dict[str, Floats]:
    """K(x, x) of every arranged point, (N,)."""
    own = known(found, get, "float64", Strategy()).diagonal(x)
    return {kernel: np.asarray(own.kernels[kernel]) for kernel in get}
