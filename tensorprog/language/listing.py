"""A program as a list of lines, printed as the papers print programs (Yang & Littwin 2021, Def. B.1 and Algorithm 1).

Each declaration and each instruction is one line; the line numbers in the findings of `check` are those of this listing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, assert_never

from tensorprog.errors import InvalidProgram
from tensorprog.language.expr import Add, Apply, Expr, Fn, Gather, Mul, Number, Power, Ref, Softmax, Sum, Tensor, children, identity, one_hot
from tensorprog.language.finding import MAX_DEPTH
from tensorprog.language.instr import Axis, Covariance, Embedding, Gaussian, InitScalar, InitVector, Input, MatMul, Matrix, Moment, Nonlin, Width
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
class Kind:
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
    Header | Width | Axis | Input | Matrix | InitVector | Covariance | InitScalar
    | MatMul | Nonlin | Moment | Readout | Outputs | Kind | Train | Return
)  # fmt: skip

CALLS = ("moment", "sum", "softmax", "gather", "select", "rename", "shift", "tensor", "onehot", "eye", "add", "mul")
LOOSE, PRODUCT, POWER, ATOM = range(4)


def items(p: Program | Network) -> tuple[Item, ...]:
    """The lines of the listing, in order."""
    body = p.program if isinstance(p, Network) else p
    head = (Header(body.name, isinstance(p, Network)), *body.widths, *body.axes, *body.inputs, *body.matrices)
    initial = (*body.vectors, *body.covariances, *body.scalars)
    if isinstance(p, Program):
        return (*head, *initial, *body.body, Return(body.outputs))
    outputs = (Outputs(p.outputs),) if p.outputs != 1 else ()
    kind = (Kind(p.kind),) if p.kind != "ntk" else ()
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
            return f"covariance {spelled(a)}, {spelled(b)} = {_numerals(values)}"
        case InitScalar(name, axes, value, exponent):
            return f"scalar {spelled(name)}{_over(axes)} = {_scalar(value, exponent)}"
        case MatMul(out, matrix, arg, transpose):
            return f"{spelled(out)} := {spelled(matrix)}{'^T' if transpose else ''} {spelled(arg)}"
        case Nonlin(out, psi):
            return f"{spelled(out)} := {expression(psi)}"
        case Moment(out, psi):
            return f"{spelled(out)} := moment({expression(psi)})"
        case Readout(vector, of, width, axes, sigma):
            return f"readout {spelled(vector)}^T {spelled(of)} : {spelled(width)}{_over(axes)}{_sigma(sigma)}"
        case Outputs(count):
            return f"outputs {count}"
        case Kind(kind):
            return f"kind {spelled(kind)}"
        case Train(tensor, training):
            return f"train {spelled(tensor)} : rate {numeral(training.rate)}, {spelled(training.convention)}"
        case Return(outputs):
            return f"return {_names(outputs)}".rstrip()
        case _:
            assert_never(item)


def show(p: Program | Network) -> str:
    """The text form: `parse(show(p)) == p`."""
    return "\n".join(map(line, items(p))) + "\n"


def depth(e: Expr) -> int:
    """The longest chain of nodes one inside the other; safe at any depth."""
    deepest, stack = 0, [(e, 1)]
    while stack:
        node, level = stack.pop()
        deepest = max(deepest, level)
        stack.extend((child, level + 1) for child in children(node))
    return deepest


def expression(e: Expr) -> str:
    """psi(x1..xk; c1..cl) in infix."""
    if (deep := depth(e)) > MAX_DEPTH:
        raise InvalidProgram(f"an expression is nested {deep} deep; at most {MAX_DEPTH} are allowed. Give its parts names.")
    return _at(e, LOOSE)


def numeral(value: float) -> str:
    """The shortest decimal that reads back as the same number."""
    value = float(value) + 0.0  # no -0
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _at(e: Expr, level: int) -> str:
    text, own = _written(e)
    return text if own >= level else f"({text})"


def _written(e: Expr) -> tuple[str, int]:
    """The text of a node, and how tightly it binds."""
    match e:
        case Ref(name):
            return spelled(name), ATOM
        case Number(value):
            return numeral(value), LOOSE if value < 0 else ATOM
        case Tensor():
            return _tensor(e), ATOM
        case Add(terms):
            return (_sum(terms), LOOSE) if len(terms) > 1 else (f"add({_arguments(terms)})", ATOM)
        case Mul(factors):
            if len(factors) < 2:
                return f"mul({_arguments(factors)})", ATOM
            negative, text = _signed(e)
            return (f"-{text}", LOOSE) if negative else (text, PRODUCT)
        case Power(base, exponent):
            return f"{_at(base, ATOM)}^{numeral(exponent)}", POWER
        case Apply(fn, args):
            return f"{_function(fn)}({_arguments(args)})", ATOM
        case Sum(axis, arg):
            return f"sum[{spelled(axis)}]({_at(arg, LOOSE)})", ATOM
        case Gather(arg, axis, into, index):
            return f"{_gather(axis, into, index)}({_at(arg, LOOSE)})", ATOM
        case Softmax(axis, arg):
            return f"softmax[{spelled(axis)}]({_at(arg, LOOSE)})", ATOM
        case _:
            assert_never(e)


def _sum(terms: Sequence[Expr]) -> str:
    text = ""
    for i, term in enumerate(terms):
        negative, part = _signed(term)
        sign = "-" if negative else "+"
        text += f" {sign} {part}" if i else f"{'-' if negative else ''}{part}"
    return text


def _signed(term: Expr) -> tuple[bool, str]:
    """A term of a sum as a sign and a product."""
    match term:
        case Number(value) if value < 0:
            return True, numeral(-value)
        case Mul((Number(value), *rest)) if value < 0 and rest:
            keep = value != -1 or isinstance(rest[0], Number)
            return True, _product([Number(-value), *rest] if keep else rest)
        case Mul(factors) if len(factors) > 1:
            return False, _product(factors)
        case _:
            return False, _at(term, PRODUCT)


def _product(factors: Sequence[Expr]) -> str:
    text = _at(factors[0], POWER)
    for f in factors[1:]:
        if isinstance(f, Power) and f.exponent < 0:
            text += f" / {_at(f.base, ATOM)}" + ("" if f.exponent == -1 else f"^{numeral(-f.exponent)}")
        else:
            text += f" * {_at(f, POWER)}"
    return text


def _function(fn: Fn) -> str:
    """leaky_relu[0.2], tanh'', and f{1,0} for the derivative in the first of two arguments."""
    constants = f"[{', '.join(map(numeral, fn.constants))}]" if fn.constants else ""
    order = "'" * fn.order[0] if fn.arity == 1 and 0 <= fn.order[0] <= 3 else f"{{{','.join(map(str, fn.order))}}}" if any(fn.order) else ""
    return spelled(fn.name, (*CALLS, "inf", "nan")) + constants + order


def _gather(axis: str, into: str | None, index: tuple[int, ...]) -> str:
    size, a = len(index), spelled(axis)
    if into is None:
        return f"select[{a} {index[0]}]" if size == 1 and index[0] >= 0 else f"gather[{a}: {_ranges(index)}]"
    if index == tuple(range(size)) and size and into != axis:
        return f"rename[{a} -> {spelled(into)} {size}]"
    by = shift_of(index)
    if by and into == axis:
        return f"shift[{a} {size}, {by:+d}]"
    return f"gather[{a} -> {spelled(into)}: {_ranges(index)}]"


def shifted(size: int, by: int) -> tuple[int, ...]:
    """The index of out[i] = arg[i - by], with zeros where nothing is."""
    return tuple(i - by if 0 <= i - by < size else -1 for i in range(size))


def shift_of(index: tuple[int, ...]) -> int:
    """By how much the index shifts; 0 where it is no shift."""
    by = next((i - j for i, j in enumerate(index) if j >= 0), 0)
    return by if shifted(len(index), by) == index else 0


def _ranges(index: tuple[int, ...]) -> str:
    """-1, 0..3, 7: runs of consecutive members are written by their ends."""
    parts: list[str] = []
    start = 0
    for i in range(1, len(index) + 1):
        if i < len(index) and index[start] >= 0 and index[i] == index[i - 1] + 1:
            continue
        run = index[start:i]
        parts += [f"{run[0]}..{run[-1]}"] if len(run) > 2 else map(str, run)
        start = i
    return ", ".join(parts)


def _tensor(e: Tensor) -> str:
    if len(e.axes) != len(e.shape):  # ill formed: checked elsewhere, but it must be printable
        sizes = f"{_names(e.axes)}; {', '.join(map(str, e.shape))}"
    else:
        sizes = ", ".join(f"{spelled(a)} {n}" for a, n in zip(e.axes, e.shape, strict=True))
    ones = [i for i, v in enumerate(e.values) if v != 0]
    if len(e.axes) == 1 and len(ones) == 1 and e == one_hot(e.axes[0], e.shape[0], ones[0]):
        return f"onehot[{sizes}]({ones[0]})"
    if len(e.axes) == 2 and len(set(e.shape)) == 1 and len(ones) == e.shape[0] > 1 and e == identity(*e.axes, e.shape[0]):
        return f"eye[{spelled(e.axes[0])}, {spelled(e.axes[1])} {e.shape[0]}]"
    return f"tensor[{sizes}]{_numerals(e.values)}"


def _arguments(args: Sequence[Expr]) -> str:
    return ", ".join(_at(a, LOOSE) for a in args)


def _numerals(values: Sequence[float]) -> str:
    return f"({', '.join(map(numeral, values))})"


def _names(names: Sequence[str]) -> str:
    return ", ".join(map(spelled, names))


def _over(axes: Sequence[str]) -> str:
    return f" over {_names(axes)}" if axes else ""


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
