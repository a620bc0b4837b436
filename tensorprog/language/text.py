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
    y2 := outer(sign(h2 * dx1'1) * x1'1)        # OuterNonlin: x'k is x at the coordinate b_k, which is averaged over
    readout v^T x3 : n, sigma 1                 # a network only, with: outputs 10, kind moment, train W1 : rate 0, unit
    return h2, c

Names that do not look like names are quoted, "h 2". Reading never runs code: functions are looked up by name.
The lines are read in `statement`, expressions in `grammar`, which has their rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar, get_args

from tensorprog.errors import InvalidProgram
from tensorprog.language.expr import Expr, Fn
from tensorprog.language.finding import MAX_CHARACTERS, Finding, message
from tensorprog.language.grammar import Expressions
from tensorprog.language.instr import Axis, Covariance, InitScalar, InitVector, Input, MatMul, Matrix, Moment, Nonlin, OuterNonlin, Width
from tensorprog.language.listing import Header, Item, NetworkKind, Outputs, Return, Train, line, show
from tensorprog.language.program import Network, Program, Readout
from tensorprog.language.scanner import Allowance, Fault, Line
from tensorprog.language.statement import statement

__all__ = ["NO_FUNCTIONS", "Source", "parse", "parse_expression", "read", "show"]
NO_FUNCTIONS: Mapping[str, Fn] = MappingProxyType({})
RANK: Mapping[type[Item], int] = {kind: i for i, kind in enumerate(k for k in get_args(Item) if k not in (Nonlin, Moment, OuterNonlin))}
DEFAULTS = (Outputs(1), NetworkKind("ntk"))  # lines that a listing leaves out
T = TypeVar("T")


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
                found.append((number, statement(words, functions)))
                words.end()
        except Fault as f:
            findings.append(Finding(number, content.strip(), f.rule, f.finding, f.way_out, f.column))
    findings = findings or _frame(found)
    if findings:
        raise InvalidProgram(message(findings))
    body = (Nonlin, Moment, OuterNonlin)  # keep their order among one another and the MatMuls
    listed = sorted((f for f in found if f[1] not in DEFAULTS), key=lambda f: RANK[MatMul if isinstance(f[1], body) else type(f[1])])
    return Source(_assemble([item for _, item in found]), tuple(number for number, _ in listed))


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
        if isinstance(item, Header | Return | Outputs | NetworkKind | Train) and once in seen:
            findings.append(Finding(number, line(item), "syntax", "this line stands twice", "Keep one of them"))
        elif isinstance(item, Return) and i < end:
            findings.append(Finding(number, line(item), "syntax", "lines follow the return line", "Put it last"))
        if isinstance(item, Readout | Outputs | NetworkKind | Train) and not header.network:
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

    (header,) = of(Header)
    (returned,) = of(Return)
    body = Program(
        header.name,
        of(Width),
        of(Axis),
        of(Input),
        of(Matrix),
        of(InitVector),
        of(Covariance),
        of(InitScalar),
        of(MatMul, Nonlin, Moment, OuterNonlin),
        returned.outputs,
    )
    if not header.network:
        return body
    outputs = (*of(Outputs), Outputs(1))[0].count
    kind = (*of(NetworkKind), NetworkKind("ntk"))[0].kind
    return Network(body, of(Readout), outputs, kind, {t.tensor: t.training for t in of(Train)})
