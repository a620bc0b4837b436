"""Targets that depend on few of many coordinates, x ~ N(0, I_d), and splits of data into training, validation and test points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, assert_never

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tensorprog.errors import InvalidProgram
from tensorprog.study.fit import Floats

Target = Literal["xor", "cubic", "staircase", "quadratic"]


@dataclass(frozen=True, eq=False)
class Split:
    """Training points in an order whose beginnings are the smaller training sets, and validation and test points; targets (points,)."""

    x: NDArray[Any]
    y: Floats
    x_val: NDArray[Any]
    y_val: Floats
    x_test: NDArray[Any]
    y_test: Floats

    @property
    def points(self) -> NDArray[Any]:
        """All points: training, validation, test."""
        return np.concatenate([self.x, self.x_val, self.x_test])


def label(target: Target, x: Floats) -> Floats:
    """xor: sign(x1 x2);  cubic: x1 x2 x3;  staircase: x1 + x1 x2 + x1 x2 x3;  quadratic: x1 x2."""
    match target:
        case "xor":
            return np.sign(x[:, 0] * x[:, 1])
        case "cubic":
            return x[:, 0] * x[:, 1] * x[:, 2]
        case "staircase":
            return x[:, 0] * (1 + x[:, 1] * (1 + x[:, 2]))
        case "quadratic":
            return x[:, 0] * x[:, 1]
        case _:
            assert_never(target)


def synthetic(target: Target, d: int, points: int, validation: int, test: int, seed: int) -> Split:
    """Fresh draws of all three.

    Raises:
        InvalidProgram: fewer coordinates than the target reads.
    """
    if d < 3:
        raise InvalidProgram(f"[data] the targets read up to 3 coordinates, but d is {d}. Take d >= 3.")
    x = np.random.default_rng([seed, d]).standard_normal((points + validation + test, d))
    return _cut(x, label(target, x), points, validation)


def real(x: ArrayLike, y: ArrayLike, points: int, validation: int, seed: int) -> Split:
    """A data set in a random order; all that is neither training nor validation is test.

    Raises:
        InvalidProgram: targets that are not one number a point, or too few points.
    """
    x, y = np.asarray(x), np.asarray(y, dtype=float)
    if y.shape != (len(x),):
        raise InvalidProgram(f"[data] {len(x)} points have targets of shape {y.shape}. Give every point one number.")
    if points + validation >= len(x):
        raise InvalidProgram(f"[data] {points} training and {validation} validation points leave no test points of {len(x)}. Take fewer.")
    order = np.random.default_rng(seed).permutation(len(x))
    return _cut(x[order], y[order], points, validation)


def digits() -> tuple[Floats, Floats]:
    """The 1797 images of digits that ship with scikit-learn, |x|^2 = d = 64, and their parity as -1 (even), +1 (odd)."""
    from sklearn.datasets import load_digits

    images, digit = load_digits(return_X_y=True)
    return images * 8.0 / np.linalg.norm(images, axis=1, keepdims=True), 2.0 * (digit % 2) - 1.0


def _cut(x: NDArray[Any], y: Floats, points: int, validation: int) -> Split:
    end = points + validation
    return Split(x[:points], y[:points], x[points:end], y[points:end], x[end:], y[end:])
