"""Families over named axes: the linear maps along an axis that every value, and every data input, understands.

A family stands for its members written out one by one (language contract, section 1); the maps here only take members, put them elsewhere
and add them up, so they commute with a matrix: W @ x.shift("pixel", 1) is (W @ x).shift("pixel", 1).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, Self

from tensorprog.errors import InvalidProgram
from tensorprog.language.expr import Expr, Gather, mul, number, total
from tensorprog.language.instr import Axis

Padding = Literal["zero", "circular"]


def union(*families: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """The axes of values that meet in one expression, sorted by name.

    Raises:
        InvalidProgram: one axis name with two sizes.
    """
    size: dict[str, int] = {}
    for axis in (axis for axes in families for axis in axes):
        if size.setdefault(axis.name, axis.size) != axis.size:
            raise InvalidProgram(
                f"[axes] axis {axis.name!r} has {size[axis.name]} positions in one operand and {axis.size} in the other. "
                f"Give one of them another axis name, e.g. with .rename({axis.name}=...) or into=..."
            )
    return tuple(Axis(name, size[name]) for name in sorted(size))


@dataclass(frozen=True, eq=False, repr=False)
class Family(ABC):
    """Anything with named axes (sorted by name)."""

    axes: tuple[Axis, ...]

    @abstractmethod
    def along(self, psi: Callable[[Expr], Expr], axes: tuple[Axis, ...]) -> Self:
        """The family psi(self) over other axes; psi is linear."""

    @abstractmethod
    def describe(self) -> str:
        """What this is, for error messages."""

    def size(self, axis: str) -> int:
        """The number of positions along `axis`.

        Raises:
            InvalidProgram: the family has no such axis.
        """
        for own in self.axes:
            if own.name == axis:
                return own.size
        names = ", ".join(repr(own.name) for own in self.axes)
        raise InvalidProgram(f"[axes] {self.describe()} has no axis {axis!r}; " + (f"its axes are {names}." if names else "it has no named axes."))

    def gather(self, axis: str, index: Sequence[int], into: str | None = None) -> Self:
        """Members by position: out[into = i] = self[axis = index[i]], and 0 where index[i] is -1. `into` is `axis` unless given.

        Shifts, strides, dilations, padding, flips and repeats are all of this form; a new length needs a new name.
        """
        size, into = self.size(axis), axis if into is None else into
        if not index:
            raise InvalidProgram(f"[gather] no position is left along {axis!r}. Give at least one index.")
        outside = [i for i in index if not -1 <= i < size]
        if outside:
            raise InvalidProgram(f"[gather] {outside[0]} is no position of axis {axis!r}, which has 0 .. {size - 1} (and -1 for zero padding).")
        rest = tuple(own for own in self.axes if own.name != axis)
        if into in {own.name for own in rest}:
            raise InvalidProgram(f"[gather] {self.describe()} already has an axis {into!r}. Choose another name for into=.")
        if into == axis and len(index) != size:
            raise InvalidProgram(f"[gather] axis {axis!r} has {size} positions and {len(index)} are taken. Name the new axis with into=...")
        taken = tuple(int(i) for i in index)
        if into == axis and taken == tuple(range(size)):
            return self
        return self.along(lambda e: Gather(e, axis, into, taken), union(rest, (Axis(into, len(taken)),)))

    def shift(self, axis: str, by: int, padding: Padding = "zero") -> Self:
        """out[i] = self[i - by], as numpy.roll; what comes from beyond the ends is 0, or the other end for padding "circular"."""
        size = self.size(axis)
        if padding == "circular":
            return self.gather(axis, [(i - by) % size for i in range(size)])
        return self.gather(axis, [i - by if 0 <= i - by < size else -1 for i in range(size)])

    def rename(self, **names: str) -> Self:
        """x.rename(token="source"): the same family over an axis of another name."""
        out = self
        for old, new in names.items():
            out = out.gather(old, range(out.size(old)), into=new)
        return out

    def select(self, **positions: int) -> Self:
        """x.select(token=0): one member; negative positions count from the end."""
        out = self
        for axis, position in positions.items():
            size = out.size(axis)
            if not -size <= position < size:
                raise InvalidProgram(f"[select] axis {axis!r} has {size} positions; there is no position {position}.")
            out = out._member(axis, position % size)
        return out

    def _member(self, axis: str, position: int) -> Self:
        return self.along(lambda e: Gather(e, axis, None, (position,)), self._without(axis))

    def unstack(self, axis: str) -> list[Self]:
        """The members along `axis`, one by one."""
        return [self.select(**{axis: i}) for i in range(self.size(axis))]

    def sum(self, *axes: str) -> Self:
        """The sum over one or more axes."""
        return self.along(lambda e: total(axes, e), self._without(*axes))

    def mean(self, *axes: str) -> Self:
        """The mean over one or more axes."""
        weight = number(1 / prod(self.size(axis) for axis in axes))
        return self.along(lambda e: mul(weight, total(axes, e)), self._without(*axes))

    def _without(self, *axes: str) -> tuple[Axis, ...]:
        if not axes:
            raise InvalidProgram("[axes] no axis is named. Name the axes to sum over, e.g. x.mean('token').")
        for axis in axes:
            self.size(axis)
        return tuple(own for own in self.axes if own.name not in axes)


def names(axes: str | Iterable[str]) -> tuple[str, ...]:
    """One axis name, or several, as a tuple."""
    return (axes,) if isinstance(axes, str) else tuple(axes)
