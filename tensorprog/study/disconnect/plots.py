"""Figures of the study of the disconnect."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tensorprog.study.frame import Columns, Found
from tensorprog.study.style import COLORS, FAINT, INK, MARKERS, by_width, canvas, caption, legend, log_widths, panels

NAMES = {"ngd": "natural gradient, rate 1/2", "gd": "gradient descent", "gd linearized": "the same, linearized", "gd bound": "its bound"}


def fluctuation(found: Found) -> Figure:
    """Relative variance of K(x, x) against depth / width: one law for all."""
    fig, ax = canvas(6.6, 4.6)
    t = found.table
    for i, name in enumerate(_names(t, "network")):
        at = t["network"] == name
        x, v = t["depth/width"][at], t["variance"][at]
        bars = np.maximum([v - t["low"][at], t["high"][at] - v], 0.0)
        ax.errorbar(x, v, bars, fmt=MARKERS[i % 6], color=COLORS[i % 6], ms=6.5, mec="white", mew=0.9, capsize=3, label=name)
    ax.set_xscale("log")
    ax.set_yscale("log")
    x = np.array([t["depth/width"].min(), t["depth/width"].max()])
    ax.plot(x, 3.0 * x, color=FAINT, lw=1.2, ls=(0, (5, 3)), zorder=1, label="3 L / m")
    ax.set_xlabel("depth / width, L / m")
    ax.set_ylabel("Var K(x, x) / mean²")
    legend(ax, "upper left")
    caption(ax, "The kernel at initialization fluctuates with depth / width", "empirical NTK at one point; bars: bootstrap over seeds")
    return fig


def drift(found: Found) -> Figure:
    """|K_T - K_0| / |K_0| against width, in the NTK parametrization and in muP."""
    fig, ax = canvas(6.6, 4.6)
    t = found.table
    widths = np.unique(t["width"])
    names = _names(t, "network")
    for i, name in enumerate(names):
        for j, parametrization in enumerate(_names(t, "parametrization")):
            here = (t["network"] == name) & (t["parametrization"] == parametrization)
            _line(ax, t, here, "drift", COLORS[j], MARKERS[i % 6], f"{name}, {parametrization}", "-" if i == 0 else "--")
    low = min(t["drift"][(t["parametrization"] == "NTK") & (t["width"] == widths[0])])
    ax.plot(widths, 0.7 * low * widths[0] / widths, color=FAINT, lw=1.2, ls=(0, (5, 3)), label=r"$n^{-1}$")
    ax.set_yscale("log")
    log_widths(ax, widths.tolist())
    ax.set_ylim(t["drift"].min() / 12, None)
    ax.set_ylabel(r"$|K_T - K_0|\,/\,|K_0|$")
    legend(ax, "lower left", ncols=2)
    caption(ax, "The kernel moves in training: ever less, or always", "root-mean-square over seeds; training until the kernel's loss is at 10%")
    return fig


def natural(found: Found) -> Figure:
    """Left: C' against width beside what the theorem asks; right: losses of the widest network beside theory."""
    fig, (left, right) = panels(10.6, 4.5, 1, 2)
    t = found.table
    names = _names(t, "network")
    for i, name in enumerate(names):
        _line(left, t, t["network"] == name, "constant", COLORS[i % 6], MARKERS[i % 6], name, "-")
    widths = np.unique(t["width"])
    left.axhline(0.5, color=FAINT, lw=1.2, ls=(0, (5, 3)))
    left.annotate("theory needs C' < 1/2", (widths[0], 0.5), (0, -11), textcoords="offset points", fontsize=8.5, color=FAINT)
    left.set_yscale("log")
    left.set_ylim(0.3, None)
    log_widths(left, widths.tolist())
    legend(left)
    caption(left, "Is the Jacobian stable at these widths?", r"$C' = 3\,|J_1 - J_0|_2 / \sqrt{\lambda_{\min}}$ after one step")
    for (key, label), color in zip(NAMES.items(), COLORS, strict=False):
        curve = found.arrays[f"{names[0]}/{key}"]
        right.plot(curve, color=color, lw=3.4 if key == "gd linearized" else 1.5, alpha=0.35 if key == "gd linearized" else 1.0, label=label)
    k = np.arange(len(found.arrays[f"{names[0]}/ngd"]))
    right.plot(k, 4.0**-k, color=INK, lw=1.0, ls=(0, (2, 2)), label=r"$(1/4)^k$, linearized")
    right.plot(k, 2.0**-k, color=FAINT, lw=1.0, ls=(0, (5, 3)), label=r"$(1/2)^k$, theorem")
    right.set_yscale("log")
    right.set_xlabel("step k")
    legend(right, "lower left")
    caption(right, f"{names[0]} of width {widths[-1]}: loss, relative to its start", "beside what theory says of it")
    return fig


def bandits(found: Found) -> Figure:
    """Cumulative regret by rule of exploration, of networks and of their Gaussian process."""
    fig, axes = panels(10.6, 4.6, 1, 2, sharey=True)
    for ax, who in zip(axes, ("network", "NTK-GP"), strict=True):
        rules = [k.split("/", 1)[1] for k in found.arrays if k.startswith(f"{who}/")]
        for i, rule in enumerate(rules):
            curve = found.arrays[f"{who}/{rule}"]
            constant = rule.startswith("γ")
            color = (
                by_width(i - 3, 4) if constant else {"uniform": FAINT, "theory": COLORS[1], "theory, S = 1": COLORS[3], "evidence": COLORS[2]}[rule]
            )
            ax.plot(np.arange(1, len(curve) + 1), curve, color=color, lw=1.2 if constant else 2.0, label=f"{rule}   {curve[-1]:.0f}")
        ax.set_xlabel("round")
        legend(ax, "upper left")
    axes[0].set_ylabel("cumulative regret")
    caption(axes[0], "Networks", "mean over seeds; in the legend: regret at the end")
    caption(axes[1], "Their infinite-width Gaussian process", "the same rules with the NTK")
    return fig


def continual(found: Found) -> Figure:
    """Forgetting against width for every number of epochs."""
    fig, ax = canvas(6.6, 4.4)
    t = found.table
    every = np.unique(t["epochs"])
    for i, epochs in enumerate(every):
        here = t["epochs"] == epochs
        trained = t["trained"][here & (t["width"] == t["width"].max())].mean()
        _line(ax, t, here, "forgetting", by_width(i, len(every)), MARKERS[i % 6], f"{epochs} epochs a task (training accuracy {trained:.0%})", "-")
    log_widths(ax, np.unique(t["width"]).tolist())
    ax.set_ylim(0.0, 1.35 * t["forgetting"].max())
    ax.set_ylabel("forgetting")
    legend(ax)
    caption(ax, "Forgetting by width, and by how well tasks are learned", "lost accuracy on earlier tasks after the last one")
    return fig


def infinite(found: Found) -> Figure:
    """The functions on a line for one-dimensional data, and the distance to the prediction against width."""
    one = found.arrays["x"].shape[-1] == 2 and found.arrays["x"].ndim == 2
    fig, axes = panels(12.0 if one else 6.6, 4.2, 1, 3 if one else 1)
    t = found.table
    widths = np.unique(t["width"])
    for ax, name in zip(axes, ("NTK", "muP"), strict=False) if one else ():
        grid = found.arrays["x_test"][:, 0]
        for i, n in enumerate((widths[0], widths[-1])):
            for k, f in enumerate(found.arrays[f"{name}/{n}/network"][:4]):
                ax.plot(grid, f, color=COLORS[i], lw=1.0, alpha=0.8, label=None if k else f"networks, n = {n}")
        prediction = found.arrays[f"{name}/{widths[-1]}/kernel"]
        ax.plot(grid, prediction.mean(0), color=INK, lw=2.2, ls=(0, (3, 1.5)), label="infinite-width prediction")
        ax.plot(found.arrays["x"][:, 0], found.arrays["y"], "o", color=INK, ms=6, mec="white")
        ax.set_xlabel("t")
        ax.set_ylim(ax.get_ylim()[0] - 0.4 * np.ptp(ax.get_ylim()), None)
        legend(ax, "lower right")
        caption(ax, f"{'NTK parametrization' if name == 'NTK' else name}", "trained networks, from their own $f_0$; dots: data")
    last = axes[-1]
    for j, name in enumerate(_names(t, "parametrization")):
        _line(last, t, t["parametrization"] == name, "distance", COLORS[2 + j], MARKERS[j], name, "-")
    ntk = t["distance"][(t["parametrization"] == "NTK") & (t["width"] == widths[0])]
    last.plot(widths, 0.6 * ntk.min() * np.sqrt(widths[0] / widths), color=FAINT, lw=1.2, ls=(0, (5, 3)), label=r"$n^{-1/2}$")
    last.set_yscale("log")
    log_widths(last, widths.tolist())
    last.tick_params(axis="x", labelsize=8)
    legend(last, "lower left")
    caption(last, "Distance to the prediction", "root-mean-square over test points and seeds")
    return fig


def _line(ax: Axes, t: Columns, here: np.ndarray, column: str, color: object, marker: str, label: str, style: str) -> None:
    """A column against the width: root-mean-square over seeds as a line, single seeds as dots."""
    widths = np.unique(t["width"][here])
    rms = [np.sqrt((t[column][here & (t["width"] == n)] ** 2).mean()) for n in widths]
    ax.scatter(t["width"][here], t[column][here], s=8, color=color, alpha=0.3, linewidths=0, zorder=2)
    ax.plot(widths, rms, color=color, marker=marker, ms=6, mec="white", mew=0.9, lw=1.4, ls=style, label=label, zorder=3)


def _names(t: Columns, column: str) -> list[str]:
    """The values of a column in their order."""
    return list(dict.fromkeys(t[column].tolist()))
