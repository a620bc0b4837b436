"""Expressions in infix, as in mathematics: the printed half of the text form; `grammar` is the other half.

A node is printed with how tightly it binds, and gets parentheses where it stands under a tighter one, so that the very same tree is read back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from tensorprog.errors import InvalidProgram
from tensorprog.language.expr import Add, Apply, Expr, Fn, Gather, Mul, Number, Power, Ref, Softmax, Sum, Tensor, children, identity, one_hot
from tensorprog.language.finding import MAX_DEPTH
from tensorprog.language.scanner import spelled

CALLS = ("moment", "outer", "sum", "softmax", "gather", "select", "rename", "shift", "tensor", "onehot", "eye", "add", "mul")
LOOSE, PRODUCT, POWER, ATOM = range(4)


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
        case Ref(name, copy):
            return spelled(name) + (f"'{copy}" if copy else ""), ATOM
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
        sizes = f"{names(e.axes)}; {', '.join(map(str, e.shape))}"
    else:
        sizes = ", ".join(f"{spelled(a)} {n}" for a, n in zip(e.axes, e.shape, strict=True))
    ones = [i for i, v in enumerate(e.values) if v != 0]
    if len(e.axes) == 1 and len(ones) == 1 and e == one_hot(e.axes[0], e.shape[0], ones[0]):
        return f"onehot[{sizes}]({ones[0]})"
    if len(e.axes) == 2 and len(set(e.shape)) == 1 and len(ones) == e.shape[0] > 1 and e == identity(*e.axes, e.shape[0]):
        return f"eye[{spelled(e.axes[0])}, {spelled(e.axes[1])} {e.shape[0]}]"
    return f"tensor[{sizes}]{numerals(e.values)}"


def _arguments(args: Sequence[Expr]) -> str:
    return ", ".join(_at(a, LOOSE) for a in args)


def numerals(values: Sequence[float]) -> str:
    return f"({', '.join(map(numeral, values))})"


def names(names: Sequence[str]) -> str:
    return ", ".join(map(spelled, names))
