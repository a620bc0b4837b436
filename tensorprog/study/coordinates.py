"""The coordinate check: does every activation, and every tensor's part in its motion, keep its size as the width grows (TP V, Appendix D.1; TP IV)?

Networks of growing width are trained for a few steps. Then, over coordinates and data points (root mean square), for every vector x of the program

    start   x_0,        change   x_t - x_0,

and for every tensor its own part in the change of what it makes: (W_t - W_0) x_t, (U_t - U_0) xi / sqrt(d), b_t - b_0, and (v_t - v_0) x_t of f.
In muP all of these tend to constants, exponent 0. A tensor whose part grows is trained too fast for large widths; one whose part vanishes is
trained too slowly, or as in the NTK parametrization (exponent -1/2) not at all in the limit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.finite import Inputs, Params, inputs_of, readout, run, sample, widths
from tensorprog.interpret.precision import double
from tensorprog.kernels.adam import Adam
from tensorprog.kernels.dynamics.losses import LossLike, squared
from tensorprog.kernels.points import Points
from tensorprog.kernels.train import train
from tensorprog.language.instr import Embedding, MatMul
from tensorprog.language.program import Network
from tensorprog.study.fit import Floats, Slope, root_mean_square, slope
from tensorprog.study.mup import Optimizer
from tensorprog.study.transfer_limit import limit_sizes
from tensorprog.transform.parametrization import MUP, Parametrization
from tensorprog.transform.rescale import at_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

Progress = Callable[[float, str], None]
TOLERANCE = 0.15  # an exponent within this of 0 is 0: finite widths correct it by about n^-1/2, some hundredths at widths of hundreds
OUTPUT = "f"


@dataclass(frozen=True)
class Size:
    """One quantity against width: (widths, seeds), and the exponent of n with its interval."""

    values: Floats
    slope: Slope

    @property
    def rms(self) -> Floats:
        return root_mean_square(self.values)

    @property
    def verdict(self) -> str:
        """ "keeps its size", "grows", "vanishes", or "does not move"."""
        if not self.values.any():
            return "does not move"
        return "grows" if self.slope.low > TOLERANCE else "vanishes" if self.slope.high < -TOLERANCE else "keeps its size"


@dataclass(frozen=True)
class Check:
    """What `coordinate_check` measured.

    Attributes:
        start, change: of every vector of the program, and of the output f.
        parts: of every trained tensor: the size of its own part in the change of what it makes.
        limit: the sizes at infinite width, "start x" and "change x", in muP with SGD where they were asked for.
    """

    name: str
    parametrization: str
    optimizer: str
    widths: tuple[int, ...]
    steps: int
    start: Mapping[str, Size]
    change: Mapping[str, Size]
    parts: Mapping[str, Size]
    limit: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def wrong(self) -> dict[str, str]:
        """The tensors whose part does not keep its size, with what it does."""
        return {name: size.verdict for name, size in self.parts.items() if size.verdict != "keeps its size"}

    @property
    def right(self) -> bool:
        return not self.wrong

    def table(self) -> Table:
        """Exponents, for a terminal."""
        from rich.table import Table

        title = (
            f"{self.name}, {self.parametrization}, {self.optimizer}: sizes after {self.steps} steps at widths {self.widths[0]} to {self.widths[-1]}"
        )
        table = Table(title=title)
        for column in ("", "exponent of n", f"size at {self.widths[-1]}", ""):
            table.add_column(column, justify="right" if column else "left", no_wrap=True)
        for head, sizes in (("part of", self.parts), ("change of", self.change), ("start of", self.start)):
            for name, s in sizes.items():
                table.add_row(f"{head} {name}", str(s.slope) if s.values.any() else "", f"{s.rms[-1]:.3g}", s.verdict)
            table.add_section()
        return table

    def plot(self) -> Figure:
        """Start, change and parts against width."""
        from tensorprog.study.width_plots import coordinates

        return coordinates(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data (for JSON)."""
        sizes = {"start": self.start, "change": self.change, "parts": self.parts}
        found = {k: {name: {"values": s.values.tolist(), "slope": list(s.slope)} for name, s in v.items()} for k, v in sizes.items()}
        return {"name": self.name, "parametrization": self.parametrization, "widths": list(self.widths), "steps": self.steps, **found}

    def __str__(self) -> str:
        if self.right:
            return f"{self.name}: {self.parametrization} is right: every tensor's part keeps its size."
        return "\n".join(f"{self.name}: {self.parametrization}: the part of {name} {what} with the width." for name, what in self.wrong.items())


@double
def coordinate_check(
    network: Network,
    x: Inputs,
    y: ArrayLike,
    widths: Sequence[int] = (64, 128, 256, 512),
    *,
    parametrization: Parametrization = MUP,
    optimizer: Optimizer = "sgd",
    rate: float = 0.1,
    steps: int = 3,
    seeds: int = 8,
    key: int = 0,
    loss: LossLike = squared,
    limit: bool = False,
    progress: Progress | None = None,
) -> Check:
    """Train networks of several widths for a few steps and see what keeps its size.

    Args:
        x, y: a few points (N, *positions, d) and their targets.
        rate: the learning rate at the smallest width, where all parametrizations are the network itself; the loss is the mean over points.
        limit: sample the sizes at infinite width too (muP, SGD and the squared loss only).

    Raises:
        InvalidProgram: a limit of another kind of training, fewer than two widths or seeds, data that do not fit, or a parametrization in which
            activations do not keep their size.
    """
    data = inputs_of(network.program, x)
    if limit and (parametrization is not MUP or optimizer != "sgd" or loss is not squared):
        raise InvalidProgram("[limit] the sizes at infinite width are those of muP with SGD on the squared loss. Ask for these, or leave limit out.")
    measured: dict[str, list[Floats]] = {}
    for k, n in enumerate(widths):
        if progress is not None:
            progress(k / len(widths), f"{network.name} of width {n}")
        scaled = at_width(network, parametrization, n, widths[0], "sgd" if optimizer == "sgd" else "entrywise")

        def one(seed: Array, scaled: Network = scaled, n: int = n) -> dict[str, Array]:
            return _sizes(scaled, seed, n, data, jnp.asarray(y), rate=rate, steps=steps, loss=loss, adam=Adam() if optimizer == "adam" else None)

        seen = jax.jit(lambda keys, one=one: jax.lax.map(one, keys))(jax.random.split(jax.random.fold_in(jax.random.key(key), n), seeds))
        for name, values in seen.items():
            measured.setdefault(name, []).append(np.asarray(values))
    if progress is not None:
        progress(1.0, "done")
    found = {name: Size(np.stack(values), slope(tuple(widths), np.stack(values))) for name, values in measured.items()}
    start, change, parts = (
        {name.split(" ", 1)[1]: s for name, s in found.items() if name.startswith(head)} for head in ("start ", "change ", "part ")
    )
    sizes = limit_sizes(network, data, y, widths[0], rate, steps=steps) if limit else {}
    return Check(network.name, parametrization.name, optimizer, tuple(widths), steps, start, change, parts, sizes)


def _sizes(
    network: Network, key: Array, n: int, x: Points, y: Array, *, rate: float, steps: int, loss: LossLike, adam: Adam | None
) -> dict[str, Array]:
    """Every size at one width and seed."""
    params = sample(network, key, n, {name: a.shape[-1] for name, a in x.items()})
    path = train(network, params, n, x, y, rate=rate, steps=steps, loss=loss, reduction="mean", record=(steps,), adam=adam)
    p = network.program
    first, last = run(p, params, n, x), run(p, path.params, n, x)
    moved = {name: path.params[name] - w for name, w in params.items()}
    vectors = [name for name, width in p.width_of.items() if width is not None and name not in moved]
    f = {"start": readout(network, params, n, first), "change": readout(network, path.params, n, last) - readout(network, params, n, first)}
    out = {f"start {name}": _rms(first[name]) for name in vectors} | {f"change {name}": _rms(last[name] - first[name]) for name in vectors}
    out |= {f"{what} {OUTPUT}": _rms(value) for what, value in f.items()}
    return out | {f"part {name}": value for name, value in _parts(network, n, moved, x, last).items() if network.trained(name).rate != 0}


def _parts(network: Network, n: int, moved: Params, x: Points, values: Mapping[str, Array]) -> dict[str, Array]:
    """For every tensor the size of (change of the tensor) times what it multiplies; of all its uses together."""
    p, size = network.program, widths(network.program, n)
    squares: dict[str, list[Array]] = {}
    for i in p.body:
        if isinstance(i, MatMul):
            m, w = p.matrix[i.matrix], moved[i.matrix]
            part = m.sigma / sqrt(size[m.cols]) * (values[i.arg] @ (w if i.transpose else w.T))
            squares.setdefault(i.matrix, []).append(_rms(part) ** 2)
    for v in p.vectors:
        if isinstance(v.law, Embedding):
            xi = x[v.law.input]
            squares.setdefault(v.law.matrix, []).append(_rms(v.law.sigma / sqrt(xi.shape[-1]) * (xi @ moved[v.law.matrix].T)) ** 2)
        else:
            squares.setdefault(v.name, []).append(v.law.variance * _rms(moved[v.name]) ** 2)
    parts = {name: jnp.sqrt(sum(values) / len(values)) for name, values in squares.items()}
    return parts | dict.fromkeys((r.vector for r in network.readouts), _rms(readout(network, moved, n, values)))


def _rms(a: Array) -> Array:
    return jnp.sqrt(jnp.mean(a**2))
