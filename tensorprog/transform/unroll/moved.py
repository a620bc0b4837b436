"""What the tensors have moved by, for optimizers that are linear in the gradients: rules [dev-matmul] and [dev-init] of `unroll`.

With w(t, s) the weight of the gradient of step s at time t, a matrix has moved by - sigma^2 sum_s w(t, s) sum_(l, r) chi_s l_s r_s^T / n_in, over its
uses, samples and positions; an initial vector by - sum_s w(t, s) times the covariance of its group times the gradients.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tensorprog.language.calculus import sum_out
from tensorprog.language.expr import ONE, ZERO, Expr, Gather, Ref, Tensor, add, mul, number
from tensorprog.language.instr import Embedding, Gaussian, InitVector
from tensorprog.language.program import Program
from tensorprog.transform.unroll.deviation import Carried
from tensorprog.transform.unroll.exponents import Powers
from tensorprog.transform.unroll.network import Tape
from tensorprog.transform.unroll.optimizer import Schedule
from tensorprog.transform.unroll.samples import Samples
from tensorprog.transform.unroll.writer import Writer


@dataclass(frozen=True)
class Use:
    """chi l r^T of one use of a matrix at one step, and the axes that the sum over samples and positions goes along."""

    left: Expr
    right: Expr
    axes: tuple[str, ...]


@dataclass
class Moved:
    """The gradients of the steps so far, and what follows from them."""

    out: Writer
    tape: Tape
    powers: Powers
    schedule: Schedule
    samples: Samples
    theta: Expr
    uses: list[Mapping[str, list[Use]]] = field(default_factory=list["Mapping[str, list[Use]]"])
    gradients: list[Mapping[str, Expr]] = field(default_factory=list["Mapping[str, Expr]"])
    grams: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    ratios: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    lags: dict[str, Expr] = field(default_factory=dict[str, Expr])
    latest: dict[str, Expr] = field(default_factory=dict[str, Expr])

    # Recording a step.

    def record(self, t: int, chi: Expr, here: Mapping[str, Carried]) -> None:
        """Keep the gradients of step t, with chi in them."""
        back = self.tape.back
        self.uses.append({w: [self._use(t, w, l, r, chi, here) for l, r in pairs] for w, pairs in back.uses.items() if self.moves(w)})
        vectors = (v.name for v in self.tape.program.vectors if self.moves(tensor(v)) and v.name in back.adjoint)
        self.gradients.append({x: self.samples.then(self._weighted(f"{back.adjoint[x]}_step_{t}", chi, here[back.adjoint[x]])) for x in vectors})

    def _use(self, t: int, matrix: str, l: str, r: str, chi: Expr, here: Mapping[str, Carried]) -> Use:
        gradient_left = l in self.tape.back.adjoint.values()
        d, x = (l, r) if gradient_left else (r, l)
        weighted = self.samples.then(self._weighted(f"{d}_{matrix}_step_{t}", chi, here[d]))
        other = self.samples.then(self.out.vector(f"{x}_step_{t}", here[x].at(self.theta)))
        axes = tuple(sorted({*self.out.scope.of(weighted), *self.out.scope.of(other)}))
        return Use(weighted, other, axes) if gradient_left else Use(other, weighted, axes)

    def _weighted(self, name: str, chi: Expr, gradient: Carried) -> Expr:
        """sum over outputs of chi dx."""
        return self.out.nonlin(name, sum_out(mul(chi, gradient.at(self.theta)), tuple(self.tape.back.outputs.values()), self.out.scope))

    # [dev-matmul]

    def matmul(self, t: int, matrix: str, transpose: bool, x: Carried) -> tuple[Expr, ...]:
        """What has been added to W_0 x_t at time t."""
        if not self.moves(matrix) or not any(self.uses[s].get(matrix) for s in range(t)):
            return ()
        m = self.tape.program.matrix[matrix]
        strength = mul(self._rate(matrix), number(m.sigma**2), self._out_of_in(m.rows, m.cols) if transpose else ONE)
        now = self.out.vector(f"{shown(x.base)}_{t}", x.at(self.theta))
        terms: list[Expr] = []
        for s in range(t):
            weight = number(-self.schedule.weight(t, s))
            for k, use in enumerate(self.uses[s].get(matrix, ())):
                inner, outer = (use.left, use.right) if transpose else (use.right, use.left)
                gram = self.out.moment(f"gram_{matrix}_{s}_{t}" + (f"_{k}" if k else ""), mul(inner, now))
                terms.append(mul(weight, strength, sum_out(mul(gram, outer), use.axes, self.out.scope)))
        return tuple(terms)

    # [dev-init]

    def initial(self, t: int, v: InitVector) -> Expr:
        """The deviation of an initial vector."""
        if not self.moves(tensor(v)):
            return ZERO
        steps = [(s, self.schedule.weight(t, s)) for s in range(t)]
        before: tuple[Expr, ...] = ()
        if self.schedule.is_plain() and v.name in self.latest:
            before, steps = (self.latest[v.name],), steps[-1:]
        decayed = mul(number(self.kept(tensor(v), t) - 1.0), Ref(v.name))
        found = add(*before, decayed, *(mul(number(-weight), term) for s, weight in steps for term in self._pull(s, v)))
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
                    yield mul(self._rate(matrix), number(sigma * tau), pulled)
                case Gaussian(_, variance), Gaussian():
                    pulled = self._correlated(s, v, other, g, variance)
                    if pulled != ZERO:
                        yield mul(self._rate(v.name), pulled)
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
        p: Program = self.tape.program
        for c in p.covariances:
            for a, b in ((v, other), (other, v)):
                if (c.a, c.b) == (a.name, b.name):
                    axes = (
                        tuple(self.samples.then_axis(x) if w is other else x for w in (a, b) for x in w.axes)
                        if v is not other
                        else (*v.axes, *map(self.samples.then_axis, v.axes))
                    )
                    return Tensor(axes, tuple(p.size[x] for w in (a, b) for x in w.axes), c.values)
        return None

    def _gram(self, a: InitVector, b: InitVector) -> str:
        """<xi, xi'> / d between all samples and positions of two inputs."""
        assert isinstance(a.law, Embedding)
        assert isinstance(b.law, Embedding)
        pair = (a.law.input, b.law.input)
        if pair not in self.grams:
            name = f"gram_{pair[0]}" + (f"_{pair[1]}" if pair[0] != pair[1] else "")
            self.grams[pair] = self.out.scalar(name, (*a.axes, *map(self.samples.then_axis, b.axes))).name
        return self.grams[pair]

    # Factors.

    def moves(self, name: str) -> bool:
        return name in self.powers.rate

    def kept(self, name: str, t: int) -> float:
        return self.schedule.kept(t) if self.moves(name) else 1.0

    def _rate(self, name: str) -> Expr:
        """The learning rate of the unit tensor, beside that of the step."""
        lag = self.powers.lag(name)
        if lag and name not in self.lags:
            self.lags[name] = self.tape.power(self.out, f"lag_{name}", lag)
        return mul(number(self.tape.pace[name]), self.lags.get(name, ONE))

    def _out_of_in(self, rows: str, cols: str) -> Expr:
        """n_out / n_in, an initial scalar where the two are not always equal."""
        width = self.tape.program.width
        if width[rows].ratio == width[cols].ratio:
            return ONE
        found = next((name for name, pair in self.ratios.items() if pair == (rows, cols)), None)
        if found is None:
            found = self.out.scalar(f"ratio_{rows}_{cols}", (), float(width[rows].ratio / width[cols].ratio)).name
            self.ratios[found] = (rows, cols)
        return Ref(found)


def tensor(v: InitVector) -> str:
    """What is trained when v moves: its embedding matrix, or itself."""
    return v.law.matrix if isinstance(v.law, Embedding) else v.name


def shown(e: Expr) -> str:
    """A name for what an expression shows: the variable that it is, or looks at."""
    return e.name if isinstance(e, Ref) else f"{e.arg.name}_batch" if isinstance(e, Gather) and isinstance(e.arg, Ref) else "x"
