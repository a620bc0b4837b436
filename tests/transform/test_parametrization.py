"""classify against the tables of TP IV and TP IVb (T24), its symmetry, and the inequality that it names when one fails."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tensorprog as tp
from architectures.mlp import mlp
from tensorprog.transform.parametrization import Parametrization, exponents, named, shift

HALF = Fraction(1, 2)
TABLE = [
    (tp.NTP, 1, HALF, "kernel"),
    (tp.NTP, 3, HALF, "kernel"),
    (tp.STANDARD, 1, Fraction(3, 2), "kernel"),
    (tp.STANDARD, 2, HALF, "kernel"),
    (tp.STANDARD, 4, HALF, "kernel"),
    (tp.MEAN_FIELD, 1, Fraction(0), "feature learning"),
    (tp.MUP, 1, Fraction(0), "feature learning"),
    (tp.MUP, 4, Fraction(0), "feature learning"),
    (tp.up_s(Fraction(1, 3)), 3, Fraction(1, 3), "kernel"),
    (tp.up_s(0), 2, Fraction(0), "feature learning"),
    (tp.up_s(HALF), 2, HALF, "kernel"),
]


@pytest.mark.parametrize(("parametrization", "depth", "r", "regime"), TABLE, ids=lambda x: getattr(x, "name", str(x)))
def test_the_table_of_tp_iv(parametrization: Parametrization, depth: int, r: Fraction, regime: str) -> None:
    found = tp.classify(parametrization, depth)
    assert (found.verdict, found.r, found.regime) == ("stable", r, regime)


def test_entrywise_optimizers() -> None:
    assert (tp.classify(tp.NTP, 3, "entrywise").r, tp.classify(tp.MUP, 3, "entrywise").r) == (HALF, 0)
    late = replace(tp.MUP, matrix=replace(tp.MUP.matrix, d=HALF))
    assert [c.formula for c in tp.classify(late, 2, "entrywise").failing] == ["d of W2"]


thetas = st.fractions(-2, 2, max_denominator=6)


@given(st.lists(thetas, min_size=3, max_size=3), st.sampled_from([p for p, *_ in TABLE]), st.integers(1, 4))
def test_the_symmetry_changes_nothing(by: list[Fraction], p: Parametrization, depth: int) -> None:
    moved = replace(p, vector=shift(p.vector, by[0]), matrix=shift(p.matrix, by[1]), readout=shift(p.readout, by[2]))
    before, after = tp.classify(p, depth), tp.classify(moved, depth)
    assert (after.verdict, after.r, after.regime) == (before.verdict, before.r, before.regime)


def test_a_constant_learning_rate_in_the_standard_parametrization_is_unstable_and_says_why() -> None:
    found = tp.classify(tp.FRAMEWORK, 2)
    assert found.verdict == "unstable"
    assert "motion of f by the readout: 0 >= 1 fails" in str(found)
    assert "r, the motion of the features: -1 >= 0 fails" in str(found)


def test_too_small_a_rate_is_trivial_and_says_so() -> None:
    slow = Parametrization("slow", exponents(0, 0, 1), exponents(HALF, 0, 1), exponents(HALF, 0, 1))
    found = tp.classify(slow, 2)
    assert found.verdict == "trivial"
    assert "motion of f by the readout: 2 >= 1 holds, not an equality" in str(found)


def test_a_tensor_with_exponents_of_its_own_decides_for_a_network() -> None:
    net = mlp(depth=3, sigma_b=0.1)
    assert tp.classify(tp.MUP, net).regime == "feature learning"
    wrong = replace(tp.MUP, tensors={"W3": exponents(HALF, HALF, 1, 1)})
    assert [c.formula for c in tp.classify(wrong, net).failing] == ["a + b of W3"]


def test_frozen_tensors_move_no_features() -> None:
    found = tp.classify(tp.STANDARD, mlp(depth=2, frozen=("W2",)))
    assert found.r == Fraction(3, 2)  # U alone moves them, as in one hidden layer
    readout_only = tp.classify(tp.MUP, mlp(depth=2, frozen=("U", "W2")))
    assert (readout_only.verdict, readout_only.r, readout_only.regime) == ("stable", None, "kernel")


def test_unknown_names_and_depths() -> None:
    with pytest.raises(tp.InvalidProgram, match="Take ntp, mup, standard, mean_field, framework"):
        named("nyp")
    with pytest.raises(tp.InvalidProgram, match="the depth is 0"):
        tp.classify(tp.NTP, 0)
    with pytest.raises(tp.InvalidProgram, match="UP_s is stable"):
        tp.up_s(1)
