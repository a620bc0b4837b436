"""A network on several samples at once, and its backward pass: what an unrolled program starts from.

The samples are one more named axis of everything that depends on the data. The backward pass is written before that axis is there, so that every
gradient is that of its own sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod

from tensorprog.language.expr import ONE, Expr, Ref, identity, mul, number, power, total
from tensorprog.language.instr import Axis, Embedding, InitVector, Instr, Nonlin
from tensorprog.language.program import Network, Program, Readout
from tensorprog.language.tensors import pace
from tensorprog.transform.backprop import Backprop, backprop
from tensorprog.transform.unroll.writer import Writer


@dataclass(frozen=True)
class Tape:
    """A network over the axis `sample`, with its backward pass.

    Attributes:
        outputs: the axis of a readout vector that counts several outputs; None where f has one.
        pace: the factor on the learning rate of every unit tensor.
    """

    network: Network
    back: Backprop
    program: Program
    sample: str
    outputs: str | None
    pace: Mapping[str, float]

    @property
    def forward(self) -> tuple[Instr, ...]:
        return self.network.program.body

    @property
    def backward(self) -> tuple[Instr, ...]:
        return self.program.body[len(self.forward) :]

    def power(self, out: Writer, name: str, exponent: Fraction) -> Expr:
        """N^-exponent, N the size of the base width class: an initial scalar, or 1."""
        ratio = float(self.program.width[self.back.base].ratio)
        return out.scalar(name, (), ratio ** -float(exponent), -float(exponent)) if exponent else ONE

    def read(self, r: Readout) -> tuple[Expr, Expr]:
        """(c, e): a readout adds N^(1 - g) c (1/n_r) sum e to f, c made of numbers and ratios of widths."""
        ratio = next((Ref(name) for name, pair in self.back.ratios.items() if pair == (r.width, self.back.base)), number(1.0))
        half = 0.5 if self.network.kind == "ntk" else 1.0
        count = prod(self.program.size[a] for a in r.axes)
        return mul(number(r.sigma / count**half), power(ratio, 1 - half)), total(r.axes, mul(Ref(r.vector), Ref(r.of)))


def tape(network: Network, samples: int) -> Tape:
    """The network on so many samples at once, with its backward pass."""
    outputs, rates = None, {name: pace(network, name) for name in network.parameters}
    if network.outputs > 1:
        network, outputs = with_output_axis(network)
    back = backprop(network)
    p = back.program
    sample = "sample"
    while sample in p.size:
        sample += "_"
    vectors = tuple(replace(v, axes=(sample, *v.axes)) if isinstance(v.law, Embedding) else v for v in p.vectors)
    inputs = tuple(replace(i, axes=(sample, *i.axes)) for i in p.inputs)
    return Tape(network, back, replace(p, axes=(Axis(sample, samples), *p.axes), inputs=inputs, vectors=vectors), sample, outputs, rates)


def with_output_axis(network: Network) -> tuple[Network, str]:
    """Several outputs as an axis of f, and the axis of v that counts them: f_k = sum_j v_j . (delta_jk x)."""
    p, k = network.program, network.outputs
    axis, own = (_free(name, {*p.size}) for name in ("output", "output_of_v"))
    half = 0.5 if network.kind == "ntk" else 1.0
    new = {r.of: _free(f"{r.of}_of", {*p.axes_of, *p.matrix}) for r in network.readouts}
    body = (*p.body, *(Nonlin(name, mul(identity(own, axis, k), Ref(x))) for x, name in new.items()))
    readouts = tuple(replace(r, of=new[r.of], axes=(own, *r.axes), sigma=r.sigma * k**half) for r in network.readouts)
    axes = (*p.axes, Axis(axis, k), Axis(own, k))
    vectors = {r.vector: InitVector(r.vector, r.width, r.axes) for r in readouts if r.vector not in p.init}
    program = replace(p, axes=axes, body=body, vectors=(*p.vectors, *vectors.values()))
    return replace(network, program=program, readouts=readouts, outputs=1), own


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name
