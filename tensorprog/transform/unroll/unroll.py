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

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Literal, assert_never

from tensorprog.errors import InvalidProgram, OutsideTheory
from tensorprog.language.expr import ONE, ZERO, Expr, Ref, add, mul, number, substitute
from tensorprog.language.instr import Instr, MatMul, Moment, Nonlin, OuterNonlin
from tensorprog.language.program import Network, Program
from tensorprog.transform.parametrization import Optimizer, Parametrization
from tensorprog.transform.unroll.deviation import Carried, carried
from tensorprog.transform.unroll.entrywise import Entrywise as EntrywiseMoved
from tensorprog.transform.unroll.exponents import Powers, default_parametrization, powers
from tensorprog.transform.unroll.linear import Linear
from tensorprog.transform.unroll.losses import LossGradient, loss_named
from tensorprog.transform.unroll.moved import Moved, mean, shown, tensor
from tensorprog.transform.unroll.network import Tape, tape
from tensorprog.transform.unroll.optimizer import SGD, Entrywise
from tensorprog.transform.unroll.parts import Part
from tensorprog.transform.unroll.samples import Samples
from tensorprog.transform.unroll.writer import Writer


@dataclass(frozen=True)
class Unrolled:
    """Training as a program.

    Attributes:
        program: valid; over the axis `sample` of all samples, those trained on and probes alike.
        tape: the network, its several outputs an axis of f, with its backward pass.
        f: the scalars f_0 .. f_T over (sample, *output axes).
        dev: for every vector and scalar x of the forward and backward pass the names of x~_0 .. x~_T; None where x does not move (yet).
            Gradients after time 0 are those of the samples of the step's batch only.
        batches: the samples of each step.
        powers: of the width: x_t = x_0 + N^-r x~_t with r = powers.deviation.
        labels, start: initial scalars to be given: the labels, and f_0 (none where the program computes it). With weight decay in the kernel
            regime one for each of the times 0 .. T: the outputs of the network whose tensors have only decayed.
        inputs: initial scalars made of the data: ("gram", xi, xi') is <xi, xi'> / d, ("input", xi) xi / sqrt(d).
        ratios: initial scalars that are ratios of widths, (m, n) standing for m / n.
        parts: where in training each computed variable stands.
        kept: of every time, what factor of each trained tensor's initial value weight decay has left.
    """

    program: Program
    tape: Tape
    f: tuple[str, ...]
    dev: Mapping[str, tuple[str | None, ...]]
    batches: tuple[tuple[int, ...], ...]
    powers: Powers
    labels: str
    start: tuple[str, ...]
    inputs: Mapping[tuple[str, ...], str]
    ratios: Mapping[str, tuple[str, str]]
    parts: Mapping[str, Part]
    kept: tuple[Mapping[str, float], ...]

    def scalars(self, n: int) -> dict[str, float]:
        """The powers and the ratios of the actual widths at base width n, to be given to the finite interpreter."""
        width = self.program.width
        base = width[self.tape.back.base].at(n)
        powers = {c.name: float(base) ** c.exponent for c in self.program.scalars if c.exponent < 0}
        return powers | {name: width[a].at(n) / width[b].at(n) for name, (a, b) in self.ratios.items()}

    @property
    def steps(self) -> int:
        return len(self.batches)

    @property
    def network(self) -> Network:
        return self.tape.network

    @property
    def sample(self) -> str:
        return self.tape.sample

    @property
    def outputs(self) -> str | None:
        """The axis of a readout vector that counts several outputs; None where f has one."""
        return self.tape.outputs

    def draw(self, file: str | None = None, **options: Any) -> Any:
        """The picture of training, step by step, or with `unfold` as one program; see `tensorprog.draw`."""
        return import_module("tensorprog").draw(self, file=file, **options)

    def _repr_svg_(self) -> str:
        return self.draw().svg


def unroll(
    network: Network,
    samples: int,
    *,
    steps: int | None = None,
    batches: Sequence[int | Sequence[int]] | None = None,
    optimizer: SGD | Entrywise | None = None,
    loss: str | LossGradient = "squared",
    parametrization: Parametrization | None = None,
    reduction: Literal["sum", "mean"] = "sum",
    dims: Mapping[str, int] | int | None = None,
) -> Unrolled:
    """The program of training `network` on samples 0 .. samples - 1.

    Args:
        samples: how many inputs there are, probes included: a sample that stands in no batch is a probe.
        steps: the number of steps; by default one a batch.
        batches: the samples of each step, one number or several; all samples at every step unless given.
        optimizer: SGD at rate 1 unless given.
        parametrization: by default NTK parametrization for f = v . x / sqrt(n) and muP for f = v . x / n.
        dims: the dimension d of every input, one number if they are all the same; an entrywise optimizer needs it.
        reduction: the loss of a batch is the "sum" over its samples, or their "mean".

    Raises:
        InvalidProgram: batches that name no sample, numbers that are not finite, a loss that does not fit f.
        OutsideTheory: a parametrization that is unstable.
    """
    optimizer = SGD() if optimizer is None else optimizer
    kind: Optimizer = "sgd" if isinstance(optimizer, SGD) else "entrywise"
    found = powers(network, parametrization or default_parametrization(network), kind)
    chosen = _batches(samples, steps, batches)
    if reduction not in ("sum", "mean"):
        raise InvalidProgram(f"[reduction] {reduction!r} is no reduction. Take sum or mean.")
    whole = tape(replace(network, kind="moment" if found.gradient == 1 else "ntk"), samples)
    return _Unroller(whole, found, optimizer, loss_named(loss), chosen, reduction == "mean", _dims(whole, dims)).play()


def _batches(samples: int, steps: int | None, batches: Sequence[int | Sequence[int]] | None) -> tuple[tuple[int, ...], ...]:
    every = tuple(range(samples))
    chosen = tuple((b,) if isinstance(b, int) else tuple(b) for b in batches) if batches is not None else (every,) * (1 if steps is None else steps)
    if samples < 1 or (steps is not None and len(chosen) != steps) or not all(b and set(b) <= set(every) for b in chosen):
        raise InvalidProgram(f"[batch] batches {chosen} for {steps} steps on {samples} samples. Name samples 0 .. {samples - 1}, one batch a step.")
    return chosen


def _dims(whole: Tape, dims: Mapping[str, int] | int | None) -> dict[str, int]:
    names = [i.name for i in whole.program.inputs]
    return dict.fromkeys(names, dims) if isinstance(dims, int) else {name: d for name, d in (dims or {}).items() if name in names}


def _unmoved(i: OuterNonlin) -> OutsideTheory:
    return OutsideTheory(f"[unroll] {i.out} is an OuterNonlin: it has a gradient, but no rule for how it moves. Train a finite network: tp.train.")


@dataclass
class _Unroller:
    tape: Tape
    powers: Powers
    optimizer: SGD | Entrywise
    loss: LossGradient
    batches: tuple[tuple[int, ...], ...]
    mean: bool
    dims: Mapping[str, int]

    def __post_init__(self) -> None:
        self.out = Writer(self.tape.program)
        self.network = self.tape.network
        self.theta: Expr = self.tape.power(self.out, "theta", self.powers.deviation)
        self.scale: Expr = self.tape.power(self.out, "scale", self.powers.output)
        self.samples = Samples(self.out, self.tape.sample, self.batches)
        self.moved = self.rules(self.optimizer)
        self.moved.ratios |= self.tape.back.ratios
        self.rest: Mapping[str, Expr] = self.at_rest(0)

    def rules(self, optimizer: SGD | Entrywise) -> Moved:
        """[dev-matmul] and [dev-init] of the optimizer."""
        known = (self.out, self.tape, self.powers, optimizer.schedule(len(self.batches)), self.samples, self.theta)
        match optimizer:
            case SGD():
                return Linear(*known)
            case Entrywise():
                missing = [i.name for i in self.tape.program.inputs if i.name not in self.dims]
                if missing:
                    raise InvalidProgram(f"[optimizer] {optimizer.name} moves every entry of U: the dimension of {missing} is needed. Give dims.")
                return EntrywiseMoved(*known, optimizer=optimizer, features=self.dims)
            case _:
                assert_never(optimizer)

    def play(self) -> Unrolled:
        axes = (self.tape.sample, *self.network.output_axes)
        labels = self.out.scalar("y", axes)
        given = self.powers.gradient < 1
        fs = [self.out.scalar("f_0", axes) if given else self.output(0, None, {})]
        starts, passes = [fs[0]], list[dict[str, Ref]]()
        for t in range(len(self.batches) + 1):
            with self.out.within(Part("forward", t)):
                self.rest = self.at_rest(t)
                dev = self.forward(t) if t else {}
            if t:
                starts.append(self.out.scalar(f"f_rest_{t}", axes) if self.decays else fs[0])
                fs.append(self.output(t, starts[t], dev))
            if t < len(self.batches):
                with self.out.within(Part("backward", t)):
                    self.backward(t, dev, fs[t], labels)
            passes.append(dev)
        names = {x: tuple(dev[x].name if x in dev else None for dev in passes) for x in self.tape.program.axes_of}
        program = self.out.finished(f"{self.network.name}_trained", tuple(f.name for f in fs))
        start = tuple(dict.fromkeys(f.name for f in starts)) if given else ()
        return Unrolled(
            program,
            self.tape,
            program.outputs,
            names,
            self.batches,
            self.powers,
            labels.name,
            start,
            self.moved.inputs,
            self.moved.ratios,
            self.parts(),
            tuple({name: self.moved.kept(name, t) for name in self.powers.rate} for t in range(len(self.batches) + 1)),
        )

    def parts(self) -> dict[str, Part]:
        """The part of every variable: the network's own pass is that at time 0."""
        forward = {i.out: Part("forward", 0) for i in self.tape.forward}
        backward = {i.out: Part("backward", 0) for i in self.tape.backward}
        return forward | backward | self.out.parts

    # The time-0 part of every variable.

    @property
    def decays(self) -> bool:
        """Whether weight decay changes the parts that deviations are measured from; where features are learned they are parts of the deviations."""
        return self.optimizer.decay != 0.0 and self.theta != ONE

    def at_rest(self, t: int) -> dict[str, Expr]:
        """Every variable of the network whose tensors have decayed until time t and have not been trained: the variable itself without decay."""
        rest: dict[str, Expr] = {x: Ref(x) for x in self.tape.program.axes_of}
        if not self.decays or t == 0:
            return rest
        for v in self.tape.program.vectors:
            kept = self.moved.kept(tensor(v), t)
            if kept != 1.0:
                rest[v.name] = self.out.nonlin(f"rest_{v.name}_{t}", add(number((1.0 - kept) * mean(v)), mul(number(kept), Ref(v.name))))
        for i in (*self.tape.forward, *self.tape.backward):
            rest[i.out] = self.rested(t, i, rest)
        return rest

    def rested(self, t: int, i: Instr, rest: Mapping[str, Expr]) -> Ref:
        name = f"rest_{i.out}_{t}"
        match i:
            case MatMul(_, matrix, arg, transpose):
                product = self.out.matmul(f"{matrix}_rest_{arg}_{t}", matrix, self.out.vector(f"rest_{arg}_{t}", rest[arg]).name, transpose)
                return self.out.nonlin(name, mul(number(self.moved.kept(matrix, t)), product))
            case Nonlin(_, psi):
                return self.out.nonlin(name, substitute(psi, rest))
            case Moment(_, psi):
                return self.out.moment(name, substitute(psi, rest))
            case OuterNonlin():
                raise _unmoved(i)
            case _:
                assert_never(i)

    # A pass at time t: `dev` has the deviation of every variable that moves.

    def forward(self, t: int) -> dict[str, Ref]:
        """The deviations of the forward pass on all samples."""
        dev: dict[str, Ref] = {}
        for v in self.tape.program.vectors:
            found = self.moved.initial(t, v)
            if isinstance(found, Ref):
                dev[v.name] = found
        at = {x: Carried(rest, dev.get(x, ZERO)) for x, rest in self.rest.items()}
        for i in self.tape.forward:
            self.instruction(t, i, at, dev)
        return dev

    def backward(self, t: int, dev: dict[str, Ref], f: Ref, labels: Ref) -> None:
        """The deviations of the backward pass on the batch, and what the step adds to the tensors."""
        here = {x: self.samples.on_batch(t, Carried(rest, dev.get(x, ZERO))) for x, rest in self.rest.items()}
        for i in self.tape.backward if t else ():
            self.instruction(t, i, here, dev)
        chi = self.chi(t, f, labels)
        with self.out.within(Part("gradient", t)):
            self.moved.record(t, chi, here)

    def instruction(self, t: int, i: Instr, at: dict[str, Carried], dev: dict[str, Ref]) -> None:
        """Write the deviation of i.out, reading its variables in `at`."""
        base, name = at[i.out].base, f"dev_{i.out}_{t}"
        match i:
            case MatMul(_, matrix, arg, transpose):
                found = add(*self.matmul(t, matrix, transpose, at[arg], base))
                written = self.out.nonlin(name, found) if found != ZERO else None
            case Nonlin(_, psi):
                found = carried(psi, at, self.theta, self.out.scope).dev
                written = self.out.nonlin(name, found) if found != ZERO else None
            case Moment(_, psi):
                found = carried(psi, at, self.theta, self.out.scope).dev
                written = self.out.moment(name, found) if found != ZERO else None
            case OuterNonlin():
                raise _unmoved(i)
            case _:
                assert_never(i)
        if written is not None:
            dev[i.out] = written
            at[i.out] = Carried(base, written)

    def matmul(self, t: int, matrix: str, transpose: bool, x: Carried, base: Expr) -> Iterator[Expr]:
        """[dev-matmul]."""
        kept = self.moved.kept(matrix, t)
        if x.moves:
            arg = self.out.vector(f"dev_{shown(x.base)}_{t}", x.dev).name
            yield mul(number(kept), self.out.matmul(f"{matrix}_dev_{shown(x.base)}_{t}", matrix, arg, transpose))
        if kept != 1.0 and not self.decays:
            yield mul(number(kept - 1.0), base)
        yield from self.moved.matmul(t, matrix, transpose, x)

    # Outputs.

    def output(self, t: int, start: Ref | None, dev: Mapping[str, Ref]) -> Ref:
        """[dev-output]; at time 0 without a given f_0: the average itself."""
        at = {x: Carried(rest, dev.get(x, ZERO)) for x, rest in self.rest.items()}
        terms: list[Expr] = []
        with self.out.within(Part("output", t)):
            for k, r in enumerate(self.network.readouts):
                factor, read = self.tape.read(r)
                found = carried(read, at, self.theta, self.out.scope)
                e = found.base if start is None else found.dev
                if e != ZERO:
                    name = ("read" if start is None else "dev_f") + (f"_{r.of}" if k else "") + f"_{t}"
                    terms.append(mul(factor, self.out.moment(name, e)))
            return self.out.moment(f"f_{t}", add(*((start,) if start else ()), mul(self.scale, add(*terms)) if terms else ZERO))

    def chi(self, t: int, f: Ref, labels: Ref) -> Expr:
        """dL/df on the batch, over the axes along which gradients are carried."""
        of_batch, y_of_batch = (self.samples.of_batch(t, e) for e in (f, labels))
        for a, copy in self.tape.back.outputs.items():
            of_batch, y_of_batch = (self.samples.renamed(e, a, copy) for e in (of_batch, y_of_batch))
        scale = number(1.0 / len(self.batches[t]) if self.mean else 1.0)
        with self.out.within(Part("loss", t)):
            return self.out.moment(f"chi_{t}", mul(scale, self.loss.gradient(of_batch, y_of_batch, tuple(self.tape.back.outputs.values()))))
