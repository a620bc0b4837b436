"""The exponent of a power law, error ~ n^slope, with a bootstrap interval over seeds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tensorprog.errors import InvalidProgram

Floats = NDArray[np.float64]


class Slope(NamedTuple):
    """A fitted exponent and the interval that holds it with the given confidence."""

    value: float
    low: float
    high: float
    confidence: float = 0.95

    @property
    def at_rate(self) -> bool:
        """Whether the interval holds -1/2, the rate of averages, and excludes 0 and -1."""
        return -0.5 in self and 0.0 not in self and -1.0 not in self

    def __contains__(self, exponent: object) -> bool:
        return isinstance(exponent, int | float) and self.low <= exponent <= self.high

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def root_mean_square(errors: Floats) -> Floats:
    """sqrt(mean over seeds of error^2): (widths, seeds) to (widths,)."""
    return np.sqrt(np.mean(errors**2, axis=-1))


def slope(widths: tuple[int, ...], errors: Floats, confidence: float = 0.95, resamples: int = 2000) -> Slope:
    """Least squares of log root-mean-square error against log width.

    The interval is the percentile bootstrap: seeds are drawn with replacement at each width (seeds of different widths are independent).

    Args:
        errors: (widths, seeds). Where they are all zero at some width there is no slope, and it is NaN.

    Raises:
        InvalidProgram: fewer than two widths or two seeds.
    """
    if len(widths) < 2 or errors.shape[1] < 2:
        raise InvalidProgram(f"[study] a slope needs two widths and two seeds at least, got {len(widths)} and {errors.shape[1]}.")
    if not errors.any(axis=-1).all():
        return Slope(np.nan, np.nan, np.nan, confidence)
    draw = np.random.default_rng(0).integers(errors.shape[1], size=(resamples, *errors.shape))
    resampled = np.take_along_axis(np.broadcast_to(errors, draw.shape), draw, axis=-1)
    tail = 50.0 * (1.0 - confidence)
    again = root_mean_square(resampled)
    low, high = np.percentile(_exponent(widths, again[again.all(axis=-1)]), [tail, 100.0 - tail])  # a resample may hold zeros only
    return Slope(float(_exponent(widths, root_mean_square(errors))), float(low), float(high), confidence)


def interval(errors: Floats, confidence: float = 0.95, resamples: int = 2000) -> Floats:
    """(2, widths): the bootstrap interval of each root-mean-square error."""
    draw = np.random.default_rng(1).integers(errors.shape[1], size=(resamples, *errors.shape))
    tail = 50.0 * (1.0 - confidence)
    return np.percentile(root_mean_square(np.take_along_axis(np.broadcast_to(errors, draw.shape), draw, axis=-1)), [tail, 100.0 - tail], axis=0)


def _exponent(widths: tuple[int, ...], error: Floats) -> Floats:
    """Slopes of the regression lines of log error (.., widths) on log width."""
    x = np.log(np.asarray(widths, dtype=np.float64))
    x = x - x.mean()
    return np.log(error) @ x / (x @ x)
