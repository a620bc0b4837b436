"""Learning tasks one after another: forgetting against width and epochs (Mirzadeh et al. 2022, arXiv 2110.11526; Wenger et al. 2023, section 3.3).

a_{t,j} is the accuracy on task j after task t of T. Average accuracy: mean_j a_{T,j}; learning accuracy: mean_j a_{j,j};
forgetting: mean_{j<T} (max_t a_{t,j} - a_{T,j}).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.finite import apply, sample
from tensorprog.interpret.precision import double
from tensorprog.kernels.dynamics import cross_entropy, minibatches
from tensorprog.kernels.empirical import empirical_kernels
from tensorprog.kernels.train import train
from tensorprog.language.program import Network
from tensorprog.study.fit import Floats


@dataclass(frozen=True, eq=False)
class Tasks:
    """T classification tasks over the same classes: x (T, N, *positions, d), integer labels y (T, N), and test points likewise."""

    x: Floats
    y: np.ndarray
    x_test: Floats
    y_test: np.ndarray


class Accuracies(NamedTuple):
    """a_{t,j} on test points, (T, T), and the accuracy on the training points of task t right after it, (T,)."""

    test: Floats
    trained: Floats

    @property
    def average(self) -> float:
        return float(self.test[-1].mean())

    @property
    def learning(self) -> float:
        return float(np.diagonal(self.test).mean())

    @property
    def forgetting(self) -> float:
        return float((self.test.max(0) - self.test[-1])[:-1].mean())


def rotated(x: ArrayLike, y: ArrayLike, x_test: ArrayLike, y_test: ArrayLike, tasks: int, angle: float, seed: int) -> Tasks:
    """The same data seen under growing rotations of R^d, e^{j angle A} with A a random direction of so(d), |A|_2 = 1."""
    d = np.shape(x)[-1]
    a = np.random.default_rng(seed).standard_normal((d, d))
    value, vector = np.linalg.eigh(1j * (a - a.T))
    turns = [((vector * np.exp(-1j * j * angle * value / np.abs(value).max())) @ vector.conj().T).real for j in range(tasks)]
    xs, tests = (np.stack([np.asarray(z) @ turn.T for turn in turns]) for z in (x, x_test))
    ys, test_ys = (np.stack([np.asarray(z, dtype=int)] * tasks) for z in (y, y_test))
    return Tasks(xs, ys, tests, test_ys)


def mixture(d: int, classes: int, points: int, test: int, spread: float, seed: int) -> tuple[Floats, np.ndarray, Floats, np.ndarray]:
    """A mixture of Gaussians with random means on the sphere of radius sqrt(d) and standard deviation `spread`: x, y, x_test, y_test."""
    rng = np.random.default_rng(seed)
    means = rng.standard_normal((classes, d))
    means *= np.sqrt(d) / np.linalg.norm(means, axis=1, keepdims=True)
    y = rng.integers(classes, size=points + test)
    x = means[y] + spread * rng.standard_normal((len(y), d))
    return x[:points], y[:points], x[points:], y[points:]


def learner(
    network: Network, n: int, classes: int, *, epochs: int, batch: int = 32, rate: float = 0.5, dtype: DTypeLike = "float32"
) -> Callable[[Tasks, Array], Accuracies]:
    """Training a network of width n on all tasks in turn, as a function of tasks and key that is compiled once.

    The network gets one output a class, and is trained by SGD on the mean cross entropy of a batch.

    Args:
        rate: of the SGD, in units of one over the mean of the NTK's diagonal at initialization.

    Raises:
        InvalidProgram: an output with positions, labels beyond the classes, or a batch that is larger than a task.
    """
    if network.output_axes:
        raise InvalidProgram(f"[continual] {network.name} has outputs along {network.output_axes}. Sum the output over its axes.")
    learn = jax.jit(partial(_learn, replace(network, outputs=classes), n, epochs, batch, rate, jnp.dtype(dtype)))

    @double
    def call(tasks: Tasks, key: Array) -> Accuracies:
        labels = np.concatenate([tasks.y.ravel(), tasks.y_test.ravel()])
        if labels.min() < 0 or labels.max() >= classes:
            raise InvalidProgram(f"[continual] labels run from {labels.min()} to {labels.max()}, but there are {classes} classes.")
        seen, tested = learn(key, jnp.asarray(tasks.x, dtype), jnp.asarray(tasks.y), jnp.asarray(tasks.x_test, dtype), jnp.asarray(tasks.y_test))
        return Accuracies(np.asarray(tested, dtype=float), np.asarray(seen, dtype=float))

    return call


def _learn(
    network: Network, n: int, epochs: int, batch: int, rate: float, dtype: DTypeLike, key: Array, x: Array, y: Array, x_test: Array, y_test: Array
) -> tuple[Array, Array]:
    """Accuracies on the training points of each task after it, (T,), and on all test points after each task, (T, T)."""
    start, order = jax.random.split(key)
    points = x.shape[1]
    steps = epochs * (points // batch)
    params = sample(network, start, n, x.shape[-1], dtype=dtype)
    eta = rate / _diagonal(network, params, n, x[0, :16])

    def right(params: dict[str, Array], x: Array, y: Array) -> Array:
        return (apply(network, params, n, x).argmax(-1) == y).mean()

    def learn(params: dict[str, Array], now: tuple[Array, Array, Array]) -> tuple[dict[str, Array], tuple[Array, Array]]:
        xt, yt, k = now
        batches = minibatches(k, points, batch, steps)
        path = train(network, params, n, xt, yt, rate=eta, steps=steps, loss=cross_entropy, batches=batches, reduction="mean", record=(steps,))
        params = {name: path.params[name].astype(dtype) for name in params}
        return params, (right(params, xt, yt), jax.vmap(partial(right, params))(x_test, y_test))

    return jax.lax.scan(learn, dict(params), (x, y, jax.random.split(order, len(x))))[1]


def _diagonal(network: Network, params: dict[str, Array], n: int, x: Array) -> Array:
    """The mean over points of the empirical NTK K(x, x)."""
    return jnp.diagonal(empirical_kernels(network, params, n, x, outputs="first").ntk).mean()
