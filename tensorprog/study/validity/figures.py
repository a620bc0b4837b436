"""Pictures of the study of validity."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from tensorprog.study.frame import Found
from tensorprog.study.style import COLORS, FAINT, INK, MARKERS, by_width, canvas, caption, legend, log_widths, panels
from tensorprog.study.validity.bound import PAPER, SHARP

GUIDE = {"color": FAINT, "lw": 1.2, "ls": (0, (5, 3))}


def hard_family(found: Found) -> Figure:
    """Errors of the hard family against kappa, between the bounds; the scale needed against time."""
    fig, (left, right) = panels(11.0, 4.4, 1, 2, width_ratios=(1.3, 1))
    k, t = found.arrays["kappa"], found.table
    left.plot(k, np.minimum(SHARP * k, 8**0.5), color=COLORS[1], lw=1.8, label=f"bound, c = {SHARP:.3f}")
    left.plot(k, np.minimum(PAPER * k, 8**0.5), color=COLORS[1], lw=1.2, ls=(0, (2, 2)), label="bound with the paper's 6")
    left.plot(k, found.arrays["hardness"], color=COLORS[0], lw=1.4, label="g(κ)")
    left.scatter(t["kappa"], t["error"], s=12, color=INK, alpha=0.35, linewidths=0, label="400 random α, T, Lip(Dh), R₀")
    left.plot(k, np.minimum(k, 1) / 5, color=COLORS[2], lw=1.2, ls=(0, (5, 3)), label="min(κ, 1) / 5")
    left.set_xscale("log")
    left.set_yscale("log")
    left.set_xlim(1e-3, 1e3)
    left.set_ylim(1e-4, 10)
    left.set_xlabel(r"$\kappa = (T/\alpha)\,\mathrm{Lip}(Dh)\sqrt{R_0}$")
    left.set_ylabel(r"error at $T$ / $\sqrt{R_0}$")
    caption(left, "The hard family collapses on κ", "every point another scale, time, curvature and loss")
    legend(left, "lower right")
    right.plot(found.arrays["T"], found.arrays["alpha"], color=COLORS[0], marker="o", mec="white", lw=1.6)
    right.set_xscale("log")
    right.set_yscale("log")
    right.set_xlabel("time T")
    right.set_ylabel(r"least scale $\alpha^*$")
    caption(right, "The scale that is needed grows like T", r"for an error of $0.1\sqrt{R_0}$")
    return fig


def quadratic_maps(found: Found) -> Figure:
    """Errors of random quadratic maps against kappa, under the bound."""
    fig, ax = canvas(6.6, 4.4)
    t = found.table
    k = np.geomspace(t["kappa"].min(), t["kappa"].max(), 200)
    ax.scatter(t["kappa"], np.maximum(t["error"] / t["root"], 1e-7), s=4, color=COLORS[0], alpha=0.25, linewidths=0, label="maps, all times")
    ax.plot(k, np.minimum(SHARP * k, 8**0.5), color=COLORS[1], lw=1.8, label="bound")
    ax.plot(k, np.minimum(PAPER * k, 8**0.5), color=COLORS[1], lw=1.2, ls=(0, (2, 2)), label="bound with the paper's 6")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(1e-5, 10)
    ax.set_xlabel("κ(t)")
    ax.set_ylabel(r"error at $t$ / $\sqrt{R_0}$")
    caption(ax, "Random quadratic maps stay below the bound", "up to 5 outputs and 7 parameters, certified Lip(Dh)")
    legend(ax, "lower right")
    return fig


def horizons(found: Found) -> Figure:
    """Two bounds and the error of one fixed h against time."""
    fig, ax = canvas(6.2, 4.2)
    t = found.table
    ax.plot(t["T"], t["printed"], color=COLORS[2], lw=1.6, ls=(0, (2, 2)), label=r"by Lip(h): $2T\,\mathrm{Lip}(h)^2\kappa\sqrt{R_0}$")
    ax.plot(t["T"], t["chizat"], color=COLORS[2], lw=1.8, label="by Lip(h), better form")
    ax.plot(t["T"], t["bound"], color=COLORS[1], lw=1.8, label=r"$c\,\kappa\sqrt{R_0}$")
    ax.plot(t["T"], t["error"], color=COLORS[0], lw=1.8, label="error")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(1e-8, 10)
    ax.set_xlabel("time T")
    caption(ax, "One h, growing time: T/α instead of T²/α", "quadratic on the line, α = 10⁴, Lip(h) = Lip(Dh) = R₀ = 1")
    legend(ax, "upper left")
    return fig


def networks(found: Found) -> Figure:
    """Error and bounds by width at T, and in time for the narrowest and the widest."""
    fig, (left, right) = panels(11.0, 4.3, 1, 2)
    t = found.table
    widths, times = np.unique(t["width"]), np.unique(t["time"])
    curves = {
        "bound_paper": "bound with the paper's 6",
        "bound": "bound, certified Lip(Dh)",
        "bound_estimated": "bound, Lip(Dh) seen on the path",
        "posterior": "a-posteriori bound",
        "error": "error",
    }
    rms = np.ones(len(widths))
    for i, (name, label) in enumerate(curves.items()):
        at = t["time"] == times[-1]
        rms = np.array([np.sqrt(((t[name] / t["root"])[at & (t["width"] == n)] ** 2).mean()) for n in widths])
        color = COLORS[(1, 1, 3, 2, 0)[i]]
        left.plot(widths, rms, color=color, marker=MARKERS[i], mec="white", lw=1.6, ls=(0, (2, 2)) if i == 0 else "-", label=label)
    for power, label in ((-0.5, r"$n^{-1/2}$"), (-1.0, r"$n^{-1}$")):
        start = 0.6 * rms[0]
        left.plot(widths, start * (widths / widths[0]) ** power, **GUIDE)
        left.annotate(label, (widths[-1], start * (widths[-1] / widths[0]) ** power), (4, 0), textcoords="offset points", fontsize=9, color=FAINT)
    log_widths(left, widths.tolist())
    left.set_yscale("log")
    left.set_ylabel(r"$|f - f^{\mathrm{lin}}|$ / $\sqrt{R_0}$")
    caption(left, f"Distance from the linearization at T = {times[-1]:g}", "root-mean-square over seeds")
    left.set_ylim(rms[-1] / 100, 6)
    legend(left, "lower left")
    for i, n in enumerate(widths):
        mask = t["width"] == n
        mean = np.array([np.sqrt(((t["error"] / t["root"])[mask & (t["time"] == s)] ** 2).mean()) for s in times])
        right.plot(times, mean, color=by_width(i, len(widths)), lw=1.8, label=f"n = {n}")
    right.set_yscale("log")
    right.set_xlabel("time t")
    caption(right, "The distance in time", "gradient flow, α = 1")
    legend(right, "lower right", ncols=2)
    return fig


def scales(found: Found) -> Figure:
    """Error against scale, by gradient flow and by SGD."""
    fig, ax = canvas(6.0, 4.2)
    t = found.table
    for i, how in enumerate(("gradient flow", "SGD")):
        mask = t["how"] == how
        ax.plot(t["alpha"][mask], (t["error"] / t["root"])[mask], color=COLORS[i], marker=MARKERS[i], mec="white", lw=1.6, label=how)
    alpha = np.unique(t["alpha"])
    last = (t["error"] / t["root"])[t["alpha"] == alpha[-1]].min()
    ax.plot(alpha, 0.6 * last * alpha[-1] / alpha, label=r"$\alpha^{-1}$", **GUIDE)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xlabel("scale α")
    ax.set_ylabel(r"$|f - f^{\mathrm{lin}}|$ / $\sqrt{R_0}$")
    caption(ax, "One network at growing scale", "the same initial tensors, time and batches")
    legend(ax)
    return fig
