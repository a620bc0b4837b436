"""The dress of all figures: colors, marks, axes. Figures are matplotlib Figures of their own: no pyplot, no global state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

INK, FAINT, GRID = "#1c2530", "#7b8794", "#e3e7ec"
COLORS = ("#2b6cb0", "#d1495b", "#2e8b6f", "#b7791f", "#6b4fa0", "#4a5568")  # told apart also in grey and by the colour-blind
MARKERS = ("o", "s", "^", "D", "v", "P")
KERNEL = LinearSegmentedColormap.from_list("kernel", ["#2b6cb0", "#f7f9fb", "#d1495b"])
SEQUENTIAL = LinearSegmentedColormap.from_list("kernel_positive", ["#f7f9fb", "#8fb8dd", "#2b6cb0", "#16325c"])


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure with one panel."""
    fig = Figure(figsize=(width, height), layout="constrained")
    ax = fig.subplots()
    dress(ax)
    return fig, ax


def panels(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure with several panels, row by row; options are those of `Figure.subplots`."""
    fig = Figure(figsize=(width, height), layout="constrained")
    axes = list(fig.subplots(rows, columns, squeeze=False, **options).flat)
    for ax in axes:
        dress(ax)
    return fig, axes


def dress(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(FAINT)
    ax.tick_params(which="both", color=FAINT, labelcolor=INK, labelsize=9)
    ax.grid(visible=True, which="major", color=GRID, lw=0.8)
    ax.set_axisbelow(True)
    ax.xaxis.label.set(color=INK, fontsize=10)
    ax.yaxis.label.set(color=INK, fontsize=10)


def caption(ax: Axes, title: str, below: str = "") -> None:
    """A title flush left, and below it what is drawn how."""
    ax.set_title(title + "\n", loc="left", fontsize=11, color=INK, fontweight="bold")
    ax.annotate(below, (0, 1), (0, 6), xycoords="axes fraction", textcoords="offset points", fontsize=9, color=FAINT)


def legend(ax: Axes, place: Any = "upper right", **options: Any) -> None:
    ax.legend(loc=place, frameon=True, facecolor="white", edgecolor="none", framealpha=0.85, fontsize=9, labelcolor=INK, **options)


def log_percent(ax: Axes) -> None:
    """A logarithmic error axis with ticks 1, 2, 5 times a power of ten."""
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=20))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))


def log_widths(ax: Axes, widths: Sequence[int]) -> None:
    """A tick at every measured width."""
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(list(widths)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticklabels([str(n) for n in widths])
    ax.set_xlim(widths[0] / 1.4, widths[-1] * 1.4)
    ax.set_xlabel("width n")


def by_width(i: int, count: int) -> Any:
    """Darker is wider."""
    return SEQUENTIAL(0.35 + 0.6 * i / max(count - 1, 1))
