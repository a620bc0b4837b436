"""The one question, as data: E prod_i factor_i(u) for a Gaussian vector u, how it may be answered, and the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from jax import Array

from tensorprog.language.expr import Fn

Scalars = Array | float  # an array over the batch; a Python number 0 is a structural zero


@dataclass(frozen=True)
class Factor:
    """fn(scale * u_coord + shift), fn of one argument."""

    fn: Fn
    coord: int
    scale: float = 1.0
    shift: float = 0.0


@dataclass(frozen=True)
class Power:
    """u_coord ** degree."""

    coord: int
    degree: int


@dataclass(frozen=True)
class Composite:
    """Any coordinatewise function of several coordinates: call(u_c0, u_c1, ..) on arrays of shape (*batch, Q), elementwise in Q."""

    call: Callable[..., Array]
    coords: tuple[int, ...]
    label: str


AnyFactor = Factor | Power | Composite


@dataclass(frozen=True)
class Strategy:
    """Which ways to an expectation are allowed, and how fine they are.

    Attributes:
        closed: use closed forms where there are any.
        series: use the Hermite series for pairs of smooth functions.
        nodes: points of the trapezoidal rule a dimension, in two dimensions (in one, twice as many; in three, half as many).
        panel: points of the Gauss-Legendre rule between two cuts, where there are kinks (likewise).
        terms: degree at which the Hermite series is cut.
        max_dimension: the most non-polynomial dimensions that quadrature takes on; beyond, sampling (0: always sampling).
        samples: quasi-random points in each replicate, a power of two.
        replicates: independent randomizations, from which the standard error comes.
        key: a JAX random key for them; None is a fixed one.
        points: arrays held at a time are kept near this many numbers.
    """

    closed: bool = True
    series: bool = True
    nodes: int = 121
    panel: int = 40
    terms: int = 512
    max_dimension: int = 3
    samples: int = 4096
    replicates: int = 16
    key: Any = None
    points: int = 1 << 22


@dataclass(frozen=True)
class Estimate:
    """value, over the batch; method: "closed form", "polynomial", "series", "quadrature" or "sampling"; error: absolute, estimated or bounded.

    `rcond` is what a closed form divides rounding by, its reciprocal condition number: that of the covariances, in units of the standard deviations,
    makes at most 1 / rcond times as much in the value, in units of the largest that it can be; 0 where directions are equal to rounding, or opposite.
    """

    value: Array
    method: str
    error: Array | float = 0.0
    rcond: Array | float = 1.0


jax.tree_util.register_dataclass(Estimate, ["value", "error", "rcond"], ["method"])  # so that jitted functions may return one
