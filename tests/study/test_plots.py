"""Figures show the numbers of their study: what is drawn is compared as data, and every figure renders."""

import io

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from tensorprog.study import plots, style
from tensorprog.study.convergence import Curve, Study
from tensorprog.study.training import Following, Run

WIDTHS = (64, 128, 256)


@pytest.fixture
def study() -> Study:
    rng = np.random.default_rng(0)
    size = np.array(WIDTHS, dtype=float)[:, None] ** -0.5
    return Study("mlp", tuple(Curve(q, WIDTHS, size * np.abs(rng.standard_normal((3, 32)))) for q in ("nngp", "ntk", "c")))


@pytest.fixture
def following() -> Following:
    rng = np.random.default_rng(0)
    loss = np.exp(-0.3 * np.arange(11))[None].repeat(2, 0)
    kernel = np.cumsum(rng.standard_normal((2, 11, 5)), axis=1)
    runs = tuple(Run(n, loss * (1 + 1 / n), loss, kernel + n**-0.5 * rng.standard_normal((2, 11, 5)), kernel, (8, 9)) for n in WIDTHS)
    return Following("mlp", runs, 0.1, 0.1, "squared", np.ones(5))


def rendered(figure: Figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def test_convergence_draws_errors_fits_and_the_guide(study: Study) -> None:
    figure = study.plot()
    (ax,) = figure.axes
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert [t.get_text() for t in ax.get_xticklabels()] == ["64", "128", "256"]
    labels = [t.get_text() for t in ax.get_legend().get_texts()]
    assert [label.split()[0] for label in labels] == ["NNGP", "NTK", "c"]
    assert f"{study['ntk'].slope.value:.2f}".replace("-", "−") in labels[1]
    marks = [line for line in ax.lines if line.get_marker() in style.MARKERS]
    for line, curve in zip(marks, study.curves, strict=True):
        np.testing.assert_allclose(line.get_ydata(), curve.rms)
    guide = next(line for line in ax.lines if line.get_color() == style.FAINT)
    x, y = (np.log(np.asarray(a, dtype=float)) for a in guide.get_data())
    np.testing.assert_allclose(np.diff(y) / np.diff(x), -0.5)
    assert len(rendered(figure)) > 10_000


def test_a_quantity_without_error_is_no_obstacle() -> None:
    zero = Study("constant", (Curve("c", WIDTHS, np.zeros((3, 4))),))
    assert len(rendered(zero.plot())) > 1_000
    assert "nan" in str(zero["c"].slope)


def test_training_draws_losses_outputs_and_gaps(following: Following) -> None:
    figure = following.plot()
    losses, outputs, gaps = figure.axes
    np.testing.assert_allclose(losses.lines[1].get_ydata(), following.runs[0].loss[0] / following.runs[0].loss[0, 0])
    kernel = following.runs[-1].kernel_test[0]
    drawn = sorted(float(np.asarray(line.get_ydata())[-1]) for line in outputs.lines[:-1:2])
    np.testing.assert_allclose(drawn, np.sort(kernel[-1]))
    np.testing.assert_allclose(gaps.lines[0].get_ydata(), following.gaps)
    assert len(rendered(figure)) > 10_000


@pytest.mark.parametrize("signed", [False, True])
def test_kernels_draw_every_entry_and_the_classes(signed: bool) -> None:
    k = np.arange(36.0).reshape(6, 6) - (18 if signed else 0)
    figure = plots.kernels({"NNGP": k, "NTK": 2 * k}, ["a", "a", "a", "b", "b", "c"])
    first = figure.axes[0]
    np.testing.assert_array_equal(first.images[0].get_array(), k)
    assert [t.get_text() for t in first.get_xticklabels()] == ["a", "b", "c"]
    assert list(first.get_xticks()) == [1.0, 3.5, 5.0]
    assert len(rendered(figure)) > 5_000


def test_contributions_add_up() -> None:
    parts = {"U": np.eye(3), "W": 2 * np.eye(3), "b": np.zeros((3, 3)), "v": np.eye(3)}
    figure = plots.contributions(parts)
    (ax,) = figure.axes
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], [1, 2, 0, 1])
    assert any("50%" in t.get_text() for t in ax.texts)
    assert [t.get_text() for t in ax.get_yticklabels()] == list(parts)
    assert len(rendered(figure)) > 5_000


def test_nothing_global_is_changed(study: Study) -> None:
    before = dict(mpl.rcParams)
    rendered(study.plot())
    assert dict(mpl.rcParams) == before
