"""Finite-width functions beside the infinite-width prediction, in the NTK parametrization and in muP (Wenger et al. 2023, Fig. 1; Yang & Hu 2021).

The prediction is kernel gradient descent with the limiting NTK, from the network's own f_0, at the same rate and for the same steps. In the NTK
parametrization the distance of a network falls like n^{-1/2} (the fluctuation of its initial kernel); in muP features move at every width, so that
networks approach a limit, but not that of the initial kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.finite import Inputs, sample
from tensorprog.interpret.precision import double
from tensorprog.kernels.dynamics import gradient_descent
from tensorprog.kernels.points import count, points_of
from tensorprog.kernels.train import train
from tensorprog.language.program import Network
from tensorprog.study.disconnect.fluctuation import horizon, initial_ntk
from tensorprog.study.fit import Floats
from tensorprog.study.frame import Progress


class Functions(NamedTuple):
    """Networks of one width at the test points."""

    network: Floats  # (seeds, M): f_T
    kernel: Floats  # (seeds, M): the prediction from the same f_0
    loss: Floats  # (seeds,): |f_T - y|^2 / |y|^2 on the training points

    @property
    def distance(self) -> Floats:
        """Root mean square over test points of network less kernel, in units of the kernel's: (seeds,)."""
        return np.sqrt(((self.network - self.kernel) ** 2).mean(-1) / (self.kernel**2).mean())


def in_mup(network: Network) -> Network:
    """The same body read out by v . x / n and trained n times faster: the maximal update parametrization."""
    return replace(network, kind="moment")


@double
def functions(
    network: Network,
    x: Inputs,
    y: ArrayLike,
    x_test: Inputs,
    widths: Sequence[int],
    seeds: int,
    key: Array,
    *,
    level: float = 0.01,
    dtype: DTypeLike = "float32",
    tell: Progress = lambda fraction, now: None,
) -> dict[int, Functions]:
    """Train networks of every width by gradient descent until the kernel's loss (from f_0 = 0) has fallen to `level`, and predict them.

    Raises:
        InvalidProgram: outputs with positions, several outputs, or a kernel whose loss does not fall to the level.
    """
    if network.outputs > 1 or network.output_axes:
        raise InvalidProgram(f"[study] {network.name} has several outputs. Read out one number.")
    data, test, target = points_of(network, x), points_of(network, x_test), jnp.asarray(y)
    k = initial_ntk(network, {name: jnp.concatenate([a, test[name]]) for name, a in data.items()})
    points = count(data)
    rate, steps = horizon(k[:points, :points], target, level, 0.1)  # the kernel grows in muP
    dims = {name: a.shape[-1] for name, a in data.items()}

    def one(n: int, k: Array) -> tuple[Array, Array, Array, Array]:
        params = sample(network, k, n, dims, dtype=dtype)
        path = train(network, params, n, data, target.astype(dtype), rate=rate, steps=steps, record=(0, steps), x_test=test)
        return path.train[0], path.test[0], path.train[1], path.test[1]

    out: dict[int, Functions] = {}
    for i, n in enumerate(widths):
        tell(i / len(widths), f"{steps} steps at width {n}")
        keys = jax.random.split(jax.random.fold_in(key, n), seeds)
        ran = jax.jit(lambda ks, n=n: jax.lax.map(lambda one_key: one(n, one_key), ks))(keys)
        f0, f0_test, f, f_test = (a.astype(k.dtype) for a in ran)
        predicted = jnp.stack(
            [
                gradient_descent(k[:points, :points], target, rate=rate, steps=steps, f0=a, record=steps).at(k[points:, :points], b)[-1]
                for a, b in zip(f0, f0_test, strict=True)
            ]
        )
        loss = ((f - target) ** 2).sum(1) / (target**2).sum()
        out[n] = Functions(np.asarray(f_test), np.asarray(predicted), np.asarray(loss))
    return out
