"""Figures about width: the coordinate check, and the transfer of learning rates (Yang et al. 2022, TP V, Figures 1 and 5)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from tensorprog.study.style import COLORS, FAINT, INK, MARKERS, by_width, caption, legend, log_widths, panels

if TYPE_CHECKING:
    from tensorprog.study.coordinates import Check, Size
    from tensorprog.study.transfer import Transfer

SHOWN = 12  # lines of one panel


def coordinates(check: Check) -> Figure:
    """Three panels against width: each tensor's part in the motion, how far every vector has moved, how large it was at the start."""
    fig, (parts, change, start) = panels(12.5, 4.8, 1, 3)
    told = f"{check.name}, {check.parametrization}, {check.optimizer}"
    _sizes(parts, check.parts, check.widths)
    caption(parts, f"{told}: what each tensor adds", f"(W_t \N{MINUS SIGN} W_0) x_t after {check.steps} steps; bold: does not keep its size")
    _sizes(change, check.change, check.widths, {name.removeprefix("change "): v for name, v in check.limit.items() if name.startswith("change ")})
    caption(
        change,
        "how far each vector moves",
        "x_t \N{MINUS SIGN} x_0, root mean square over coordinates" + ("; dashes: the limit" if check.limit else ""),
    )
    _sizes(start, check.start, check.widths, {name.removeprefix("start "): v for name, v in check.limit.items() if name.startswith("start ")})
    caption(start, "how large it is at the start", "x_0; f_0 vanishes in muP")
    return fig


def _sizes(ax: Axes, sizes: Mapping[str, Size], widths: tuple[int, ...], limit: Mapping[str, float] = MappingProxyType({})) -> None:
    shown = {name: s for name, s in sizes.items() if s.values.any()}
    step = max(1, -(-len(shown) // SHOWN))
    for i, (name, size) in enumerate(list(shown.items())[::-1][::step][::-1]):
        right = size.verdict == "keeps its size"
        color, marker = COLORS[i % len(COLORS)], MARKERS[(i // len(COLORS)) % len(MARKERS)]
        label = f"{name}   {size.slope.value:+.2f}".replace("-", "\N{MINUS SIGN}")
        ax.plot(widths, size.rms, marker=marker, ms=5, color=color, lw=1.4 if right else 2.8, mec="white", mew=0.7, label=label)
        if limit.get(name):
            ax.plot([widths[-1], 1.7 * widths[-1]], [limit[name]] * 2, color=color, lw=1.4, ls=(0, (2, 1.5)))
    ax.set_yscale("log")
    log_widths(ax, widths)
    legend(ax, "upper center", bbox_to_anchor=(0.5, -0.15), ncols=3)


def transfer(study: Transfer, limit: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None) -> Figure:
    """A panel a parametrization: loss after training against learning rate, darker is wider, a ring at each width's best rate.

    Args:
        limit: by the name of a parametrization, the learning rates and losses of the limit itself.
    """
    fig, axes = panels(4.3 * len(study.parametrizations), 4.2, 1, len(study.parametrizations), sharey=True)
    for k, (ax, name) in enumerate(zip(axes, study.parametrizations, strict=True)):
        for i, n in enumerate(study.widths):
            loss = study.mean[k, i]
            color = by_width(i, len(study.widths))
            ax.plot(study.rates, np.where(np.isfinite(loss), loss, np.nan), color=color, lw=1.7, label=f"n = {n}")
            best = int(study.best[k, i])
            ax.plot(study.rates[best], loss[best], "o", ms=8, mfc="none", mec=color, mew=1.8)
        if limit:  # a parametrization that has no limit has the legend all the same
            ax.plot(*map(np.asarray, limit.get(name, ((), ()))), color=INK, lw=2.2, ls=(0, (4, 2)), label="limit")
        _rates(ax, study, told=name)
    axes[0].set_ylabel(f"training loss after {study.steps} steps")
    legend(axes[0], "lower left")
    return fig


def _rates(ax: Axes, study: Transfer, told: str) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    finite = study.mean[np.isfinite(study.mean)]
    ax.set_ylim(0.7 * finite.min(), 1.5 * study.start)
    ax.axhline(study.start, color=FAINT, lw=1, ls=(0, (5, 3)), zorder=0)
    ax.set_xlabel(f"learning rate at width {study.widths[0]}")
    k = study.parametrizations.index(told)
    shift = np.log2(study.rates[study.best[k, -1]] / study.rates[study.best[k, 0]])
    moved = f"best rate moves by a factor {2**shift:.3g} from n = {study.widths[0]} to {study.widths[-1]}"
    caption(ax, told, moved)
