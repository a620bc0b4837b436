"""Recursive descent over the words of an expression, the inverse of `infix`, rule by rule.

sum      = ["-"] product {("+" | "-") product}
product  = power {("*" | "/") power}
power    = {"-"} atom ["^" number]
atom     = number | name ["'" integer] | "(" sum ")" | call
call     = name ["[" constants "]"] [primes | "{" orders "}"] "(" sum {"," sum} ")"
         | ("sum" | "softmax") "[" axis "]" "(" sum ")"
         | "gather" "[" axis ["->" axis] ":" indices "]" "(" sum ")"
         | "select" "[" axis integer "]" "(" sum ")"
         | "rename" "[" axis "->" axis size "]" "(" sum ")"
         | "shift" "[" axis size "," integer "]" "(" sum ")"
         | "tensor" "[" axis size {"," axis size} "]" "(" numbers ")"
         | "onehot" "[" axis size "]" "(" integer ")" | "eye" "[" axis "," axis size "]"
         | ("add" | "mul") "(" [sum {"," sum}] ")"
"""

from __future__ import annotations

from collections.abc import Mapping

from tensorprog.language.expr import Add, Apply, Expr, Fn, Gather, Mul, Number, Power, Ref, Softmax, Sum, Tensor, identity, one_hot
from tensorprog.language.finding import MAX_DEPTH, MAX_ENTRIES, MAX_LEAVES
from tensorprog.language.infix import CALLS, depth, shifted
from tensorprog.language.nonlin import named
from tensorprog.language.scanner import Fault, Line, Word

MAX_ORDER = 8  # derivatives of one function


class Expressions:
    """Reads expressions from a line; `functions` are those that are not built in."""

    def __init__(self, line: Line, functions: Mapping[str, Fn]) -> None:
        self.line, self.functions, self.level, self.leaves = line, functions, 0, 0

    def whole(self) -> Expr:
        """An expression that may be written again.

        Raises:
            Fault: what stands here is no expression, or is nested too deeply.
        """
        start = self.line.peek().column
        e = self.sum()
        if depth(e) > MAX_DEPTH:
            raise _too_deep(start)
        return e

    def sum(self) -> Expr:
        line = self.line
        terms = [self._term(line.skip("-"))]
        while line.sees("+", "-"):
            terms.append(self._term(line.take().text == "-"))
        return terms[0] if len(terms) == 1 else Add(tuple(terms))

    def _term(self, negative: bool) -> Expr:
        factors = self._factors()
        if negative:
            factors = _negated(factors)
        return factors[0] if len(factors) == 1 else Mul(tuple(factors))

    def _factors(self) -> list[Expr]:
        line = self.line
        factors = [self._power()]
        while line.sees("*", "/"):
            factors.append(self._inverse() if line.take().text == "/" else self._power())
        return factors

    def _power(self) -> Expr:
        negative = False
        while self.line.skip("-"):
            negative = not negative
        base = self._atom()
        e = Power(base, self.line.number()) if self.line.skip("^") else base
        factors = _negated([e]) if negative else [e]
        return factors[0] if len(factors) == 1 else Mul(tuple(factors))

    def _inverse(self) -> Expr:
        base = self._atom()
        return Power(base, -self.line.number() if self.line.skip("^") else -1.0)

    def _atom(self) -> Expr:
        column = self.line.peek().column
        e = self._any_atom()
        self.leaves += isinstance(e, Ref | Number | Tensor)
        if self.leaves > MAX_LEAVES:
            raise Fault(column, f"the expression has more than {MAX_LEAVES} variables and constants", "Give its parts names", "expression")
        return e

    def _any_atom(self) -> Expr:
        line, word = self.line, self.line.peek()
        if line.sees("("):
            return self._argument()
        if word.kind == "number" or (line.sees("inf", "nan") and not self._calls()):
            return Number(line.number())
        if word.kind == "name" and word.text in CALLS and line.sees("[", "(", k=1):
            return self._special(line.take())
        if word.kind in ("name", "quoted"):
            return self._call() if self._calls() else self._variable()
        raise line.unexpected("an expression")

    def _calls(self) -> bool:
        return self.line.sees("(", "[", "{", k=1) or (self.line.sees("'", k=1) and self.line.peek(2).kind != "number")

    def _variable(self) -> Ref:
        """x, or x'2: x at the coordinate b_2 of an OuterNonlin."""
        name = self.line.name()
        return Ref(name, self.line.integer()) if self.line.skip("'") else Ref(name)

    def _arguments(self) -> tuple[Expr, ...]:
        """A parenthesized list, one level deeper."""
        line = self.line
        self.level += 1
        if self.level > MAX_DEPTH:
            raise _too_deep(line.peek().column)
        line.expect("(")
        args = [] if line.sees(")") else [self.sum()]
        while line.skip(","):
            args.append(self.sum())
        line.expect(")")
        self.level -= 1
        return tuple(args)

    def _argument(self) -> Expr:
        column = self.line.peek().column
        args = self._arguments()
        if len(args) != 1:
            raise Fault(column, f"{len(args)} expressions stand where one is expected", "Write one expression between the parentheses")
        return args[0]

    def _call(self) -> Expr:
        """f[0.2](x), f''(x), f{1,0}(x, y)."""
        line, word = self.line, self.line.peek()
        name = line.name()
        constants = tuple(numbers(line, "[", "]")) if line.sees("[") else ()
        order = self._order()
        args = self._arguments()
        if len(args) == 1 and isinstance(order, int):
            order = (order,)
        elif isinstance(order, int):
            if order:
                raise Fault(word.column, f"a prime does not say which of the {len(args)} arguments of {name} is meant", f"Write {name}{{1,0}}(..)")
            order = (0,) * len(args)
        try:
            return Apply(named(name, constants, order, self.functions), args)
        except KeyError as e:
            way_out = f"Use one of these, or pass functions={{{name!r}: ...}} when the text is read"
            raise Fault(word.column, str(e.args[0]), way_out, "nonlin") from e
        except ValueError as e:
            raise Fault(word.column, str(e), f"Give {name} what it takes", "nonlin") from e

    def _order(self) -> int | tuple[int, ...]:
        line = self.line
        if line.skip("{"):
            column = line.peek().column
            order = [line.integer()]
            while line.skip(","):
                order.append(line.integer())
            line.expect("}")
            if min(order) < 0 or sum(order) > MAX_ORDER:
                raise Fault(column, f"derivatives of order {order} are not provided", f"Take 0 to {MAX_ORDER} derivatives", "nonlin")
            return tuple(order)
        primes = 0
        while line.skip("'"):
            primes += 1
        if primes > MAX_ORDER:
            raise Fault(line.peek().column, f"{primes} derivatives are taken", f"Take 0 to {MAX_ORDER} derivatives", "nonlin")
        return primes

    def _special(self, word: Word) -> Expr:
        """The calls that are not coordinatewise functions."""
        line = self.line
        match word.text:
            case "add":
                return Add(self._arguments())
            case "mul":
                return Mul(self._arguments())
            case "sum" | "softmax":
                axis = _bracketed(line)
                return Sum(axis, self._argument()) if word.text == "sum" else Softmax(axis, self._argument())
            case "gather" | "select" | "rename" | "shift":
                axis, into, index = _table(line, word)
                return Gather(self._argument(), axis, into, index)
            case "tensor" | "onehot" | "eye":
                return _constants(line, word)
            case _:
                way_out = f"Give it a line of its own: {'c' if word.text == 'moment' else 'y'} := {word.text}(..)"
                raise Fault(word.column, f"{word.text} stands inside an expression", way_out, word.text)


def _negated(factors: list[Expr]) -> list[Expr]:
    first = factors[0]
    return [Number(-first.value), *factors[1:]] if isinstance(first, Number) else [Number(-1.0), *factors]


def _too_deep(column: int) -> Fault:
    return Fault(column, f"the expression is nested more than {MAX_DEPTH} deep", "Give its parts names", "expression")


def _bracketed(line: Line) -> str:
    line.expect("[")
    axis = line.name("an axis")
    line.expect("]")
    return axis


def _size(line: Line) -> int:
    column = line.peek().column
    size = line.integer()
    if not 0 <= size <= MAX_ENTRIES:
        raise Fault(column, f"the table has {size} entries; at most {MAX_ENTRIES} are allowed", "Use a smaller axis", "axis")
    return size


def _table(line: Line, word: Word) -> tuple[str, str | None, tuple[int, ...]]:
    """The axis, the new axis and the index of a gather, in any of its four forms."""
    line.expect("[")
    axis, into = line.name("an axis"), None
    match word.text:
        case "select":
            index: tuple[int, ...] = (line.integer(),)
        case "rename":
            line.expect("->")
            into, size = line.name("an axis"), _size(line)
            line.allowance.spend(size, word.column)
            index = tuple(range(size))
        case "shift":
            into, size = axis, _size(line)
            line.expect(",")
            line.skip("+")
            line.allowance.spend(size, word.column)
            index = shifted(size, line.integer())
        case _:
            if line.skip("->"):
                into = line.name("an axis")
            line.expect(":")
            index = () if line.sees("]") else _ranges(line)
    line.expect("]")
    return axis, into, index


def _ranges(line: Line) -> tuple[int, ...]:
    index: list[int] = []
    while True:
        column, first = line.peek().column, line.integer()
        last = line.integer() if line.skip("..") else first
        line.allowance.spend(last - first + 1, column)
        if last < first or len(index) + last - first >= MAX_ENTRIES:
            raise Fault(column, f"the range {first}..{last} is empty, or too long", f"At most {MAX_ENTRIES} members, the first one first", "axis")
        index.extend(range(first, last + 1))
        if not line.skip(","):
            return tuple(index)


def numbers(line: Line, opening: str, closing: str) -> list[float]:
    line.expect(opening)
    values = [] if line.sees(closing) else [line.number()]
    while line.skip(","):
        values.append(line.number())
    line.expect(closing)
    return values


def _constants(line: Line, word: Word) -> Tensor:
    """tensor[token 2, source 2](1, 0, 0, 1), onehot[token 4](2), eye[token, source 4]."""
    line.expect("[")
    axes: list[str] = []
    shape: list[int] = []
    while not line.sees("]"):
        axes.append(line.name("an axis"))
        shape += [] if word.text == "eye" and len(axes) == 1 else [_size(line)]
        if not line.skip(","):
            break
    line.expect("]")
    if len(axes) != {"eye": 2, "onehot": 1}.get(word.text, len(axes)):
        raise Fault(word.column, f"{word.text} has {len(axes)} axes", "Write onehot[token 4](2), or eye[token, source 4]")
    if word.text == "eye":
        line.allowance.spend(_entries([*shape, *shape], word.column), word.column)
        return identity(axes[0], axes[1], shape[0])
    if word.text == "tensor":
        return Tensor(tuple(axes), tuple(shape), tuple(numbers(line, "(", ")")))
    line.expect("(")
    line.allowance.spend(shape[0], word.column)
    e = one_hot(axes[0], shape[0], line.integer())
    line.expect(")")
    return e


def _entries(sizes: list[int], column: int) -> int:
    entries = sizes[0] * sizes[1]
    if entries > MAX_ENTRIES:
        raise Fault(column, f"the table has {entries} entries; at most {MAX_ENTRIES} are allowed", "Use smaller axes", "axis")
    return entries
