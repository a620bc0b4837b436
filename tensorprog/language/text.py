"""The text form of programs and networks: `parse(show(p)) == p`. Reading is a matter of syntax only; `check` judges what was read.

    network mlp                                 # or: program mlp
    width n
    width m = 4 n
    axis token 4
    input x over token
    matrix W1 : n x m, sigma 1.5
    vector g0 : n over token = U x, sigma 2     # an embedding, sigma U x / sqrt(d)
    vector b1 : n ~ N(0, 0.01)
    covariance b1, b2 = (0.005)
    scalar theta = n^-0.5
    x1 := relu(g0 + b1)
    h2 := W1 x1
    dx1 := W1^T dh2
    c := moment(h2 * h2)
    readout v^T x3 : n, sigma 1                 # a network only, with: outputs 10, kind moment, train W1 : rate 0, unit
    return h2, c

Names that do not look like names are quoted, "h 2". Reading never runs code: functions are looked up by name.
The grammar of expressions is in `grammar`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import LiteralString, TypeVar, get_args

from tensorprog.errors import InvalidProgram
from tensorprog.language.expr import Expr, Fn
from tensorprog.language.finding import MAX_CHARACTERS, Finding, message
from tensorprog.language.grammar import Expressions, numbers
from tensorprog.language.instr import Axis, Covariance, Embedding, Gaussian, InitScalar, InitVector, Input, MatMul, Matrix, Moment, Nonlin, Width
from tensorprog.language.listing import Header, Item, Kind, Outputs, Return, Train, line, show
from tensorprog.language.program import Network, Program, Readout, Training
from tensorprog.language.scanner import Allowance, Fault, Line

__all__ = ["Source", "expression", "parse", "read", "show"]
NO_FUNCTIONS: Mapping[str, Fn] = MappingProxyType({})
RANK: Mapping[type[Item], int] = {kind: i for i, kind in enumerate(k for k in get_args(Item) if k not in (Nonlin, Moment))}
DEFAULTS = (Outputs(1), Kind("ntk"))  # lines that a listing leaves out
T = TypeVar("T")
A = TypeVar("A", bound=LiteralString)
B = TypeVar("B", bound=LiteralString)


@dataclass(frozen=True)
class Source:
    """What was read, and on which line of the file each line of its listing stands."""

    program: Program | Network
    lines: tuple[int, ...]


def parse(text: str, functions: Mapping[str, Fn] = NO_FUNCTIONS) -> Program | Network:
    """The program or network that the text says.

    Args:
        functions: the functions by name that are not built in.

    Raises:
        InvalidProgram: the text cannot be read; one line for each thing that is wrong.
    """
    return read(text, functions).program


def read(text: str, functions: Mapping[str, Fn] = NO_FUNCTIONS) -> Source:
    """As `parse`, and where things stand: `check(source.program, source.lines)` then speaks of the lines of the file."""
    if len(text) > MAX_CHARACTERS:
        raise InvalidProgram(f"the text has {len(text)} characters; at most {MAX_CHARACTERS} are read. Is it a program?")
    found: list[tuple[int, Item]] = []
    findings: list[Finding] = []
    allowance = Allowance()
    for number, content in enumerate(text.split("\n"), 1):
        try:
            words = Line(content, allowance)
            if words.peek().kind != "end":
                found.append((number, _item(words, functions)))
                words.end()
        except Fault as f:
            findings.append(Finding(number, content.strip(), f.rule, f.finding, f.way_out, f.column))
    findings = findings or _frame(found)
    if findings:
        raise InvalidProgram(message(findings))
    listed = sorted((f for f in found if f[1] not in DEFAULTS), key=lambda f: RANK[MatMul if isinstance(f[1], Nonlin | Moment) else type(f[1])])
    return Source(_assemble([item for _, item in found]), tuple(number for number, _ in listed))


def expression(text: str, functions: Mapping[str, Fn] = NO_FUNCTIONS) -> Expr:
    """The expression that one line says, e.g. "relu(h + b) * dx".

    Raises:
        InvalidProgram: the line is no expression.
    """
    try:
        words = Line(text, Allowance())
        e = Expressions(words, functions).whole()
        words.end()
    except Fault as f:
        raise InvalidProgram(str(Finding(1, text.strip(), f.rule, f.finding, f.way_out, f.column))) from None
    return e


def parse_expression(text: str, functions: Mapping[str, Fn] = NO_FUNCTIONS) -> Expr:
    """One expression, e.g. "relu(h1) * h2".

    Raises:
        InvalidProgram: the text is no expression.
    """
    words = Line(text, Allowance())
    try:
        e = Expressions(words, functions).whole()
        words.end()
    except Fault as f:
        raise InvalidProgram(message([Finding(1, text, f.rule, f.finding, f.way_out, f.column)])) from f
    return e


def _frame(found: Sequence[tuple[int, Item]]) -> list[Finding]:
    """What is wrong with the text as a whole: first line, last line, lines that stand twice or in the wrong kind of text."""
    if not found or not isinstance(found[0][1], Header):
        return [Finding(1, "", "syntax", "the text does not begin with `program name` or `network name`", "Add that line")]
    header, end = found[0][1], len(found) - 1
    findings: list[Finding] = []
    seen: set[object] = set()
    for i, (number, item) in enumerate(found):
        once = ("train", item.tensor) if isinstance(item, Train) else type(item)
        if isinstance(item, Header | Return | Outputs | Kind | Train) and once in seen:
            findings.append(Finding(number, line(item), "syntax", "this line stands twice", "Keep one of them"))
        elif isinstance(item, Return) and i < end:
            findings.append(Finding(number, line(item), "syntax", "lines follow the return line", "Put it last"))
        if isinstance(item, Readout | Outputs | Kind | Train) and not header.network:
            way_out = f"Begin with `network {header.name}`"
            findings.append(Finding(number, line(item), "syntax", "this line belongs to a network, and this is a program", way_out))
        seen.add(once)
    if Return not in seen:
        cut_off = "the text ends without a return line; it may be cut off"
        findings.append(Finding(found[end][0], line(found[end][1]), "syntax", cut_off, "End it with `return x, y`"))
    return findings


def _assemble(lines: Sequence[Item]) -> Program | Network:
    def of(*kinds: type[T]) -> tuple[T, ...]:
        return tuple(item for item in lines if isinstance(item, kinds))

    header, = of(Header)
    returned, = of(Return)
    body = Program(
        header.name, of(Width), of(Axis), of(Input), of(Matrix), of(InitVector), of(Covariance), of(InitScalar),
        of(MatMul, Nonlin, Moment), returned.outputs,
    )  # fmt: skip
    if not header.network:
        return body
    outputs = (*of(Outputs), Outputs(1))[0].count
    kind = (*of(Kind), Kind("ntk"))[0].kind
    return Network(body, of(Readout), outputs, kind, {t.tensor: t.training for t in of(Train)})


def _item(words: Line, functions: Mapping[str, Fn]) -> Item:
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
            return Kind(_one_of(words, "ntk", "moment"))
        case "train":
            return _train(words)
        case "return":
            return Return(_names(words) if words.peek().kind != "end" else ())
        case _:
            raise Fault(word.column, f"{word.text[:40]!r} begins no line", "Begin with `name :=`, or with width, axis, input, matrix, vector, "
                        "covariance, scalar, readout, outputs, kind, train, return")  # fmt: skip


def _instruction(words: Line, functions: Mapping[str, Fn]) -> MatMul | Nonlin | Moment:
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
    if words.sees("moment") and words.sees("(", k=1):
        words.expect("moment")
        words.expect("(")
        psi = Expressions(words, functions).whole()
        words.expect(")")
        return Moment(out, psi)
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
