"""Figures of the study of scaling laws: errors against data, and the kernel along training."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from tensorprog.study.fit import interval, root_mean_square
from tensorprog.study.frame import Found
from tensorprog.study.scaling.laws import PREDICTORS, errors
from tensorprog.study.style import COLORS, FAINT, MARKERS, caption, legend, log_percent, log_widths, panels


def laws(found: Found, name: str) -> Figure:
    """Fraction of wrong signs, and squared error, against the number of training points; one line a predictor, with its exponent."""
    fig, axes = panels(10.6, 4.6, 1, 2)
    shown = [p for p in PREDICTORS if p in found.table["predictor"]]
    sizes = errors(found.table, shown[0], "mse")[0]
    for ax, (measure, words) in zip(axes, (("error", f"{name}: wrong signs"), ("mse", "Squared error, in units of the targets'")), strict=True):
        for p in shown:
            i = PREDICTORS.index(p)
            values = errors(found.table, p, measure)[1]
            rms, (low, high) = root_mean_square(values), interval(values)
            beta, least, most = found.arrays[f"{p}/{measure}"]
            label = f"{p}   $\\beta$ = {beta:.2f}  [{least:.2f}, {most:.2f}]"
            bars = np.maximum([rms - low, high - rms], 0.0)
            ax.errorbar(sizes, rms, bars, fmt=MARKERS[i], ls="-", color=COLORS[i], ms=5.5, mec="white", mew=0.8, lw=1.4, capsize=2.5, label=label)
        log_percent(ax)
        bottom, top = ax.get_ylim()
        ax.set_ylim(bottom=bottom * (bottom / top) ** 0.5)  # room for the legend
        log_widths(ax, sizes)
        ax.set_xlabel("training points n")
        caption(ax, words, "test points; root-mean-square over seeds, bars: bootstrap")
        legend(ax, "lower left")
    return fig


def evolution(found: Found) -> Figure:
    """Left: error of the network, and of ridge regression with its kernel K_t, in training time; right: how far K_t is from K_0."""
    fig, (left, right) = panels(9.6, 4.2, 1, 2)
    time = np.maximum(found.table["time"], found.table["time"][1] / 4)  # the start, on a logarithmic axis
    for ax in (left, right):
        ax.set_xscale("log")
        ax.set_xlabel("Adam step  (leftmost: initialization)")
    for name, i in (("network mse", 0), ("kernel mse", 1)):
        label = "network" if i == 0 else "ridge regression with $K_t$"
        left.plot(time, found.table[name], marker=MARKERS[i], color=COLORS[i], ms=6, mec="white", lw=1.4, label=label)
    log_percent(left)
    legend(left)
    caption(left, "The kernel goes on improving", "squared error on test points, in units of the targets'")
    right.plot(time, found.table["kernel distance"], marker="^", color=COLORS[2], ms=6, mec="white", lw=1.4)
    right.axhline(0.0, color=FAINT, lw=0.8)
    caption(right, "It leaves its start", r"$1 - \cos(K_t, K_0)$ on the points of the regression")
    return fig
