"""Float64 by default, without touching the caller's configuration."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import jax
from jax.core import Tracer

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


def traced(*trees: object) -> bool:
    """Whether any array is abstract: then its numbers cannot be looked at."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(trees))
