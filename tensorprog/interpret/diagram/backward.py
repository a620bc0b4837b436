"""A program with its backward pass, made ready to be drawn: what IIb Fig. 6 leaves out is left out.

A gradient that is the readout vector itself is drawn as that vector (dx = v); gradients given by the same expression (of a pre-activation and of its
bias) are one node; the gradient of the readout vector, which is a forward vector again, is not drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tensorprog.interpret.diagram.names import typeset
from tensorprog.interpret.diagram.spec import Row
from tensorprog.interpret.diagram.unfold import reads, written_out
from tensorprog.language.expr import Ref, substitute
from tensorprog.language.instr import Instr, MatMul, Nonlin
from tensorprog.language.program import Program
from tensorprog.transform.backprop import Backprop
from tensorprog.transform.unfold import member, member_of, positions


@dataclass(frozen=True)
class Backward:
    """`program` in its two rows, `twins` (gradient -> forward variable) and captions for the merged nodes."""

    program: Program
    rows: tuple[Row, Row]
    twins: Mapping[str, str]
    captions: Mapping[str, str]


def drawable(b: Backprop, *, unfold: bool = False) -> Backward:
    """The backward pass as it is drawn."""
    twins = {d: x for x, d in b.adjoint.items()}
    program = b.program
    start = next((k for k, i in enumerate(program.body) if i.out in twins), len(program.body))  # the backward pass begins with a gradient
    if unfold:
        forward_families = {i.out for i in program.body[:start]}
        program, twins = written_out(program), _members(program, twins)
        start = sum(member_of(i.out) in forward_families for i in program.body)
    forward, backward = program.body[:start], program.body[start:]
    used = {name for i in forward for name in (i.out, *reads(i))}
    seeds = frozenset(v.name for v in program.vectors if v.name not in used)
    return _merged(program, forward, backward, twins, seeds)


def _members(program: Program, twins: Mapping[str, str]) -> dict[str, str]:
    """Twins position by position; a gradient's further axes are positions of the output."""
    axes = program.axes_of
    return {member(d, axes[d], at): member(x, axes[x], at) for d, x in twins.items() for at in positions(axes[d], program.size)}


def _merged(program: Program, forward: Sequence[Instr], backward: Sequence[Instr], twins: Mapping[str, str], seeds: frozenset[str]) -> Backward:
    same: dict[str, str] = {}
    first: dict[Instr, str] = {}
    kept: list[Instr] = []
    twins = dict(twins)
    names: dict[str, list[str]] = {}
    for i in backward:
        if twins.get(i.out) in seeds:
            continue
        i = _renamed(i, same)
        nameless = replace(i, out="")
        if isinstance(i, Nonlin) and isinstance(i.psi, Ref) and i.psi.name in seeds and i.psi.name not in names:
            seed = same[i.out] = i.psi.name
            names[seed] = [typeset(i.out, twins.get(i.out)), typeset(seed)]
            twins[seed] = twins.pop(i.out, seed)
        elif nameless in first:
            same[i.out] = first[nameless]
            names.setdefault(first[nameless], [typeset(first[nameless], twins.get(first[nameless]))]).append(typeset(i.out, twins.get(i.out)))
        else:
            first[nameless] = i.out
            kept.append(i)
    outs = {i.out for i in kept}
    captions = {name: " = ".join(parts) for name, parts in names.items()}
    body = (*forward, *kept)
    drawn = replace(program, body=body, outputs=tuple(n for n in program.outputs if n in outs))
    below = tuple(sorted(outs | (seeds & {r for i in kept for r in reads(i)})))
    return Backward(drawn, (Row(labels="above"), Row(below, leftward=True)), {d: x for d, x in twins.items() if d != x}, captions)


def _renamed(i: Instr, same: Mapping[str, str]) -> Instr:
    if isinstance(i, MatMul):
        return replace(i, arg=same.get(i.arg, i.arg))
    return replace(i, psi=substitute(i.psi, {old: Ref(new) for old, new in same.items()}))
