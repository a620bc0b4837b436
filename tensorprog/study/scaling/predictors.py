"""What is compared: a trained network, and ridge regression with a kernel (Vyas et al. 2022). Validation points choose the step and the ridge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from tensorprog.interpret.finite import Params, apply, sample
from tensorprog.interpret.precision import double
from tensorprog.kernels.adam import Adam
from tensorprog.kernels.dynamics import minibatches
from tensorprog.kernels.empirical import empirical_kernels
from tensorprog.kernels.train import train
from tensorprog.language.program import Network
from tensorprog.study.fit import Floats
from tensorprog.study.scaling.data import Split

RIDGES = tuple(10.0**p for p in range(-8, 2))  # in units of the mean of the kernel's diagonal


class Score(NamedTuple):
    """On test points: mean squared error in units of the targets' mean square, and the fraction of wrong signs; and what validation chose."""

    mse: float
    error: float
    chosen: float  # the ridge, or the step


@dataclass(frozen=True)
class Training:
    """How networks are trained: on the mean squared loss of batches, for so many steps.

    Attributes:
        rate: of Adam; without Adam of SGD, in units of one over the mean of the NTK's diagonal at initialization.
        looks: how often validation looks at the network, at steps that grow geometrically.
    """

    steps: int = 3000
    batch: int = 128
    rate: float = 0.01
    adam: Adam | None = field(default_factory=Adam)
    momentum: float = 0.0
    looks: int = 30


class Learned(NamedTuple):
    """The network at the step that validation chose."""

    score: Score
    params: Params
    initial: Params


def score(f: Floats, y: Floats, chosen: float) -> Score:
    """Errors of predictions f at points with targets y."""
    return Score(float(((f - y) ** 2).mean() / (y**2).mean()), float((np.sign(f) != np.sign(y)).mean()), chosen)


def learner(network: Network, width: int, how: Training, points: int) -> Callable[[Split, Array], Learned]:
    """Training of f - f_0 on the first `points` training points, as a function of data and key that is compiled once.

    The difference starts at 0, as a network with antisymmetric initialization does (Chizat, Oyallon & Bach 2019): what is learned is measured,
    not the noise of f_0.
    """
    record = tuple(int(t) for t in np.unique(np.geomspace(1, how.steps, how.looks).round()))
    go = jax.jit(partial(_learn, network, width, how, record))

    @double
    def learn(split: Split, key: Array) -> Learned:
        f32 = partial(jnp.asarray, dtype=jnp.float32)
        looked = np.concatenate([split.x_val, split.x_test])
        seen, kept, initial = go(key, f32(split.x[:points]), f32(split.y[:points]), f32(looked))
        f = np.asarray(seen, dtype=float)
        m = len(split.y_val)
        best = int(((f[:, :m] - split.y_val) ** 2).mean(1).argmin())
        params = {**initial, **{name: a[best] for name, a in kept.items()}}
        return Learned(score(f[best, m:], split.y_test, record[best]), params, initial)

    return learn


def _learn(
    network: Network, width: int, how: Training, record: tuple[int, ...], key: Array, x: Array, y: Array, looked: Array
) -> tuple[Array, Params, Params]:
    start, order = jax.random.split(key)
    params = sample(network, start, width, x.shape[-1], dtype=x.dtype)
    f0 = apply(network, params, width, x)
    rate = how.rate if how.adam is not None else how.rate / _diagonal(network, params, width, x[:32])
    batches = minibatches(order, len(x), min(how.batch, len(x)), how.steps)
    path = train(
        network,
        params,
        width,
        x,
        y + f0,
        rate=rate,
        steps=how.steps,
        batches=batches,
        momentum=how.momentum,
        adam=how.adam,
        reduction="mean",
        record=record,
        x_test=looked,
        snapshots=True,
    )
    return path.test - apply(network, params, width, looked), path.snapshots, params


def _diagonal(network: Network, params: Params, width: int, x: Array) -> Array:
    return jnp.diagonal(empirical_kernels(network, params, width, x, outputs="first").ntk).mean()


def regress(kernel: Floats, split: Split, points: int) -> Score:
    """Kernel ridge regression on the first `points` training points, f(x) = K(x, X) (K(X, X) + ridge)^{-1} y.

    Args:
        kernel: K(training points, all points of the split).
    """
    n, m = len(split.x), len(split.x_val)
    k, y = kernel[:points, :points], split.y[:points]
    k_val, k_test = kernel[:points, n : n + m], kernel[:points, n + m :]
    best, chosen, weights = np.inf, np.nan, np.zeros(points)
    unit = float(np.diagonal(k).mean())
    for ridge in RIDGES:
        try:
            a = cho_solve(cho_factor(k + ridge * unit * np.eye(points), overwrite_a=True, check_finite=False), y)
        except LinAlgError:  # singular to rounding: a larger ridge follows
            continue
        loss = float(((k_val.T @ a - split.y_val) ** 2).mean())
        if loss < best:
            best, chosen, weights = loss, ridge, a
    return score(k_test.T @ weights, split.y_test, chosen)
