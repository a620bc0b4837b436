"""Losses L(f, y) of one data point, their gradients in f, and how curved they are.

A loss reads the outputs f (shape (k,), or () for one output) and the target y of one point, and gives a number; the loss of a data set is the
sum over its points. Any JAX-differentiable function of (f, y) serves: `Loss("mine", function)`, or just `function` wherever a loss is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from tensorprog.errors import InvalidProgram


@dataclass(frozen=True)
class Loss:
    """A differentiable loss as a value.

    `curvature` is the largest eigenvalue that its Hessian in f can have, None where it is unknown or unbounded.
    `exact` says that the Hessian has that value everywhere: then the largest stable learning rate is sharp.
    """

    name: str
    value: Callable[[Array, Array], Array]
    curvature: float | None = None
    exact: bool = False

    def __call__(self, f: Array, y: Array) -> Array:
        return self.value(f, y)


LossLike = Loss | Callable[[Array, Array], Array]

squared = Loss("squared", lambda f, y: 0.5 * jnp.sum((f - y) ** 2), 1.0, exact=True)
"""(1/2) |f - y|^2."""

logistic = Loss("logistic", lambda f, y: jnp.sum(jax.nn.softplus(-y * f)), 0.25)
"""log(1 + exp(-y f)) for labels y = -1, +1."""


def _cross_entropy(f: Array, y: Array) -> Array:
    if f.ndim != 1:
        raise InvalidProgram(f"[shape] the cross entropy reads one output a class; f has shape {f.shape} at a point. Give f0 of shape (N, classes).")
    log_p = jax.nn.log_softmax(f)
    return -log_p[y] if jnp.issubdtype(y.dtype, jnp.integer) else -jnp.sum(y * log_p)


cross_entropy = Loss("cross entropy", _cross_entropy, 0.5)
"""-sum_k y_k log softmax(f)_k for a distribution y (one-hot, say); -log softmax(f)_y for an integer label y."""


def huber(delta: float = 1.0) -> Loss:
    """Quadratic near the target, linear beyond `delta`: u^2/2 for |u| <= delta, else delta (|u| - delta/2), with u = f - y."""

    def value(f: Array, y: Array) -> Array:
        u = jnp.abs(f - y)
        return jnp.sum(jnp.where(u <= delta, 0.5 * u**2, delta * (u - 0.5 * delta)))

    return Loss(f"huber[{delta:g}]", value, 1.0)


def as_loss(loss: LossLike) -> Loss:
    """The loss itself, or a user's function of (f, y) as one."""
    return loss if isinstance(loss, Loss) else Loss(getattr(loss, "__name__", "loss"), loss)


def gradient(loss: LossLike) -> Callable[[Array, Array], Array]:
    """L'(f, y) at every point: shapes (N, k) and (N, ...) to (N, k)."""
    return jax.vmap(jax.grad(as_loss(loss).value))


def total(loss: LossLike, f: Array, y: Array) -> Array:
    """sum_i L(f_i, y_i)."""
    return jnp.sum(jax.vmap(as_loss(loss).value)(f, y))
