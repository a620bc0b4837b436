"""The JAX body of a coordinatewise function (`Fn`), and the array namespace J in which the built-in bodies are written."""

from __future__ import annotations

import types
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import erf

from tensorprog.language.expr import Fn
from tensorprog.language.nonlin import TABLE

J = types.SimpleNamespace(**{k: getattr(jnp, k) for k in dir(jnp) if not k.startswith("_")})
J.erf, J.sigmoid, J.softplus = erf, jax.nn.sigmoid, jax.nn.softplus


@lru_cache(maxsize=1024)
def function(fn: Fn) -> Callable[..., Array]:
    """fn as an elementwise JAX function of arrays; derivatives by automatic differentiation where the table gives none."""
    if fn.body is not None:
        body: Callable[..., Any] = fn.body
    else:
        row = TABLE[fn.name]
        body = lambda *x: row.body(J, *x, *fn.constants)  # noqa: E731
    for i, order in enumerate(fn.order):
        for _ in range(order):
            body = jax.grad(body, argnums=i)
    if sum(fn.order) == 0:
        return lambda *x: jnp.asarray(body(*x))

    def elementwise(*x: Array) -> Array:
        full = jnp.broadcast_arrays(*x)
        flat = jax.vmap(body)(*(a.ravel() for a in full))
        return flat.reshape(full[0].shape)

    return elementwise
