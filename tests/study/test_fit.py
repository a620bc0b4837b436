"""The fitted exponent and its bootstrap interval: exact power laws, coverage, and exponents that must be told apart."""

import numpy as np
import pytest

from tensorprog.errors import InvalidProgram
from tensorprog.study.fit import interval, root_mean_square, slope

WIDTHS = (64, 128, 256, 512)


def errors(exponent: float, seeds: int = 64, seed: int = 0) -> np.ndarray:
    """|normal| errors of a scalar whose fluctuations scale like n^exponent."""
    normal = np.abs(np.random.default_rng(seed).standard_normal((len(WIDTHS), seeds)))
    return np.array(WIDTHS, dtype=float)[:, None] ** exponent * normal


def test_an_exact_power_law_has_its_exponent_and_no_uncertainty() -> None:
    exact = np.array(WIDTHS, dtype=float)[:, None] ** -0.5 * np.ones((4, 8))
    found = slope(WIDTHS, exact)
    assert found.value == pytest.approx(-0.5, abs=1e-12)
    assert found.high - found.low < 1e-12


def test_the_interval_covers_at_its_confidence() -> None:
    """200 studies: a 95 % interval misses about 10; the bootstrap of a root-mean-square over 64 seeds is a little too narrow. 25 would be 88 %."""
    missed = sum(-0.5 not in slope(WIDTHS, errors(-0.5, seed=i), resamples=200) for i in range(200))
    assert missed <= 25


@pytest.mark.parametrize("exponent", [0.0, -0.25, -1.0])
def test_another_exponent_is_told_from_the_rate(exponent: float) -> None:
    assert -0.5 not in slope(WIDTHS, errors(exponent))
    assert exponent in slope(WIDTHS, errors(exponent))


def test_intervals_of_the_errors_hold_them() -> None:
    e = errors(-0.5)
    low, high = interval(e)
    assert (low < root_mean_square(e)).all()
    assert (root_mean_square(e) < high).all()


def test_without_errors_there_is_no_slope() -> None:
    assert np.isnan(slope(WIDTHS, np.zeros((4, 8))).value)
    one = np.zeros((4, 8))
    one[:, 0] = np.array(WIDTHS) ** -0.5
    assert -0.5 in slope(WIDTHS, one)


def test_one_width_or_one_seed_has_no_slope() -> None:
    with pytest.raises(InvalidProgram, match="two widths and two seeds"):
        slope((64,), np.ones((1, 64)))
    with pytest.raises(InvalidProgram, match="two widths and two seeds"):
        slope(WIDTHS, np.ones((4, 1)))
