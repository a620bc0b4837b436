"""SGD as a program (Yang & Littwin 2021, App. D.1; Yang & Hu 2021, TP IV, App. H): nothing new is sampled, only initial matrices multiply.

With x_t = x_0 + theta x~_t for every vector and scalar of the forward and the backward pass, theta = N^-r, and w(t, s) the weight of the gradient
of step s in what a tensor has moved by at time t:

| what                  | deviation at time t                                                                                    | rule         |
| --------------------- | ------------------------------------------------------------------------------------------------------ | ------------ |
| x = psi(h..; c..)     | see `deviation`                                                                                        | [dev-*]      |
| h = W x               | W_0 x~_t - sigma^2 sum_s w(t, s) sum_(l, r) (r_s . x_t / n_in) chi_s l_s, over the uses l r^T of W       | [dev-matmul] |
| g = W^T y             | W_0^T y~_t - sigma^2 (n_out / n_in) sum_s w(t, s) sum_(l, r) (l_s . y_t / n_out) chi_s r_s                | [dev-matmul] |
| g_i = sigma_i U xi_i  | - sum_s w(t, s) sum_j sigma_i sigma_j (<xi_j, xi_i> / d) chi_s dg_{j,s}                                   | [dev-init]   |
| b, v                  | - Cov(b) sum_s w(t, s) chi_s db_s                                                                      | [dev-init]   |
| f                     | f_t = f_0 + N^-(g + r - 1) sum over readouts of (v x)~_t / n                                            | [dev-output] |

chi_s = dL/df(f_s). All are identities at every width: the finite meaning of the program is SGD on the finite network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

from tensorprog.errors import InvalidProgram, OutsideTheory
from tensorprog.language.calculus import sum_out
from tensorprog.language.expr import ONE, Expr, Gather, Ref, Tensor, add, mul, number, power, substitute
from tensorprog.language.instr import Embedding, Gaussian, InitVector, Instr, MatMul, Moment, Nonlin
from tensorprog.language.program import Network, Program
from tensorprog.transform.parametrization import Parametrization
from tensorprog.transform.unroll.deviation import Carried, carried
from tensorprog.transform.unroll.exponents import Powers, default_parametrization, powers
from tensorprog.transform.unroll.losses import LossGradient, loss_named
from tensorprog.transform.unroll.network import Tape, tape
from tensorprog.transform.unroll.optimizer import SGD, Schedule
from tensorprog.transform.unroll.writer import Writer


@dataclass(frozen=True)
class Unrolled:
    """Training as a program.

    Attributes:
        program: valid; over the axis `sample` of all samples, those trained on and probes alike.
        network: the network with its several outputs as an axis of f.
        f: the scalars f_0 .. f_T over (sample, *output axes).
        dev: for every vector and scalar x of the forward and backward pass the names of x~_0 .. x~_T; None where x does not move (yet).
            Gradients after time 0 are those of the samples of the step's batch only.
        batches: the samples of each step.
        powers: of the width: x_t = x_0 + N^-r x~_t with r = powers.deviation.
        labels, start, grams: initial scalars to be given: the labels, f_0 (None where the program computes it), and
            <xi, xi'> / d for pairs of inputs.
    """

    program: Program
    network: Network
    tape: Tape
    f: tuple[str, ...]
    dev: Mapping[str, tuple[str | None, ...]]
    batches: tuple[tuple[int, ...], ...]
    powers: Powers
    labels: str
    start: str | None
    grams: Mapping[tuple[str, str], str]

    @property
    def steps(self) -> int:
        return len(self.batches)

    @property
    def sample(self) -> str:
        return self.tape.sample

    @property
    def outputs(self) -> str | None:
        """The axis of a readout vector that counts several outputs; None where f has one."""
        return self.tape.outputs


def unroll(
    network: Network,
    samples: int,
    *,
    steps: int | None = None,
    batches: Sequence[int | Sequence[int]] | None = None,
    optimizer: SGD = SGD(),
    loss: str | LossGradient = "squared",
    parametrization: Parametrization | None = None,
    reduction: str = "sum",
) -> Unrolled:
    """The program of training `network` on samples 0 .. samples - 1.

    Args:
        samples: how many inputs there are, probes included: a sample that stands in no batch is a probe.
        steps: the number of steps; by default one a batch.
        batches: the samples of each step, one number or several; all samples at every step unless given.
        parametrization: by default NTK parametrization for f = v . x / sqrt(n) and muP for f = v . x / n.
        reduction: the loss of a batch is the "sum" over its samples, or their "mean".

    Raises:
        InvalidProgram: batches that name no sample, numbers that are not finite, a loss that does not fit f.
        OutsideTheory: a parametrization that is unstable, or weight decay in the kernel regime.
    """
    found = powers(network, parametrization or default_parametrization(network))
    chosen = _batches(samples, steps, batches)
    if reduction not in ("sum", "mean"):
        raise InvalidProgram(f"[reduction] {reduction!r} is no reduction. Take sum or mean.")
    if optimizer.decay and found.deviation > 0:
        raise OutsideTheory(
            "[optimizer] weight decay at a fixed rate changes the time-0 part of every vector, and with it the kernel: in the kernel regime no "
            "expansion about time 0 holds it. Decay in muP, or train without."
        )
    kind = "moment" if found.gradient == 1 else "ntk"
    whole = tape(replace(network, kind=kind), samples)
    schedule = optimizer.schedule(len(chosen))
    return _Unroller(whole, found, schedule, loss_named(loss), chosen, reduction == "mean").play()


def _batches(samples: int, steps: int | None, batches: Sequence[int | Sequence[int]] | None) -> tuple[tuple[int, ...], ...]:
    every = tuple(range(samples))
    chosen = tuple((b,) if isinstance(b, int) else tuple(b) for b in batches) if batches is not None else (every,) * (1 if steps is None else steps)
    if samples < 1 or (steps is not None and len(chosen) != steps) or not all(b and set(b) <= set(every) for b in chosen):
        raise InvalidProgram(f"[batch] batches {chosen} for {steps} steps on {samples} samples. Name samples 0 .. {samples - 1}, one batch a step.")
    return chosen


@dataclass(frozen=True)
class _Use:
    """chi_s l_s r_s^T of one use of a matrix at one step, under axes of its own: `left` and `right`, and which axes they sum over."""

    left: Expr
    right: Expr
    axes: tuple[str, ...]


@dataclass
class _Unroller:
    tape: Tape
    powers: Powers
    schedule: Schedule
    loss: LossGradient
    batches: tuple[tuple[int, ...], ...]
    mean: bool
    uses: list[dict[str, list[_Use]]] = field(default_factory=list["dict[str, list[_Use]]"])
    gradients: list[dict[str, Expr]] = field(default_factory=list["dict[str, Expr]"])
    grams: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    lags: dict[str, Expr] = field(default_factory=dict[str, Expr])
    names: dict[tuple[str, int], str] = field(default_factory=dict[tuple[str, int], str])

    def __post_init__(self) -> None:
        self.out = Writer(self.tape.program)
        self.network = self.tape.network
        p = self.tape.program
        self.base_ratio = float(p.width[self.tape.back.base].ratio)
        r = self.powers.deviation
        self.theta: Expr = self.power("theta", r) if r else ONE
        self.scale: Expr = self.power("scale", self.powers.output) if self.powers.output else ONE
        self.trained = {name for name in self.powers.rate if name in p.matrix or name in self.tape.back.adjoint or self.embedded(name)}

    def play(self) -> Unrolled:
        axes = (self.tape.sample, *self.network.output_axes)
        labels = self.out.scalar("y", axes)
        start: str | None = None
        if self.powers.gradient < 1:
            f = self.out.scalar("f_0", axes)
            start = f.name
        else:
            f = self.output(0, None, {})
        fs, moved = [f], list[dict[str, Carried]]()
        for t in range(len(self.batches) + 1):
            values = self.forward(t)
            if t:
                fs.append(self.output(t, fs[0], values))
            if t < len(self.batches):
                self.backward(t, values, fs[t], labels)
            moved.append(values)
        dev = {x: tuple(_name(values.get(x)) for values in moved) for x in self.tape.program.axes_of}
        program = self.out.finished(f"{self.network.name}_trained", tuple(f.name for f in fs))
        return Unrolled(program, self.network, self.tape, program.outputs, dev, self.batches, self.powers, labels.name, start, self.grams)

    # One pass at time t.

    def forward(self, t: int) -> dict[str, Carried]:
        """The deviations of the forward pass on all samples."""
        values: dict[str, Carried] = {}
        if t == 0:
            return values
        for v in self.tape.program.vectors:
            self.keep(values, t, v.name, self.initial(t, v))
        for i in self.tape.forward:
            self.instruction(values, t, i, values)
        return values

    def backward(self, t: int, values: dict[str, Carried], f: Ref, labels: Ref) -> None:
        """The deviations of the backward pass on the batch, and what the step adds to the tensors."""
        here = {x: self.on_batch(t, Carried(Ref(x), values[x].dev if x in values else number(0))) for x in self.tape.program.axes_of}
        for i in self.tape.backward if t else ():
            self.instruction(values, t, i, here)
            here[i.out] = Carried(here[i.out].base, values[i.out].dev if i.out in values else number(0))
        chi = self.chi(t, f, labels)
        self.uses.append({w: [self.use(t, w, l, r, chi, here) for l, r in pairs] for w, pairs in self.tape.back.uses.items() if w in self.trained})
        self.gradients.append({x: self.gradient(t, x, chi, here) for x in self.moving_vectors()})

    def instruction(self, values: dict[str, Carried], t: int, i: Instr, at: Mapping[str, Carried]) -> None:
        """Write the deviation of i.out, reading its variables in `at`."""
        match i:
            case MatMul(out, matrix, arg, transpose):
                x = at.get(arg, Carried(Ref(arg)))
                parts = self.correction(t, matrix, transpose, x)
                if x.moves:
                    name = f"{matrix}_dev_{arg}_{t}"
                    kept = self.out.matmul(name, matrix, self.out.vector(f"dev_{arg}_batch_{t}", x.dev).name, transpose)
                    parts = (mul(number(self.kept(matrix, t)), kept), *parts)
                if self.kept(matrix, t) != 1.0:
                    parts = (*parts, mul(number(self.kept(matrix, t) - 1.0), at[out].base if out in at else Ref(out)))
                self.keep(values, t, out, add(*parts))
            case Nonlin(out, psi) | Moment(out, psi):
                found = carried(psi, at, self.theta, self.out.scope).dev
                if found != number(0):
                    name = f"dev_{out}_{t}"
                    written = self.out.moment(name, found) if isinstance(i, Moment) else self.out.nonlin(name, found)
                    values[out] = Carried(Ref(out), written)
            case _:
                assert_never(i)

    def keep(self, values: dict[str, Carried], t: int, x: str, dev: Expr) -> None:
        if dev != number(0):
            values[x] = Carried(Ref(x), self.out.nonlin(f"dev_{x}_{t}", dev))

    # What the tensors have moved by.

    def correction(self, t: int, matrix: str, transpose: bool, x: Carried) -> tuple[Expr, ...]:
        """[dev-matmul] without W_0 x~."""
        if matrix not in self.trained:
            return ()
        m = self.tape.program.matrix[matrix]
        ratio = self.out_of_in(m.rows, m.cols) if transpose else ONE
        strength = mul(self.rate(matrix, m.sigma), number(m.sigma**2), ratio)
        now = self.out.vector(f"{_label(x.base)}_{t}", x.at(self.theta)) if any(self.uses[:t]) else x.base
        terms: list[Expr] = []
        for s in range(t):
            for k, use in enumerate(self.uses[s].get(matrix, ())):
                inner, outer = (use.left, use.right) if transpose else (use.right, use.left)
                gram = self.out.moment(f"gram_{matrix}_{s}_{t}" + (f"_{k}" if k else ""), mul(inner, now))
                weight = number(-self.schedule.weight(t, s))
                terms.append(mul(weight, strength, sum_out(mul(gram, outer), use.axes, self.out.scope)))
        return tuple(terms)

    def initial(self, t: int, v: InitVector) -> Expr:
        """[dev-init]."""
        name = v.law.matrix if isinstance(v.law, Embedding) else v.name
        if name not in self.trained:
            return number(0)
        steps = [(s, self.schedule.weight(t, s)) for s in range(t)]
        before: tuple[Expr, ...] = ()
        if self.schedule.is_plain() and (v.name, t - 1) in self.names:
            before, steps = (Ref(self.names[v.name, t - 1]),), steps[-1:]
        decayed = mul(number(self.kept(name, t) - 1.0), Ref(v.name))
        terms = [mul(number(-weight), term) for s, weight in steps for term in self.pull(s, v)]
        found = add(*before, decayed, *terms)
        if found != number(0):
            self.names[v.name, t] = f"dev_{v.name}_{t}"
        return found

    def pull(self, s: int, v: InitVector) -> Iterable[Expr]:
        """By how much step s pulls at an initial vector: the covariance of its group times the gradients."""
        for other in self.tape.program.vectors:
            g = self.gradients[s].get(other.name)
            if g is None:
                continue
            match v.law, other.law:
                case Embedding(matrix, _, sigma), Embedding(twin, _, tau) if matrix == twin:
                    gram = self.history(s, Ref(self.gram(v, other)), of=other)
                    axes = self.history_axes(s, (self.tape.sample, *other.axes))
                    yield mul(self.rate(matrix, sigma), number(sigma * tau), sum_out(mul(gram, g), axes, self.out.scope))
                case Gaussian(), Gaussian():
                    yield from self.covariance(s, v, other, g)
                case _:
                    pass

    def covariance(self, s: int, v: InitVector, other: InitVector, g: Expr) -> Iterable[Expr]:
        """Cov(v, other) g: diagonal, unless the program says a table."""
        sigma = v.law.variance**0.5 if isinstance(v.law, Gaussian) else 1.0
        own = self.history_axes(s, (self.tape.sample,))
        primed = {a: self.history_axis(a) for a in other.axes}
        table = _table(self.tape.program, v, other, primed)
        if table is not None:
            moved = sum_out(mul(table, g), (*own, *primed.values()), self.out.scope)
            yield mul(self.rate(v.name, sigma), moved)
        elif v.name == other.name and sigma:
            back = g
            for a, a_ in primed.items():
                back = Gather(back, a_, a, tuple(range(self.out.scope.size[a]))) if a_ in self.out.scope.of(back) else back
            yield mul(self.rate(v.name, sigma), number(sigma**2), sum_out(back, own, self.out.scope))

    def rate(self, tensor: str, sigma: float) -> Expr:
        """The tensor's own learning rate; in the convention "sigma" the unit tensor moves by 1 / sigma^2 more."""
        training = self.network.trained(tensor)
        if training.convention == "sigma" and sigma == 0.0:
            raise InvalidProgram(f"[training] {tensor} has variance 0, and no unit tensor can move it. Give it a variance, or freeze it.")
        lag = self.powers.lag(tensor)
        if lag and tensor not in self.lags:
            self.lags[tensor] = self.power(f"lag_{tensor}", lag)
        return mul(number(training.rate * (sigma**-2 if training.convention == "sigma" else 1.0)), self.lags.get(tensor, ONE))

    def kept(self, tensor: str, t: int) -> float:
        return self.schedule.kept(t) if tensor in self.trained else 1.0

    # Outputs and gradients of a step.

    def output(self, t: int, start: Ref | None, values: Mapping[str, Carried]) -> Ref:
        """[dev-output]; at time 0 without a given f_0: the average itself."""
        terms: list[Expr] = []
        for k, r in enumerate(self.network.readouts):
            factor, read = self.tape.read(r)
            found = carried(read, values, self.theta, self.out.scope)
            e = found.base if start is None else found.dev
            if e != number(0):
                name = ("f_read" if start is None else "dev_f") + (f"_{r.of}" if k else "") + f"_{t}"
                terms.append(mul(factor, self.out.moment(name, e)))
        return self.out.moment(f"f_{t}", add(*((start,) if start else ()), mul(self.scale, add(*terms)) if terms else number(0)))

    def chi(self, t: int, f: Ref, labels: Ref) -> Expr:
        """dL/df on the batch, over the axes along which gradients are carried."""
        size = self.out.scope.size
        batch = [self.on_batch(t, Carried(e)).base for e in (f, labels)]
        for a, copy in self.tape.back.outputs.items():
            batch = [Gather(e, a, copy, tuple(range(size[a]))) for e in batch]
        scale = number(1.0 / len(self.batches[t]) if self.mean else 1.0)
        return self.out.moment(f"chi_{t}", mul(scale, self.loss.gradient(*batch, tuple(self.tape.back.outputs.values()))))

    def use(self, t: int, matrix: str, l: str, r: str, chi: Expr, here: Mapping[str, Carried]) -> _Use:
        """One use of a matrix at this step, chi in its gradient, under axes of history."""
        left, right = (here[x].at(self.theta) for x in (l, r))
        gradient_left = l in self.tape.back.adjoint.values()
        carried_axes = tuple(self.tape.back.outputs.values())
        weighted = sum_out(mul(chi, left if gradient_left else right), carried_axes, self.out.scope)
        name = f"{l if gradient_left else r}_{matrix}_step_{t}"
        weighted = self.out.nonlin(name, weighted)
        other = self.out.vector(f"{r if gradient_left else l}_step_{t}", right if gradient_left else left)
        ours, theirs = self.history(t, weighted), self.history(t, other)
        axes = tuple(sorted({*self.out.scope.of(ours), *self.out.scope.of(theirs)}))
        return _Use(ours, theirs, axes) if gradient_left else _Use(theirs, ours, axes)

    def gradient(self, t: int, x: str, chi: Expr, here: Mapping[str, Carried]) -> Expr:
        """sum over outputs of chi dx on the batch, under axes of history."""
        d = here[self.tape.back.adjoint[x]].at(self.theta)
        weighted = sum_out(mul(chi, d), tuple(self.tape.back.outputs.values()), self.out.scope)
        return self.history(t, self.out.nonlin(f"{self.tape.back.adjoint[x]}_step_{t}", weighted))

    def moving_vectors(self) -> tuple[str, ...]:
        """The initial vectors that are trained, or whose embedding is."""
        vectors = self.tape.program.vectors
        tensor = {v.name: v.law.matrix if isinstance(v.law, Embedding) else v.name for v in vectors}
        return tuple(v.name for v in vectors if tensor[v.name] in self.trained and v.name in self.tape.back.adjoint)

    # Axes.

    def on_batch(self, t: int, value: Carried) -> Carried:
        """A value over all samples, at those of the batch."""
        sample, batch = self.tape.sample, self.batches[t]
        into = self.batch_axis(t)

        def pick(e: Expr) -> Expr:
            return Gather(e, sample, into, batch) if sample in self.out.scope.of(e) else e

        return Carried(pick(value.base), pick(value.dev))

    def batch_axis(self, t: int) -> str | None:
        """The axis of a batch; a batch of one sample has none."""
        size = len(self.batches[t])
        return self.named_axis(f"batch{size}", size) if size > 1 else None

    def named_axis(self, name: str, size: int) -> str:
        return name if name in self.out.scope.size else self.out.axis(name, size)

    def history_axis(self, axis: str) -> str:
        """The axis of the earlier of two steps that meet in a sum."""
        return self.named_axis(f"{axis}_then", self.out.scope.size[axis])

    def history_axes(self, s: int, axes: tuple[str, ...]) -> tuple[str, ...]:
        batch = self.batch_axis(s)
        return tuple(self.history_axis(a) for a in ((batch if a == self.tape.sample else a) for a in axes) if a is not None)

    def history(self, s: int, e: Expr, of: InitVector | None = None) -> Expr:
        """A value of step s under axes of history; of a Gram scalar: only its second sample, at the batch."""
        if of is not None:
            batch = self.batch_axis(s)
            into = self.history_axis(batch) if batch else None
            return Gather(e, self.history_axis(self.tape.sample), into, self.batches[s])
        for a in self.out.scope.of(e):
            e = Gather(e, a, self.history_axis(a), tuple(range(self.out.scope.size[a])))
        return e

    # Scalars.

    def gram(self, a: InitVector, b: InitVector) -> str:
        """<xi, xi'> / d between all samples and positions of two inputs."""
        assert isinstance(a.law, Embedding)
        assert isinstance(b.law, Embedding)
        pair = (a.law.input, b.law.input)
        if pair not in self.grams:
            axes = (*a.axes, *(self.history_axis(x) for x in b.axes))
            self.grams[pair] = self.out.scalar(f"gram_{pair[0]}" + (f"_{pair[1]}" if pair[0] != pair[1] else ""), axes).name
        return self.grams[pair]

    def power(self, name: str, exponent: object) -> Ref:
        """N^-exponent."""
        e = float(exponent)  # type: ignore[arg-type]
        return self.out.scalar(name, (), self.base_ratio**-e, -e)

    def out_of_in(self, rows: str, cols: str) -> Expr:
        """n_out / n_in, written with the ratios that the backward pass has, or as a number."""
        width = self.tape.program.width
        return number(float(width[rows].ratio / width[cols].ratio))

    def embedded(self, tensor: str) -> bool:
        laws = (v.law for v in self.tape.program.vectors)
        return any(isinstance(law, Embedding) and law.matrix == tensor for law in laws)


def _name(value: Carried | None) -> str | None:
    return value.dev.name if value is not None and isinstance(value.dev, Ref) else None


def _label(e: Expr) -> str:
    """A name for what an expression shows: the variable that it is, or looks at."""
    return e.name if isinstance(e, Ref) else f"{e.arg.name}_batch" if isinstance(e, Gather) and isinstance(e.arg, Ref) else "x"


def _table(p: Program, v: InitVector, other: InitVector, primed: Mapping[str, str]) -> Tensor | None:
    """Cov(v, other) as constants over v's axes and other's, primed; None where the program says none."""
    for c in p.covariances:
        for a, b, swap in ((c.a, c.b, False), (c.b, c.a, True)):
            if (a, b) == (v.name, other.name):
                mine, theirs = v.axes, tuple(primed[x] for x in other.axes)
                axes = (*theirs, *mine) if swap else (*mine, *theirs)
                shape = tuple(p.size[x] for x in ((*other.axes, *v.axes) if swap else (*v.axes, *other.axes)))
                return Tensor(axes, shape, c.values)
    return None
