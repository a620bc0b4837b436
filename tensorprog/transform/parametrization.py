"""abc(d)-parametrizations and what they do at infinite width (Yang & Hu 2021, TP IV, Def. 3.1, Thm 3.8; Yang & Littwin 2023, TP IVb, Def. 2.4.1).

A parametrization is four exponents a tensor: W = n^-a w, initial entries w ~ N(0, n^-2b), update w -= eta n^-c Q(n^d grad). SGD has
Q(g) = g, so that only c - d matters there (the `c` of TP IV); an entrywise optimizer (sign, Adam) needs d such that its argument is of size 1.

Tensors come in three classes: `matrix` (width x width), `vector` (one dimension grows: embeddings, biases, gains) and `readout`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from tensorprog.errors import InvalidProgram
from tensorprog.language.program import Network

Role = Literal["vector", "matrix", "readout"]
Optimizer = Literal["sgd", "entrywise"]
HALF = Fraction(1, 2)
MOTION = "motion of f"


@dataclass(frozen=True)
class Exponents:
    """W = n^-a w, w ~ N(0, n^-2b), w -= eta n^-c Q(n^d grad)."""

    a: Fraction
    b: Fraction
    c: Fraction
    d: Fraction = Fraction(0)

    @property
    def sgd(self) -> Fraction:
        """The exponent of SGD's learning rate, eta n^-(c - d)."""
        return self.c - self.d


@dataclass(frozen=True)
class Parametrization:
    """Exponents for each class of tensors; `tensors` names those that have their own."""

    name: str
    vector: Exponents
    matrix: Exponents
    readout: Exponents
    tensors: Mapping[str, Exponents] = field(default_factory=dict[str, Exponents])

    def of(self, tensor: str, role: Role) -> Exponents:
        return self.tensors.get(tensor) or {"vector": self.vector, "matrix": self.matrix, "readout": self.readout}[role]


@dataclass(frozen=True)
class Layer:
    tensor: str
    role: Role
    exponents: Exponents


@dataclass(frozen=True)
class Condition:
    """`formula`: left = right, or left >= right."""

    formula: str
    left: Fraction
    relation: Literal["=", ">="]
    right: Fraction

    @property
    def holds(self) -> bool:
        return self.left == self.right if self.relation == "=" else self.left >= self.right

    @property
    def tight(self) -> bool:
        return self.left == self.right

    def __str__(self) -> str:
        return f"{self.formula}: {self.left} {self.relation} {self.right} {'holds' if self.holds else 'fails'}"


@dataclass(frozen=True)
class Classification:
    """What a parametrization does as n grows.

    Attributes:
        verdict: "unstable" (something diverges), "trivial" (f does not move) or "stable" (neither).
        r: features move by n^-r; None where they do not move, nothing but the readout being trained.
        regime: of a stable parametrization: "feature learning" (r = 0) or "kernel" (otherwise).
        conditions: of stability; those on the motion of f also decide whether f moves: one of them is an equality.
    """

    verdict: Literal["stable", "trivial", "unstable"]
    r: Fraction | None
    regime: Literal["feature learning", "kernel"] | None
    conditions: tuple[Condition, ...]

    @property
    def failing(self) -> tuple[Condition, ...]:
        return tuple(c for c in self.conditions if not c.holds)

    def __str__(self) -> str:
        head = f"{self.verdict}, r = {self.r}" + (f", {self.regime}" if self.regime else "")
        if self.verdict == "trivial":
            return "\n".join([head, *(f"  {c}, not an equality" for c in self.conditions if c.formula.startswith(MOTION))])
        return "\n".join([head, *(f"  {c}" for c in self.failing)])


def exponents(a: float | Fraction, b: float | Fraction, c: float | Fraction, d: float | Fraction = 0) -> Exponents:
    return Exponents(Fraction(a), Fraction(b), Fraction(c), Fraction(d))


# Named parametrizations (TP IV, Table 1; TP IVb, Def. 2.4.1 and 2.5.1).

NTP = Parametrization("ntp", exponents(0, 0, HALF, HALF), exponents(HALF, 0, 1, 1), exponents(HALF, 0, HALF, HALF))
MUP = Parametrization("mup", exponents(0, 0, 0, 1), exponents(0, HALF, 1, 1), exponents(1, 0, 0, 1))
STANDARD = Parametrization("standard", exponents(0, 0, 1), exponents(0, HALF, 1), exponents(0, HALF, 1))
# of one hidden layer; deeper, its matrices are those of muP in another gauge
MEAN_FIELD = Parametrization("mean_field", exponents(0, 0, -1), exponents(HALF, 0, -1), exponents(1, 0, -1))
# what frameworks do unless told otherwise: the standard initialization, one learning rate for all widths; unstable
FRAMEWORK = Parametrization("framework", exponents(0, 0, 0), exponents(0, HALF, 0), exponents(0, HALF, 0))


def up_s(s: float | Fraction) -> Parametrization:
    """The line from muP (s = 0) to the NTK parametrization (s = 1/2): features move by n^-s (TP IV, App. G).

    Raises:
        InvalidProgram: s is not in [0, 1/2].
    """
    s = Fraction(s)
    if not 0 <= s <= HALF:
        raise InvalidProgram(f"[parametrization] s is {s}. UP_s is stable for s from 0 (muP) to 1/2 (NTK parametrization).")
    return Parametrization(f"up_{s}", exponents(s - HALF, HALF - s, 0), exponents(s, HALF - s, 0), exponents(HALF, HALF - s, 0))


def named(name: str) -> Parametrization:
    """The parametrization of this name: ntp, mup, standard, mean_field, framework.

    Raises:
        InvalidProgram: there is none.
    """
    known = {p.name: p for p in (NTP, MUP, STANDARD, MEAN_FIELD, FRAMEWORK)}
    if name not in known:
        raise InvalidProgram(f"[parametrization] no parametrization is called {name!r}. Take {', '.join(known)}, or up_s(s).")
    return known[name]


def shift(e: Exponents, theta: float | Fraction) -> Exponents:
    """The same training, written otherwise: (a, b, c, d) -> (a + theta, b - theta, c - theta, d + theta) (TP IV, section 3; TP IVb, section 2.5)."""
    t = Fraction(theta)
    return Exponents(e.a + t, e.b - t, e.c - t, e.d + t)


def roles(network: Network) -> dict[str, Role]:
    """The class of every tensor of a network."""
    p = network.program
    readouts: dict[str, Role] = {r.vector: "readout" for r in network.readouts}
    matrices: dict[str, Role] = {m.name: "matrix" for m in p.matrices}
    return {name: readouts.get(name) or matrices.get(name) or "vector" for name in network.parameters}


def layers(parametrization: Parametrization, of: int | Network) -> tuple[Layer, ...]:
    """The tensors of an MLP with this many hidden layers (W1 .. W{L+1}), or the trained tensors of a network, with their exponents.

    Raises:
        InvalidProgram: the depth is not positive.
    """
    kinds: dict[str, Role]
    if isinstance(of, Network):
        kinds = {name: role for name, role in roles(of).items() if of.trained(name).rate != 0}
    elif of >= 1:
        kinds = {"W1": "vector", **dict.fromkeys((f"W{l}" for l in range(2, of + 1)), "matrix"), f"W{of + 1}": "readout"}
    else:
        raise InvalidProgram(f"[parametrization] the depth is {of}. Give the number of hidden layers, 1 or more, or a network.")
    return tuple(Layer(name, role, parametrization.of(name, role)) for name, role in kinds.items())


def classify(parametrization: Parametrization, of: int | Network, optimizer: Optimizer = "sgd") -> Classification:
    """Stable, trivial or unstable; kernel regime or feature learning (TP IV, Thm 3.8; for entrywise optimizers TP IVb, Thm 2.5).

    Last-layer gradients are of size n^-q with q = min(a + b, 2 a + c) of the readout (entrywise: min(a + b, a + c)); a tensor moves the features by
    n^-r_l, r_l = q + c_l + 2 a_l - 1 for a matrix and q + c_l + 2 a_l for a vector (entrywise: c_l + a_l - 1, c_l + a_l), and r = min r_l.

    Args:
        of: the number of hidden layers of an MLP, or a network, whose trained tensors then count.
        optimizer: "sgd", or "entrywise": SignSGD, Adam, whose d is also checked to make Q's argument of size 1.

    Raises:
        InvalidProgram: there is no readout, or the depth is not positive.
    """
    tensors = layers(parametrization, of)
    out = parametrization.readout if isinstance(of, int) else _readout(parametrization, of)
    step = 2 * out.a + out.sgd if optimizer == "sgd" else out.a + out.c
    q = min(out.a + out.b, step)
    r = min((_feature_exponent(layer, q, optimizer) for layer in tensors if layer.role != "readout"), default=None)
    conditions = (*_initial(tensors), *(_faithful(tensors, q) if optimizer == "entrywise" else ()), *_moving(out, step, r))
    if not all(c.holds for c in conditions):
        return Classification("unstable", r, None, conditions)
    if not any(c.tight for c in conditions if c.formula.startswith(MOTION)):
        return Classification("trivial", r, None, conditions)
    return Classification("stable", r, "feature learning" if r == 0 else "kernel", conditions)


def _feature_exponent(layer: Layer, q: Fraction, optimizer: Optimizer) -> Fraction:
    e, averaged = layer.exponents, int(layer.role == "matrix")  # dh x^T x sums over the n coordinates of x
    return (q + 2 * e.a + e.sgd if optimizer == "sgd" else e.a + e.c) - averaged


def _initial(tensors: Sequence[Layer]) -> tuple[Condition, ...]:
    """Activations of size 1, outputs of size at most 1 at initialization."""
    found: list[Condition] = []
    for t in tensors:
        size = t.exponents.a + t.exponents.b
        relation: Literal["=", ">="] = ">=" if t.role == "readout" else "="
        found.append(Condition(f"a + b of {t.tensor}", size, relation, Fraction(0) if t.role == "vector" else HALF))
    return tuple(found)


def _faithful(tensors: Sequence[Layer], q: Fraction) -> tuple[Condition, ...]:
    """The optimizer is given gradients of size 1."""
    return tuple(Condition(f"d of {t.tensor}", t.exponents.d, "=", t.exponents.a + (0 if t.role == "readout" else q)) for t in tensors)


def _moving(out: Exponents, step: Fraction, r: Fraction | None) -> tuple[Condition, ...]:
    """Neither features nor outputs blow up; f moves, through the readout or through the features, if one of the last two is an equality."""
    by_readout = Condition(f"{MOTION} by the readout", step, ">=", Fraction(1))
    if r is None:
        return (by_readout,)
    by_features = Condition(f"{MOTION} by the features, a + b of the readout + r", out.a + out.b + r, ">=", Fraction(1))
    return Condition("r, the motion of the features", r, ">=", Fraction(0)), by_readout, by_features


def _readout(parametrization: Parametrization, network: Network) -> Exponents:
    if len({parametrization.of(r.vector, "readout") for r in network.readouts}) != 1:
        raise InvalidProgram("[parametrization] the readouts of the network have different exponents. Give them the same.")
    return parametrization.of(network.readouts[0].vector, "readout")
