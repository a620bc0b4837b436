"""A program being written: instructions appended under fresh names, with the axes of all that is there."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from tensorprog.language.calculus import Scope
from tensorprog.language.expr import Expr, Ref, axes_of
from tensorprog.language.instr import Axis, InitScalar, Instr, MatMul, Moment, Nonlin, OuterNonlin
from tensorprog.language.program import Program
from tensorprog.transform.unroll.parts import START, Part


@dataclass
class Writer:
    """Appends to `program`, under the `part` at hand; every method returns what it wrote as a reference."""

    program: Program
    body: list[Instr] = field(default_factory=list[Instr])
    scalars: list[InitScalar] = field(default_factory=list[InitScalar])
    part: Part = START
    parts: dict[str, Part] = field(default_factory=dict[str, Part])

    def __post_init__(self) -> None:
        p = self.program
        self._axes, self._size = dict(p.axes_of), dict(p.size)
        self.scope = Scope(self._axes, self._size)
        self._scalars = {x for x in self._axes if p.is_scalar(x)}
        self._taken = {*self._axes, *p.matrix, *(i.name for i in p.inputs), *self._size}

    @contextmanager
    def within(self, part: Part) -> Generator[None]:
        """What is written under the `with` belongs to that part."""
        outside, self.part = self.part, part
        yield
        self.part = outside

    def nonlin(self, name: str, psi: Expr) -> Ref:
        return self._put(Nonlin(self._fresh(name), psi), axes_of(psi, self._axes))

    def moment(self, name: str, psi: Expr) -> Ref:
        out = self._put(Moment(self._fresh(name), psi), axes_of(psi, self._axes))
        self._scalars.add(out.name)
        return out

    def outer(self, name: str, psi: Expr) -> Ref:
        return self._put(OuterNonlin(self._fresh(name), psi), axes_of(psi, self._axes))

    def matmul(self, name: str, matrix: str, arg: str, transpose: bool) -> Ref:
        return self._put(MatMul(self._fresh(name), matrix, arg, transpose), self._axes[arg])

    def vector(self, name: str, value: Expr) -> Ref:
        """The value under a name of its own, where it has none yet."""
        return value if isinstance(value, Ref) else self.nonlin(name, value)

    def is_scalar(self, name: str) -> bool:
        return name in self._scalars

    def scalar(self, name: str, axes: tuple[str, ...] = (), value: float | None = None, exponent: float = 0.0) -> Ref:
        name = self._fresh(name)
        self.scalars.append(InitScalar(name, axes, value, exponent))
        self._axes[name] = tuple(sorted(axes))
        self._scalars.add(name)
        return Ref(name)

    def axis(self, name: str, size: int) -> str:
        """A new axis of this size."""
        name = self._fresh(name)
        self._size[name] = size
        return name

    def finished(self, name: str, outputs: tuple[str, ...]) -> Program:
        axes = tuple(Axis(a, n) for a, n in self._size.items())
        scalars = (*self.program.scalars, *self.scalars)
        return replace(self.program, name=name, axes=axes, scalars=scalars, body=(*self.program.body, *self.body), outputs=outputs)

    def _put(self, i: Instr, axes: tuple[str, ...]) -> Ref:
        self.body.append(i)
        self.parts[i.out] = self.part
        self._axes[i.out] = tuple(sorted(axes))
        return Ref(i.out)

    def _fresh(self, name: str) -> str:
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name
