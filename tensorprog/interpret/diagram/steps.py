"""Training folded step by step: what every step adds to every later pass (Yang & Littwin 2021, App. D.1).

With W_t = W_0 - eta sum_s chi_s dh_s x_s^T / n, a pass at time t reads of every earlier step s only the Gram scalars theta_st = x_s . x_t / n:

    W_t x_t = W_0 x_t - eta sum_(s < t) theta_st chi_s dh_s

so that a training program is a triangle: passes on its diagonal, Gram scalars below it. For momentum and weight decay eta is the weight w(t, s).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose
from typing import Literal

from tensorprog.interpret.diagram.names import indexed, transposed, typeset
from tensorprog.interpret.diagram.psi import number
from tensorprog.language.expr import refs
from tensorprog.language.instr import Embedding, Gaussian, MatMul
from tensorprog.transform.prune import needed
from tensorprog.transform.unroll import Unrolled

Way = Literal["forward", "backward"]
TRANSPOSED = "^T"
SHOWN = 2  # variables of a shared tensor that a rule names


@dataclass(frozen=True)
class Addition:
    """What step `step` adds to a pass at time `time`, by one tensor.

    Attributes:
        key: the tensor, its transpose marked.
        scalar: a Gram scalar; else a vector.
        count: how many there are in the program.
    """

    step: int
    time: int
    way: Way
    key: str
    label: str
    scalar: bool
    count: int = 1

    @property
    def times(self) -> str:
        return rf"\times {self.count}" if self.count > 1 else ""


@dataclass(frozen=True)
class Rule:
    """What a kind of addition is, what it adds, and to which vector: mathtext."""

    scalar: bool
    what: str
    adds: str
    to: str


@dataclass(frozen=True)
class Steps:
    """A training program as a triangle.

    Attributes:
        samples: of each step, in words.
        everything: all samples, in words.
        given: whether f_0 is given from outside.
        loss: what is written in the gates that make chi.
        labelled: whether chi reads labels.
    """

    name: str
    samples: tuple[str, ...]
    everything: str
    given: bool
    loss: str
    labelled: bool
    additions: tuple[Addition, ...]
    rules: tuple[Rule, ...]

    @property
    def count(self) -> int:
        return len(self.samples)

    def at(self, time: int, step: int, way: Way) -> tuple[Addition, ...]:
        return tuple(a for a in self.additions if (a.time, a.step, a.way) == (time, step, way))


def steps_of(u: Unrolled) -> Steps:
    """The triangle of an unrolled program."""
    additions = (*_inputs(u), *_products(u), *_vectors(u))
    order = {key: k for k, key in enumerate(dict.fromkeys(a.key for a in additions))}
    found = tuple(sorted(additions, key=lambda a: (a.time, a.step, order[a.key])))
    chi = next(i for i in u.program.body if (part := u.parts.get(i.out)) is not None and part.kind == "loss" and part.time == 0)
    labelled = not isinstance(chi, MatMul) and u.labels in refs(chi.psi)
    name = f"{u.network.name}, {u.steps} step{'s' if u.steps != 1 else ''} of training"
    every = u.program.size[u.sample]
    samples = tuple(_words(batch, every) for batch in u.batches)
    return Steps(name, samples, _words(range(every), every), bool(u.start), "L'", labelled, found, tuple(_rules(u, found)))


def _words(batch: Sequence[int], every: int) -> str:
    """The samples of a step, counted from 1."""
    numbers = [str(s + 1) for s in batch]
    if len(numbers) > SHOWN + 1:
        return "all samples" if len(batch) == every else f"{len(batch)} samples"
    return ("samples " if len(numbers) > 1 else "sample ") + ", ".join(numbers)


def _products(u: Unrolled) -> list[Addition]:
    """The Gram scalars of matrices that the outputs need; for entrywise optimizers the terms of the vectors in their place."""
    wanted = needed(u.program, u.f)
    place = {i.out: k for k, i in enumerate(u.program.body)}
    groups: dict[tuple[int, int, str, bool, Way], list[str]] = {}
    for name, part in u.parts.items():
        if part.kind == "gram" and name in wanted and part.tensor is not None and part.step is not None:
            way: Way = "forward" if place[name] < place[u.f[part.time]] else "backward"
            groups.setdefault((part.time, part.step, part.tensor, part.transpose, way), []).append(name)
    found: list[Addition] = []
    for (t, last, tensor, transpose, way), names in groups.items():
        scalar = u.program.is_scalar(names[0])
        key, text = tensor + TRANSPOSED * transpose, _matrix(tensor, transpose)
        found += [
            Addition(s, t, way, key, _theta(text, s, t) if scalar else _update(text, s), scalar, len(names))
            for s in ((last,) if scalar else range(t))
        ]
    return found


def _inputs(u: Unrolled) -> list[Addition]:
    """<xi_s, xi_t> / d, for every embedding that is trained."""
    tensor = {v.law.input: v.law.matrix for v in u.network.program.vectors if isinstance(v.law, Embedding)}
    count: dict[str, int] = {}
    for key in u.inputs:
        count[tensor[key[1]]] = count.get(tensor[key[1]], 0) + 1
    scalar = not entrywise(u)
    pairs = [(s, t) for t in range(1, u.steps + 1) for s in range(t)]
    return [
        Addition(s, t, "forward", name, _theta(typeset(name), s, t) if scalar else _update(typeset(name), s), scalar, number if scalar else 1)
        for name, number in count.items()
        for s, t in pairs
    ]


def _vectors(u: Unrolled) -> list[Addition]:
    """The gradients of vector parameters: biases, readouts."""
    own = [v.name for v in u.tape.program.vectors if not isinstance(v.law, Embedding)]
    pairs = [(v, s, t) for v in own for t, dev in enumerate(u.dev[v]) if dev is not None for s in range(t)]
    label = _update if entrywise(u) else lambda v, s: indexed("d" + v, str(s))
    return [Addition(s, t, "forward", v, label(typeset(v), s), False) for v, s, t in pairs]


def entrywise(u: Unrolled) -> bool:
    """Whether the optimizer is a function of every entry's gradients."""
    return any(key[0] == "input" for key in u.inputs) or any(p.kind == "gram" and not u.program.is_scalar(x) for x, p in u.parts.items())


# Rules.


def _rules(u: Unrolled, additions: Sequence[Addition]) -> list[Rule]:
    """One for every kind of addition, in the order of their appearance."""
    return [_rule(u, key) for key in dict.fromkeys(a.key for a in additions)]


def _rule(u: Unrolled, key: str) -> Rule:
    back, tensor, transpose = u.tape.back, key.removesuffix(TRANSPOSED), key.endswith(TRANSPOSED)
    if tensor in back.uses:
        m = u.program.matrix[tensor]
        left, right = ([p[k] for p in back.uses[tensor]] for k in (0, 1))
        inner, outer = (left, right) if transpose else (right, left)
        ratio = u.program.width[m.rows].ratio / u.program.width[m.cols].ratio if transpose else 1
        return _of_matrix(u, _matrix(tensor, transpose), inner, outer, [_twin(x, u) for x in outer], "n", _eta(u, tensor, m.sigma, float(ratio)))
    embedded = [(v, v.law) for v in u.network.program.vectors if isinstance(v.law, Embedding) and v.law.matrix == tensor and v.name in back.adjoint]
    if embedded:
        gradients, to = [back.adjoint[v.name] for v, _ in embedded], [v.name for v, _ in embedded]
        return _of_matrix(u, typeset(tensor), [law.input for _, law in embedded], gradients, to, "d", _eta(u, tensor, embedded[0][1].sigma))
    law = next(v.law for v in u.tape.program.vectors if v.name == tensor)
    eta = _eta(u, tensor, law.variance**0.5 if isinstance(law, Gaussian) else 1.0)
    own = indexed("d" + typeset(tensor), "s")
    if entrywise(u):
        update = _update(typeset(tensor), "s")
        return Rule(False, rf"{update} = Q(\chi_{{s}}\,{own})", rf"-{eta}\,{update}", typeset(tensor))
    read = next((f" = {indexed(typeset(r.of), 's')}" for r in u.network.readouts if r.vector == tensor and r.sigma == 1), "")
    return Rule(False, own + read, rf"-{eta}\,\chi_{{s}}\,{own}", typeset(tensor))


def _of_matrix(u: Unrolled, matrix: str, inner: Sequence[str], outer: Sequence[str], to: Sequence[str], over: str, eta: str) -> Rule:
    """Of l r^T: r_s . r_t weighs l_s."""
    then, now, left = indexed(_row(inner, u), "s"), indexed(_row(inner, u), "t"), indexed(_row(outer, u), "s")
    target = indexed(_row(to, u), "t")
    if entrywise(u):
        update = _update(matrix, "s")
        return Rule(False, rf"{update} = Q(\chi_{{s}}\,{left}\,{_transposed(then)})", rf"-{eta}\,{update}\,{now}/{over}", target)
    theta = _theta(matrix, "s", "t")
    return Rule(True, f"{theta} = {_transposed(then)}{now}/{over}", rf"-{eta}\,\chi_{{s}}\,{left}\,{theta}", target)


def _eta(u: Unrolled, tensor: str, sigma: float, ratio: float = 1.0) -> str:
    """The learning rate with the tensor's own factors: its rate, sigma^2 (entrywise: sigma), a ratio of widths."""
    trained = u.network.trained(tensor)
    linear = u.tape.pace[tensor] * sigma**2 * ratio
    by_entry = trained.rate * ratio * (sigma if trained.convention == "unit" else 1.0)
    factor = by_entry if entrywise(u) else linear
    return r"\eta" if isclose(factor, 1.0) else number(factor) + r"\,\eta"


def _matrix(tensor: str, transpose: bool) -> str:
    return transposed(typeset(tensor)) if transpose else typeset(tensor)


def _theta(tensor: str, s: int | str, t: int | str) -> str:
    return indexed(r"\theta^{" + tensor + "}", f"{s}{t}")


def _update(tensor: str, s: int | str) -> str:
    return indexed("Q^{" + tensor + "}", str(s))


def _twin(name: str, u: Unrolled) -> str:
    """The vector whose gradient this is; of a vector of the forward pass (read by a transpose), its gradient."""
    return {d: x for x, d in u.tape.back.adjoint.items()}.get(name) or u.tape.back.adjoint.get(name, name)


def _row(names: Sequence[str], u: Unrolled) -> str:
    """One name, or several side by side: the columns of a matrix."""
    back = {d: x for x, d in u.tape.back.adjoint.items()}
    shown = [typeset(n, back.get(n)) for n in dict.fromkeys(names)]
    if len(shown) == 1:
        return shown[0]
    if len(shown) > SHOWN + 1:
        shown = [*shown[:1], r"\ldots", shown[-1]]
    return "(" + r",\, ".join(shown) + ")"


def _transposed(text: str) -> str:
    return text + r"^{\top}" if text.startswith("(") else transposed(text)
