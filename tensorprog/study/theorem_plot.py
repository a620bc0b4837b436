"""The figure of `study/theorem`: outputs along training by every way, and how close networks come with their width."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tensorprog.study.fit import interval, root_mean_square
from tensorprog.study.style import COLORS, FAINT, INK, caption, dress, log_widths

if TYPE_CHECKING:
    from tensorprog.study.theorem import Theorem

SHOWN = 5  # samples in the picture


def theorem(t: Theorem) -> Figure:
    fig = Figure(figsize=(10.6, 4.7), layout="constrained")
    left, right = fig.subplots(1, 2, width_ratios=(1.25, 1))
    for ax in (left, right):
        dress(ax)
    marks = _outputs(left, t)
    fig.legend(handles=marks, loc="outside lower left", ncols=len(marks), frameon=False, fontsize=9, labelcolor=INK)
    _distances(right, t)
    return fig


def _outputs(ax: Axes, t: Theorem) -> list[Line2D]:
    """The left panel; returns what explains its marks."""
    steps = np.arange(len(t.limit))
    flat = {name: a.reshape(len(steps), -1) for name, a in (("limit", t.limit), ("kernel", t.kernel), ("dropped", t.dropped)) if a is not None}
    networks = t.networks[-1].reshape(t.networks.shape[1], len(steps), -1)
    mean, deviation = networks.mean(0), networks.std(0, ddof=1)
    for i in range(min(SHOWN, flat["limit"].shape[1])):
        color = COLORS[i % len(COLORS)]
        shift = 0.05 * (i - SHOWN / 2)
        ax.plot(steps, flat["limit"][:, i], color=color, lw=1.6, zorder=3)
        if "kernel" in flat:
            ax.scatter(steps, flat["kernel"][:, i], s=42, facecolors="white", edgecolors=color, linewidths=1.4, zorder=4)
        if "dropped" in flat:
            ax.plot(steps, flat["dropped"][:, i], color=color, lw=1.1, ls=(0, (2, 2)), zorder=2)
        ax.errorbar(steps + shift, mean[:, i], deviation[:, i], color=color, lw=0, elinewidth=1.1, marker="x", ms=4, alpha=0.75, zorder=5)
    ax.set_xlabel("step")
    ax.set_xticks(steps if len(steps) <= 12 else steps[:: len(steps) // 6])
    shown = min(SHOWN, flat["limit"].shape[1])
    caption(ax, f"{t.name}: outputs along training", f"{shown} samples, a colour each; $\\eta$ = {t.rate:.3g}, {t.loss.replace('_', ' ')} loss")
    marks = [Line2D([], [], color=INK, lw=1.6, label="unrolled program, limit")]
    if "kernel" in flat:
        marks.append(Line2D([], [], color=INK, lw=0, marker="o", mfc="white", label="kernel gradient descent"))
    if "dropped" in flat:
        marks.append(Line2D([], [], color=INK, lw=1.1, ls=(0, (2, 2)), label="limit without dots"))
    marks.append(Line2D([], [], color=INK, lw=0, marker="x", label=f"networks, n = {t.widths[-1]}, mean and deviation"))
    return marks


def _distances(ax: Axes, t: Theorem) -> None:
    widths, distances = np.array(t.widths, dtype=float), t.distances
    middle = root_mean_square(distances)
    low, high = interval(distances)
    ax.plot(np.repeat(widths, distances.shape[1]), distances.ravel(), "o", ms=3, color=COLORS[0], alpha=0.3, mew=0)
    ax.errorbar(widths, middle, (middle - low, high - middle), color=COLORS[0], lw=1.5, marker="o", ms=5, capsize=2.5)
    guide = 0.6 * middle[0] * np.sqrt(widths[0] / widths)
    ax.plot(widths, guide, color=FAINT, lw=1.2, ls=(0, (5, 3)))
    ax.annotate(r"$n^{-1/2}$", (widths[-1], guide[-1]), (-2, -12), textcoords="offset points", color=FAINT, ha="right")
    ax.set_yscale("log")
    log_widths(ax, t.widths)
    below = f"slope {t.slope}" if len(widths) > 1 else "one width: no slope"
    caption(ax, "Distance of networks from the limit", f"rms over steps and samples, dots: seeds; {below}")
