"""Programs and networks: what is initial, what is computed, what is read out (Yang & Littwin 2021, Def. 4.2 and Setup 5.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any, Literal

from tensorprog.language.expr import Expr, Ref, axes_of, walk
from tensorprog.language.instr import (
    Axis,
    Covariance,
    Embedding,
    InitScalar,
    InitVector,
    Input,
    Instr,
    MatMul,
    Matrix,
    Moment,
    Nonlin,
    OuterNonlin,
    Width,
)


@dataclass(frozen=True)
class Program:
    """A straight-line program. Every name is assigned once; instructions read names that stand above them."""

    name: str = "program"
    widths: tuple[Width, ...] = (Width("n"),)
    axes: tuple[Axis, ...] = ()
    inputs: tuple[Input, ...] = ()
    matrices: tuple[Matrix, ...] = ()
    vectors: tuple[InitVector, ...] = ()
    covariances: tuple[Covariance, ...] = ()
    scalars: tuple[InitScalar, ...] = ()
    body: tuple[Instr, ...] = ()
    outputs: tuple[str, ...] = ()

    @cached_property
    def instruction(self) -> Mapping[str, Instr]:
        return {i.out: i for i in self.body}

    @cached_property
    def matrix(self) -> Mapping[str, Matrix]:
        return {m.name: m for m in self.matrices}

    @cached_property
    def init(self) -> Mapping[str, InitVector | InitScalar]:
        return {v.name: v for v in (*self.vectors, *self.scalars)}

    @cached_property
    def size(self) -> Mapping[str, int]:
        """Sizes of the named axes."""
        return {a.name: a.size for a in self.axes}

    @cached_property
    def width(self) -> Mapping[str, Width]:
        return {w.name: w for w in self.widths}

    @cached_property
    def axes_of(self) -> Mapping[str, tuple[str, ...]]:
        """The axes of every variable, sorted by name."""
        axes: dict[str, tuple[str, ...]] = {name: tuple(sorted(v.axes)) for name, v in self.init.items()}
        for i in self.body:
            axes[i.out] = axes[i.arg] if isinstance(i, MatMul) else axes_of(i.psi, axes)
        return axes

    @cached_property
    def width_of(self) -> Mapping[str, str | None]:
        """The width class of every variable; None for a scalar."""
        width: dict[str, str | None] = {v.name: v.width for v in self.vectors} | {c.name: None for c in self.scalars}
        for i in self.body:
            match i:
                case MatMul(out, matrix, _, transpose):
                    m = self.matrix[matrix]
                    width[out] = m.cols if transpose else m.rows
                case Nonlin(out, psi) | OuterNonlin(out, psi):
                    width[out] = _width_at(psi, 0, width) or self.widths[0].name
                case Moment(out, _):
                    width[out] = None
        return width

    def width_at(self, psi: Expr, copy: int) -> str | None:
        """The width class of the vectors that psi reads at coordinate b_copy (0: the own coordinate); None if it reads none there."""
        return _width_at(psi, copy, self.width_of)

    def is_scalar(self, name: str) -> bool:
        return self.width_of[name] is None

    def __str__(self) -> str:
        return _listing(self)

    def draw(self, file: str | None = None, **options: Any) -> Any:
        """The diagram; see `tensorprog.draw`."""
        return import_module("tensorprog").draw(self, file=file, **options)

    def _repr_svg_(self) -> str:
        return self.draw().svg


@dataclass(frozen=True)
class Readout:
    """f = sigma v^T x / sqrt(N): `vector` v, `of` x, summed over the readout's own `axes` (f then has x's other axes).

    N is the number of entries of v (its width times its positions), so that a flattened readout has unit scale.
    """

    vector: str
    of: str
    width: str
    axes: tuple[str, ...] = ()
    sigma: float = 1.0


@dataclass(frozen=True)
class Training:
    """How a tensor is trained: its learning-rate factor, and what the trained tensor is.

    convention "unit": the trained tensor has N(0, 1) entries; "sigma": it has N(0, sigma^2) entries, and its own contribution to the NTK carries no
    sigma^2 (Yang 2020, NTK4A).
    """

    rate: float = 1.0
    convention: Literal["unit", "sigma"] = "unit"


@dataclass(frozen=True)
class Network:
    """A body program, its readouts and what is trained.

    `outputs` counts independent copies of the readout (a vector-valued f); `kind` is "ntk" for f = v^T x / sqrt(n), "moment" for f = v^T x / n.
    Tensors are trained at rate 1 unless `training` says otherwise; rate 0 freezes.
    """

    program: Program
    readouts: tuple[Readout, ...]
    outputs: int = 1
    kind: Literal["ntk", "moment"] = "ntk"
    training: Mapping[str, Training] = field(default_factory=dict[str, Training])

    @property
    def name(self) -> str:
        return self.program.name

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Every trainable tensor: matrices, embeddings, vector parameters, readouts, in that order."""
        p = self.program
        embeddings = dict.fromkeys(v.law.matrix for v in p.vectors if isinstance(v.law, Embedding))
        vectors = tuple(v.name for v in p.vectors if not isinstance(v.law, Embedding))
        return (*(m.name for m in p.matrices), *embeddings, *vectors, *dict.fromkeys(r.vector for r in self.readouts))

    def trained(self, name: str) -> Training:
        return self.training.get(name, Training())

    @cached_property
    def output_axes(self) -> tuple[str, ...]:
        r = self.readouts[0]
        return tuple(a for a in self.program.axes_of[r.of] if a not in r.axes)

    def __str__(self) -> str:
        return _listing(self)

    def draw(self, file: str | None = None, **options: Any) -> Any:
        """The diagram of the body; see `tensorprog.draw`."""
        return import_module("tensorprog").draw(self, file=file, **options)

    def _repr_svg_(self) -> str:
        return self.draw().svg


def _width_at(psi: Expr, copy: int, width: Mapping[str, str | None]) -> str | None:
    read = (node.name for node in walk(psi) if isinstance(node, Ref) and node.copy == copy)
    return next((w for name in read if (w := width[name]) is not None), None)


def _listing(source: Program | Network) -> str:
    """The text form, then what the check says of it, as comments: it can be parsed again."""
    said = str(import_module("tensorprog").check(source)).splitlines()
    return "\n".join([import_module("tensorprog").show(source).rstrip(), *(f"# {line}" for line in said)])
