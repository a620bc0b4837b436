"""Optimizers. Of one whose step is linear in the gradients: what a tensor has moved by is a weighted sum of them (Yang & Littwin 2021, section 5).

    q_{s+1} = mu q_s + g_s,    theta_{s+1} = (1 - eta_s lambda) theta_s - eta_s q_{s+1}

    theta_t = kept(t) theta_0 - sum_{s < t} weight(t, s) g_s

with kept(t) = prod_{u < t} (1 - eta_u lambda) and weight(t, s) = sum_{s <= u < t} eta_u mu^{u - s} prod_{u < w < t} (1 - eta_w lambda).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import isfinite, prod

from tensorprog.errors import InvalidProgram
from tensorprog.language.expr import Apply, Expr, add, mul, number, power
from tensorprog.language.nonlin import fn

Rate = float | Sequence[float] | Callable[[int], float]


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent; `rate` eta is a number, one number a step, or a function of the step; `decay` lambda is decoupled weight decay."""

    rate: Rate = 1.0
    momentum: float = 0.0
    decay: float = 0.0

    def schedule(self, steps: int) -> Schedule:
        """The schedule of so many steps.

        Raises:
            InvalidProgram: too few rates, or one that is not a finite number.
        """
        rates = tuple(_rates(self.rate, steps))
        if len(rates) < steps or not all(map(isfinite, (*rates, self.momentum, self.decay))):
            raise InvalidProgram(f"[optimizer] {self} does not say a finite rate for each of {steps} steps. Give one number, or one a step.")
        return Schedule(rates, self.momentum, self.decay)


@dataclass(frozen=True)
class Schedule:
    rates: tuple[float, ...]
    momentum: float
    decay: float

    def kept(self, t: int) -> float:
        """The factor on theta_0 after t steps."""
        return self._decayed(0, t)

    def weight(self, t: int, s: int) -> float:
        """The factor on -g_s after t steps."""
        return sum(self.rates[u] * self.momentum ** (u - s) * self._decayed(u + 1, t) for u in range(s, t))

    def is_plain(self) -> bool:
        """Whether weight(t, s) does not depend on t."""
        return self.momentum == 0.0 and self.decay == 0.0

    def _decayed(self, first: int, last: int) -> float:
        return prod(1.0 - self.rates[u] * self.decay for u in range(first, last))


def _rates(rate: Rate, steps: int) -> Iterator[float]:
    match rate:
        case float() | int():
            yield from (float(rate),) * steps
        case Sequence():
            yield from map(float, rate[:steps])
        case _:
            yield from (float(rate(s)) for s in range(steps))


# Entrywise optimizers.


@dataclass(frozen=True)
class Entrywise:
    """w <- (1 - eta_s lambda) w - eta_s Q_s(g_0, .., g_s) for every entry (Yang & Littwin 2023, TP IVb, Def. 2.1.1).

    Attributes:
        update: Q: the gradients g_0 .. g_s of an entry so far, as expressions, to the expression of its update.
    """

    name: str
    update: Callable[[tuple[Expr, ...]], Expr] = field(repr=False)
    rate: Rate = 1.0
    decay: float = 0.0

    def schedule(self, steps: int) -> Schedule:
        """The schedule of so many steps; see `SGD.schedule`."""
        return SGD(self.rate, 0.0, self.decay).schedule(steps)


def sign_sgd(rate: Rate = 1.0, eps: float = 0.0, decay: float = 0.0) -> Entrywise:
    """Q = g / sqrt(g^2 + eps^2); sign(g) for eps = 0, which a gradient that is 0 but for rounding (of a dead relu, say) makes +-1."""

    def update(g: tuple[Expr, ...]) -> Expr:
        return mul(g[-1], power(add(power(g[-1], 2), number(eps**2)), -0.5)) if eps else Apply(fn("sign"), (g[-1],))

    return Entrywise("sign_sgd", update, rate, decay)


def adam(rate: Rate = 1e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, decay: float = 0.0) -> Entrywise:
    """Q_s = m / (sqrt(v) + eps), with m and v the bias-corrected averages of g and g^2 (Kingma & Ba 2015); `decay` is that of AdamW."""

    def update(g: tuple[Expr, ...]) -> Expr:
        m, v = _average(g, b1), _average(tuple(power(x, 2) for x in g), b2)
        return mul(m, power(add(power(v, 0.5), number(eps)), -1))

    return Entrywise("adam", update, rate, decay)


def rmsprop(rate: Rate = 1e-3, b2: float = 0.9, eps: float = 1e-8) -> Entrywise:
    """Q_s = g_s / (sqrt(v) + eps), v the bias-corrected average of g^2."""

    def update(g: tuple[Expr, ...]) -> Expr:
        return mul(g[-1], power(add(power(_average(tuple(power(x, 2) for x in g), b2), 0.5), number(eps)), -1))

    return Entrywise("rmsprop", update, rate)


def _average(g: tuple[Expr, ...], b: float) -> Expr:
    """The bias-corrected exponential average: weights (1 - b) b^(s - r) / (1 - b^(s + 1))."""
    s = len(g) - 1
    return add(*(mul(number((1 - b) * b ** (s - r) / (1 - b ** (s + 1))), x) for r, x in enumerate(g)))
