"""Figures of studies: convergence in width, training beside the kernel, kernels as heat maps, contributions of parameters.

Every function returns a matplotlib Figure of its own (no pyplot, no global state): `figure.savefig("x.png")`, or show it in a notebook.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import ArrayLike

from tensorprog.study.fit import interval
from tensorprog.study.style import (
    COLORS,
    FAINT,
    GRID,
    INK,
    KERNEL,
    MARKERS,
    SEQUENTIAL,
    by_width,
    canvas,
    caption,
    dress,
    legend,
    log_percent,
    log_widths,
)

if TYPE_CHECKING:
    from tensorprog.study.convergence import Curve, Study
    from tensorprog.study.training import Following


def convergence(*studies: Study) -> Figure:
    """Relative error against width, a panel a study: one line a quantity with bootstrap intervals, its fit, its seeds, a guide of slope -1/2."""
    fig = Figure(figsize=(0.4 + 6.0 * len(studies), 4.6), layout="constrained")
    for ax, study in zip(np.atleast_1d(fig.subplots(1, len(studies), sharey=True)), studies, strict=True):
        dress(ax)
        _convergence(ax, study, study.name if len(studies) > 1 else f"{study.name}: finite networks approach the limit")
        ax.label_outer()
    return fig


def training(following: Following) -> Figure:
    """Three panels: the training loss and test outputs of one network beside its kernel's, and the gap to the kernel by width."""
    fig = Figure(figsize=(11.5, 3.9), layout="constrained")
    left, middle, right = fig.subplots(1, 3, width_ratios=(1, 1.1, 1))
    for ax in (left, middle, right):
        dress(ax)
    _losses(left, following)
    _outputs(middle, following)
    _gaps(right, following)
    return fig


def kernels(matrices: Mapping[str, ArrayLike], labels: Sequence[object] | None = None) -> Figure:
    """Heat maps side by side. `labels`, one a point: boundaries are drawn between runs of equal labels, so sort the points by class."""
    fig = Figure(figsize=(0.6 + 3.7 * len(matrices), 3.9), layout="constrained")
    for ax, (title, matrix) in zip(np.atleast_1d(fig.subplots(1, len(matrices))), matrices.items(), strict=True):
        k = np.asarray(matrix, dtype=float)
        low, high = float(k.min()), float(k.max())
        signed = low < -1e-12 * abs(high)
        norm = TwoSlopeNorm(0.0, min(low, -1e-12), max(high, 1e-12)) if signed else None
        image = ax.imshow(k, cmap=KERNEL if signed else SEQUENTIAL, norm=norm, interpolation="nearest")
        _boundaries(ax, labels, len(k))
        ax.set_title(title, loc="left", fontsize=11, color=INK, fontweight="bold", pad=8)
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0, labelsize=8.5, labelcolor=FAINT)
        bar = fig.colorbar(image, ax=ax, shrink=0.85, pad=0.02)
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        bar.ax.tick_params(length=0, labelsize=8, labelcolor=FAINT)
    return fig


def contributions(by_parameter: Mapping[str, ArrayLike], title: str = "Which parameter contributes what to the NTK") -> Figure:
    """A bar a trained tensor: its part of the mean of the NTK's diagonal."""
    names = list(by_parameter)
    parts = np.array([np.mean(np.diagonal(np.atleast_2d(np.asarray(k, dtype=float)))) for k in by_parameter.values()])
    total = parts.sum() or 1.0
    fig, ax = canvas(6.4, 1.1 + 0.36 * len(names))
    at = np.arange(len(names))[::-1]
    ax.barh(at, parts, height=0.66, color=[COLORS[0] if p > 0 else GRID for p in parts])
    for y, part in zip(at, parts, strict=True):
        ax.annotate(f"{part:.3g}   {part / total:.0%}", (max(part, 0.0), y), (5, 0), textcoords="offset points", va="center", fontsize=9, color=INK)
    ax.set_yticks(at, names)
    ax.set_xlim(0, 1.22 * max(parts.max(), 1e-300))
    ax.grid(visible=False, axis="y")
    ax.xaxis.set_major_locator(NullLocator())
    ax.spines["bottom"].set_visible(False)
    caption(ax, title, f"mean over points of K(x, x) = {total:.4g}")
    return fig


# Panels.


def _convergence(ax: Axes, study: Study, title: str) -> None:
    widths = np.array(study.widths, dtype=float)
    for i, curve in enumerate(study.curves):
        _curve(ax, curve, COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)], 1.0 + 0.05 * (i - (len(study.curves) - 1) / 2))
    lowest = min((c.rms[0] for c in study.curves if c.rms[0] > 0), default=1.0)
    guide = 0.55 * lowest * np.sqrt(widths[0] / widths)
    ax.plot(widths, guide, color=FAINT, lw=1.2, ls=(0, (5, 3)), zorder=1)
    ax.annotate(r"$n^{-1/2}$", (widths[0], guide[0]), (-4, -4), textcoords="offset points", color=FAINT, ha="right", va="center")
    log_widths(ax, study.widths)
    log_percent(ax)
    caption(ax, title, f"root-mean-square over {study.seeds} seeds; dots: single seeds")
    ax.set_ylabel("relative error of the kernel" if {c.quantity for c in study.curves} <= {"nngp", "ntk"} else "relative error")
    legend(ax)


def _curve(ax: Axes, curve: Curve, color: str, marker: str, shift: float) -> None:
    widths = np.array(curve.widths, dtype=float)
    low, high = interval(curve.errors)
    spread = np.random.default_rng(0).uniform(-0.06, 0.06, curve.errors.shape)
    ax.scatter(shift * widths[:, None] * np.exp(spread), curve.errors, s=5, color=color, alpha=0.16, linewidths=0, zorder=2)
    if curve.rms.all():
        x = np.log(widths)
        fitted = np.exp(np.log(curve.rms).mean() + curve.slope.value * (x - x.mean()))
        ax.plot(widths, fitted, color=color, lw=1.4, alpha=0.85, zorder=3)
    label = f"{curve.quantity.upper() if curve.quantity in ('nngp', 'ntk') else curve.quantity}"
    label += f"   slope {curve.slope.value:.2f}  [{curve.slope.low:.2f}, {curve.slope.high:.2f}]".replace("-", "\N{MINUS SIGN}")
    ax.errorbar(
        shift * widths,
        curve.rms,
        np.maximum([curve.rms - low, high - curve.rms], 0.0),
        fmt=marker,
        color=color,
        ms=6.5,
        mec="white",
        mew=0.9,
        elinewidth=1.4,
        capsize=3,
        label=label,
        zorder=4,
    )


def _losses(ax: Axes, f: Following) -> None:
    for i, r in enumerate(f.runs):
        color = by_width(i, len(f.runs))
        ax.plot(r.kernel_loss[0] / r.kernel_loss[0, 0], color=color, lw=3.6, alpha=0.3, solid_capstyle="round")
        ax.plot(r.loss[0] / r.loss[0, 0], color=color, lw=1.3, label=f"n = {r.width}")
    ax.axhline(f.level, color=FAINT, lw=1, ls=(0, (5, 3)), zorder=0)
    place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "ha": "right", "fontsize": 8.5, "color": FAINT}
    ax.annotate(f"{f.level:.0%}", (1, f.level), (-2, 3), **place)
    log_percent(ax)
    ax.set_xlabel("step")
    caption(ax, "Training loss, relative to its start", "thin: network; broad: its kernel, from the same $f_0$")
    legend(ax)


def _outputs(ax: Axes, f: Following) -> None:
    run = f.runs[-1]
    network, kernel = (a[0].reshape(a.shape[1], -1) for a in (run.test, run.kernel_test))
    shown = _spread(kernel[-1], 9)
    for i, point in enumerate(shown):
        color = SEQUENTIAL(0.35 + 0.6 * i / max(len(shown) - 1, 1))
        ax.plot(kernel[:, point], color=color, lw=3.6, alpha=0.3, solid_capstyle="round")
        ax.plot(network[:, point], color=color, lw=1.3)
    ax.axvline(run.stop[0], color=FAINT, lw=1, ls=(0, (5, 3)), zorder=0)
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
    place = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "va": "bottom", "fontsize": 8.5, "color": FAINT, "bbox": box}
    ax.annotate(f"kernel's loss at {f.level:.0%}", (run.stop[0], 0), (4, 3), **place)
    ax.set_xlabel("step")
    caption(ax, f"Outputs at {len(shown)} test points, n = {run.width}", "thin: network; broad: its kernel")


def _gaps(ax: Axes, f: Following) -> None:
    widths = np.array(f.widths, dtype=float)
    for i, r in enumerate(f.runs):
        ax.scatter(np.full(len(r.gap), widths[i]), r.gap, s=14, color=by_width(i, len(f.runs)), alpha=0.35, linewidths=0, zorder=2)
    ax.plot(widths, f.gaps, color=INK, lw=1.4, zorder=3)
    ax.scatter(widths, f.gaps, s=46, color=[by_width(i, len(f.runs)) for i in range(len(widths))], edgecolors="white", linewidths=0.9, zorder=4)
    for n, gap in zip(widths, f.gaps, strict=True):
        ax.annotate(f"{gap:.1%}", (n, gap), (6, 5), textcoords="offset points", fontsize=8.5, color=INK)
    guide = 0.6 * min(f.gaps[0], f.gaps[-1] * np.sqrt(widths[-1] / widths[0])) * np.sqrt(widths[0] / widths)
    ax.plot(widths, guide, color=FAINT, lw=1.2, ls=(0, (5, 3)), zorder=1)
    ax.annotate(r"$n^{-1/2}$", (widths[-1], guide[-1]), (-2, -10), textcoords="offset points", color=FAINT, ha="right")
    log_widths(ax, f.widths)
    log_percent(ax)
    caption(ax, "Gap to the kernel at test points", r"$|f_t - f_t^K|\,/\,|f_t^K - f_0|$ at the dashed step; dots: seeds")


# Marks.


def _spread(values: Any, count: int) -> list[int]:
    """Indices of `count` values from the smallest to the largest."""
    order = np.argsort(values)
    return [int(i) for i in order[np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))]]


def _boundaries(ax: Axes, labels: Sequence[object] | None, n: int) -> None:
    """White lines between runs of equal labels, and one tick a run."""
    if labels is None:
        return
    starts = [i for i in range(n) if i == 0 or labels[i] != labels[i - 1]]
    for i in starts[1:]:
        ax.axhline(i - 0.5, color="white", lw=1)
        ax.axvline(i - 0.5, color="white", lw=1)
    middles = [(a + b - 1) / 2 for a, b in zip(starts, [*starts[1:], n], strict=True)]
    ax.set_xticks(middles, [str(labels[i]) for i in starts])
    ax.set_yticks(middles, [str(labels[i]) for i in starts])
