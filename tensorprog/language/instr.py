"""The instructions of a Tensor Program (Yang & Littwin 2021, Def. 4.1 and B.1), all on this screen.

| on paper              | in code                  | meaning                                                                    |
| --------------------- | ------------------------ | -------------------------------------------------------------------------- |
| W, sigma_W            | Matrix                   | n_out x n_in, entries iid N(0, sigma^2 / n_in)                              |
| x, h, Z^x             | a vector's name          | x in R^n; in the limit the law of one coordinate                            |
| c, theta              | a scalar's name          | a number that tends to a constant                                           |
| g = W x, g = W^T x    | MatMul                   | a G-var                                                                     |
| x = psi(h..; c..)     | Nonlin                   | coordinatewise; an X-var                                                    |
| c = (1/n) sum_a psi_a | Moment                   | average over coordinates; with no vector in psi: a function of scalars      |
| x_a = avg_b psi(a; b) | OuterNonlin              | psi of two or more coordinates, averaged over all but the own; an X-var     |
| n                     | Width                    | a width class; classes grow at fixed ratios to the base n                   |
| token, time, pixel    | Axis                     | a finite named axis; a variable over axes is a family, one member a position |
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from tensorprog.language.expr import Expr


@dataclass(frozen=True)
class MatMul:
    """out = W arg, or W^T arg; applied to every member of a family."""

    out: str
    matrix: str
    arg: str
    transpose: bool = False


@dataclass(frozen=True)
class Nonlin:
    """out_a = psi(x1_a .. xk_a; c1 .. cl) for every coordinate a."""

    out: str
    psi: Expr


@dataclass(frozen=True)
class Moment:
    """out = (1/n) sum_a psi(x1_a .. xk_a; c1 .. cl); k = 0: out = psi(; c1 .. cl)."""

    out: str
    psi: Expr


@dataclass(frozen=True)
class OuterNonlin:
    """out_a = (1 / n^m) sum over b1 .. bm of psi(X_a; X_b1; ..; X_bm; c1 .. cl), each b_k over its own width class (Yang & Littwin 2023, Def. 2.6.1).

    In psi, Ref(x) reads x_a and Ref(x, k) reads x at b_k.
    """

    out: str
    psi: Expr


Instr = MatMul | Nonlin | Moment | OuterNonlin


@dataclass(frozen=True)
class Width:
    """A width class; its size at base width n is max(1, round(ratio n))."""

    name: str
    ratio: Fraction = Fraction(1)

    def at(self, n: int) -> int:
        return max(1, round(self.ratio * n))


@dataclass(frozen=True)
class Axis:
    name: str
    size: int


@dataclass(frozen=True)
class Matrix:
    """An initial matrix: rows x cols (width names), entries iid N(0, sigma^2 / cols)."""

    name: str
    rows: str
    cols: str
    sigma: float = 1.0


@dataclass(frozen=True)
class Embedding:
    """The law of g = sigma U xi / sqrt(d), U with iid N(0, 1) entries: Cov = sigma^2 <xi, xi'> / d over inputs and positions."""

    matrix: str
    input: str
    sigma: float = 1.0


@dataclass(frozen=True)
class Gaussian:
    """Coordinates with the given mean and variance, independent over positions and vectors unless a `Covariance` says otherwise."""

    mean: float = 0.0
    variance: float = 1.0


@dataclass(frozen=True)
class InitVector:
    """An initial vector (or family): iid over coordinates."""

    name: str
    width: str
    axes: tuple[str, ...] = ()
    law: Gaussian | Embedding = Gaussian()


@dataclass(frozen=True)
class Covariance:
    """Cov(a[i..], b[j..]) of two initial Gaussian vectors: row-major over a's axes, then b's. Overrides the default of `Gaussian`."""

    a: str
    b: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class InitScalar:
    """An initial scalar: value * n^exponent at width n (exponent <= 0), its limit as n grows; value None: given when the program is run."""

    name: str
    axes: tuple[str, ...] = ()
    value: float | None = None
    exponent: float = 0.0


@dataclass(frozen=True)
class Input:
    """A data slot xi: one vector in R^d for every position of its axes; d is read off the data."""

    name: str
    axes: tuple[str, ...] = ()
