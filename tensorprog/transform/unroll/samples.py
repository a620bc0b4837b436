"""The axes along which samples and steps are laid out in an unrolled program.

A forward pass goes over all samples, a backward pass over those of the step's batch. Where two steps meet in a sum, the earlier one is read under
axes of its own ("then").
"""

from __future__ import annotations

from dataclasses import dataclass

from tensorprog.language.expr import Expr, Gather
from tensorprog.transform.unroll.deviation import Carried
from tensorprog.transform.unroll.writer import Writer


@dataclass
class Samples:
    """The samples of each step, and what gathers them."""

    out: Writer
    sample: str
    batches: tuple[tuple[int, ...], ...]

    def of_batch(self, t: int, e: Expr) -> Expr:
        """An expression over all samples, at those of the batch."""
        return Gather(e, self.sample, self.batch_axis(t), self.batches[t]) if self.sample in self.out.scope.of(e) else e

    def on_batch(self, t: int, value: Carried) -> Carried:
        return Carried(self.of_batch(t, value.base), self.of_batch(t, value.dev))

    def batch_axis(self, t: int) -> str | None:
        """The axis of a batch; a batch of one sample has none."""
        size = len(self.batches[t])
        return self.named_axis(f"batch{size}", size) if size > 1 else None

    def then(self, e: Expr, keep: tuple[str, ...] = ()) -> Expr:
        """A value of an earlier step under axes of its own, but for those to keep."""
        for a in self.out.scope.of(e):
            e = e if a in keep else self.renamed(e, a, self.then_axis(a))
        return e

    def now(self, e: Expr, axes: tuple[str, ...]) -> Expr:
        """The opposite of `then` for these axes."""
        for a in axes:
            e = self.renamed(e, self.then_axis(a), a)
        return e

    def renamed(self, e: Expr, axis: str, into: str) -> Expr:
        return Gather(e, axis, into, tuple(range(self.out.scope.size[axis]))) if axis in self.out.scope.of(e) else e

    def then_axis(self, axis: str) -> str:
        return self.named_axis(f"{axis}_then", self.out.scope.size[axis])

    def then_axes(self, s: int, axes: tuple[str, ...]) -> tuple[str, ...]:
        """The axes of a gradient of step s that was recorded over these, the samples being those of the batch."""
        batch = self.batch_axis(s)
        return tuple(self.then_axis(a) for a in ((batch if a == self.sample else a) for a in axes) if a is not None)

    def at_then(self, s: int, gram: Expr) -> Expr:
        """A Gram scalar of all samples with all: the second at the batch of step s."""
        batch = self.batch_axis(s)
        return Gather(gram, self.then_axis(self.sample), self.then_axis(batch) if batch else None, self.batches[s])

    def named_axis(self, name: str, size: int) -> str:
        return name if name in self.out.scope.size else self.out.axis(name, size)
