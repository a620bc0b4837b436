"""The demo's findings as a report: every number comes from a chapter, and says what the theory has to say of it."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO

import numpy as np
from matplotlib.figure import Figure

from tensorprog.kernels.limit import Kernels
from tensorprog.study import plots
from tensorprog.study.convergence import Study
from tensorprog.study.demo import Chapter, Floats, Task
from tensorprog.study.report import Block, Facts, Listing, Part, Picture, Report, Section, Table, Text
from tensorprog.study.style import FAINT
from tensorprog.study.training import Following

LEAD = (
    "Each network is written once, as a Tensor Program. From the program alone come its picture, its infinite-width limit and its gradient; "
    "real networks of growing width are then held against the limit, at initialization and in training."
)


def report(chapters: Sequence[Chapter], images: Floats, labels: Floats, provenance: Sequence[tuple[str, str]]) -> Report:
    """The whole page. `images`, (k, height, width), are some of the data."""
    strip = Picture(svg(digits(images, labels)), f"Some of the images, {images.shape[1]} x {images.shape[2]} pixels each.", wide=True)
    summary = Table(("network", "language", "slope of the NTK's error", "gap to the kernel in training"), tuple(map(_summary, chapters)))
    parts = [Part("At a glance", (summary, strip)), *(Part(c.task.network.name, (), tuple(sections(c))) for c in chapters)]
    return Report("Tensor Programs on handwritten digits", LEAD, tuple(parts), tuple(provenance))


def _summary(c: Chapter) -> tuple[str, ...]:
    slope = (
        "not computed"
        if c.study is None
        else f"{c.study['ntk'].slope.value:.2f}, 95% in [{c.study['ntk'].slope.low:.2f}, {c.study['ntk'].slope.high:.2f}]"
    )
    gap = "not computed" if c.following is None else f"{c.following.gaps[-1]:.1%} at width {c.following.widths[-1]}"
    return c.task.network.name, str(c.report.language), slope, gap


def sections(c: Chapter) -> list[Section]:
    """What is known of one network; stages that were not reached are left out."""
    found = [Section("The program", tuple(_program(c)))]
    if c.kernels is not None:
        found.append(Section("Limiting kernels", tuple(_kernels(c, c.kernels))))
    if c.study is not None:
        found.append(Section("Convergence in width", tuple(_convergence(c, c.study))))
    if c.following is not None:
        found.append(Section("Training", tuple(_training(c, c.following))))
    return found


def _program(c: Chapter) -> list[Block]:
    return [
        Listing(c.listing, "The program in its text form, which tensorprog check reads back."),
        *map(Text, str(c.report).splitlines()),
        Picture(
            c.forward, "Forward pass. Empty circles are G-vars, filled ones X-vars; dashed edges multiply by the matrix that they are labelled with."
        ),
        Picture(c.backward, "The backward pass is a program too; it is computed from right to left, under the forward pass.", wide=True),
    ]


def _kernels(c: Chapter, k: Kernels) -> list[Block]:
    trace = np.trace(np.asarray(k.ntk))
    rows = tuple((name, f"{np.trace(np.asarray(part)) / trace:.1%}") for name, part in k.by_parameter.items())
    return [
        Text(
            "The NNGP kernel is the covariance of the outputs over initializations; the NTK governs training. Both are limits of averages over "
            "coordinates, computed by the Master Theorem."
        ),
        Facts((("images", str(len(c.task.x))), ("method", k.method), ("largest error", f"{np.max(np.asarray(k.error)):.1e}"))),
        Picture(
            svg(plots.kernels({"NNGP": k.nngp, "NTK": k.ntk}, c.task.labels.astype(int).tolist())),
            "Images sorted by digit; lines part the digits.",
            wide=True,
        ),
        Table(("parameter", "share of the NTK"), rows, "What training each tensor contributes: its part of the trace of the NTK."),
    ]


def _convergence(c: Chapter, s: Study) -> list[Block]:
    rows = tuple((f"{n}", *(f"{curve.rms[i]:.2%}" for curve in s.curves)) for i, n in enumerate(s.widths))
    facts = tuple(
        (f"slope, {curve.quantity.upper()}", f"{curve.slope.value:.3f}  [{curve.slope.low:.3f}, {curve.slope.high:.3f}]") for curve in s.curves
    )
    return [
        Text(
            f"Kernels of {s.seeds} sampled networks at each width on {len(c.task.x_probe)} images, against the limit: relative error in Frobenius "
            "norm, root-mean-square over networks. The theory says that fluctuations fall like n^(-1/2), a slope of -1/2."
        ),
        Facts(facts),
        Picture(svg(s.plot()), "Relative error against width. The interval of each slope is a 95% bootstrap over networks."),
        Table(("width", *(curve.quantity.upper() for curve in s.curves)), rows),
    ]


def _training(c: Chapter, f: Following) -> list[Block]:
    task = c.task
    rows = tuple(
        (str(r.width), f"{gap:.1%}", f"{accuracy(r.test, r.stop, task):.0%}", f"{accuracy(r.kernel_test, r.stop, task):.0%}")
        for r, gap in zip(f.runs, f.gaps, strict=True)
    )
    return [
        Text(
            f"{len(f.runs[0].stop)} networks at each width learn to tell two digits apart from {len(task.x_train)} images, by full-batch gradient "
            "descent. Beside each one runs f(t+1) = f(t) - eta K L'(f(t)) with the limiting NTK K, from the network's own outputs at initialization. "
            f"The gap |f - f_K| / |f_K - f_0| over {len(task.x_test)} test images is read when the kernel's training loss has "
            f"fallen to {f.level:.0%}."
        ),
        Facts((("learning rate", f"{f.rate:.3g}"), ("steps", str(f.steps)), (f"gap at width {f.widths[-1]}", f"{f.gaps[-1]:.1%}"))),
        Picture(svg(f.plot()), "Training loss, outputs on test images, and the gap by width.", wide=True),
        Table(("width", "gap", "test accuracy, networks", "test accuracy, kernel"), rows),
    ]


def accuracy(paths: np.ndarray, stop: Sequence[int], task: Task) -> float:
    """The fraction of test points on the right side of 0, of every network at its own stop."""
    f = paths[np.arange(len(stop)), np.array(stop)]
    return float(np.mean(np.sign(f) == np.sign(task.y_test)))


def digits(images: Floats, labels: Floats) -> Figure:
    """Images in a row, each with its label."""
    fig = Figure(figsize=(0.75 * len(images), 1.1), layout="constrained")
    for ax, image, label in zip(fig.subplots(1, len(images)), images, labels, strict=True):
        ax.imshow(image, cmap="gray_r", interpolation="nearest")
        ax.set_title(f"{label:g}", fontsize=9, color=FAINT, pad=3)
        ax.set_axis_off()
    return fig


def svg(figure: Figure) -> str:
    """A figure as SVG text without a date, so that equal numbers give equal pages."""
    out = StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()
