"""The disconnect on a network and data of the user's own: every part is there, told and not judged, and what does not fit is named."""

import numpy as np
import pytest

import tensorprog as tp
from tensorprog.errors import InvalidProgram
from tensorprog.study.disconnect import own
from tensorprog.study.disconnect import parts as of
from tensorprog.study.disconnect.study import STUDY
from tensorprog.study.frame import Run, Setup, run_study
from tensorprog.study.networks import perceptron

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((12, 4)), RNG.standard_normal(12)


@tp.network
def gated(x: tp.Data, outputs: int = 1) -> tp.Output:
    h = tp.embedding("U") @ x
    return tp.readout("v", outputs=outputs) @ (h + tp.sigmoid(tp.matrix("V") @ h) * tp.relu(tp.matrix("W", 2**0.5) @ h))


def test_targets_become_classes() -> None:
    np.testing.assert_array_equal(own.classes(np.array([8.0, 3.0, 3.0, 8.0])), [1, 0, 0, 1])
    assert own.classes(np.arange(11.0)).tolist() == [0] * 6 + [1] * 5  # more than ten values: above the median or not


def test_a_bandit_shows_every_point_before_one_comes_again() -> None:
    problem = own.problems(X, Y, rounds=6, seeds=2)[1]
    assert np.shape(problem.mean) == (6, own.ARMS)
    np.testing.assert_array_equal(np.sort(np.ravel(problem.mean)[:12]), np.sort(Y))
    at = [int(np.flatnonzero(m == Y)[0]) for m in np.ravel(problem.mean)]
    np.testing.assert_array_equal(problem.x, X[at])


def test_players_are_small_enough_for_their_matrix() -> None:
    assert own.player_width(perceptron(), X) == 32
    assert own.player_width(gated(), X) == 16


def test_forgetting_of_ones_own_network() -> None:
    found = of.continual(Run(0), network=gated(), tasks=own.tasks(X, Y), widths=(4,), epochs=(2,), seeds=1, rises=None)
    assert ((found.table["trained"] >= 0) & (found.table["trained"] <= 1)).all()
    assert [c.verdict for c in found.checks] == [""]


def test_all_parts_are_there() -> None:
    parts = STUDY.parts(Setup(True, gated(), X, Y))
    assert [p.name for p in parts] == ["fluctuation", "drift", "natural", "infinite", "bandits", "continual"]
    assert all("network" in p.settings for p in parts)
    assert next(p for p in parts if p.name == "bandits").run.keywords["width"] == own.player_width(gated(), X)


@pytest.mark.slow
def test_all_parts_run(tmp_path) -> None:
    results = run_study(STUDY, tmp_path, Setup(True, gated(), X, Y))
    assert results.passed
    assert {p.stem for p in tmp_path.glob("*.svg")} == {d.part.name for d in results.done}


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        (Setup(network=gated(), x=X, y=None), "give targets"),
        (Setup(network=gated(), x=X[:4], y=Y[:4]), "8 points or more"),
        (Setup(network=gated(), x=X, y=np.stack([Y, Y], 1)), "one target a point"),
        (Setup(network=gated(outputs=2), x=X, y=Y), "several outputs"),
        (Setup(network=perceptron(), x=X, y=np.ones(12)), "nothing to learn"),
    ],
)
def test_what_does_not_fit_is_named(setup: Setup, message: str) -> None:
    with pytest.raises(InvalidProgram, match=message):
        STUDY.parts(setup)
