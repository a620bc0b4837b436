"""The simple GIA check and BP-like programs."""

from __future__ import annotations

import pytest

from tensorprog.language.gia import bp_like, simple_gia_check
from tensorprog.language.program import Network, Program
from tensorprog.language.text import parse

HEAD = "width n\nmatrix W1 : n x n\nmatrix W2 : n x n\nvector g : n ~ N(0, 1)\nvector v : n ~ N(0, 1)\n"
MLP = "x1 := relu(g)\nh := W1 x1\nx2 := relu(h)\nk := W2 x2\nx3 := tanh(k)\n"
MLP_BACKWARD = "dk := tanh'(k) * v\ndx2 := W2^T dk\ndh := step(h) * dx2\ndx1 := W1^T dh\ndg := step(g) * dx1\n"
TIED = "h := W1 g\nx := relu(h)\ny := W1^T x\n"


def body(text: str) -> Program:
    p = parse(f"program p\n{HEAD}{text}return v")
    assert isinstance(p, Program)
    return p


def network(text: str, readout: str, head: str = HEAD) -> Network:
    n = parse(f"network p\n{head}{text}readout {readout}\nreturn g")
    assert isinstance(n, Network)
    return n


def test_an_mlp_with_its_backward_pass_is_bp_like() -> None:
    verdict = bp_like(body(MLP + MLP_BACKWARD))
    assert verdict
    assert verdict.reason == "odd in v wherever a transpose multiplies"


def test_two_readout_vectors_are_odd_jointly() -> None:
    """dk = phi' (v + w) is odd in (v, w), in neither alone."""
    text = MLP_BACKWARD.replace("* v", "* (v + w)")
    verdict = bp_like(body("vector w : n ~ N(0, 1)\n" + MLP + text))
    assert verdict
    assert set(verdict.reason.removeprefix("odd in ").split(" wherever")[0].split(", ")) == {"v", "w"}


@pytest.mark.parametrize(
    ("dk", "holds"),
    [
        ("v", True),
        ("v^3", True),
        ("tanh(v)", True),
        ("v * abs(v)", True),
        ("v^2", False),
        ("relu(v)", False),
        ("1 + v", False),
        ("v * moment_v", True),
    ],
)
def test_oddness_is_read_off_the_expression(dk: str, holds: bool) -> None:
    text = f"moment_v := moment(v^2)\n{MLP}dk := {dk}\ndx2 := W2^T dk\n"
    assert bool(bp_like(body(text))) is holds


def test_the_forward_pass_must_not_depend_on_the_special_vectors() -> None:
    verdict = bp_like(body("x := g * v\nh := W1 x\ndh := h * v\ndx := W1^T dh\n"))
    assert not verdict
    assert verdict.reason == "W1 multiplies x, which is not independent of v"


def test_a_tied_autoencoder_is_not_bp_like() -> None:
    assert not bp_like(body(TIED))


def test_special_vectors_have_mean_zero_and_are_independent() -> None:
    text = MLP + MLP_BACKWARD
    assert not bp_like(body(text.replace("* v", "* w").join(["vector w : n ~ N(1, 1)\n", ""])))
    assert not bp_like(body(text.replace("* v", "* w").join(["vector w : n ~ N(0, 1)\ncovariance w, g = (0.5)\n", ""])))


def test_t10_is_not_bp_like() -> None:
    """x1 = W1 xi + 1, h2 = W2 x1, y = Moment(h2^2): dh2 = 2 h2 (reference notes 3.3)."""
    assert not bp_like(body("x1 := g + 1\nh2 := W2 x1\ndh2 := 2 * h2\ndx1 := W2^T dh2\n"))


def test_the_gia_check_of_an_mlp_holds() -> None:
    assert simple_gia_check(network(MLP, "w^T x3 : n"))
    assert simple_gia_check(network(MLP, "v^T x3 : n"))  # v stands in the body as an initial vector, and is read nowhere


@pytest.mark.parametrize(
    ("text", "readout", "clause"),
    [
        (TIED, "w^T y : n", "W1 is used together with W1^T in the forward pass"),
        (MLP + "x4 := x3 * v\n", "v^T x4 : n", "the readout vector v is used elsewhere, in x4"),
        (MLP + "q := W1 v\n", "v^T x3 : n", "the readout vector v is used elsewhere, in q"),
        ("vector w : n ~ N(1, 0)\n" + MLP, "w^T x3 : n", "the readout vector w does not have mean zero"),
        ("covariance g, v = (0.5)\n" + MLP, "v^T x3 : n", "the readout vector v is correlated with g"),
    ],
)
def test_the_clause_that_fails_is_named(text: str, readout: str, clause: str) -> None:
    verdict = simple_gia_check(network(text, readout))
    assert not verdict
    assert verdict.reason == clause


def test_independent_weights_for_encoder_and_decoder_pass() -> None:
    assert simple_gia_check(network(TIED.replace("W1^T", "W2"), "w^T y : n"))
