"""Compiling in a short time what is as fast then: few modules of code instead of one for each loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, wraps
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar

import jax

P = ParamSpec("P")
T = TypeVar("T")
# XLA then takes half the time. Long loops that read many arrays run slower by this way, others do not; series gain by the widest registers.
QUICK: Mapping[str, str | bool] = MappingProxyType(
    {"xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": "2", "xla_cpu_prefer_vector_width": "512"}
)


def quickly(**how: Any) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """jax.jit(f, **how) with these options, for what is no part of another function that is compiled."""

    def compiled(f: Callable[P, T]) -> Callable[P, T]:
        made = cache(lambda: jax.jit(f, compiler_options=known(), **how))

        @wraps(f)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return made()(*args, **kwargs)

        return call

    return compiled


@cache
def known() -> dict[str, str | bool] | None:
    """The options of `QUICK`, or None for a compiler that does not have them."""
    try:
        jax.jit(lambda: 0).lower().compile(dict(QUICK))
    except RuntimeError:
        return None
    return dict(QUICK)
