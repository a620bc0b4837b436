"""Finite networks trained beside kernel gradient descent, each from its own f_0 (Yang & Littwin 2021, Theorem 5.3; Lee et al. 2019).

For a network of width n the kernel's prediction is f_{t+1}^K = f_t^K - eta K(., train) L'(f_t^K(train)), f_0^K = f_0 the network's own outputs at
initialization, K the NTK of the limit. What is measured is the gap over test points,

    gap_t = |f_t - f_t^K| / |f_t^K - f_0|,

relative to how far the kernel has moved: against |f| instead, a network that hardly moves would look right. It is read at the step at which the
kernel's training loss has fallen to a tenth of its start, and should fall as the network gets wider.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from tensorprog.errors import InvalidProgram
from tensorprog.interpret import finite
from tensorprog.interpret.precision import double
from tensorprog.kernels.dynamics import Loss, LossLike, gradient_descent, largest_stable_rate, squared
from tensorprog.kernels.dynamics.losses import as_loss, total
from tensorprog.kernels.dynamics.trajectory import start as targets_of
from tensorprog.kernels.limit import kernels
from tensorprog.kernels.train import train
from tensorprog.language.program import Network
from tensorprog.study.fit import Floats, root_mean_square

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

Inputs = Mapping[str, ArrayLike] | ArrayLike
Progress = Callable[[float, str], None]
LONGEST = 4096  # steps within which the kernel's loss must fall to the level


@dataclass(frozen=True)
class Run:
    """The networks of one width, and the kernel from the f_0 of each. Times are steps 0 .. T."""

    width: int
    loss: Floats  # (seeds, T + 1): training loss of the networks
    kernel_loss: Floats  # (seeds, T + 1): of the kernel
    test: Floats  # (seeds, T + 1, M) or (seeds, T + 1, M, k): outputs of the networks at the test points
    kernel_test: Floats
    stop: tuple[int, ...]  # (seeds,): the step at which the kernel's loss has fallen to the level

    @property
    def gaps(self) -> Floats:
        """|f_t - f_t^K| / |f_t^K - f_0| over test points, (seeds, T + 1); NaN at the start."""
        axes = tuple(range(2, self.test.ndim))
        apart, moved = ((d**2).sum(axis=axes) ** 0.5 for d in (self.test - self.kernel_test, self.kernel_test - self.kernel_test[:, :1]))
        return np.divide(apart, moved, out=np.full_like(apart, np.nan), where=moved > 0)

    @property
    def gap(self) -> Floats:
        """The gap of every seed at its own `stop`, (seeds,)."""
        return self.gaps[np.arange(len(self.stop)), np.array(self.stop)]


@dataclass(frozen=True)
class Following:
    """How closely networks of growing width follow kernel gradient descent."""

    name: str
    runs: tuple[Run, ...]
    rate: float
    level: float
    loss: str
    targets: Floats  # (N,) or (N, k)

    @property
    def widths(self) -> tuple[int, ...]:
        return tuple(r.width for r in self.runs)

    @property
    def gaps(self) -> Floats:
        """Root-mean-square over seeds of the gap, one a width."""
        return np.array([root_mean_square(r.gap) for r in self.runs])

    @property
    def steps(self) -> int:
        return self.runs[0].loss.shape[1] - 1

    def table(self) -> Table:
        """The gap by width, for a terminal."""
        from rich.table import Table

        title = f"{self.name}: networks beside kernel gradient descent when the kernel's loss has fallen to {self.level:.0%}"
        table = Table(title=title)
        for column in ("width", "gap over test points", "largest seed", "steps", "network's loss", "kernel's loss"):
            table.add_column(column, justify="right", no_wrap=column == "steps")
        for r, gap in zip(self.runs, self.gaps, strict=True):
            at = np.arange(len(r.stop)), np.array(r.stop)
            steps = f"{min(r.stop)}" if min(r.stop) == max(r.stop) else f"{min(r.stop)} .. {max(r.stop)}"
            mean = [f"{np.mean(a[at] / a[:, 0]):.1%}" for a in (r.loss, r.kernel_loss)]
            table.add_row(str(r.width), f"{gap:.1%}", f"{r.gap.max():.1%}", steps, *mean)
        return table

    def plot(self) -> Figure:
        """Loss, outputs and gap."""
        from tensorprog.study import plots

        return plots.training(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data (for JSON)."""
        runs = [
            {"width": r.width, "gap": r.gap.tolist(), "stop": list(r.stop), "loss": r.loss.tolist(), "kernel_loss": r.kernel_loss.tolist()}
            for r in self.runs
        ]
        return {"name": self.name, "rate": self.rate, "level": self.level, "loss": self.loss, "gaps": self.gaps.tolist(), "runs": runs}


@double
def follow(
    network: Network,
    x_train: Inputs,
    y_train: ArrayLike,
    x_test: Inputs,
    widths: Sequence[int] = (128, 512, 2048),
    *,
    seeds: int = 4,
    key: int = 0,
    rate: float | None = None,
    loss: LossLike = squared,
    momentum: float = 0.0,
    level: float = 0.1,
    dtype: DTypeLike = "float64",
    progress: Progress | None = None,
    keep: Callable[[Following], None] | None = None,
) -> Following:
    """Train networks by full-batch gradient descent beside their kernel, until the kernel's training loss has fallen to `level` of its start.

    Args:
        x_train, x_test: (N, *positions, d) and (M, *positions, d), or one such array an input.
        y_train: (N,), or (N, k) for a network of k outputs; integer labels for the cross entropy.
        rate: eta; default half of the largest stable one of the limiting kernel.
        loss: L(f, y) of one point; the loss of the data is the sum.
        momentum: of a heavy ball, for both.
        dtype: of the finite networks; "float32" halves the time.
        progress: called with the fraction of the work done and what is under way.
        keep: called after every width with what there is so far, so that an interruption loses one width at most.

    Raises:
        InvalidProgram: data that do not fit, an output with positions, or a kernel whose loss does not fall to the level.
    """
    if network.output_axes or network.kind != "ntk":
        found = f"outputs along {network.output_axes}" if network.output_axes else f"a readout of kind {network.kind!r}"
        raise InvalidProgram(f"[study] {network.name} has {found}. Sum the output over its axes, by a readout of kind 'ntk'.")
    task = _task(network, x_train, y_train, x_test, rate, loss, momentum, level, dtype)
    starts = {n: _started(task, n, jax.random.split(jax.random.fold_in(jax.random.key(key), n), seeds)) for n in widths}
    steps = _steps(task, jnp.concatenate([s.train for s in starts.values()]))
    work, done, runs = seeds * sum(n * n for n in widths), 0, list[Run]()
    for n, start in starts.items():
        descend, outputs = jax.jit(partial(_descend, task, n, steps)), list[_Outputs]()
        for k in start.keys:
            if progress is not None:
                progress(done / work, f"{network.name} of width {n}: {steps} steps")
            outputs.append(jax.block_until_ready(descend(k)))
            done += n * n
        runs.append(_run(task, n, steps, start, outputs))
        if keep is not None:
            keep(_following(task, runs))
    if progress is not None:
        progress(1.0, "done")
    return _following(task, runs)


def _following(task: _Task, runs: Sequence[Run]) -> Following:
    return Following(task.network.name, tuple(runs), task.rate, task.level, task.loss.name, np.asarray(task.y))


@dataclass(frozen=True, eq=False)
class _Task:
    """What is trained, on what, how."""

    network: Network
    train: Mapping[str, Array]
    test: Mapping[str, Array]
    y: Array
    k_train: Array
    k_test: Array
    rate: float
    loss: Loss
    momentum: float
    level: float
    dtype: DTypeLike


class _Outputs(NamedTuple):
    """f along a path, at training and test points: (T + 1, N, ..) and (T + 1, M, ..)."""

    train: Array
    test: Array


class _Start(NamedTuple):
    """f_0 of every seed, and the key that its network is sampled from."""

    keys: Array
    train: Array
    test: Array


def _task(
    network: Network,
    x_train: Inputs,
    y: ArrayLike,
    x_test: Inputs,
    rate: float | None,
    loss: LossLike,
    momentum: float,
    level: float,
    dtype: DTypeLike,
) -> _Task:
    train, test = (finite.inputs_of(network.program, x) for x in (x_train, x_test))
    n, curvature = len(next(iter(train.values()))), as_loss(loss).curvature
    targets_of(n, y, jnp.zeros((n, network.outputs) if network.outputs > 1 else n))  # refuses targets that do not fit
    if rate is None and curvature is None:
        raise InvalidProgram(f"[rate] the curvature of the loss {as_loss(loss).name} is not known. Give a learning rate.")
    k = kernels(network, {name: jnp.concatenate([a, test[name]]) for name, a in train.items()}).ntk
    if rate is None:
        rate = 0.5 * float(largest_stable_rate(k[:n, :n], curvature=curvature or 1.0, momentum=momentum))
    return _Task(network, train, test, jnp.asarray(y), k[:n, :n], k[n:, :n], rate, as_loss(loss), momentum, level, jnp.dtype(dtype))


# The kernel.


def _kernel_path(task: _Task, steps: int, f0: Array) -> tuple[Array, Array]:
    """Kernel gradient descent from the f_0 of every seed: f_t at the training points and the dual coefficients, (seeds, T + 1, N, ..)."""

    def one(f0: Array) -> tuple[Array, Array]:
        path = gradient_descent(task.k_train, task.y, rate=task.rate, steps=steps, f0=f0, loss=task.loss, momentum=task.momentum)
        return path.train, path.dual

    return jax.vmap(one)(f0)


def _losses(task: _Task, f: ArrayLike) -> Array:
    """Training loss along paths (.., T + 1, N, ..), (.., T + 1)."""
    return jax.vmap(jax.vmap(lambda f: total(task.loss, f, task.y)))(jnp.asarray(f))


def _fallen(losses: ArrayLike, level: float) -> Floats:
    """The first step at which each loss is at most `level` of its start, -1 where there is none: (seeds, T + 1) to (seeds,)."""
    below = (a := np.asarray(losses)) <= level * a[:, :1]
    return np.where(below.any(1), below.argmax(1), -1)


def _steps(task: _Task, f0: Array) -> int:
    """The first step at which the kernel's loss has fallen to the level from every f_0."""
    steps = 64
    while steps <= LONGEST:
        stop = _fallen(_losses(task, _kernel_path(task, steps, f0)[0]), task.level)
        if (stop >= 0).all():
            return int(stop.max())
        steps *= 2
    raise InvalidProgram(
        f"[study] the kernel's training loss is still above {task.level:.0%} of its start after {LONGEST} steps at rate {task.rate:.3g}. "
        "Train on fewer or less contradictory points, take a larger level, or a larger rate."
    )


# The networks.


def _sampled(task: _Task, n: int, key: Array) -> dict[str, Array]:
    dims = {name: x.shape[-1] for name, x in task.train.items()}
    return finite.sample(task.network, key, n, dims, dtype=task.dtype)


def _apply(task: _Task, n: int, params: finite.Params, x: Mapping[str, Array]) -> Array:
    return finite.apply(task.network, params, n, _cast(task, x))


def _cast(task: _Task, x: Mapping[str, Array]) -> dict[str, Array]:
    return {name: a.astype(task.dtype) for name, a in x.items()}


def _started(task: _Task, n: int, keys: Array) -> _Start:
    def one(key: Array) -> tuple[Array, Array]:
        params = _sampled(task, n, key)
        return _apply(task, n, params, task.train), _apply(task, n, params, task.test)

    train, test = jax.jit(partial(jax.lax.map, one))(keys)
    return _Start(keys, train.astype(task.k_train.dtype), test.astype(task.k_train.dtype))


def _descend(task: _Task, n: int, steps: int, key: Array) -> _Outputs:
    """Full-batch gradient descent of one network, its outputs at every step."""
    y = task.y if jnp.issubdtype(task.y.dtype, jnp.integer) else task.y.astype(task.dtype)
    how: dict[str, Any] = {"rate": task.rate, "steps": steps, "loss": task.loss, "momentum": task.momentum, "x_test": _cast(task, task.test)}
    path = train(task.network, _sampled(task, n, key), n, _cast(task, task.train), y, **how)
    return _Outputs(path.train, path.test)


def _run(task: _Task, n: int, steps: int, start: _Start, outputs: list[_Outputs]) -> Run:
    kernel, dual = _kernel_path(task, steps, start.train)
    kernel_test = start.test[:, None] + jnp.einsum("mn,stn...->stm...", task.k_test, dual)
    train, test = (np.asarray(jnp.stack(parts), dtype=np.float64) for parts in zip(*outputs, strict=True))
    kernel_loss = np.asarray(_losses(task, kernel))
    stop = tuple(int(t) for t in _fallen(kernel_loss, task.level))
    return Run(n, np.asarray(_losses(task, train)), kernel_loss, test, np.asarray(kernel_test), stop)
