"""Pictures of the study of linear networks."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tensorprog.study.frame import Found
from tensorprog.study.linear.balance import Floats
from tensorprog.study.linear.kernel import ntk
from tensorprog.study.style import COLORS, FAINT, INK, KERNEL, MARKERS, by_width, canvas, caption, legend, log_percent, log_widths, panels

BEHIND: dict[str, Any] = {"lw": 4.2, "alpha": 0.3, "solid_capstyle": "round"}
LOST = 1e3  # errors that large, and NaN, are drawn here
FORMS = {"riccati": "matrix exponentials (Riccati)", "za": "Z, A form of Theorem 4.3", "stable": "stable form"}


def closed_form(found: Found) -> Figure:
    """Error of the three forms against the largest exponent S t."""
    fig, ax = canvas(7.2, 4.4)
    t = found.table
    for i, (form, label) in enumerate(FORMS.items()):
        mask = (t["form"] == form) & (t["exponent"] > 0)
        error = np.where(t["error"] < LOST, np.maximum(t["error"], 1e-16), LOST)[mask]
        ax.scatter(t["exponent"][mask], error, s=14, color=COLORS[2 - i], marker=MARKERS[i], label=label, alpha=0.6, linewidths=0)
    ax.axvline(9, color=FAINT, lw=1, ls=(0, (5, 3)))
    ax.annotate(r"$S_{\max} t = 9$", (9, 1e3), (5, -4), textcoords="offset points", fontsize=9, color=FAINT)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(1e-16, 1e4)
    ax.set_xlabel(r"largest exponent $S_{\max}\,t$")
    ax.set_ylabel(r"largest error of $QQ^\top$")
    caption(ax, "Closed forms against integration to 1e-12", "all shapes and balances; top: no digit left, or not a number")
    legend(ax, "upper left")
    return fig


def one_mode(found: Found) -> Figure:
    """gamma(t) for several lambda, from the sigmoid to the exponential."""
    fig, ax = canvas(6.4, 4.2)
    t = found.table
    for i, lam in enumerate((0.0, 2.0, 5.0, 50.0)):
        mask = (t["lambda"] == lam) & (t["start"] == 0.05)
        rate = np.hypot(2.0, lam)  # 2 S for s~ = 1
        ax.plot(rate * t["time"][mask], t["gamma"][mask], color=by_width(i, 4), lw=2, label=f"λ = {lam:g}")
    x = np.linspace(0, 9, 200)
    ax.plot(x, -np.expm1(-x), color=FAINT, lw=1.2, ls=(0, (5, 3)), label=r"$1-e^{-|\lambda| t}$")
    ax.set_xlim(0, 9)
    ax.set_xlabel(r"$2 S\, t$,  $S = \sqrt{\tilde s^2 + \lambda^2/4}$")
    ax.set_ylabel("γ(t)")
    caption(ax, "One singular value on its way from 0.05 to 1", "sigmoid (rich) at λ = 0, exponential (lazy) at large |λ|")
    legend(ax, "lower right")
    return fig


def descent(found: Found) -> Figure:
    """The published setting: gradient descent over the exact solution, for three balances; rows as in the paper."""
    lams, a = ("-2", "0", "2"), found.arrays
    fig, axes = panels(11.0, 10.5, 5, 3, sharex=True, sharey="row")
    sigma, time = a["sigma"], a["time"]
    ni = sigma.shape[1]
    for j, lam in enumerate(lams):
        styles: dict[str, dict[str, Any]] = {"exact": BEHIND, "descent": {"lw": 1.2}}
        for name, style in styles.items():
            for i, values in enumerate(_rows(a[f"{lam}/{name}"], sigma, ni)):
                for k, curve in enumerate(values.T):
                    axes[3 * i + j].plot(time, curve, color=COLORS[k % len(COLORS)], **style)
        axes[j].set_title(f"λ = {lam.replace('-', '−')}", fontsize=11, color=INK, fontweight="bold")
        axes[12 + j].set_xlabel("t / τ")
    for i, label in enumerate(("loss", r"$W_2W_1$", r"$W_1^\top W_1$", r"$W_2W_2^\top$", "NTK")):
        axes[3 * i].set_ylabel(label)
    fig.suptitle("broad: exact solution; thin: gradient descent, learning rate 0.0002", x=0.01, ha="left", fontsize=9, color=FAINT)
    return fig


def _rows(qq: Floats, sigma: Floats, ni: int) -> list[Floats]:
    """Loss, W2 W1, the upper triangles of W1^T W1 and W2 W2^T, some entries of the NTK: (T, curves) each."""
    product, inner, outer = qq[:, ni:, :ni], qq[:, :ni, :ni], qq[:, ni:, ni:]
    kernel = ntk(inner, outer, np.eye(ni))
    loss = 0.5 * ((product - sigma) ** 2).sum((1, 2))[:, None]
    upper = [m[:, *np.triu_indices(m.shape[1])] for m in (inner, outer)]
    some = np.stack([kernel[:, i, i, c, c] for i in range(ni) for c in range(2)], axis=1)
    return [loss, product.reshape(len(qq), -1), *upper, some]


def phases(found: Found) -> Figure:
    """Final kernel distance against lambda, and the two sides of the funnel in time."""
    fig, axes = panels(12.0, 4.0, 1, 3, width_ratios=(1.2, 1, 1))
    t = found.table
    lams = np.unique(t["lambda"])
    for i, family in enumerate(("funnel", "square", "inverted funnel")):
        values = np.array([t["distance"][(t["family"] == family) & (t["lambda"] == lam)].mean() for lam in lams])
        axes[0].plot(lams, values, color=COLORS[i], marker=MARKERS[i], ms=5, mec="white", lw=1.6, label=family)
    axes[0].set_xscale("symlog", linthresh=1)
    axes[0].set_xlabel("λ")
    axes[0].set_ylabel("kernel distance from NTK(0)")
    caption(axes[0], "How far the NTK ends from its start", "funnel 4-2-2, square 2-2-2, inverted funnel 2-2-4")
    legend(axes[0], "upper center")
    for ax, lam, title in ((axes[1], "20", "Funnel, λ = 20: lazy"), (axes[2], "-20", "Funnel, λ = −20: delayed rich")):
        ax.plot(found.arrays["time"], found.arrays[f"funnel/{lam}/loss"][:-1], color=COLORS[0], lw=2, label="loss / loss at start")
        ax.plot(found.arrays["time"], found.arrays[f"funnel/{lam}/distance"][:-1], color=COLORS[1], lw=2, label="kernel distance")
        ax.set_xscale("log")
        ax.set_ylim(-0.03, 1.03)
        ax.set_xlabel("t / τ")
        caption(ax, title, "mean over tasks")
        legend(ax)
    return fig


def sequels(found: Found) -> Figure:
    """Losses of two tasks one after the other, and of a task and its reversal."""
    fig, axes = panels(11.5, 4.0, 1, 3)
    t = found.table
    shown = (0.5, 5.0, 0.0, -0.5, -5.0)
    plots = ((axes[0], "continual", "loss_first", "Loss on A: A, then B"), (axes[1], "continual", "loss_second", "Loss on B: A, then B"))
    for ax, experiment, column, title in (*plots, (axes[2], "reversal", "loss_second", "Loss on −A: A, then −A")):
        for i, lam in enumerate(shown):
            mask = (t["experiment"] == experiment) & (t["lambda"] == lam)
            ax.plot(
                t["time"][mask], t[column][mask], color=COLORS[i], lw=1.8, ls="-" if lam >= 0 else (0, (4, 2)), label=f"λ = {lam:g}".replace("-", "−")
            )
        ax.axvline(12, color=FAINT, lw=1, ls=(0, (5, 3)))
        ax.set_xlabel("t / τ")
        caption(ax, title, "dashed line: the task changes")
    axes[2].set_xlim(8, 36)
    for ax in axes[:2]:
        ax.set_xlim(0, 24)
    legend(axes[0], "lower right")
    return fig


def hierarchy(found: Found) -> Figure:
    """Modes in time and similarities of the items: rich above, lazy below."""
    fig, axes = panels(12.5, 6.4, 2, 4, width_ratios=(1.7, 1, 1, 1))
    t = found.table
    for row, (lam, name) in enumerate(((0.01, "rich"), (-10.0, "lazy"))):
        ax = axes[4 * row]
        for mode in range(8):
            mask = (t["lambda"] == lam) & (t["mode"] == mode)
            level = (0, 0, 1, 1, 2, 2, 2, 2)[mode]
            label = ("root and halves", "quarters", "pairs")[level] if mode in (0, 2, 4) else None
            ax.plot(t["time"][mask], t["learned"][mask], color=COLORS[level], lw=1.8, label=label)
        ax.set_ylabel("learned part of the mode")
        ax.set_xlabel("t / τ")
        caption(ax, f"λ = {lam:g}: {name}".replace("-", "−"), "singular modes of the hierarchy")
        similarity = found.arrays[f"{lam:g}/similarity"]
        for k, (matrix, title) in enumerate(zip(similarity, ("t = 0", "t = 10", "t = ∞"), strict=True)):
            largest = float(np.abs(matrix).max())
            axes[4 * row + 1 + k].imshow(matrix, cmap=KERNEL, vmin=-largest, vmax=largest, interpolation="nearest")
            axes[4 * row + 1 + k].set_title(f"similarity, {title}", fontsize=10, color=INK, loc="left")
            axes[4 * row + 1 + k].grid(visible=False)
            axes[4 * row + 1 + k].tick_params(length=0, labelsize=8, labelcolor=FAINT)
            axes[4 * row + 1 + k].spines[:].set_visible(False)
    legend(axes[0], "lower right")
    return fig


def noise(found: Found) -> Figure:
    """Expected squared change of the function under noise, against lambda."""
    fig, ax = canvas(6.0, 4.0)
    t = found.table
    ax.plot(t["lambda"], t["law"], color=COLORS[0], lw=2, label=r"noise on weights: $n\sum_i\sqrt{\lambda^2+4s_i^2}$")
    ax.errorbar(t["lambda"], t["sampled"], 2 * t["standard_error"], fmt="o", color=COLORS[0], ms=5, mec="white", capsize=3, label="sampled")
    ax.plot(t["lambda"], t["input"], color=COLORS[1], lw=2, label=r"noise on inputs: $|\Sigma|^2$")
    ax.set_ylim(0, 1.6 * t["law"].max())
    ax.set_xlabel("λ")
    ax.set_ylabel(r"$E|d(W_2W_1)\,\cdot|^2/\sigma^2$")
    caption(ax, "Sensitivity of the converged network", "square network 4-4-4")
    legend(ax)
    return fig


def random_balance(found: Found) -> Figure:
    """Deviation of LeCun's initialization from balance as inputs and outputs grow."""
    fig, ax = canvas(5.6, 4.0)
    n, rms = found.arrays["n"], found.arrays["rms"]
    ax.scatter(found.table["n"], found.table["deviation"], 8, COLORS[0], alpha=0.2, linewidths=0)
    ax.plot(n, rms, color=COLORS[0], marker="o", mec="white", lw=1.6)
    ax.plot(n, 0.6 * rms[0] * np.sqrt(n[0] / n), color=FAINT, lw=1.2, ls=(0, (5, 3)))
    log_widths(ax, n.tolist())
    ax.set_yscale("log")
    ax.set_xlabel("inputs and outputs N, two hidden units")
    ax.set_ylabel("relative deviation from λ I")
    caption(ax, "LeCun's initialization is nearly balanced", r"dots: seeds; line: root-mean-square; dashed: $N^{-1/2}$")
    return fig


def bridge(found: Found) -> Figure:
    """Finite networks and their two limits in time, and the error against width."""
    fig, axes = panels(12.5, 4.1, 1, 3)
    a, t = found.arrays, found.table
    widths = np.unique(t["width"])
    time, sigma, first = a["time"], a["sigma"], a[f"ntk/{widths[0]}"]
    kernel = sigma + np.exp(-2 / sigma.shape[1] * time)[:, None, None] * (first[0] - sigma)
    for k, (curve, limit) in enumerate(_entries(first, kernel)):
        axes[0].plot(time, limit, color=COLORS[k], **BEHIND)
        axes[0].plot(time, curve, color=COLORS[k], lw=1.2)
    caption(axes[0], f"NTK parametrization, n = {widths[0]}: $W_2W_1$", "broad: its kernel from the same $f_0$")
    for n, style in ((widths[0], ":"), (widths[-1], "-")):
        for k, (curve, limit) in enumerate(_entries(a[f"moment/{n}"], a["limit/moment"])):
            if n == widths[0]:
                axes[1].plot(time, limit, color=COLORS[k], **BEHIND)
            axes[1].plot(time, curve, color=COLORS[k], lw=1.2, ls=style, label=f"n = {n}" if k == 0 else None)
    caption(axes[1], "muP: $W_2W_1$", "broad: the limit, by Theorem 5.1")
    legend(axes[1], "upper left")
    for ax in axes[:2]:
        ax.set_xlabel("t")
    _errors(axes[2], found, widths)
    return fig


def own(found: Found) -> Figure:
    """A user's task: loss in closed form and by gradient descent, and the way of the NTK, for several balances."""
    fig, (left, right) = panels(10.6, 4.4, 1, 2)
    t = found.table
    for i, lam in enumerate(np.unique(t["lambda"])):
        mask = (t["lambda"] == lam) & np.isfinite(t["time"]) & (t["time"] > 0)
        label = f"λ = {lam:.3g}: {t['phase'][mask][0]}".replace("-", "−")
        left.plot(t["time"][mask], t["loss"][mask], color=COLORS[i], **BEHIND)
        left.plot(t["time"][mask], t["descent"][mask], color=COLORS[i], lw=1.2, label=label)
        right.plot(t["time"][mask], t["distance"][mask], color=COLORS[i], lw=1.8, label=label)
    for ax in (left, right):
        ax.set_xscale("log")
        ax.set_ylim(-0.03, 1.03)
        ax.set_xlabel("t / τ")
    caption(left, "Loss, relative to its start", "broad: closed form; thin: gradient descent")
    caption(right, "Kernel distance from NTK(0)", "near 0 at all times: lazy")
    legend(right, "upper left")
    return fig


def _entries(path: Floats, limit: Floats) -> list[tuple[Floats, Floats]]:
    """Six entries of W2 W1 along both paths."""
    return list(zip(path.reshape(len(path), -1).T[:6], limit.reshape(len(limit), -1).T[:6], strict=True))


def _errors(ax: Axes, found: Found, widths: Floats) -> None:
    t, rms = found.table, np.ones(len(widths))
    for i, (kind, label) in enumerate((("ntk", "NTK, against its kernel from $f_0$"), ("moment", "muP, against Theorem 5.1"))):
        mask = t["kind"] == kind
        rms = np.array([np.sqrt((t["error"][mask & (t["width"] == n)] ** 2).mean()) for n in widths])
        ax.scatter(t["width"][mask] * (1 + 0.04 * (i - 0.5)), t["error"][mask], 6, COLORS[i], alpha=0.2, linewidths=0)
        ax.plot(widths, rms, color=COLORS[i], marker=MARKERS[i], mec="white", lw=1.6, label=label)
    ax.plot(widths, 0.5 * rms[0] * np.sqrt(widths[0] / widths), color=FAINT, lw=1.2, ls=(0, (5, 3)), label=r"$n^{-1/2}$")
    log_widths(ax, widths.tolist())
    log_percent(ax)
    caption(ax, "Relative distance from the limit", "over all times; dots: seeds")
    legend(ax)
