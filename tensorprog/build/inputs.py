"""Where data enters and leaves: f(xi) = v^T Phi(U xi) / sqrt(n) (Yang & Littwin 2021, Def. 4.2 and Setup 5.2).

An input xi is not a vector of the program; its embedding U xi / sqrt(d) is an initial vector. The output f is not a vector either: it is a readout.
"""

# Arguments come from people, who are told what they mixed up, so types are checked at run time too.
# pyright: reportUnnecessaryIsInstance=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NoReturn, TypeAlias

from tensorprog.build.declare import BASE, Convention, training, valid_name, valid_sigma
from tensorprog.build.family import Family, names
from tensorprog.build.value import Initial, Pointwise, Value, noun
from tensorprog.errors import InvalidProgram
from tensorprog.language.expr import Expr, Ref, substitute
from tensorprog.language.instr import Axis, Embedding, InitVector, Input, Width
from tensorprog.language.program import Training

Kind: TypeAlias = Literal["ntk", "moment"]


@dataclass(frozen=True, eq=False, repr=False)
class Data(Family):
    """An input xi of the network: one data vector in R^d for every position of its axes, after the linear map `view` along them."""

    input: Input
    positions: tuple[Axis, ...]  # the axes of the input itself
    view: Expr

    __array_ufunc__ = None

    def along(self, psi: Callable[[Expr], Expr], axes: tuple[Axis, ...]) -> Data:
        return Data(axes, self.input, self.positions, psi(self.view))

    def describe(self) -> str:
        return f"the input {self.input.name}"

    @property
    def noun(self) -> str:
        return self.describe()

    def _refuse(self, _other: object) -> NoReturn:
        raise InvalidProgram(f"[input] {self.describe()} is data, not a vector of width n. Embed it first: tp.embedding('U') @ {self.input.name}.")

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __pow__ = __matmul__ = _refuse


def data(name: str, axes: tuple[Axis, ...]) -> Data:
    """The input `name` over axes of known size."""
    positions = tuple(sorted(axes, key=lambda a: a.name))
    return Data(positions, Input(name, tuple(a.name for a in positions)), positions, Ref(name))


@dataclass(frozen=True)
class EmbeddingSymbol:
    """An input matrix U: U @ xi is the initial vector sigma U xi / sqrt(d)."""

    name: str
    sigma: float
    width: Width
    training: Training
    noun = "an embedding"

    def __matmul__(self, x: Data) -> Value:
        if isinstance(x, Value):
            raise InvalidProgram(f"[embedding] {self.name} is an embedding: it multiplies an input, not {x.describe()}. Use tp.matrix.")
        if not isinstance(x, Data):
            raise InvalidProgram(f"[embedding] {self.name} multiplies an input of the network, not {noun(x)}.")
        # Known by (matrix, input) until `assemble` names it, so that U @ xi written twice is one vector.
        symbol = InitVector(f"{self.name} @ {x.input.name}", self.width.name, x.input.axes, Embedding(self.name, x.input.name, self.sigma))
        whole = Value(x.positions, Initial(symbol, self.training, input=x.input), self.width)
        if isinstance(x.view, Ref):
            return whole
        return Value(x.axes, Pointwise(substitute(x.view, {x.input.name: Ref(whole.key)}), {whole.key: whole}), self.width)


def embedding(
    name: str, sigma: float = 1.0, *, width: Width = BASE, train: bool = True, rate: float = 1.0, convention: Convention = "unit"
) -> EmbeddingSymbol:
    """An input matrix U with iid N(0, 1) entries; U @ xi = sigma U xi / sqrt(d). Convolutions and RNNs apply one U at every position."""
    return EmbeddingSymbol(valid_name(name), valid_sigma(name, sigma), width, training(train, rate, convention))


@dataclass(frozen=True)
class ReadoutSymbol:
    """A readout vector v: v @ x is the output sigma v^T x / sqrt(N)."""

    name: str
    sigma: float
    outputs: int
    axes: tuple[str, ...]
    kind: Kind
    training: Training
    noun = "a readout"

    def __matmul__(self, x: Value) -> Output:
        if not isinstance(x, Value) or x.width is None:
            raise InvalidProgram(f"[readout] {self.name} reads out a vector, not {noun(x)}.")
        for axis in self.axes:
            x.size(axis)
        return Output(((self, x),))


def readout(
    name: str,
    sigma: float = 1.0,
    *,
    outputs: int = 1,
    axes: str | tuple[str, ...] = (),
    kind: Kind = "ntk",
    train: bool = True,
    rate: float = 1.0,
    convention: Convention = "unit",
) -> ReadoutSymbol:
    """A readout vector v with iid N(0, 1) entries: v @ x = sigma v^T x / sqrt(N), for every position of the axes of x that are not in `axes`.

    Over `axes` v has entries of its own and the output sums over them (a flattened readout); N is the number of entries of v.
    `outputs` is the number of independent copies. kind "moment" is the readout v^T x / N of muP (Yang & Hu 2021).
    """
    if outputs < 1:
        raise InvalidProgram(f"[readout] {name} has {outputs} outputs; it needs at least one.")
    return ReadoutSymbol(valid_name(name), valid_sigma(name, sigma), outputs, names(axes), kind, training(train, rate, convention))


@dataclass(frozen=True)
class Output:
    """What a network returns: v @ x, or a sum of such."""

    terms: tuple[tuple[ReadoutSymbol, Value], ...]
    noun = "an output"

    def __add__(self, other: Output) -> Output:
        """v @ x + w @ y; with one and the same v it is v @ (x + y)."""
        if not isinstance(other, Output):
            raise InvalidProgram(f"[readout] an output can be added to another output, v @ x + w @ y, not to {noun(other)}.")
        merged = dict(self.terms)
        for v, x in other.terms:
            merged[v] = merged[v] + x if v in merged else x
        return Output(tuple(merged.items()))

    def __mul__(self, _other: object) -> NoReturn:
        raise InvalidProgram("[readout] an output is read, not computed with. A factor goes into the readout's sigma=..., or onto the vector.")

    __rmul__ = __sub__ = __truediv__ = __neg__ = __mul__
