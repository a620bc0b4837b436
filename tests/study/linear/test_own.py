"""A linear network on a task of the user's own: gradient descent follows the closed form, and what it does not cover is refused."""

import numpy as np
import pytest

from tensorprog.errors import InvalidProgram
from tensorprog.study.frame import Setup, run_study
from tensorprog.study.linear.balance import whiten
from tensorprog.study.linear.study import STUDY
from tensorprog.study.linear.tasks import regression

X, Y = regression(4, 2, 9, 3.0, 0)


@pytest.mark.parametrize("y", [Y, Y[:, 0]], ids=["two outputs", "one"])
def test_a_task_of_ones_own(y: np.ndarray) -> None:
    done = run_study(STUDY, setup=Setup(x=X, y=y)).done[0]
    assert done.found.checks[0].passed
    assert done.part.plot is not None
    assert done.part.plot(done.found).axes
    t = done.found.table
    end = np.isinf(t["time"])
    assert (t["loss"][end & ~t["saddle"]] < 1e-12).all()
    assert t["distance"][end & (t["phase"] == "lazy")].max() < t["distance"][end & (t["phase"] == "rich")].min()


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        (Setup(x=2 * X, y=Y), "whiten"),
        (Setup(x=X, y=Y[:5]), r"\[shape\] y has shape"),
        (Setup(x=X, y=np.zeros(9)), "nothing to learn"),
        (Setup(x=X), "Give y"),
    ],
)
def test_what_the_closed_form_does_not_cover_is_refused(setup: Setup, message: str) -> None:
    with pytest.raises(InvalidProgram, match=message):
        run_study(STUDY, setup=setup)


def test_too_few_inputs_cannot_be_whitened() -> None:
    with pytest.raises(InvalidProgram, match="Add inputs, or project"):
        whiten(np.ones((3, 4)))
