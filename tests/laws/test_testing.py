"""The public testing module says what is wrong in words, and holds on what is right."""

import jax
import numpy as np
import pytest

from tensorprog.language.expr import Ref, mul
from tensorprog.language.text import parse
from tensorprog.study import convergence
from tensorprog.testing import assert_converges, mutations

MLP = """network mlp
width n
input xi
matrix W : n x n
vector g : n = U xi
x := tanh(g)
h := W x
y := tanh(h)
readout v^T y : n
return y"""

DOT = """program dot
width n
matrix W : n x n
vector v : n ~ N(0, 1)
h := W v
x := tanh(h)
y := W^T x
c := moment(y * v)
return c"""

WIDTHS = (64, 256)


def test_kernels_and_a_moment_with_a_dot_converge() -> None:
    x = np.array(jax.random.normal(jax.random.key(0), (2, 3)))
    study = assert_converges(parse(MLP), x, widths=WIDTHS, seeds=64)
    assert {c.quantity for c in study.curves} == {"nngp", "ntk"}
    assert_converges(parse(DOT), widths=WIDTHS, seeds=64, moments={"v v": mul(Ref("v"), Ref("v"))})


def test_a_wrong_limit_is_told_by_its_slope(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = convergence.limit
    monkeypatch.setattr(convergence, "limit", lambda *args, **options: limit(*args, **options, dots="drop"))
    with pytest.raises(AssertionError, match=r"(?s)dot does not approach its limit.*c: slope .* The error stays: is the limit wrong"):
        assert_converges(parse(DOT), widths=WIDTHS, seeds=32)


def test_every_instruction_has_mutations() -> None:
    p = parse(DOT)
    every = list(mutations(p))
    assert {m.line for m in every} == {5, 6, 7, 8}
    assert len({m.what for m in every}) >= 8
