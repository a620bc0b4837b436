"""The dynamical dichotomy (Yang & Hu 2021, TP IV, section 3): a parametrization either moves its features or follows a fixed kernel.

What tells them apart is how far the empirical NTK moves in training, |K_T - K_0| / |K_0|, against the width: n^0 where features are learned (muP),
n^-1 in the NTK parametrization for smooth nonlinearities, about n^-3/4 for relu, about n^1/2 of whose units change their side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import numpy as np
from jax.typing import ArrayLike

from tensorprog.interpret.finite import Inputs
from tensorprog.language.program import Network
from tensorprog.study.disconnect.fluctuation import drift
from tensorprog.study.fit import Floats, Slope, interval, root_mean_square, slope
from tensorprog.study.frame import Progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table


@dataclass(frozen=True)
class Dichotomy:
    """|K_T - K_0| / |K_0| of several networks, (widths, seeds) each."""

    widths: tuple[int, ...]
    drifts: Mapping[str, Floats]

    @property
    def slopes(self) -> dict[str, Slope]:
        """The exponent in the width, with its bootstrap interval."""
        return {name: slope(self.widths, d) for name, d in self.drifts.items()}

    def table(self) -> Table:
        from rich.table import Table

        table = Table(title="How far the kernel moves in training, |K_T - K_0| / |K_0|")
        for column in ("network", *(f"n = {n}" for n in self.widths), "slope"):
            table.add_column(column, justify="left" if column == "network" else "right", no_wrap=True)
        for name, d in self.drifts.items():
            table.add_row(name, *(f"{e:.3g}" for e in root_mean_square(d)), str(self.slopes[name]))
        return table

    def plot(self) -> Figure:
        from tensorprog.study.style import COLORS, MARKERS, canvas, caption, legend, log_widths

        fig, ax = canvas(6.4, 4.4)
        widths = np.array(self.widths, dtype=float)
        for k, (name, d) in enumerate(self.drifts.items()):
            middle = root_mean_square(d)
            low, high = interval(d)
            label = f"{name}: slope {self.slopes[name]}"
            ax.errorbar(widths, middle, (middle - low, high - middle), color=COLORS[k], marker=MARKERS[k], ms=5, lw=1.5, capsize=2.5, label=label)
        ax.set_yscale("log")
        log_widths(ax, self.widths)
        bottom, top = ax.get_ylim()
        ax.set_ylim(top=top * (top / bottom) ** 0.4)  # room for the legend
        caption(ax, "How far the kernel moves in training", r"$|K_T - K_0|\,/\,|K_0|$; bars: 95 % bootstrap intervals over seeds")
        legend(ax)
        return fig


def dichotomy(
    networks: Mapping[str, Network],
    x: Inputs,
    y: ArrayLike,
    widths: Sequence[int],
    *,
    seeds: int = 8,
    key: int = 0,
    level: float = 0.1,
    tell: Progress = lambda fraction, now: None,
) -> Dichotomy:
    """Train the networks at every width until their initial kernel would have brought the loss down to `level`, and see how far the kernel has moved.

    Args:
        networks: by name; one of kind "moment" is in muP.
    """
    found: dict[str, Floats] = {}
    for k, (name, network) in enumerate(networks.items()):

        def within(fraction: float, now: str, k: int = k, name: str = name) -> None:
            tell((k + fraction) / len(networks), f"{name}: {now}")

        found[name] = drift(network, x, y, widths, seeds, jax.random.fold_in(jax.random.key(key), k), level=level, tell=within)
    tell(1.0, "done")
    return Dichotomy(tuple(widths), found)
