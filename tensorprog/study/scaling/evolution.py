"""The empirical NTK along training: how it moves away from its start, and how regression with it improves (Vyas et al. 2022, section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tensorprog.interpret.finite import apply, sample
from tensorprog.interpret.precision import double
from tensorprog.kernels.adam import Adam
from tensorprog.kernels.dynamics import minibatches
from tensorprog.kernels.empirical import compiled
from tensorprog.kernels.train import train
from tensorprog.language.program import Network
from tensorprog.study.frame import Columns
from tensorprog.study.scaling.data import Split
from tensorprog.study.scaling.predictors import regress, score


@dataclass(frozen=True)
class Course:
    """One long training by Adam on a stream of points, and when it is looked at.

    Attributes:
        times: steps at which the kernel is taken, the last one the end.
        points: on which each kernel is regressed; fresh, the same for all times.
    """

    times: tuple[int, ...] = (0, 378, 1674, 4515, 20000)
    points: int = 1024
    width: int = 256
    batch: int = 128
    rate: float = 0.002


@double
def evolve(network: Network, stream: Split, split: Split, course: Course, seed: int) -> Columns:
    """The tidy table (time, kernel mse, kernel distance, network mse), errors on test points in units of the targets' mean square.

    Kernel mse: ridge regression with K_t on `course.points` points, ridge by validation; kernel distance: 1 - cos(K_t, K_0) on the training points.

    Args:
        stream: whose training points the network is trained on, in random order over and over.
        split: whose training points the kernels are regressed on.
    """
    start, order = jax.random.split(jax.random.key(seed))
    f32 = [jnp.asarray(a, jnp.float32) for a in (stream.x, stream.y, split.x_test)]
    initial = sample(network, start, course.width, split.x.shape[-1], dtype=jnp.float32)

    def go(params: Mapping[str, Any]) -> tuple[Any, Any]:
        x, y, test = f32
        f0, f0_test = (apply(network, params, course.width, a) for a in (x, test))
        batches = minibatches(order, len(x), min(course.batch, len(x)), course.times[-1])
        path = train(
            network,
            params,
            course.width,
            x,
            y + f0,
            rate=course.rate,
            steps=course.times[-1],
            batches=batches,
            adam=Adam(),
            reduction="mean",
            record=course.times,
            x_test=test,
            snapshots=True,
        )
        return path.snapshots, path.test - f0_test

    snapshots, f = jax.jit(go)(initial)
    empirical, points = compiled(network, course.width, outputs="first"), course.points
    mine = Split(split.x[:points], split.y[:points], split.x_val, split.y_val, split.x_test, split.y_test)
    out: dict[str, list[float]] = {name: [] for name in ("time", "kernel mse", "kernel distance", "network mse")}
    first = None
    for i, t in enumerate(course.times):
        params = {name: np.asarray(a, dtype=float) for name, a in {**initial, **{name: a[i] for name, a in snapshots.items()}}.items()}
        kernel = np.asarray(empirical(params, mine.x, mine.points).ntk)
        square = kernel[:, :points]
        first = square if first is None else first
        cosine = (square * first).sum() / (np.linalg.norm(square) * np.linalg.norm(first))
        row = (t, regress(kernel, mine, points).mse, 1.0 - cosine, score(np.asarray(f[i], dtype=float), split.y_test, t).mse)
        for column, value in zip(out.values(), row, strict=True):
            column.append(float(value))
    return {name: np.asarray(values) for name, values in out.items()}
