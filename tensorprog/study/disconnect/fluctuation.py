"""The kernel of a finite network fluctuates with its seed and drifts in training, both by depth / width (Hanin & Nica 2020, arXiv 1909.05989)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.finite import Inputs, sample
from tensorprog.interpret.precision import double
from tensorprog.kernels.dynamics import gradient_flow, largest_stable_rate
from tensorprog.kernels.empirical import empirical_kernels
from tensorprog.kernels.limit import kernels
from tensorprog.kernels.points import points_of
from tensorprog.kernels.train import train
from tensorprog.language.program import Network
from tensorprog.study.fit import Floats
from tensorprog.study.frame import Progress


class Spread(NamedTuple):
    """Mean and relative variance Var / mean^2 over seeds, with the bootstrap's 95 % interval of the latter."""

    mean: float
    variance: float
    low: float
    high: float


@double
def ntk_of_one_point(network: Network, x: Inputs, n: int, seeds: int, key: Array) -> Floats:
    """K(x, x) of the empirical NTK at initialization, (seeds,): x is one point (1, *positions, d)."""
    data = points_of(network, x)
    dims = {name: a.shape[-1] for name, a in data.items()}

    def one(k: Array) -> Array:
        return empirical_kernels(network, sample(network, k, n, dims), n, data, outputs="first").ntk.ravel()[0]

    return np.asarray(jax.jit(lambda keys: jax.lax.map(one, keys, batch_size=max(1, min(seeds, 2**18 // n**2))))(jax.random.split(key, seeds)))


def spread(values: Floats, resamples: int = 500) -> Spread:
    """Mean and relative variance over seeds.

    Raises:
        InvalidProgram: fewer than two seeds.
    """
    if len(values) < 2:
        raise InvalidProgram(f"[study] a variance needs two seeds at least, got {len(values)}.")
    drawn = values[np.random.default_rng(0).integers(len(values), size=(resamples, len(values)))]
    low, high = np.percentile(drawn.var(1, ddof=1) / drawn.mean(1) ** 2, [2.5, 97.5])
    return Spread(float(values.mean()), float(values.var(ddof=1) / values.mean() ** 2), float(low), float(high))


def initial_ntk(network: Network, x: Inputs) -> Array:
    """The limiting NTK at initialization. In muP it is that of the NTK parametrization: f is smaller by n^{1/2}, the rate larger by n."""
    return kernels(replace(network, kind="ntk"), points_of(network, x)).ntk


def horizon(kernel: ArrayLike, y: ArrayLike, level: float, fraction: float = 0.5) -> tuple[float, int]:
    """A fraction of the largest stable rate, and the steps after which kernel gradient flow from 0 has brought the squared loss down to `level`.

    Raises:
        InvalidProgram: the loss does not fall to the level in 10^5 steps.
    """
    rate, target = fraction * float(largest_stable_rate(kernel)), np.asarray(y)
    steps = np.unique(np.geomspace(1, 1e5, 400).astype(int))
    f = np.asarray(gradient_flow(kernel, target, rate * steps).train)
    loss = ((f - target) ** 2).reshape(len(steps), -1).sum(1) / (target**2).sum()
    if loss[-1] > level:
        raise InvalidProgram(f"[study] the kernel's loss is {loss[-1]:.1%} after {steps[-1]} steps. Train on fewer or less contradictory points.")
    return rate, int(steps[np.argmax(loss <= level)])


@double
def drift(
    network: Network,
    x: Inputs,
    y: ArrayLike,
    widths: Sequence[int],
    seeds: int,
    key: Array,
    *,
    level: float = 0.1,
    tell: Progress = lambda fraction, now: None,
) -> Floats:
    """|K_T - K_0| / |K_0| in the Frobenius norm, (widths, seeds), where the limiting kernel's loss has fallen to `level` at T.

    In the NTK parametrization it falls like 1 / n for smooth nonlinearities (Huang & Yau 2019, arXiv 1909.08156). With ReLUs about n^{1/2} units
    change their side, each of them adding a random part of order 1 / n to the kernel, so that n^{-3/4} remains. In muP the kernel moves at every
    width, and may become several times larger: the rate is a tenth of the largest that is stable at first.
    """
    data = points_of(network, x)
    dims = {name: a.shape[-1] for name, a in data.items()}
    rate, steps = horizon(initial_ntk(network, data), y, level, 0.1)

    def one(n: int, k: Array) -> Array:
        params = sample(network, k, n, dims)
        trained = train(network, params, n, data, y, rate=rate, steps=steps, record=(steps,)).params
        before, after = (empirical_kernels(network, p, n, data, outputs="first").ntk for p in (params, trained))
        return jnp.linalg.norm((after - before).ravel()) / jnp.linalg.norm(before.ravel())

    out: list[Floats] = []
    for i, n in enumerate(widths):
        tell(i / len(widths), f"drift at width {n}")
        keys = jax.random.split(jax.random.fold_in(key, n), seeds)
        out.append(np.asarray(jax.jit(lambda ks, n=n: jax.lax.map(lambda k: one(n, k), ks))(keys)))
    return np.stack(out)
