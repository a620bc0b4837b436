"""What a program starts from: matrices, initial vectors and scalars, constants, width classes (Yang & Littwin 2021, Def. B.1, Setup B.2).

A declaration is data: the same name is the same tensor, and two declarations of one name have to agree.
"""

# Arguments come from people, who are told what they mixed up, so types are checked at run time too.
# pyright: reportUnnecessaryIsInstance=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import inf, isfinite, prod
from numbers import Real
from typing import Any, Literal, NoReturn, TypeAlias, cast

from tensorprog.build.value import Initial, Pointwise, Product, Value, noun
from tensorprog.errors import InvalidProgram
from tensorprog.language.expr import Tensor
from tensorprog.language.instr import Axis, Covariance, Gaussian, InitScalar, InitVector, Matrix, Width
from tensorprog.language.program import Training

Convention: TypeAlias = Literal["unit", "sigma"]
BASE = Width("n")


def width(name: str, ratio: float | Fraction = 1) -> Width:
    """The width class of size ratio * n, e.g. width("ffn", 4).

    Raises:
        InvalidProgram: a ratio that is not positive, or another ratio than 1 for the base width "n".
    """
    exact = Fraction(ratio).limit_denominator(10**6)
    if exact <= 0:
        raise InvalidProgram(f"[width] the ratio of width {name!r} is {ratio}; it has to be positive.")
    if name == BASE.name and exact != 1:
        raise InvalidProgram("[width] 'n' is the base width, of ratio 1. Choose another name for a width of another ratio.")
    return Width(name, exact)


def training(train: bool, rate: float, convention: Convention) -> Training:
    """How a tensor is trained: frozen, or with a learning-rate factor; see `Training` for the two conventions."""
    return Training(float(rate) if train else 0.0, convention)


@dataclass(frozen=True)
class MatrixSymbol:
    """A matrix as the user holds it: W @ x and W.T @ y make vectors. Widths left open are read off its use."""

    name: str
    sigma: float
    rows: Width | None
    cols: Width | None
    training: Training
    transposed: bool = False
    noun = "a matrix"

    @property
    def T(self) -> MatrixSymbol:
        return replace(self, transposed=not self.transposed)

    def __matmul__(self, x: Value) -> Value:
        """W x, or W^T x for W.T @ x.

        Raises:
            InvalidProgram: x is a scalar, an input, or of another width than W takes.
        """
        written = f"{self.name}.T" if self.transposed else self.name
        if not isinstance(x, Value) or x.width is None:
            raise InvalidProgram(f"[matmul] {written} cannot multiply {noun(x)}; it multiplies vectors. An input enters by tp.embedding('U') @ x.")
        given, made = (self.rows, self.cols) if self.transposed else (self.cols, self.rows)
        if given is not None and given != x.width:
            raise InvalidProgram(
                f"[matmul] {written} takes vectors of width {given.name}, but is given {x.describe()}. "
                f"Transpose it, or declare {'rows' if self.transposed else 'cols'}=tp.width({x.width.name!r}, {x.width.ratio})."
            )
        out = made or BASE
        rows, cols = (x.width, out) if self.transposed else (out, x.width)
        symbol = Matrix(self.name, rows.name, cols.name, self.sigma)
        return Value(x.axes, Product(symbol, rows, cols, self.training, x, self.transposed), out)

    def __mul__(self, other: object) -> NoReturn:
        raise InvalidProgram(f"[matmul] {self.name}: matrices have no arithmetic. A factor goes into sigma=..., or onto the product: 2 * (W @ x).")

    __rmul__ = __add__ = __radd__ = __sub__ = __mul__


def matrix(
    name: str,
    sigma: float = 1.0,
    *,
    rows: Width | None = None,
    cols: Width | None = None,
    train: bool = True,
    rate: float = 1.0,
    convention: Convention = "unit",
) -> MatrixSymbol:
    """W in R^(rows x cols), entries iid N(0, sigma^2 / cols). The same name is the same matrix (weight sharing).

    Widths that are not given are those of the vectors it meets, and the base width n for its results.
    """
    return MatrixSymbol(valid_name(name), valid_sigma(name, sigma), rows, cols, training(train, rate, convention))


def parameter(
    name: str,
    mean: float = 0.0,
    sigma: float = 1.0,
    *,
    width: Width = BASE,
    axes: Mapping[str, int] | None = None,
    train: bool = True,
    rate: float = 1.0,
    convention: Convention = "unit",
) -> Value:
    """A trained vector with iid N(mean, sigma^2) coordinates, one for every position of its `axes` (name -> size); e.g. a layernorm gain."""
    return _initial(name, Gaussian(mean, valid_sigma(name, sigma) ** 2), width, axes, training(train, rate, convention))


def bias(
    name: str,
    sigma: float = 1.0,
    *,
    width: Width = BASE,
    axes: Mapping[str, int] | None = None,
    train: bool = True,
    rate: float = 1.0,
    convention: Convention = "unit",
) -> Value:
    """A trained vector with iid N(0, sigma^2) coordinates."""
    return parameter(name, 0.0, sigma, width=width, axes=axes, train=train, rate=rate, convention=convention)


def initial(name: str, mean: float = 0.0, variance: Any = 1.0, *, width: Width = BASE, axes: Mapping[str, int] | None = None) -> Value:
    """An initial vector that is not trained: coordinates iid with this mean and variance.

    Args:
        axes: axis name -> size. Positions are independent if `variance` is a number; a square array over them is their covariance.
    """
    shape, entries = array(variance)
    if not shape:
        return _initial(name, Gaussian(mean, entries[0]), width, axes, Training(rate=0.0))
    positions = prod((axes or {}).values())
    if len(entries) != positions**2:
        raise InvalidProgram(f"[initial] {name} has {positions} positions; its covariance has {len(entries)} entries instead of {positions**2}.")
    return _initial(name, Gaussian(mean, entries[0]), width, axes, Training(rate=0.0), (Covariance(name, name, entries),))


def gaussians(*labels: str, covariance: Any, mean: float = 0.0, width: Width = BASE) -> tuple[Value, ...]:
    """Initial vectors that are jointly Gaussian: x, y = gaussians("x", "y", covariance=[[1, 0.5], [0.5, 1]]). The covariance may be singular.

    Raises:
        InvalidProgram: the covariance is not a symmetric square array with one row a vector.
    """
    shape, entries = array(covariance)
    k = len(labels)
    c = [entries[i * k : (i + 1) * k] for i in range(k)]
    if shape != (k, k) or any(c[i][j] != c[j][i] for i in range(k) for j in range(i)):
        raise InvalidProgram(f"[gaussians] the covariance of {k} vectors is a symmetric {k} x {k} array; this one has shape {shape}.")
    pairs = tuple(Covariance(labels[i], labels[j], (c[i][j],)) for i in range(k) for j in range(i + 1, k) if c[i][j] != 0.0)
    return tuple(
        _initial(x, Gaussian(mean, c[i][i]), width, None, Training(rate=0.0), tuple(p for p in pairs if x in (p.a, p.b)))
        for i, x in enumerate(labels)
    )


def scalar(name: str, value: float | None = None, exponent: float = 0.0, *, axes: Mapping[str, int] | None = None) -> Value:
    """An initial scalar: value * n^exponent, exponent <= 0; e.g. scalar("theta", 1, -0.5). Without a value it is given when the program is run."""
    if exponent > 0:
        raise InvalidProgram(f"[scalar] {name} = {value} n^{exponent} has no limit; initial scalars converge. Give an exponent <= 0.")
    over = _axes(axes)
    symbol = InitScalar(valid_name(name), tuple(a.name for a in over), None if value is None else float(value), float(exponent))
    return Value(over, Initial(symbol), None)


def constant(values: Any, axes: str | tuple[str, ...]) -> Value:
    """Numbers over named axes: an adjacency matrix, a mask, fixed weights. `values`: a nested list or an array, one dimension an axis."""
    over = (axes,) if isinstance(axes, str) else tuple(axes)
    shape, entries = array(values)
    if len(shape) != len(over) or len(set(over)) != len(over):
        raise InvalidProgram(f"[constant] the array has {len(shape)} dimensions and is declared over the axes {over}. Name each dimension once.")
    sizes = tuple(sorted((Axis(name, size) for name, size in zip(over, shape, strict=True)), key=lambda a: a.name))
    return Value(sizes, Pointwise(Tensor(over, shape, entries), {}), None)


def array(values: Any) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Shape and row-major entries of a number, a nested list or an array."""
    nested: Any = values.tolist() if hasattr(values, "tolist") else values
    if isinstance(nested, Real):
        return (), (float(nested),)
    if not isinstance(nested, list | tuple) or not nested:
        raise InvalidProgram(f"[constant] expected numbers in a list or an array, got {noun(values)}.")
    parts = [array(entry) for entry in cast(list[Any], nested)]
    if len({shape for shape, _ in parts}) > 1:
        raise InvalidProgram("[constant] the rows of a nested list differ in length.")
    return (len(parts), *parts[0][0]), tuple(x for _, entries in parts for x in entries)


def _initial(
    name: str, law: Gaussian, width: Width, axes: Mapping[str, int] | None, how: Training, covariances: tuple[Covariance, ...] = ()
) -> Value:
    if not (0 <= law.variance < inf and isfinite(law.mean)):
        raise InvalidProgram(f"[initial] {name} has mean {law.mean} and variance {law.variance}; give numbers, and a variance >= 0.")
    over = _axes(axes)
    return Value(over, Initial(InitVector(valid_name(name), width.name, tuple(a.name for a in over), law), how, covariances), width)


def _axes(axes: Mapping[str, int] | None) -> tuple[Axis, ...]:
    if axes is not None and not isinstance(axes, Mapping):
        raise InvalidProgram(f"[axes] {axes!r} names no sizes. Give the size of every axis: axes={{'token': 3}}.")
    return tuple(Axis(name, size) for name, size in sorted((axes or {}).items()))


def valid_name(name: str) -> str:
    if not name.isidentifier():
        raise InvalidProgram(f"[name] {name!r} cannot be a name. Use letters, digits and underscores, e.g. 'W1'.")
    return name


def valid_sigma(name: str, sigma: float) -> float:
    if not (isinstance(sigma, Real) and 0 <= sigma < inf):
        raise InvalidProgram(f"[sigma] sigma of {name} is {sigma}; a standard deviation is a number >= 0.")
    return float(sigma)
