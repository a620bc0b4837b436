"""Computations by NumPy: the same numbers as JAX, for every kind of primitive that expectations are made of."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, lax

from tensorprog.kernels.execution import uncompiled as uncompiled_module
from tensorprog.kernels.execution.uncompiled import uncompiled

X = np.random.default_rng(0).uniform(0.1, 0.9, (3, 4))


def elementwise(x: Array) -> Array:
    y = jnp.where(x > 0.5, jnp.arctan2(x, 1 - x), jnp.exp(-x) / (1 + x**-3)) + lax.rsqrt(x) * jnp.clip(x, 0.2, 0.8)
    return jnp.maximum(y, jax.scipy.special.erf(x)) ** 5 % 1.5


def structural(x: Array) -> Array:
    y = jnp.concatenate([x[::2, 1:], jnp.flip(x[:2, :3], 1)])
    return jnp.einsum("ij,bik->bkj", y, jnp.stack([x, 2 * x])[:, jnp.array([0, 2, 1, 0])]) + y.sum(0).max()


def moved(x: Array) -> tuple[Array, ...]:
    wide = lax.pad(x, 0.5, ((1, -1, 0), (-1, 2, 0)))
    cube = x[:3, :3, None] * x[:3, None, :3]
    return wide, lax.pad(x, 0.5, ((0, 0, 1), (0, 0, 0))), jnp.diagonal(cube, axis1=0, axis2=2), x[jnp.array([2, 0]), :2], x[jnp.array([1, 5])]


def loops(x: Array) -> tuple[Array, Array]:
    total, steps = lax.scan(jax.checkpoint(lambda s, a: (s * 0.5 + a, s)), jnp.zeros(4), x, reverse=True)
    grown = lax.while_loop(lambda s: (s < 3).any(), lambda s: s + total, total)
    return lax.cond(total[0] > 0, lambda: grown, lambda: total), steps


def custom(x: Array) -> Array:
    return jax.vmap(jax.nn.relu)(x - 0.5) + jax.nn.logsumexp(x, axis=1)[:, None] + jnp.sort(x, 0)


@pytest.mark.parametrize("f", [elementwise, structural, moved, loops, custom])
def test_numbers_of_jax(f: Callable[[Array], object]) -> None:
    with jax.enable_x64(True):
        found, wanted = uncompiled(f, jax.ShapeDtypeStruct(X.shape, X.dtype))(X), jax.jit(f)(X)
    # a few units in the last place for each of some ten operations
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-13), found, wanted)


def test_functions_are_written_out_and_nothing_is_computed_twice() -> None:
    @jax.jit
    def half(x: Array) -> Array:
        return jnp.sin(x) * 0.5

    closed = jax.make_jaxpr(lambda x: half(x) + jax.checkpoint(half)(x) * half(2 * x))(X)
    plan = uncompiled_module._plan(closed.jaxpr, closed.consts)
    assert len(plan.steps) == 7  # sin, * 0.5; 2 *, sin, * 0.5; the product and the sum
    (found,) = plan(X)
    np.testing.assert_allclose(found, np.sin(X) / 2 + np.sin(X) / 2 * np.sin(2 * X) / 2, rtol=1e-14)
