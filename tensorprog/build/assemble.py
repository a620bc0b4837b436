"""From values to a program (Yang & Littwin 2021, Def. 4.1): the lines that the outputs depend on, in the order in which they were written.

A value that is used once is fused into the function that uses it, so that relu(W @ x + b) is one Nonlin. A value that is shared, multiplied by a
matrix, named or returned has a line of its own, and so have softmax weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, assert_never

from tensorprog.build.declare import BASE
from tensorprog.build.inputs import Data
from tensorprog.build.naming import embedding, line_names
from tensorprog.build.value import Average, Elsewhere, Initial, Outer, Pointwise, Product, Value, coordinates_of
from tensorprog.errors import InvalidProgram
from tensorprog.language.expr import Expr, Ref, Softmax, moved, substitute, walk
from tensorprog.language.infix import depth
from tensorprog.language.instr import InitScalar, InitVector, Instr, MatMul, Moment, Nonlin, OuterNonlin, Width
from tensorprog.language.program import Program, Training

T = TypeVar("T")
DEEPEST = 24  # a longer chain of functions is cut into several lines, for a reader's sake


@dataclass(frozen=True)
class Assembled:
    """A program, the name of every value that has a line of its own in it, and how its tensors are trained."""

    program: Program
    names: Mapping[int, str]  # by serial
    training: Mapping[str, Training]


def assemble(name: str, outputs: Sequence[Value], inputs: Sequence[Data] = (), reserved: Iterable[str] = ()) -> Assembled:
    """The program that computes `outputs`.

    Args:
        inputs: the network's inputs, all of which have to be used.
        reserved: names that lines must not get: those of the readouts.

    Raises:
        InvalidProgram: one name for two different things, an input of another network, an input that is not used.
    """
    values = reachable(outputs)
    initials = [(v, v.source) for v in values if isinstance(v.source, Initial)]
    products = [v.source for v in values if isinstance(v.source, Product)]
    _check_inputs([source for _, source in initials], inputs)
    matrices = _agree("matrix", ((p.matrix.name, p.matrix) for p in products))
    embeddings = _agree("embedding", ((law.matrix, (v.width, law.sigma)) for v, _ in initials if (law := embedding(v))))
    tensors = [*matrices, *embeddings, *reserved]
    kept = own_lines(values, outputs)
    names = line_names([v for v in values if v.serial in kept], tensors)
    declared = _agree("initial", ((names[v.serial], replace(source.declaration, name=names[v.serial])) for v, source in initials))
    program = Program(
        name=name,
        widths=tuple(_agree("width", ((w.name, w) for w in _widths(values))).values()),
        axes=tuple(_agree("axis", ((a.name, a) for v in values for a in v.axes)).values()),
        inputs=tuple(x.input for x in inputs),
        matrices=tuple(matrices.values()),
        vectors=tuple(d for d in declared.values() if isinstance(d, InitVector)),
        covariances=tuple(dict.fromkeys(c for _, source in initials for c in source.covariances if c.a in declared and c.b in declared)),
        scalars=tuple(d for d in declared.values() if isinstance(d, InitScalar)),
        body=tuple(_lines(values, names)),
        outputs=tuple(names[v.serial] for v in outputs),
    )
    return Assembled(program, names, _agree("training", [*((p.matrix.name, p.training) for p in products), *_vector_training(values)]))


def reachable(outputs: Sequence[Value]) -> list[Value]:
    """Every value that the outputs depend on, in the order of creation; of a value and its named self, the named one."""
    found: dict[int, Value] = {}
    stack = list(outputs)
    while stack:
        value = stack.pop()
        if value.serial not in found:
            stack.extend(arguments(value))
            found[value.serial] = value
        elif value.label:
            found[value.serial] = value
    return [found[serial] for serial in sorted(found)]


def arguments(value: Value) -> tuple[Value, ...]:
    """The values that a value was made from."""
    match value.source:
        case Initial():
            return ()
        case Product(arg=arg) | Average(arg) | Elsewhere(arg) | Outer(arg):
            return (arg,)
        case Pointwise(_, args):
            return tuple(args.values())
        case _:
            assert_never(value.source)


def own_lines(values: Sequence[Value], outputs: Sequence[Value]) -> set[int]:
    """Serials of the values that have a line of their own: all but those fused into their only reader, and constants.

    Raises:
        InvalidProgram: a value that reads another coordinate stands outside `tp.outer`, or is named.
    """
    kept = _read_apart(values, outputs)
    inside = {v.serial for v in values if coordinates_of(v)}  # a tp.outer: numbers at other coordinates, no lines
    _check_inside([*values, *outputs], outputs, inside)
    nested: dict[int, int] = {}  # how deep the expression of a fused value is
    for value in values:
        if isinstance(value.source, Pointwise):
            inner = max((nested.get(v.serial, 0) for v in arguments(value)), default=0)
            nested[value.serial] = inner + depth(value.source.psi)
            if nested[value.serial] > DEEPEST:
                kept.add(value.serial)
        kept -= inside
        if value.serial in kept:
            nested[value.serial] = 0
    return kept


def _check_inside(values: Sequence[Value], outputs: Sequence[Value], inside: set[int]) -> None:
    outside = [*outputs, *(v.source.arg for v in values if isinstance(v.source, Product | Average))]
    if any(v.serial in inside for v in outside):
        raise InvalidProgram("[outer] v[b] is read outside of tp.outer(lambda b: ..), where b means nothing. Return it from the function of b.")
    named = next((v.label for v in values if v.serial in inside and v.label), None)
    if named:
        raise InvalidProgram(f"[outer] {named!r} reads another coordinate and has no line of its own. Name what tp.outer returns.")


def _read_apart(values: Sequence[Value], outputs: Sequence[Value]) -> set[int]:
    reads: Counter[int] = Counter()
    kept = {v.serial for v in outputs}
    for value in values:
        match value.source:
            case Initial():
                kept.add(value.serial)
            case Product(arg=arg):
                kept |= {value.serial, arg.serial}
            case Average(arg) | Outer(arg):
                kept.add(value.serial)
                reads[arg.serial] += 1
            case Elsewhere(arg):
                kept.add(arg.serial)
            case Pointwise(psi, args):
                reads.update(args[node.name].serial for node in walk(psi) if isinstance(node, Ref))
                if value.label or isinstance(psi, Softmax):
                    kept.add(value.serial)
            case _:
                assert_never(value.source)
    return kept | {v.serial for v in values if reads[v.serial] > 1 and arguments(v)}


def _lines(values: Sequence[Value], names: Mapping[int, str]) -> Iterator[Instr]:
    read: dict[str, Expr] = {}  # by key: the expression that stands for a value where it is read
    for value in values:
        name = names.get(value.serial, "")
        match value.source:
            case Initial():
                pass
            case Product(matrix=matrix, arg=arg, transpose=transpose):
                yield MatMul(name, matrix.name, names[arg.serial], transpose)
            case Average(arg):
                yield Moment(name, read[arg.key])
            case Elsewhere(arg, at):
                read[value.key] = Ref(names[arg.serial], -1 - at.serial)
            case Outer(arg, others):
                numbered = {-1 - at.serial: k for k, at in enumerate(others, 1)}
                yield OuterNonlin(name, moved(read[arg.key], numbered, lambda _: False))
            case Pointwise(psi, _):
                read[value.key] = substitute(psi, read)
                if name:
                    yield Moment(name, read[value.key]) if value.width is None else Nonlin(name, read[value.key])
            case _:
                assert_never(value.source)
        if name:
            read[value.key] = Ref(name)


def _widths(values: Sequence[Value]) -> Iterator[Width]:
    yield BASE
    for value in values:
        if isinstance(value.source, Product):
            yield from (value.source.rows, value.source.cols)
        elif value.width is not None:
            yield value.width


def _vector_training(values: Sequence[Value]) -> Iterator[tuple[str, Training]]:
    for value in values:
        if isinstance(value.source, Initial) and value.source.training is not None:
            law = embedding(value)
            yield (law.matrix if law else value.source.declaration.name), value.source.training


def _check_inputs(initials: Sequence[Initial], inputs: Sequence[Data]) -> None:
    used = {source.input for source in initials if source.input is not None}
    for x in inputs:
        if x.input not in used:
            raise InvalidProgram(
                f"[input] the output does not depend on the input {x.input.name!r}. Embed it; an option needs a default, or a value at the call."
            )
    for foreign in sorted(i.name for i in used - {x.input for x in inputs}):
        raise InvalidProgram(f"[input] {foreign!r} is no input of this network: its value was kept from another one. Make it an input of this one.")


def _agree(what: str, declarations: Iterable[tuple[str, T]]) -> dict[str, T]:
    """Declarations by name, in order of appearance.

    Raises:
        InvalidProgram: two that differ under one name.
    """
    by_name: dict[str, T] = {}
    for name, declaration in declarations:
        if by_name.setdefault(name, declaration) != declaration:
            raise InvalidProgram(
                f"[{what}] {name!r} is declared in two ways: {by_name[name]} and {declaration}. "
                "One name is one thing: make the two agree, or rename one."
            )
    return by_name
