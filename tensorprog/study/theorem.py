"""Theorem 5.3 as a computation (Yang & Littwin 2021): training unrolled in a program, kernel gradient descent, and real networks, side by side.

Four answers to the question what f_t is on every sample after t steps, each found without the others:

| answer            | how                                                                                                    |
| ----------------- | ------------------------------------------------------------------------------------------------------ |
| unrolled limit    | the Master Theorem on the program of the whole training, exact or by particles                          |
| kernel            | f_{t+1} = f_t - eta K(., B_t) L'(f_t(B_t)) with the limiting NTK K; in the kernel regime only            |
| without dots      | the unrolled limit with [matmul-dot] left out: what training would be if W^T were independent of W       |
| networks          | sampled at several widths, conditioned on the same f_0, trained by SGD                                 |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram
from tensorprog.interpret import finite
from tensorprog.interpret.precision import double
from tensorprog.kernels.dynamics import cross_entropy, gradient_descent, logistic, squared
from tensorprog.kernels.limit import kernels
from tensorprog.kernels.points import count, points_of
from tensorprog.kernels.train import train
from tensorprog.kernels.unrolled import conditioned, limit_outputs, particle_outputs
from tensorprog.language.expr import Apply, walk
from tensorprog.language.instr import MatMul
from tensorprog.language.program import Network
from tensorprog.study.fit import Floats, Slope, slope
from tensorprog.transform.unroll import SGD, Unrolled, unroll

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

Inputs = Mapping[str, ArrayLike] | ArrayLike
Method = Literal["auto", "exact", "particles"]
Progress = Callable[[float, str], None]
LOSSES = {"squared": squared, "logistic": logistic, "cross_entropy": cross_entropy}


@dataclass(frozen=True)
class Theorem:
    """f_t by every way. Arrays are (T + 1, samples, *outputs), those of networks with dimensions (widths, seeds) before.

    Attributes:
        limit, error, method: of the unrolled program, with the absolute error of each number and how it was found.
        kernel: kernel gradient descent; None where features are learned.
        dropped: the unrolled limit without dots; None where particles answer.
        networks: outputs of sampled networks.
    """

    name: str
    rate: float
    loss: str
    batches: tuple[tuple[int, ...], ...]
    labels: Floats
    limit: Floats
    error: Floats
    method: str
    kernel: Floats | None
    dropped: Floats | None
    widths: tuple[int, ...]
    networks: Floats

    @property
    def deviation(self) -> float | None:
        """The largest distance of the unrolled limit from kernel gradient descent."""
        return None if self.kernel is None else float(np.abs(self.limit - self.kernel).max())

    @property
    def distances(self) -> Floats:
        """Root-mean-square distance of each network from the limit after time 0, (widths, seeds)."""
        apart = (self.networks - self.limit)[:, :, 1:]
        return np.sqrt((apart**2).reshape(*apart.shape[:2], -1).mean(-1))

    @property
    def slope(self) -> Slope:
        """The exponent of the distance in the width, with its interval: -1/2 by the theory."""
        return slope(self.widths, self.distances)

    def table(self, rows: int = 4) -> Table:
        """The last outputs of the first samples by every way, for a terminal."""
        from rich.table import Table

        table = Table(title=f"{self.name}: f after {len(self.batches)} steps", caption=self.summary())
        ways = {name: a for name, a in (("limit", self.limit), ("kernel", self.kernel), ("no dots", self.dropped)) if a is not None}
        for column in ("sample", *ways, *(f"n = {n}" for n in self.widths)):
            table.add_column(column, justify="right", no_wrap=True)
        for i in range(min(rows, self.limit.shape[1])):
            numbers = [np.ravel(a[-1, i])[0] for a in ways.values()]
            seeds = [self.networks[k, :, -1, i].reshape(self.networks.shape[1], -1)[:, 0] for k in range(len(self.widths))]
            table.add_row(str(i), *(f"{a:.4f}" for a in numbers), *(f"{s.mean():.2f} ± {s.std(ddof=1):.2f}" for s in seeds))
        return table

    def summary(self) -> str:
        """What agrees with what, in a line each."""
        lines = [f"limit of the unrolled program: {self.method}, error at most {self.error.max():.1e}"]
        if self.deviation is not None:
            lines.append(f"largest distance from kernel gradient descent: {self.deviation:.1e}")
        if self.dropped is not None:
            lines.append(f"largest change when dots are dropped: {np.abs(self.limit - self.dropped).max():.3g}")
        if len(self.widths) > 1:
            lines.append(f"distance of networks from the limit: slope {self.slope}")
        return "\n".join(lines)

    def plot(self) -> Figure:
        """Outputs along training by every way, and the distance of networks from the limit against width."""
        from tensorprog.study.theorem_plot import theorem as figure

        return figure(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data (for JSON)."""
        arrays = {"labels": self.labels, "limit": self.limit, "error": self.error, "kernel": self.kernel, "dropped": self.dropped}
        plain = {name: None if a is None else a.tolist() for name, a in arrays.items()}
        found = {"name": self.name, "rate": self.rate, "loss": self.loss, "method": self.method, "batches": self.batches, "widths": self.widths}
        return found | plain | {"networks": self.networks.tolist()}


@double
def theorem(
    network: Network,
    x: Inputs,
    y: ArrayLike,
    *,
    steps: int = 4,
    batches: Sequence[int | Sequence[int]] | None = None,
    rate: float | None = None,
    momentum: float = 0.0,
    loss: Literal["squared", "logistic", "cross_entropy"] = "squared",
    start: ArrayLike | None = None,
    widths: Sequence[int] = (64, 256, 1024),
    seeds: int = 16,
    key: int = 0,
    method: Method = "auto",
    particles: int = 2**14,
    progress: Progress | None = None,
) -> Theorem:
    """Train by every way and set the outcomes side by side.

    Args:
        x: all samples, (samples, *positions, d), or one such array an input; those in no batch are probes.
        y: (samples, *outputs); labels of probes are not read.
        batches: the samples of each step, equally many; all samples at every step unless given.
        rate: eta; by default 1 / (largest eigenvalue of the limiting NTK), 0.1 where features are learned.
        start: f_0 of kernel-regime networks, 0 unless given: networks are conditioned on it, as the program is.
        widths, seeds, key: of the sampled networks.
        method: of the unrolled limit: "exact", or "particles" of so many samples; "auto" takes exact where it is a matter of seconds.

    Raises:
        InvalidProgram: data that do not fit, or batches of several sizes.
        OutsideTheory: an expectation that does not exist.
    """
    data, labels = points_of(network, x), np.asarray(y, dtype=np.float64)
    samples, tell = count(data), progress or (lambda _fraction, _what: None)
    tell(0.0, "kernel")
    k = kernels(network, data) if network.kind == "ntk" else None
    eta = rate if rate is not None else 0.1 if k is None else 1.0 / float(np.linalg.eigvalsh(_matrix(k.ntk))[-1])
    how = _How(eta, momentum, loss, tuple(widths), seeds, key)
    u = unroll(network, samples, steps=None if batches else steps, batches=batches, optimizer=SGD(eta, momentum), loss=loss)
    shape = (samples, *(u.program.size[a] for a in u.network.output_axes))
    if labels.shape != shape:
        raise InvalidProgram(f"[shape] y has shape {labels.shape}; the outputs are {shape}. Give every sample its label.")
    f_0 = np.zeros(shape) if start is None else np.asarray(start, dtype=np.float64)
    tell(0.1, "unrolled limit")
    exact = method == "exact" or (method == "auto" and _is_quick(u, None if k is None else k.method))
    found = limit_outputs(u, data, labels, f_0) if exact else particle_outputs(u, data, labels, f_0, key=jax.random.key(key), samples=particles)
    dropped = np.asarray(limit_outputs(u, data, labels, f_0, dots="drop").value) if exact else None
    kernel = None if k is None else _kernel_path(network, u, k.ntk, labels, f_0, how)
    networks = _networks(network, u, data, labels, f_0 if u.start else None, how, tell)
    limit = np.asarray(found.value), np.asarray(found.error), found.method
    return Theorem(network.name, eta, loss, u.batches, labels, *limit, kernel, dropped, how.widths, networks)


@dataclass(frozen=True)
class _How:
    """How networks are trained, and which."""

    rate: float
    momentum: float
    loss: str
    widths: tuple[int, ...]
    seeds: int
    key: int


def _is_quick(u: Unrolled, kernel_method: str | None) -> bool:
    """In the kernel regime: where the kernel itself is exact; where features are learned: polynomials."""
    if kernel_method is not None:
        return "particles" not in kernel_method
    return not any(isinstance(e, Apply) for i in u.tape.forward if not isinstance(i, MatMul) for e in walk(i.psi))


def _matrix(ntk: Array) -> Floats:
    """(samples, samples, outs, outs) or (samples, samples) as a matrix over samples and output positions."""
    a = np.asarray(ntk)
    axes = (a.ndim - 2) // 2
    order = (0, *range(2, 2 + axes), 1, *range(2 + axes, a.ndim))
    size = round(a.size**0.5)
    return a.transpose(order).reshape(size, size)


def _kernel_path(network: Network, u: Unrolled, ntk: Array, labels: Floats, f_0: Floats, how: _How) -> Floats:
    """Kernel gradient descent with the same batches, (T + 1, samples, *outputs); positions of the output are points of the kernel."""
    k = _matrix(ntk)
    positions = len(k) // len(labels)
    batches = np.array(u.batches)[..., None] * positions + np.arange(positions)
    y, f = (a.reshape(len(k), -1) if network.outputs > 1 else a.ravel() for a in (labels, f_0))
    path = gradient_descent(
        k, y, rate=how.rate, steps=u.steps, f0=f, loss=LOSSES[how.loss], momentum=how.momentum, batches=batches.reshape(u.steps, -1)
    )
    return np.asarray(path.train).reshape(-1, *labels.shape)


def _networks(network: Network, u: Unrolled, data: Mapping[str, Array], labels: Floats, f_0: Floats | None, how: _How, tell: Progress) -> Floats:
    """f_0 .. f_T of networks of every width and seed, (widths, seeds, T + 1, samples, *outputs); conditioned on f_0 where it is given."""
    dims = {name: a.shape[-1] for name, a in data.items()}

    def one(n: int, key: Array) -> Array:
        params = finite.sample(network, key, n, dims)
        if f_0 is not None:
            params = conditioned(network, params, n, data, f_0)
        path = train(
            network, params, n, data, labels, rate=how.rate, steps=u.steps, loss=LOSSES[how.loss], batches=np.array(u.batches), momentum=how.momentum
        )
        return path.train

    found: list[Floats] = []
    for i, n in enumerate(how.widths):
        tell(0.3 + 0.7 * i / len(how.widths), f"{how.seeds} networks of width {n}")
        keys = jax.random.split(jax.random.fold_in(jax.random.key(how.key), n), how.seeds)
        found.append(np.asarray(jax.jit(partial(jax.lax.map, partial(one, n)))(keys)))
    tell(1.0, "done")
    return np.stack(found)
