"""Float64 by default, float32 on request, without touching the caller's configuration."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from typing import Literal, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
from jax.core import Tracer, eval_context
from jax.typing import DTypeLike

from tensorprog.errors import InvalidProgram

Precision = Literal["float64", "float32"]
P = ParamSpec("P")
T = TypeVar("T")


def double(f: Callable[P, T]) -> Callable[P, T]:
    """f computing in float64, whatever JAX's global default is; under somebody's jit, grad or vmap the precision is theirs."""

    @wraps(f)
    def inner(*args: P.args, **kwargs: P.kwargs) -> T:
        if traced(args, kwargs):
            return f(*args, **kwargs)
        with jax.enable_x64(True):
            return f(*args, **kwargs)

    return inner


def at_once(f: Callable[P, T]) -> Callable[P, T]:
    """`double`, computed at the call: also while somebody's function is traced, if it reads none of its arguments (nor in a closure)."""
    inner = double(f)

    @wraps(f)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        with nullcontext() if traced(args, kwargs) else eval_context():
            return inner(*args, **kwargs)

    return call


def floats(dtype: Precision) -> DTypeLike:
    """The type of the numbers computed with; float64 is the caller's default under their jit.

    Raises:
        InvalidProgram: neither float64 nor float32.
    """
    match dtype:
        case "float64":
            return jnp.result_type(float)
        case "float32":
            return jnp.float32
        case _:
            raise InvalidProgram(f"[dtype] limits are computed in float64 or float32, not {dtype}. Give one of the two.")


def traced(*trees: object) -> bool:
    """Whether any array is abstract: then its numbers cannot be looked at."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(trees))
