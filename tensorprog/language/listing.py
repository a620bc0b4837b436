"""A program as a list of lines, printed as the papers print programs (Yang & Littwin 2021, Def. B.1 and Algorithm 1).

Each declaration and each instruction is one line; the line numbers in the findings of `check` are those of this listing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, assert_never

from tensorprog.language.infix import expression, names, numeral, numerals
from tensorprog.language.instr import (
    Axis,
    Covariance,
    Embedding,
    Gaussian,
    InitScalar,
    InitVector,
    Input,
    MatMul,
    Matrix,
    Moment,
    Nonlin,
    OuterNonlin,
    Width,
)
from tensorprog.language.program import Network, Program, Readout, Training
from tensorprog.language.scanner import spelled


@dataclass(frozen=True)
class Header:
    """The first line: `program mlp`, or `network mlp`."""

    name: str
    network: bool = False


@dataclass(frozen=True)
class Outputs:
    count: int


@dataclass(frozen=True)
class NetworkKind:
    kind: Literal["ntk", "moment"]


@dataclass(frozen=True)
class Train:
    tensor: str
    training: Training


@dataclass(frozen=True)
class Return:
    """The last line; a text without it is truncated."""

    outputs: tuple[str, ...]


Item = (
    Header
    | Width
    | Axis
    | Input
    | Matrix
    | InitVector
    | Covariance
    | InitScalar
    | MatMul
    | Nonlin
    | Moment
    | OuterNonlin
    | Readout
    | Outputs
    | NetworkKind
    | Train
    | Return
)


def items(p: Program | Network) -> tuple[Item, ...]:
    """The lines of the listing, in order."""
    body = p.program if isinstance(p, Network) else p
    head = (Header(body.name, isinstance(p, Network)), *body.widths, *body.axes, *body.inputs, *body.matrices)
    initial = (*body.vectors, *body.covariances, *body.scalars)
    if isinstance(p, Program):
        return (*head, *initial, *body.body, Return(body.outputs))
    outputs = (Outputs(p.outputs),) if p.outputs != 1 else ()
    kind = (NetworkKind(p.kind),) if p.kind != "ntk" else ()
    training = (Train(name, how) for name, how in p.training.items())
    return (*head, *initial, *body.body, *p.readouts, *outputs, *kind, *training, Return(body.outputs))


def line(item: Item) -> str:
    """One line of the listing.

    Raises:
        InvalidProgram: an expression is nested too deeply to be written.
    """
    match item:
        case Header(name, network):
            return f"{'network' if network else 'program'} {spelled(name)}"
        case Width(name, ratio):
            return f"width {spelled(name)}" + ("" if ratio == 1 else f" = {Fraction(ratio)} n")
        case Axis(name, size):
            return f"axis {spelled(name)} {size}"
        case Input(name, axes):
            return f"input {spelled(name)}{_over(axes)}"
        case Matrix(name, rows, cols, sigma):
            return f"matrix {spelled(name)} : {spelled(rows)} x {spelled(cols)}{_sigma(sigma)}"
        case InitVector(name, width, axes, law):
            return f"vector {spelled(name)} : {spelled(width)}{_over(axes)} {_law(law)}"
        case Covariance(a, b, values):
            return f"covariance {spelled(a)}, {spelled(b)} = {numerals(values)}"
        case InitScalar(name, axes, value, exponent):
            return f"scalar {spelled(name)}{_over(axes)} = {_scalar(value, exponent)}"
        case MatMul(out, matrix, arg, transpose):
            return f"{spelled(out)} := {spelled(matrix)}{'^T' if transpose else ''} {spelled(arg)}"
        case Nonlin(out, psi):
            return f"{spelled(out)} := {expression(psi)}"
        case Moment(out, psi):
            return f"{spelled(out)} := moment({expression(psi)})"
        case OuterNonlin(out, psi):
            return f"{spelled(out)} := outer({expression(psi)})"
        case Readout(vector, of, width, axes, sigma):
            return f"readout {spelled(vector)}^T {spelled(of)} : {spelled(width)}{_over(axes)}{_sigma(sigma)}"
        case Outputs(count):
            return f"outputs {count}"
        case NetworkKind(kind):
            return f"kind {spelled(kind)}"
        case Train(tensor, training):
            return f"train {spelled(tensor)} : rate {numeral(training.rate)}, {spelled(training.convention)}"
        case Return(outputs):
            return f"return {names(outputs)}".rstrip()
        case _:
            assert_never(item)


def show(p: Program | Network) -> str:
    """The text form: `parse(show(p)) == p`."""
    return "\n".join(map(line, items(p))) + "\n"


def _over(axes: Sequence[str]) -> str:
    return f" over {names(axes)}" if axes else ""


def _sigma(sigma: float) -> str:
    return "" if sigma == 1 else f", sigma {numeral(sigma)}"


def _law(law: Gaussian | Embedding) -> str:
    match law:
        case Gaussian(mean, variance):
            return f"~ N({numeral(mean)}, {numeral(variance)})"
        case Embedding(matrix, data, sigma):
            return f"= {spelled(matrix)} {spelled(data)}{_sigma(sigma)}"
        case _:
            assert_never(law)


def _scalar(value: float | None, exponent: float) -> str:
    factor = "given" if value is None else numeral(value)
    if exponent == 0:
        return factor
    return f"n^{numeral(exponent)}" if value == 1 else f"{factor} n^{numeral(exponent)}"
