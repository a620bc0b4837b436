"""Does the best learning rate stay where it is when the network gets wider (Yang et al. 2022, TP V, Figure 1)?

Networks of several widths are trained for a number of steps at every rate of a grid, in several parametrizations that agree at the smallest width.
In muP the curves settle, and so does their best rate; where a parametrization has another limit, or none, the best rate moves with the width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.finite import Inputs, inputs_of, sample
from tensorprog.interpret.precision import double
from tensorprog.kernels.adam import Adam
from tensorprog.kernels.dynamics.losses import LossLike, squared, total
from tensorprog.kernels.train import train
from tensorprog.language.program import Network
from tensorprog.study.fit import Floats
from tensorprog.study.mup import Optimizer
from tensorprog.transform.parametrization import FRAMEWORK, MUP, NTP, Parametrization
from tensorprog.transform.rescale import at_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Transfer:
    """Losses after training: (parametrizations, widths, rates, seeds); infinite where training diverged. `start` is the loss of f = 0."""

    name: str
    parametrizations: tuple[str, ...]
    optimizer: str
    widths: tuple[int, ...]
    rates: Floats
    losses: Floats
    steps: int
    start: float

    @property
    def mean(self) -> Floats:
        """Over seeds: (parametrizations, widths, rates)."""
        return self.losses.mean(-1)

    @property
    def best(self) -> np.ndarray:
        """The place of the best rate, (parametrizations, widths)."""
        return self.mean.argmin(-1)

    def table(self) -> Table:
        """The best rate and its loss by width, for a terminal."""
        from rich.table import Table

        table = Table(title=f"{self.name}, {self.optimizer}: best learning rate (relative to width {self.widths[0]}'s units) and its loss")
        table.add_column("width", justify="right")
        for name in self.parametrizations:
            table.add_column(name, justify="right", no_wrap=True)
        for i, n in enumerate(self.widths):
            cells = [f"{self.rates[b]:.3g}   {self.mean[k, i, b]:.4g}" for k, b in enumerate(self.best[:, i])]
            table.add_row(str(n), *cells)
        return table

    def plot(self, limit: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None) -> Figure:
        """Loss against learning rate, a panel a parametrization; `limit`: (rates, losses) of the limit itself, by parametrization."""
        from tensorprog.study.width_plots import transfer as draw

        return draw(self, limit)

    def to_dict(self) -> dict[str, Any]:
        """Plain data (for JSON); a loss that diverged is null."""
        losses = np.where(np.isfinite(self.losses), self.losses, np.nan).tolist()
        return {"name": self.name, "parametrizations": self.parametrizations, "optimizer": self.optimizer, "widths": self.widths} | {
            "rates": self.rates.tolist(), "losses": _without_nan(losses), "steps": self.steps, "start": self.start
        }  # fmt: skip


@double
def transfer(
    network: Network,
    x: Inputs,
    y: ArrayLike,
    widths: Sequence[int] = (64, 128, 256, 512),
    *,
    rates: Sequence[float] = tuple(2.0**k for k in range(-7, 5)),
    parametrizations: Sequence[Parametrization] = (FRAMEWORK, NTP, MUP),
    optimizer: Optimizer = "sgd",
    steps: int = 20,
    seeds: int = 2,
    key: int = 0,
    loss: LossLike = squared,
    progress: Progress | None = None,
    keep: Callable[[Transfer], None] | None = None,
) -> Transfer:
    """Sweep the learning rate at every width in every parametrization; full-batch training on the mean loss, in float32.

    Args:
        x, y: points (N, *positions, d) and their targets.
        rates: a growing grid of learning rates, in the units of the smallest width.
        keep: called after every width with what there is so far (all parametrizations), so that an interruption loses one width at most.

    Raises:
        InvalidProgram: rates that do not grow or are not positive, no width, step or seed, or data that do not fit.
    """
    grid = np.asarray(rates, dtype=np.float64)
    if grid.ndim != 1 or not len(grid) or not len(widths) or not (grid > 0).all() or not (np.diff(grid) > 0).all():
        raise InvalidProgram(f"[transfer] rates {list(rates)} at widths {list(widths)}. Give positive rates that grow, and at least one width.")
    if steps < 1 or seeds < 1:
        raise InvalidProgram(f"[transfer] {steps} steps and {seeds} seeds. Give at least 1 of each.")
    data, target = inputs_of(network.program, x), jnp.asarray(y, "float32" if not jnp.issubdtype(jnp.asarray(y).dtype, jnp.integer) else None)
    zero = jnp.zeros((len(target), network.outputs) if network.outputs > 1 else len(target))
    done: list[Floats] = []
    for k, n in enumerate(widths):
        found: list[Floats] = []
        for j, p in enumerate(parametrizations):
            if progress is not None:
                progress((k + j / len(parametrizations)) / len(widths), f"{network.name} of width {n}, {p.name}")
            scaled = at_width(network, p, n, widths[0], "sgd" if optimizer == "sgd" else "entrywise")
            found.append(
                _sweep(scaled, n, data, target, grid, jax.random.split(jax.random.fold_in(jax.random.key(key), n), seeds), optimizer, steps, loss)
            )
        done.append(np.stack(found))
        so_far = Transfer(
            network.name, tuple(p.name for p in parametrizations), optimizer, tuple(widths[: k + 1]), grid, np.stack(done, 1), steps,
            float(total(loss, zero, target)) / len(target),
        )  # fmt: skip
        if keep is not None:
            keep(so_far)
    if progress is not None:
        progress(1.0, "done")
    return so_far  # pyright: ignore[reportPossiblyUnboundVariable]  # there is a width


def _sweep(
    network: Network, n: int, x: Mapping[str, Array], y: Array, rates: Floats, keys: Array, optimizer: Optimizer, steps: int, loss: LossLike
) -> Floats:
    """Losses (rates, seeds), the runs one after another."""
    dims = {name: a.shape[-1] for name, a in x.items()}
    adam = Adam() if optimizer == "adam" else None

    def one(run: tuple[Array, Array]) -> Array:
        rate, key = run
        params = sample(network, key, n, dims, dtype="float32")
        schedule = jnp.full(steps, rate)
        path = train(network, params, n, x, y, rate=schedule, steps=steps, loss=loss, reduction="mean", record=(steps,), adam=adam)
        return total(loss, path.train[0], y) / len(y)

    every = jnp.repeat(jnp.asarray(rates), len(keys)), jnp.tile(keys, len(rates))
    losses = np.asarray(jax.jit(lambda runs: jax.lax.map(one, runs))(every), dtype=np.float64)
    return np.where(np.isfinite(losses), losses, np.inf).reshape(len(rates), len(keys))


def _without_nan(values: Any) -> Any:
    return [_without_nan(v) for v in values] if isinstance(values, list) else None if values != values else values
