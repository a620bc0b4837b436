"""The demo's findings as a report: every number comes from a chapter, and says what the theory has to say of it."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO

import numpy as np
from matplotlib.figure import Figure

from tensorprog.study import plots
from tensorprog.study.demo import Chapter, Task
from tensorprog.study.report import Block, Facts, Listing, Picture, Report, Section, Table, Text

LEAD = (
    "Each network is written once, as a Tensor Program. From the program alone come its picture, its infinite-width limit and its gradient; "
    "real networks of growing width are then held against the limit, at initialization and in training."
)


def report(chapters: Sequence[Chapter], data: str, provenance: Sequence[tuple[str, str]]) -> Report:
    """The whole page."""
    names = ", ".join(c.task.network.name for c in chapters)
    return Report(f"Tensor Programs on {data}: {names}", LEAD, tuple(s for c in chapters for s in sections(c)), tuple(provenance))


def sections(chapter: Chapter) -> list[Section]:
    """What is known of one network; stages that were not reached are left out."""
    name = chapter.task.network.name
    found = [Section(f"{name}: the program", tuple(_program(chapter)))]
    if chapter.kernels is not None:
        found.append(Section(f"{name}: the limiting kernels", tuple(_kernels(chapter))))
    if chapter.study is not None:
        found.append(Section(f"{name}: finite networks approach the limit", tuple(_convergence(chapter))))
    if chapter.following is not None:
        found.append(Section(f"{name}: training is kernel gradient descent", tuple(_training(chapter))))
    return found


def _program(c: Chapter) -> list[Block]:
    return [
        Listing(c.listing, "The program in its text form. `tensorprog check` reads it back."),
        Text(str(c.report)),
        Picture(c.forward, "Forward pass. Empty circles are G-vars, filled ones X-vars; dashed edges multiply by the matrix that they are labelled with."),
        Picture(c.backward, "The backward pass is a program too; it is computed from right to left, under the forward pass.", wide=True),
    ]


def _kernels(c: Chapter) -> list[Block]:
    k = c.kernels
    assert k is not None
    trace = np.trace(np.asarray(k.ntk))
    rows = tuple((name, f"{100 * np.trace(np.asarray(part)) / trace:.1f} %") for name, part in k.by_parameter.items())
    return [
        Text(
            "The NNGP kernel is the covariance of the outputs over initializations; the NTK governs training. Both are limits of averages over "
            "coordinates, computed by the Master Theorem."
        ),
        Facts((("images", str(len(c.task.x))), ("method", k.method), ("largest error", f"{np.max(np.asarray(k.error)):.1e}"))),
        Picture(svg(plots.kernels({"NNGP": k.nngp, "NTK": k.ntk}, c.task.labels.tolist())), "Images sorted by digit; lines part the digits.", wide=True),
        Table(("parameter", "share of the NTK"), rows, "What training each tensor contributes: its part of the trace of the NTK."),
    ]


def _convergence(c: Chapter) -> list[Block]:
    s = c.study
    assert s is not None
    rows = tuple((f"{n}", *(f"{100 * curve.rms[i]:.2f} %" for curve in s.curves)) for i, n in enumerate(s.widths))
    facts = tuple((f"slope, {curve.quantity.upper()}", f"{curve.slope.value:.3f}  [{curve.slope.low:.3f}, {curve.slope.high:.3f}]") for curve in s.curves)
    return [
        Text(
            f"Kernels of {s.seeds} sampled networks at each width on {len(c.task.x_probe)} images, against the limit: relative error in the Frobenius norm, "
            "root-mean-square over networks. The theory says that fluctuations fall like n^(-1/2), a slope of -1/2."
        ),
        Facts(facts),
        Picture(svg(s.plot()), "Relative error against width. The interval of each slope is a 95 % bootstrap over networks."),
        Table(("width", *(curve.quantity.upper() for curve in s.curves)), rows),
    ]


def _training(c: Chapter) -> list[Block]:
    f, task = c.following, c.task
    assert f is not None
    rows = tuple(
        (str(r.width), f"{100 * gap:.1f} %", f"{100 * accuracy(r.test, r.stop, task):.0f} %", f"{100 * accuracy(r.kernel_test, r.stop, task):.0f} %")
        for r, gap in zip(f.runs, f.gaps, strict=True)
    )
    return [
        Text(
            f"{len(f.runs[0].stop)} networks at each width learn to tell two digits apart from {len(task.x_train)} images, by full-batch gradient descent. "
            "Beside each one runs f(t+1) = f(t) - eta K L'(f(t)) with the limiting NTK K, from the network's own outputs at initialization. "
            f"The gap |f - f_K| / |f_K - f_0| over {len(task.x_test)} test images is read when the kernel's training loss has fallen to {f.level:.0%}."
        ),
        Facts((("learning rate", f"{f.rate:.3g}"), ("steps", str(f.steps)), (f"gap at width {f.widths[-1]}", f"{100 * f.gaps[-1]:.1f} %"))),
        Picture(svg(f.plot()), "Training loss, outputs on test images, and the gap by width.", wide=True),
        Table(("width", "gap", "test accuracy, networks", "test accuracy, kernel"), rows),
    ]


def accuracy(paths: np.ndarray, stop: Sequence[int], task: Task) -> float:
    """The fraction of test points on the right side of 0, of every network at its own stop."""
    f = paths[np.arange(len(stop)), np.array(stop)]
    return float(np.mean(np.sign(f) == np.sign(task.y_test)))


def svg(figure: Figure) -> str:
    """A figure as SVG text without a date, so that equal numbers give equal pages."""
    out = StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()
