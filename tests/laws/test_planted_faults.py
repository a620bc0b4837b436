"""The laws catch planted faults: each passes on a program, and fails on the same program with one rule of the theory broken."""

from collections.abc import Callable

import jax
import numpy as np
import pytest

from tensorprog.interpret.limit.master import Master
from tensorprog.interpret.particles import construction
from tensorprog.language.instr import Moment
from tensorprog.language.program import Network, Program
from tensorprog.language.text import parse
from tensorprog.testing import assert_agree
from tensorprog.transform import backprop
from tests.laws.laws import assert_backprop_is_grad

KEY = jax.random.key(3)
SMALL = {"widths": (32, 128)}
Patch = pytest.MonkeyPatch

TIED = """program tied
width n
width m = 2 n
matrix A : m x n
vector g : n ~ N(0, 1)
vector u : m ~ N(0, 1)
h := A g
x := tanh(h + 0.5 * u)
y := A^T x
z := A y
c := moment(y * g)
s := moment(z * x)
return c, s"""

SQUARE = """program square
width n
matrix W : n x n
vector v : n ~ N(0, 1)
h := W v
k := W^T v
c := moment(h * k)
s := moment(h * h)
return c, s"""

NORMED = """network normed
width n
width m = 2 n
input xi
matrix A : n x m
vector g : m = U xi
s := moment(g * g)
x := g * tanh(s)
h := A x
y := tanh(h)
readout v^T y : n
return y"""


def program(text: str) -> Program:
    p = parse(text)
    assert isinstance(p, Program)
    return p


def normed() -> Network:
    network = parse(NORMED)
    assert isinstance(network, Network)
    return network


def test_without_faults_the_laws_hold() -> None:
    assert_agree(program(TIED), key=KEY, **SMALL)
    assert_agree(program(SQUARE), key=KEY, **SMALL)
    assert_backprop_is_grad(normed(), {"xi": np.ones((2, 3))}, KEY)


def test_dropped_dots_are_caught() -> None:
    with pytest.raises(AssertionError, match="networks of width 512 say"):
        assert_agree(program(TIED), key=KEY, dots="drop", **SMALL)


def sampled_dot_dropped(patch: Patch) -> None:
    weights = construction.dot_weights
    patch.setattr(construction, "dot_weights", lambda *args: 0.0 * weights(*args))


def sampled_width_ratio_wrong(patch: Patch) -> None:
    patch.setattr(construction, "scale", lambda program, matrix, transpose: program.matrix[matrix].sigma)


def sampled_hats_shared(patch: Patch) -> None:
    patch.setattr(construction, "direction", lambda i: (i.matrix, False))


def exact_dot_dropped(patch: Patch) -> None:
    patch.setattr(Master, "_dot", lambda self, x, root, transpose: self.v.poly([]))


def exact_width_ratio_wrong(patch: Patch) -> None:
    variance = Master._variance
    patch.setattr(Master, "_variance", lambda self, group, transpose: variance(self, group, False))


def exact_hats_shared(patch: Patch) -> None:
    matmul = Master.matmul
    patch.setattr(Master, "matmul", lambda self, matrix, transpose, *rest: matmul(self, matrix, False, *rest))


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (sampled_dot_dropped, TIED), (sampled_width_ratio_wrong, TIED), (sampled_hats_shared, SQUARE),
        (exact_dot_dropped, TIED), (exact_width_ratio_wrong, TIED), (exact_hats_shared, SQUARE),
    ],
)  # fmt: skip
def test_a_rule_broken_in_one_interpreter_is_caught(fault: Callable[[Patch], None], text: str, monkeypatch: Patch) -> None:
    fault(monkeypatch)
    with pytest.raises(AssertionError, match="particles say"):
        assert_agree(program(text), key=KEY, **SMALL)


def test_a_missing_adjoint_of_a_moment_is_caught(monkeypatch: Patch) -> None:
    step = backprop._Tape.step
    monkeypatch.setattr(backprop._Tape, "step", lambda self, i, d: None if isinstance(i, Moment) else step(self, i, d))
    with pytest.raises(AssertionError, match="U of"):
        assert_backprop_is_grad(normed(), {"xi": np.ones((2, 3))}, KEY)
