"""Adam (Kingma & Ba 2015, arXiv 1412.6980, Algorithm 1) as a pure function of the gradient and what it remembers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram

Tensors = Mapping[str, Array]


@dataclass(frozen=True)
class Adam:
    """The decays beta_1, beta_2 of the averages of the gradient and of its square, and epsilon.

    Raises:
        InvalidProgram: a decay outside [0, 1), or an epsilon that is not positive.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        if not (0.0 <= self.beta1 < 1.0 and 0.0 <= self.beta2 < 1.0 and self.epsilon > 0.0):
            raise InvalidProgram(f"[adam] {self} needs decays in [0, 1) and a positive epsilon.")


class Averages(NamedTuple):
    """Exponential averages of the gradient and of its square, both from 0."""

    first: Tensors
    second: Tensors


def start(theta: Tensors) -> Averages:
    """The averages before the first step."""
    zero = jax.tree.map(jnp.zeros_like, dict(theta))
    return Averages(zero, zero)


def direction(adam: Adam, t: ArrayLike, gradient: Tensors, averages: Averages) -> tuple[dict[str, Array], Averages]:
    """mhat / (sqrt(vhat) + epsilon) at step t = 0, 1, .., with mhat = m / (1 - beta_1^(t+1)), vhat = v / (1 - beta_2^(t+1)); and the new averages."""
    m = {name: adam.beta1 * averages.first[name] + (1.0 - adam.beta1) * g for name, g in gradient.items()}
    v = {name: adam.beta2 * averages.second[name] + (1.0 - adam.beta2) * g**2 for name, g in gradient.items()}

    def unbiased(average: Array, beta: float) -> Array:
        return average / (1.0 - beta ** (jnp.asarray(t) + 1.0)).astype(average.dtype)

    return {name: unbiased(m[name], adam.beta1) / (jnp.sqrt(unbiased(v[name], adam.beta2)) + adam.epsilon) for name in m}, Averages(m, v)
