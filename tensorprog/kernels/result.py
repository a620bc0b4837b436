"""What the kernels of a network in the limit are, as data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from jax import Array
from jax.tree_util import register_dataclass
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram, OutsideTheory
from tensorprog.interpret.limit.theorem import EXACT
from tensorprog.interpret.precision import traced

COARSE = 1e-2  # of the largest entry: an error beyond which numbers are refused


@partial(register_dataclass, data_fields=["nngp", "ntk", "by_parameter", "error"], meta_fields=["method"])
@dataclass(frozen=True)
class Kernels:
    """Limiting kernels of one output unit; with independent output units the kernel over outputs is this times the identity.

    Attributes:
        nngp: covariance of f over initializations, (N1, N2, *output positions, *output positions).
        ntk: the neural tangent kernel, of the same shape.
        by_parameter: the contribution of every trained tensor; they sum to `ntk`.
        error: the largest absolute error of any entry of `nngp` and `ntk`: measured by a second, coarser evaluation of the whole, a standard error
            where sampling took part, or a bound of rounding, in units of the kernels of the points themselves (where a program subtracts what nearly
            cancels, of the difference). Positions of images and sequences at an angle below 1e-7 count as equal, of which the bound knows nothing.
        method: how the Gaussian expectations were found.
    """

    nngp: Array
    ntk: Array
    by_parameter: Mapping[str, Array]
    error: Array
    method: str


WHY_INFINITE = (
    "The causes can be a step differentiated at equal or opposite inputs (sign, step): freeze the tensors behind it (train=False), or ask for "
    "flat_steps=True, which takes the derivative of a step as 0 as automatic differentiation does; layer normalization without eps of a zero point, "
    "or batch normalization without eps of points that, centred, span fewer than three dimensions: give eps > 0; exponential functions that outgrow "
    "their Gaussian: lower the sigmas; inputs whose squares overflow: scale them."
)


def named(k: Kernels) -> dict[str, Array]:
    """The arrays of kernels, "of W" the contribution of W."""
    return {"nngp": k.nngp, "ntk": k.ntk} | {f"of {name}": a for name, a in k.by_parameter.items()}


def is_exact(k: Kernels) -> bool:
    """Whether all expectations have closed forms."""
    return {*k.method.split(" and ")} <= EXACT


def refuse_infinite(k: Kernels) -> None:
    """An infinite entry is an answer that the theorem does not give: say which one."""
    if traced(k):
        return
    for name, a in {"nngp": k.nngp, **(k.by_parameter or {"ntk": k.ntk})}.items():
        where = np.argwhere(~np.isfinite(np.asarray(a)))
        if len(where):
            what = f"the {name}" if name in ("nngp", "ntk") else f"the contribution of {name} to the ntk"
            raise OutsideTheory(f"[kernel] {what} is infinite or undefined at entry {tuple(map(int, where[0]))}. {WHY_INFINITE}")


def refuse_unresolved(arrays: Iterable[ArrayLike], error: ArrayLike, method: str) -> None:
    """Quadrature and series resolve a function on the scale of its argument; where they do not, the estimate of their error is no bound either."""
    size = max((float(np.abs(np.asarray(a)).max(initial=0.0)) for a in arrays), default=0.0)
    if {"quadrature", "series"} & set(method.split()) and "sampling" not in method and float(np.asarray(error)) > COARSE * size > 0:
        raise InvalidProgram(
            f"[accuracy] {method} leaves an error of {float(np.asarray(error)):.1g} in kernels of size {size:.1g}: the preactivations are too large "
            "for it, or a batch spans too few dimensions. Normalize the inputs, lower the sigmas, or give batch normalization an eps > 0."
        )
