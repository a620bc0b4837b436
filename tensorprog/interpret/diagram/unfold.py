"""Families written out: the same program with one variable for every position, and no axes (language.md, section 1).

The result is for drawing: the members of a softmax are written as a function "softmax" of all the logits, first the own one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import TypeVar, assert_never

from tensorprog.language.expr import (
    ZERO,
    Add,
    Apply,
    Expr,
    Fn,
    Gather,
    Mul,
    Number,
    Power,
    Ref,
    Softmax,
    Sum,
    Tensor,
    add,
    children,
    mul,
    rebuild,
    refs,
)
from tensorprog.language.instr import InitScalar, InitVector, Instr, MatMul, Moment, Nonlin, OuterNonlin
from tensorprog.language.program import Program

Position = Mapping[str, int]
Initial = TypeVar("Initial", InitVector, InitScalar)


def written_out(program: Program) -> Program:
    """One variable a position: h over (head, token) becomes h[0, 0], h[0, 1], ...

    Of a family that is read, those members are left out that nothing reads.
    """
    whole = {reader for i in program.body for reader in reads(i)} - set(program.outputs)
    body: list[Instr] = []
    read: set[str] = set()
    for i in reversed([m for family in program.body for m in _instructions(program, family)]):
        if i.out in read or member_of(i.out) not in whole:
            body.insert(0, i)
            read.update(reads(i))
    return replace(
        program,
        axes=(),
        covariances=(),
        inputs=tuple(replace(i, axes=()) for i in program.inputs),
        vectors=tuple(m for v in program.vectors for m in _members(program, v)),
        scalars=tuple(m for c in program.scalars for m in _members(program, c)),
        body=tuple(body),
        outputs=tuple(member(program, name, at) for name in program.outputs for at in positions(program, name)),
    )


def reads(i: Instr) -> tuple[str, ...]:
    """The variables that an instruction reads."""
    return (i.arg,) if isinstance(i, MatMul) else refs(i.psi)


def positions(program: Program, name: str) -> tuple[Position, ...]:
    axes = program.axes_of[name]
    return tuple(dict(zip(axes, index, strict=True)) for index in product(*(range(program.size[a]) for a in axes)))


def member(program: Program, name: str, at: Position) -> str:
    """The name of a family's member at a position; of a variable without axes, its own."""
    axes = program.axes_of[name]
    return f"{name}[{', '.join(str(at[a]) for a in axes)}]" if axes else name


def member_of(name: str) -> str:
    """The family to which a member belongs."""
    return name.split("[", 1)[0]


def _members(program: Program, v: Initial) -> tuple[Initial, ...]:
    return tuple(replace(v, name=member(program, v.name, at), axes=()) for at in positions(program, v.name))


def _instructions(program: Program, i: Instr) -> tuple[Instr, ...]:
    everywhere = positions(program, i.out)
    match i:
        case MatMul(out, matrix, arg, transpose):
            return tuple(MatMul(member(program, out, at), matrix, member(program, arg, at), transpose) for at in everywhere)
        case Nonlin(out, psi) | Moment(out, psi) | OuterNonlin(out, psi):
            return tuple(type(i)(member(program, out, at), _at(program, psi, at)) for at in everywhere)
        case _:
            assert_never(i)


def _at(program: Program, e: Expr, at: Position) -> Expr:
    """The expression of one member."""
    match e:
        case Ref(name, copy):
            return Ref(member(program, name, at), copy)
        case Number():
            return e
        case Tensor(axes, shape, values):
            flat = 0
            for a, size in zip(axes, shape, strict=True):
                flat = flat * size + at[a]
            return Number(values[flat])
        case Sum(axis, arg):
            return add(*(_at(program, arg, {**at, axis: k}) for k in range(program.size[axis])))
        case Gather(arg, axis, into, index):
            k = index[0 if into is None else at[into]]
            outside = {a: p for a, p in at.items() if a != into}
            return ZERO if k < 0 else _at(program, arg, {**outside, axis: k})
        case Softmax(axis, arg):
            size = program.size[axis]
            args = tuple(_at(program, arg, {**at, axis: k}) for k in range(size))
            return Apply(Fn("softmax", (float(at[axis]),), (0,) * size), args)
        case Add() | Mul() | Power() | Apply():
            return _tidy(rebuild(e, tuple(_at(program, c, at) for c in children(e))))
        case _:
            assert_never(e)


def _tidy(e: Expr) -> Expr:
    """Zeros of a padding dropped."""
    return add(*e.terms) if isinstance(e, Add) else mul(*e.factors) if isinstance(e, Mul) else e
