"""The typing judgement: what an expression and an instruction must obey (Yang 2020, arXiv 2009.10685, App. F: dimension classes).

| rule         | says                                                                                                     |
| ------------ | -------------------------------------------------------------------------------------------------------- |
| [name]       | a name is defined once, above the lines that read it                                                      |
| [matmul]     | a matrix multiplies a vector, of the width of its columns (of its rows, if transposed)                    |
| [nonlin]     | the vectors of a Nonlin have one width; functions exist and get as many arguments as they take            |
| [moment]     | so for a Moment                                                                                           |
| [outer]      | other coordinates, x'1, x'2, .., are read in an OuterNonlin only, where each has vectors of one width      |
| [axis]       | axes are declared; Sum, Gather and Softmax work along an axis that is there; tables fit their axes        |
| [softmax]    | a softmax is of scalars                                                                                   |
| [constant]   | numbers are finite                                                                                        |
| [expression] | expressions are not nested too deeply                                                                     |

Each rule is a generator of what it finds; what it cannot know, because a line above is faulty, it leaves alone.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from math import isfinite, prod
from typing import assert_never

from tensorprog.language.expr import Add, Apply, Expr, Fn, Gather, Mul, Number, Power, Ref, Softmax, Sum, Tensor, children, copies, refs, walk
from tensorprog.language.finding import MAX_DEPTH, MAX_ENTRIES, MAX_LEAVES
from tensorprog.language.infix import depth
from tensorprog.language.instr import InitVector, Instr, MatMul, Matrix, Moment, Nonlin, OuterNonlin
from tensorprog.language.nonlin import named

MAX_COMPARED = 200  # names among which one that is meant is looked for
Said = tuple[str, str, str]  # rule, finding, way out
Axes = frozenset[str]


@dataclass(frozen=True)
class Type:
    """What is known of a variable: its width class (None for a scalar) and its axes; `known` False where its line is faulty."""

    width: str | None = None
    axes: Axes = frozenset()
    known: bool = True


FAULTY = Type(known=False)


@dataclass
class Scope:
    """What the lines above have declared."""

    widths: dict[str, None] = field(default_factory=dict[str, None])  # the base width first
    sizes: dict[str, int] = field(default_factory=dict[str, int])
    inputs: dict[str, Axes] = field(default_factory=dict[str, Axes])
    matrices: dict[str, Matrix] = field(default_factory=dict[str, Matrix])
    embeddings: dict[str, str] = field(default_factory=dict[str, str])  # matrix -> the width of its rows
    variables: dict[str, Type] = field(default_factory=dict[str, Type])
    initial: dict[str, InitVector] = field(default_factory=dict[str, InitVector])
    correlated: set[frozenset[str]] = field(default_factory=set[frozenset[str]])  # pairs whose covariance is given
    readouts: set[str] = field(default_factory=set[str])
    later: Mapping[str, int] = field(default_factory=dict[str, int])  # the line of every definition of the body


def known(name: str, there: Sequence[str] | Mapping[str, object] | set[str], what: str, scope: Scope) -> Iterator[Said]:
    """[name]: `name` is one of those `there`."""
    if name in there:
        return
    if name in scope.later and there is scope.variables:
        yield "name", f"{name} is defined below, on line {scope.later[name]}", "Move that line up; a program has no cycles"
        return
    compared = list(there) if len(there) <= MAX_COMPARED else []
    close = get_close_matches(name, compared, 1)
    way_out = f"Did you mean {close[0]}?" if close else f"Define it above, or use {_one_of(compared)}" if compared else "Define it above"
    yield "name", f"there is no {what} called {name}", way_out


def over(axes: Sequence[str], scope: Scope) -> Iterator[Said]:
    """[axis]: the axes of a family are declared, each once, and its members can be counted."""
    for axis in dict.fromkeys(axes):
        yield from known(axis, scope.sizes, "axis", scope)
    if len(set(axes)) < len(axes):
        yield "axis", f"an axis stands twice in {', '.join(axes)}", "Name each axis once"
    if (members := prod(scope.sizes.get(a, 1) for a in set(axes))) > MAX_ENTRIES:
        yield "axis", f"the family has {members} members; at most {MAX_ENTRIES} are allowed", "Use fewer or smaller axes"


def instruction(i: Instr, scope: Scope) -> Generator[Said, None, Type]:
    """The judgement of one instruction: what is wrong, and the kind of what it defines."""
    match i:
        case MatMul():
            return (yield from _matmul(i, scope))
        case Nonlin(_, psi) | Moment(_, psi) | OuterNonlin(_, psi):
            rule = {Nonlin: "nonlin", Moment: "moment", OuterNonlin: "outer"}[type(i)]
            axes = yield from expression(psi, scope)
            yield from _coordinates(psi, rule, scope)
            width = yield from _common_width(psi, rule, scope)
            if axes is None:
                return FAULTY
            yield from over(sorted(axes), scope)
            return Type(None if rule == "moment" else width or next(iter(scope.widths), None), axes)
        case _:
            assert_never(i)


def _matmul(i: MatMul, scope: Scope) -> Generator[Said, None, Type]:
    yield from known(i.matrix, scope.matrices, "matrix", scope)
    yield from known(i.arg, scope.variables, "vector", scope)
    w, x = scope.matrices.get(i.matrix), scope.variables.get(i.arg, FAULTY)
    if w is None:
        return FAULTY
    out, needed = (w.cols, w.rows) if i.transpose else (w.rows, w.cols)
    if not x.known:
        return FAULTY
    name = f"{i.matrix}^T" if i.transpose else i.matrix
    if x.width is None:
        yield "matmul", f"{name} is {out} x {needed} but {i.arg} is a scalar", f"Multiply a vector of width {needed}, or scale in a Nonlin"
    elif x.width != needed:
        turned = f"Do not transpose {i.matrix}" if i.transpose else f"Transpose {i.matrix}"
        way_out = f"{turned}, or give {i.arg} width {needed}" if x.width == out else f"Give {i.arg} width {needed}"
        yield "matmul", f"{name} is {out} x {needed} but {i.arg} has width {x.width}", way_out
    return Type(out, x.axes)


def _coordinates(psi: Expr, rule: str, scope: Scope) -> Iterator[Said]:
    """[outer]: which coordinates are read, and of what."""
    read = copies(psi)
    if rule != "outer":
        if read:
            yield "outer", f"it reads coordinate {read[0]} beside its own", "Write y := outer(..), which averages over it"
        return
    if read != tuple(range(1, len(read) + 1)):
        yield "outer", f"it reads the coordinates {', '.join(map(str, read))}", f"Number them 1 to {len(read)}, without a gap"
    if not read:
        yield "outer", "it reads no coordinate but its own", "Write x'1 for x at the other one, or leave out the outer( )"
    elsewhere = (e for e in walk(psi) if isinstance(e, Ref) and e.copy)
    scalar = next((e for e in elsewhere if (kind := scope.variables.get(e.name, FAULTY)).known and kind.width is None), None)
    if scalar is not None:
        yield "outer", f"{scalar.name} is a scalar and has no coordinates", f"Write {scalar.name} without '{scalar.copy}"
    for k in read:
        yield from _common_width(psi, rule, scope, k)


def _common_width(psi: Expr, rule: str, scope: Scope, copy: int = 0) -> Generator[Said, None, str | None]:
    found: dict[str, str] = {}
    for name in dict.fromkeys(e.name for e in walk(psi) if isinstance(e, Ref) and e.copy == copy):
        width = scope.variables.get(name, FAULTY).width
        if width is not None:
            found.setdefault(width, name)
    if len(found) > 1:
        (w1, x1), (w2, x2) = list(found.items())[:2]
        way_out = "Bring one of them to the other's width by a matrix"
        yield rule, f"{x1} has width {w1} but {x2} has width {w2}, and their coordinates do not correspond", way_out
    return next(iter(found), None)


def expression(e: Expr, scope: Scope) -> Generator[Said, None, Axes | None]:
    """The judgement of an expression: what is wrong, and its free axes (None where they cannot be known)."""
    if (deep := depth(e)) > MAX_DEPTH:
        yield "expression", f"it is nested {deep} deep; at most {MAX_DEPTH} are allowed", "Give its parts names"
        return None
    if (leaves := sum(not children(node) for node in walk(e))) > MAX_LEAVES:
        yield "expression", f"it has {leaves} variables and constants; at most {MAX_LEAVES} are allowed", "Give its parts names"
        return None
    yield from (said for node in walk(e) for said in _node(node, scope))
    return (yield from _axes(e, scope))


def _node(e: Expr, scope: Scope) -> Iterator[Said]:
    """What is wrong with a node whatever stands below it."""
    match e:
        case Ref(name):
            yield from known(name, scope.variables, "variable", scope)
        case Number(value):
            yield from _finite((value,))
        case Tensor():
            yield from _tensor(e, scope)
        case Power(_, exponent):
            yield from _finite((exponent,))
        case Apply(fn, args):
            yield from _function(fn, args)
        case Softmax(_, arg):
            vector = next((n for n in refs(arg) if scope.variables.get(n, FAULTY).width is not None), None)
            if vector is not None:
                yield "softmax", f"it is of scalars, and {vector} is a vector", "Take a Moment first: softmax[source](c) with c := moment(q * k)"
        case Add() | Mul() | Sum() | Gather():
            pass
        case _:
            assert_never(e)


def _finite(values: Sequence[float]) -> Iterator[Said]:
    bad = next((v for v in values if not isfinite(v)), None)
    if bad is not None:
        yield "constant", f"{bad} is not a finite number", "Use finite constants"


def _tensor(e: Tensor, scope: Scope) -> Iterator[Said]:
    yield from over(e.axes, scope)
    if len(e.axes) != len(e.shape):
        yield "axis", f"the tensor has {len(e.axes)} axes and {len(e.shape)} sizes", "Give each axis its size"
        return
    for axis, size in zip(e.axes, e.shape, strict=True):
        if scope.sizes.get(axis, size) != size:
            yield "axis", f"the tensor has {size} entries along {axis}, which has size {scope.sizes[axis]}", f"Give it {scope.sizes[axis]} entries"
    if len(e.values) != (needed := prod(e.shape)):
        yield "axis", f"the tensor has {len(e.values)} entries where its axes need {needed}", "List one entry a position, the last axis fastest"
    yield from _finite(e.values)


def _function(fn: Fn, args: Sequence[Expr]) -> Iterator[Said]:
    if len(args) != fn.arity:
        yield "nonlin", f"{fn.name} takes {fn.arity} argument{'s' * (fn.arity != 1)}, got {len(args)}", "Give it that many"
    yield from _finite(fn.constants)
    if fn.body is not None:
        return
    try:
        table = named(fn.name, fn.constants, fn.order, {})
    except (KeyError, ValueError) as e:
        yield "nonlin", str(e.args[0]), "Use a built-in function, or give your own one a body (user_function)"
        return
    if table != fn:
        way_out = f'Take it from the table: fn("{fn.name}")'
        yield "nonlin", f"this {fn.name} says other things of itself than the built-in one (growth, parity or kinks)", way_out


def _axes(e: Expr, scope: Scope) -> Generator[Said, None, Axes | None]:
    """The free axes, with the rules for the nodes that look along an axis."""
    if isinstance(e, Ref):
        kind = scope.variables.get(e.name, FAULTY)
        return kind.axes if kind.known else None
    if isinstance(e, Tensor):
        return frozenset(e.axes)
    below: set[str] = set()
    unknown = False
    for child in children(e):
        axes = yield from _axes(child, scope)
        unknown = unknown or axes is None
        below |= axes or frozenset()
    if unknown:
        return None
    match e:
        case Sum(axis, _) | Softmax(axis, _):
            word = "sum" if isinstance(e, Sum) else "softmax"
            if axis not in below:
                yield "axis", f"{word} along {axis}, but the expression has {_axes_named(below)}", "Name an axis that it has"
            return frozenset(below - {axis}) if isinstance(e, Sum) else frozenset(below)
        case Gather():
            return (yield from _gather(e, frozenset(below), scope))
        case _:
            return frozenset(below)


def _gather(e: Gather, below: Axes, scope: Scope) -> Generator[Said, None, Axes]:
    if e.axis not in below:
        yield "axis", f"members are taken along {e.axis}, but the expression has {_axes_named(below)}", "Name an axis that it has"
    size = scope.sizes.get(e.axis)
    bad = next((i for i in e.index if size is not None and not -1 <= i < size), None)
    if bad is not None:
        yield "axis", f"member {bad} is taken along {e.axis}, which has size {size}", f"Take members 0 to {size - 1 if size else 0}, or -1 for a zero"
    rest = below - {e.axis}
    if e.into is None:
        if len(e.index) != 1:
            yield "axis", f"{len(e.index)} members of {e.axis} are taken, and no axis is named for them", f"Write gather[{e.axis} -> axis: ..]"
        return rest
    yield from known(e.into, scope.sizes, "axis", scope)
    if e.into in rest:
        yield "axis", f"members are put along {e.into}, which the expression has already", "Put them along another axis"
    if scope.sizes.get(e.into, len(e.index)) != len(e.index):
        yield "axis", f"{len(e.index)} members are put along {e.into}, which has size {scope.sizes[e.into]}", f"Take {scope.sizes[e.into]} members"
    return rest | {e.into}


def _axes_named(axes: set[str] | Axes) -> str:
    return "the axes " + ", ".join(sorted(axes)) if len(axes) > 1 else f"only the axis {next(iter(axes))}" if axes else "no axes"


def _one_of(there: Sequence[str]) -> str:
    shown = sorted(there)[:8]
    return "one of " + ", ".join(shown) + (", ..." if len(there) > len(shown) else "") if len(shown) > 1 else shown[0]
