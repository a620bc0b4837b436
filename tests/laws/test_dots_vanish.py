"""In a BP-like program all dots vanish: leaving them out changes nothing; elsewhere it does (arXiv 2006.14548, Thm 7.2 and section 6.3)."""

from __future__ import annotations

import numpy as np
import pytest

from tensorprog.interpret.limit import limit
from tensorprog.language.instr import MatMul
from tensorprog.language.program import Program
from tensorprog.language.text import parse
from tensorprog.language.valid import check

HEAD = "program p\nwidth n\nmatrix W1 : n x n\nmatrix W2 : n x n\nvector g : n ~ N(0, 1)\nvector v : n ~ N(0, 1)\nvector w : n ~ N(0, 0.5)\n"
FORWARD = "x1 := erf(g)\nh := W1 x1\nx2 := erf(h)\nk := W2 x2\n"
PULLED_BACK = "dx2 := W2^T dk\ndh := gaussian(h) * dx2\ndx1 := W1^T dh\n"

BP_LIKE = {
    "backpropagation": FORWARD + "dk := gaussian(k) * v\n" + PULLED_BACK,
    "two readouts": FORWARD + "dk := gaussian(k) * (v + w)\n" + PULLED_BACK,
    "odd, not linear": FORWARD + "dk := k * v^3\n" + PULLED_BACK,
    "weights shared by two layers": (FORWARD + "dk := gaussian(k) * v\n" + PULLED_BACK).replace("W2", "W1"),
    "an odd vector on its own way": "a := W2 v\nh := W1 g\ndh := h * a\ndx := W1^T dh\n",
}
NOT_BP_LIKE = {
    "tied autoencoder": "h := W1 g\nx := erf(h)\ny := W1^T x\n",
    "T10: the readout is no random vector": "x1 := g + 1\nh2 := W2 x1\ndh2 := 2 * h2\ndx1 := W2^T dh2\n",
    "even in the readout vector": FORWARD + "dk := k * v^2\n" + PULLED_BACK,
}


def _program(body: str) -> Program:
    p = parse(f"{HEAD}{body}return")
    assert isinstance(p, Program)
    return p


def _moments(p: Program, dots: str) -> np.ndarray:
    """E Z^y Z^y for all products y by a matrix: what a dot would change."""
    found = limit(p, dots=dots, jit=False)
    return np.array([float(found.product(i.out, i.out)) for i in p.body if isinstance(i, MatMul)])


@pytest.mark.parametrize("name", BP_LIKE)
def test_without_its_dots_a_bp_like_program_has_the_same_limit(name: str) -> None:
    p = _program(BP_LIKE[name])
    assert check(p).bp_like
    np.testing.assert_allclose(_moments(p, "drop"), _moments(p, "derivative"), rtol=1e-12)


@pytest.mark.parametrize("name", NOT_BP_LIKE)
def test_without_its_dots_another_program_has_another_limit(name: str) -> None:
    p = _program(NOT_BP_LIKE[name])
    assert not check(p).bp_like
    assert np.max(np.abs(_moments(p, "drop") / _moments(p, "derivative") - 1)) > 0.1
