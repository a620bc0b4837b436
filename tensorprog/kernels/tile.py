"""The kernels of one tile, K(x1, x2), as a function of two sets of points: what stores, meshes and solvers are built on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram
from tensorprog.gaussian.problem import Strategy
from tensorprog.interpret.limit.data import Data
from tensorprog.kernels.exact import compiled
from tensorprog.language.program import Network

Output = Literal["nngp", "ntk"]
OUTPUTS: tuple[Output, ...] = ("nngp", "ntk")
Tile = Callable[..., dict[str, Array]]


def tile(network: Network, get: Iterable[Output] = OUTPUTS, *, dtype: str = "float64", strategy: Strategy = Strategy()) -> Tile:
    """A function (x1, x2=None) -> {name: (N1, N2, *output positions, *output positions)} of the kernels asked for.

    It is compiled once for each shape. With x2 = None the tile is K(x1, x1), symmetric to the last bit.

    Args:
        get: "nngp", "ntk", or both.
        dtype: of the result, "float64" or "float32".

    Raises:
        InvalidProgram: an unknown output, or data that do not fit the network's inputs.
        OutsideTheory: a network without a kernel, or a kernel that is infinite.
    """
    asked = wanted(get)
    evaluate = compiled(network, strategy=strategy)

    def kernels(x1: ArrayLike | Data, x2: ArrayLike | Data | None = None) -> dict[str, Array]:
        found = evaluate(x1, x2)
        with jax.enable_x64(dtype == "float64"):
            return {name: jnp.asarray(getattr(found, name), dtype) for name in asked}

    return kernels


def wanted(get: Iterable[Output]) -> tuple[Output, ...]:
    """The outputs asked for, in the order of OUTPUTS."""
    names = {get} if isinstance(get, str) else set(get)
    unknown = sorted(names - set(OUTPUTS))
    if unknown or not names:
        raise InvalidProgram(f"[kernel] there is no kernel {unknown or 'asked for'}. Ask for {' and '.join(OUTPUTS)}.")
    return tuple(name for name in OUTPUTS if name in names)
