"""The part of a program on which given variables depend."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from tensorprog.language.expr import refs
from tensorprog.language.instr import MatMul
from tensorprog.language.program import Program


def needed(p: Program, names: Collection[str]) -> set[str]:
    """These variables, and all that they are computed from."""
    found = set(names)
    for i in reversed(p.body):
        if i.out in found:
            found |= {i.arg} if isinstance(i, MatMul) else {*refs(i.psi)}
    return found


def pruned(p: Program, names: Collection[str]) -> Program:
    """The program with only the instructions that these variables need; they are its outputs. Its initial data stay as they are."""
    keep = needed(p, names)
    return replace(p, body=tuple(i for i in p.body if i.out in keep), outputs=tuple(names))
