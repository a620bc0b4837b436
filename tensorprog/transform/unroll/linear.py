"""Optimizers that are linear in the gradients: SGD with momentum and weight decay (Yang & Littwin 2021, App. D.1).

With w(t, s) the weight of the gradient of step s at time t, a matrix has moved by - sigma^2 sum_s w(t, s) sum_(l, r) chi_s l_s r_s^T / n_in, over its
uses, samples and positions; an initial vector by - sum_s w(t, s) times the covariance of its group times the gradients.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tensorprog.language.calculus import sum_out
from tensorprog.language.expr import ONE, ZERO, Expr, Ref, Tensor, add, mul, number
from tensorprog.language.instr import Embedding, Gaussian, InitVector
from tensorprog.transform.unroll.deviation import Carried
from tensorprog.transform.unroll.moved import Moved, shown, tensor
from tensorprog.transform.unroll.parts import Part


@dataclass
class Linear(Moved):
    """What SGD has moved the tensors by."""

    latest: dict[str, Expr] = field(default_factory=dict[str, Expr])

    def matmul(self, t: int, matrix: str, transpose: bool, x: Carried) -> tuple[Expr, ...]:
        if not self.moves(matrix) or not any(self.uses[s].get(matrix) for s in range(t)):
            return ()
        m = self.tape.program.matrix[matrix]
        strength = mul(self.rate(matrix), number(m.sigma**2), self.out_of_in(m.rows, m.cols) if transpose else ONE)
        now = self.out.vector(f"{shown(x.base)}_{t}", x.at(self.theta))
        terms: list[Expr] = []
        for s in range(t):
            weight = number(-self.schedule.weight(t, s))
            for k, use in enumerate(self.uses[s].get(matrix, ())):
                inner, outer = (use.left, use.right) if transpose else (use.right, use.left)
                with self.out.within(Part("gram", t, s, matrix, transpose)):
                    gram = self.out.moment(f"gram_{matrix}_{s}_{t}" + (f"_{k}" if k else ""), mul(inner, now))
                terms.append(mul(weight, strength, sum_out(mul(gram, outer), use.axes, self.out.scope)))
        return tuple(terms)

    def initial(self, t: int, v: InitVector) -> Expr:
        if not self.moves(tensor(v)):
            return ZERO
        steps = [(s, self.schedule.weight(t, s)) for s in range(t)]
        before: tuple[Expr, ...] = ()
        if self.schedule.is_plain() and v.name in self.latest:
            before, steps = (self.latest[v.name],), steps[-1:]
        found = add(*before, self.decayed(t, v), *(mul(number(-weight), term) for s, weight in steps for term in self._pull(s, v)))
        if found != ZERO:
            self.latest[v.name] = self.out.nonlin(f"dev_{v.name}_{t}", found)
        return self.latest[v.name] if found != ZERO else ZERO

    def _pull(self, s: int, v: InitVector) -> Iterator[Expr]:
        """By how much step s pulls at an initial vector: the covariance of its group times the gradients."""
        for other in self.tape.program.vectors:
            if (g := self.gradients[s].get(other.name)) is None:
                continue
            match v.law, other.law:
                case Embedding(matrix, _, sigma), Embedding(twin, _, tau) if matrix == twin:
                    gram = self.samples.at_then(s, Ref(self._gram(v, other)))
                    pulled = sum_out(mul(gram, g), self.samples.then_axes(s, other.axes), self.out.scope)
                    yield mul(self.rate(matrix), number(sigma * tau), pulled)
                case Gaussian(_, variance), Gaussian():
                    pulled = self._correlated(s, v, other, g, variance)
                    if pulled != ZERO:
                        yield mul(self.rate(v.name), pulled)
                case _:
                    pass

    def _correlated(self, s: int, v: InitVector, other: InitVector, g: Expr, variance: float) -> Expr:
        """Cov(v, other) g, summed over the batch: a table where the program says one, else diagonal."""
        batch = self.samples.then_axes(s, (self.samples.sample,))
        table = self._table(v, other)
        if table is not None:
            return sum_out(mul(table, g), (*batch, *map(self.samples.then_axis, other.axes)), self.out.scope)
        if v.name != other.name:
            return ZERO
        return mul(number(variance), sum_out(self.samples.now(g, v.axes), batch, self.out.scope))

    def _table(self, v: InitVector, other: InitVector) -> Tensor | None:
        """Cov(v, other) over v's axes and other's, those under their names of then; None where the program says none."""
        size, then = self.tape.program.size, {x: self.samples.then_axis(x) for x in other.axes}
        mine, theirs = v.axes, tuple(then[x] for x in other.axes)
        shape = [tuple(size[x] for x in w.axes) for w in (v, other)]
        for c in self.tape.program.covariances:
            if (c.a, c.b) == (v.name, other.name):
                return Tensor((*mine, *theirs), (*shape[0], *shape[1]), c.values)
            if (c.a, c.b) == (other.name, v.name):
                return Tensor((*theirs, *mine), (*shape[1], *shape[0]), c.values)
        return None

    def _gram(self, a: InitVector, b: InitVector) -> str:
        """<xi, xi'> / d between all samples and positions of two inputs."""
        assert isinstance(a.law, Embedding)
        assert isinstance(b.law, Embedding)
        pair = ("gram", a.law.input, b.law.input)
        if pair not in self.inputs:
            name = f"gram_{a.law.input}" + (f"_{b.law.input}" if a.law.input != b.law.input else "")
            self.inputs[pair] = self.out.scalar(name, (*a.axes, *map(self.samples.then_axis, b.axes))).name
        return self.inputs[pair]
