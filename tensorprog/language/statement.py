"""One line of the text form, a declaration or an instruction: the inverse of `listing.line`, case by case."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import LiteralString, TypeVar

from tensorprog.language.expr import Fn
from tensorprog.language.grammar import Expressions, numbers
from tensorprog.language.instr import (
    Axis,
    Covariance,
    Embedding,
    Gaussian,
    InitScalar,
    InitVector,
    Input,
    Instr,
    MatMul,
    Matrix,
    Moment,
    Nonlin,
    OuterNonlin,
    Width,
)
from tensorprog.language.listing import Header, Item, NetworkKind, Outputs, Return, Train
from tensorprog.language.program import Readout, Training
from tensorprog.language.scanner import Fault, Line

A = TypeVar("A", bound=LiteralString)
B = TypeVar("B", bound=LiteralString)


def statement(words: Line, functions: Mapping[str, Fn]) -> Item:
    """One line: an instruction `out := ..`, or a declaration that begins with its keyword."""
    if words.sees(":=", k=1):
        return _instruction(words, functions)
    word = words.take()
    match word.text if word.kind == "name" else "":
        case "program" | "network":
            return Header(words.name(), word.text == "network")
        case "width":
            return _width(words)
        case "axis":
            return Axis(words.name(), words.integer())
        case "input":
            return Input(words.name(), _over(words))
        case "matrix":
            return _matrix(words)
        case "vector":
            return _vector(words)
        case "covariance":
            return _covariance(words)
        case "scalar":
            return _scalar(words)
        case "readout":
            return _readout(words)
        case "outputs":
            return Outputs(words.integer())
        case "kind":
            return NetworkKind(_one_of(words, "ntk", "moment"))
        case "train":
            return _train(words)
        case "return":
            return Return(_names(words) if words.peek().kind != "end" else ())
        case _:
            raise Fault(
                word.column,
                f"{word.text[:40]!r} begins no line",
                "Begin with `name :=`, or with width, axis, input, matrix, vector, covariance, scalar, readout, outputs, kind, train, return",
            )


def _instruction(words: Line, functions: Mapping[str, Fn]) -> Instr:
    out = words.name()
    words.expect(":=")
    if words.peek().kind in ("name", "quoted"):
        if words.peek(1).kind in ("name", "quoted"):
            return MatMul(out, words.name(), words.name())
        if words.sees("^", k=1) and words.sees("T", k=2):
            matrix = words.name()
            words.expect("^")
            words.expect("T")
            return MatMul(out, matrix, words.name("the vector that is multiplied"), True)
    if words.sees("moment", "outer") and words.sees("(", k=1):
        make = Moment if words.take().text == "moment" else OuterNonlin
        words.expect("(")
        psi = Expressions(words, functions).whole()
        words.expect(")")
        return make(out, psi)
    return Nonlin(out, Expressions(words, functions).whole())


def _width(words: Line) -> Width:
    name = words.name()
    if not words.skip("="):
        return Width(name)
    column, over = words.peek().column, words.integer()
    under = words.integer() if words.skip("/") else 1
    if under == 0:
        raise Fault(column, "the ratio divides by zero", "Write width m = 4 n", "width")
    words.expect("n")
    return Width(name, Fraction(over, under))


def _matrix(words: Line) -> Matrix:
    name = words.name()
    words.expect(":")
    rows = words.name("a width")
    words.expect("x")
    return Matrix(name, rows, words.name("a width"), _sigma(words))


def _vector(words: Line) -> InitVector:
    name = words.name()
    words.expect(":")
    width, axes = words.name("a width"), _over(words)
    if words.skip("="):
        return InitVector(name, width, axes, Embedding(words.name("a matrix"), words.name("an input"), _sigma(words)))
    words.expect("~")
    column = words.expect("N").column
    law = numbers(words, "(", ")")
    if len(law) != 2:
        raise Fault(column, f"N takes a mean and a variance, got {len(law)} numbers", "Write N(0, 1)", "init")
    return InitVector(name, width, axes, Gaussian(*law))


def _covariance(words: Line) -> Covariance:
    a = words.name()
    words.expect(",")
    b = words.name()
    words.expect("=")
    return Covariance(a, b, tuple(numbers(words, "(", ")")))


def _scalar(words: Line) -> InitScalar:
    name, axes = words.name(), _over(words)
    words.expect("=")
    if words.skip("given"):
        value = None
    else:
        value = 1.0 if words.sees("n") else words.number()
    exponent = 0.0
    if words.skip("n"):
        exponent = words.number() if words.skip("^") else 1.0
    return InitScalar(name, axes, value, exponent)


def _readout(words: Line) -> Readout:
    vector = words.name()
    words.expect("^")
    words.expect("T")
    of = words.name()
    words.expect(":")
    return Readout(vector, of, words.name("a width"), _over(words), _sigma(words))


def _train(words: Line) -> Train:
    tensor = words.name()
    words.expect(":")
    words.expect("rate")
    rate = words.number()
    words.expect(",")
    return Train(tensor, Training(rate, _one_of(words, "unit", "sigma")))


def _one_of(words: Line, a: A, b: B) -> A | B:
    for choice in (a, b):
        if words.skip(choice):
            return choice
    raise words.unexpected(f"{a} or {b}")


def _over(words: Line) -> tuple[str, ...]:
    """over token, time; a sigma that follows is no axis."""
    if not words.skip("over"):
        return ()
    axes = [words.name("an axis")]
    while words.sees(",") and not (words.sees("sigma", k=1) and _is_number(words, 2)):
        words.expect(",")
        axes.append(words.name("an axis"))
    return tuple(axes)


def _is_number(words: Line, k: int) -> bool:
    return words.peek(k).kind == "number" or words.sees("-", "inf", "nan", k=k)


def _names(words: Line) -> tuple[str, ...]:
    names = [words.name()]
    while words.skip(","):
        names.append(words.name())
    return tuple(names)


def _sigma(words: Line) -> float:
    if not words.skip(","):
        return 1.0
    words.expect("sigma")
    return words.number()
