"""What the tensors have moved by: the gradients of the steps so far, kept as vectors of the program."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from tensorprog.language.calculus import sum_out
from tensorprog.language.expr import ONE, ZERO, Expr, Gather, Ref, add, mul, number
from tensorprog.language.instr import Embedding, Gaussian, InitVector
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
class Moved(ABC):
    """The gradients of the steps so far; a kind of optimizer says what follows from them.

    Attributes:
        uses: of every step and matrix, chi l r^T.
        gradients: of every step and initial vector x, sum over outputs of chi dx. Both under the axes of an earlier step.
        inputs: initial scalars made of the data, by what they hold: ("gram", xi, xi'), or ("input", xi).
        ratios: initial scalars that are ratios of widths.
    """

    out: Writer
    tape: Tape
    powers: Powers
    schedule: Schedule
    samples: Samples
    theta: Expr
    uses: list[Mapping[str, list[Use]]] = field(default_factory=list["Mapping[str, list[Use]]"])
    gradients: list[Mapping[str, Expr]] = field(default_factory=list["Mapping[str, Expr]"])
    inputs: dict[tuple[str, ...], str] = field(default_factory=dict[tuple[str, ...], str])
    ratios: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    lags: dict[str, Expr] = field(default_factory=dict[str, Expr])

    @abstractmethod
    def matmul(self, t: int, matrix: str, transpose: bool, x: Carried) -> tuple[Expr, ...]:
        """[dev-matmul]: what is added to the deviation of W x beside W_0 x~, a sum of terms."""

    @abstractmethod
    def initial(self, t: int, v: InitVector) -> Expr:
        """[dev-init]: the deviation of an initial vector."""

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

    def moves(self, name: str) -> bool:
        return name in self.powers.rate

    def kept(self, name: str, t: int) -> float:
        return self.schedule.kept(t) if self.moves(name) else 1.0

    def decayed(self, t: int, v: InitVector) -> Expr:
        """What weight decay adds to the deviation of an initial vector, unless deviations are measured from what has decayed."""
        kept = self.kept(tensor(v), t)
        return ZERO if kept == 1.0 or self.theta != ONE else mul(number(kept - 1.0), add(Ref(v.name), number(-mean(v))))

    def rate(self, name: str) -> Expr:
        """The learning rate of the unit tensor, beside that of the step."""
        lag = self.powers.lag(name)
        if lag and name not in self.lags:
            self.lags[name] = self.tape.power(self.out, f"lag_{name}", lag)
        return mul(number(self.pace(name)), self.lags.get(name, ONE))

    def pace(self, name: str) -> float:
        """The tensor's own factor on the learning rate of its unit tensor."""
        return self.tape.pace[name]

    def out_of_in(self, rows: str, cols: str) -> Expr:
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


def mean(v: InitVector) -> float:
    """The mean of an initial vector, which is no part of its trained tensor."""
    return v.law.mean if isinstance(v.law, Gaussian) else 0.0


def shown(e: Expr) -> str:
    """A name for what an expression shows: the variable that it is, or looks at."""
    return e.name if isinstance(e, Ref) else f"{e.arg.name}_batch" if isinstance(e, Gather) and isinstance(e.arg, Ref) else "x"
