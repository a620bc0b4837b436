"""Which theorem holds a program: its language, and where a hypothesis of the Master Theorem fails (Yang 2020, arXiv 2009.10685, App. E).

| rule               | says                                                                                                 |
| ------------------ | ---------------------------------------------------------------------------------------------------- |
| [scalar]           | scalars converge: none grows with n (f_0 = v.x / sqrt(n) would)                                        |
| [growth]           | Gaussian moments exist: nothing grows like exp(|x|^2); beyond Netsor, functions are polynomially bounded |
| [pseudo-lipschitz] | functions are pseudo-Lipschitz, in their parameters too (Remark E.12), where scalars are used            |
| [rank]             | what a matrix multiplies does not vanish in the limit (Assumption E.7, Remark E.13)                       |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from math import inf
from typing import assert_never

from tensorprog.language.expr import ZERO, Add, Apply, Expr, Fn, Gather, Growth, Mul, Number, Power, Ref, Softmax, Sum, Tensor, refs, substitute, walk
from tensorprog.language.instr import InitScalar, Instr, MatMul, Moment, Nonlin, OuterNonlin
from tensorprog.language.judgement import Said
from tensorprog.language.order import bounded_away, not_negative, order
from tensorprog.language.program import Program

CONDITION = "Give f_0 as an initial scalar (`scalar f0 = given`): condition on its value (arXiv 2105.03703, App. D.1.1)"
BOUNDED = ("tanh", "erf", "sigmoid", "sin", "cos", "gaussian", "step", "sign", "delta")


class Language(StrEnum):
    """The languages of tensor programs, by what a program uses (language.md 2)."""

    NETSOR = "Netsor"
    NETSOR_PLUS = "Netsor+"
    NETSOR_T = "Netsor-T"
    NETSOR_T_PLUS = "Netsor-T+"
    NE_OR_T = "NE-OR-T"


def language(p: Program) -> Language:
    """The smallest language that holds the program: T if a matrix is used with its transpose, + if there are scalars; NE-OR-T for an OuterNonlin."""
    if any(isinstance(i, OuterNonlin) for i in p.body):
        return Language.NE_OR_T
    transposed = bool(both_ways(p))
    scalars = {c.name for c in p.scalars}
    plus = any(isinstance(i, Moment) or (isinstance(i, Nonlin) and scalars & set(refs(i.psi))) for i in p.body)
    if plus:
        return Language.NETSOR_T_PLUS if transposed else Language.NETSOR_PLUS
    return Language.NETSOR_T if transposed else Language.NETSOR


def both_ways(p: Program) -> tuple[str, ...]:
    """The matrices that are used together with their transpose."""
    uses = {(i.matrix, i.transpose) for i in p.body if isinstance(i, MatMul)}
    return tuple(m.name for m in p.matrices if {(m.name, False), (m.name, True)} <= uses)


def growing_scalar(c: InitScalar) -> Iterator[Said]:
    """[scalar] for an initial scalar."""
    if c.exponent > 0:
        grows = f"{c.name} grows like n^{c.exponent:g}, and a scalar converges"
        yield "scalar", f"{grows}. If it stands for f_0 = v.x / sqrt(n): that is a Gaussian process in the limit, not a constant", CONDITION


class Walk:
    """What is known of the variables above an instruction: their order in n, and how they grow with the Gaussian roots."""

    def __init__(self, p: Program) -> None:
        self.program = p
        self.parameters = _parameters(p)
        self.language = language(p)
        self.order: dict[str, float] = {v.name: 0.0 for v in p.vectors} | {c.name: -inf if c.value == 0 else min(c.exponent, 0.0) for c in p.scalars}
        self.tail: dict[str, float] = {v.name: 1.0 for v in p.vectors} | {c.name: 0.0 for c in p.scalars}
        self.dots: dict[tuple[str, bool], float] = {}

    def outside(self, i: Instr) -> Iterator[Said]:
        """What no theorem covers; then the walk goes on below `i`."""
        match i:
            case MatMul(out, matrix, arg, transpose):
                self.order[out] = self.order[arg]
                self.tail[out] = max(1.0, self.dots.get((matrix, not transpose), 0.0))
                self.dots[matrix, transpose] = max(self.dots.get((matrix, transpose), 0.0), self.tail[arg])
            case Nonlin(out, psi) | Moment(out, psi) | OuterNonlin(out, psi):
                grows = order(psi, self.order)
                if grows > 0:
                    yield from _does_not_converge(i, grows)
                tail = growth(psi, self.tail)
                if tail >= QUADRATIC:
                    finding = "it may grow like exp(x^2) or faster in a Gaussian x, and its moments need not exist"
                    yield "growth", finding, "Use a function of slower growth"
                self.order[out] = min(grows, 0.0)
                self.tail[out] = 0.0 if isinstance(i, Moment) else tail if tail < QUADRATIC else 1.0
            case _:
                assert_never(i)

    def warnings(self, i: Instr) -> Iterator[Said]:
        """Hypotheses that fail at `i`; to be asked before `outside`."""
        if isinstance(i, MatMul):
            if self.order[i.arg] < 0:
                yield (
                    "rank",
                    f"{i.arg} vanishes as n grows, and {i.matrix} multiplies it: ranks need not be stable (arXiv 2009.10685, Remark E.13)",
                    "Multiply first and scale then; as it stands the theorem is for pseudo-Lipschitz functions only",
                )
            return
        tail = growth(i.psi, self.tail)
        if EXPONENTIAL <= tail < QUADRATIC and self.language is not Language.NETSOR:
            finding = f"it grows exponentially, and in {self.language} (scalars or transposes) the theorem is for polynomially bounded functions"
            yield "growth", finding, "Use a function that is polynomially bounded"
        for node in walk(i.psi):
            if isinstance(node, Apply):
                yield from self._function(node.fn, node)
            if isinstance(node, Power):
                yield from self._power(node)

    def _function(self, fn: Fn, node: Apply) -> Iterator[Said]:
        if fn.growth is Growth.DISTRIBUTION:
            way_out = "Read its limit only under expectations, where it is a density"
            yield "nonlin", f"{fn.name} is not a function: it is 0 at every finite width", way_out
        if fn.growth is not Growth.POLYNOMIAL:
            return
        name = fn.name + "'" * sum(fn.order)
        if (scalar := self._switches_off(node)) is not None:
            yield (
                "pseudo-lipschitz",
                f"{name} jumps at 0, where its argument goes with {scalar}: the limit is not that of finite widths (arXiv 2009.10685, Remark E.12)",
                "Use a function that is continuous in its parameters",
            )
        elif self.parameters:
            yield (
                "pseudo-lipschitz",
                f"{name} jumps; in a program with scalar parameters the theorem then asks for rank stability (arXiv 2009.10685, Thm E.5)",
                "See that no vectors become dependent in the limit, or use a continuous function",
            )

    def _switches_off(self, node: Apply) -> str | None:
        """A vanishing scalar without which the arguments read no vector: psi(x; theta) = 1(theta x != 0)."""
        vanishing = [n for arg in node.args for n in refs(arg) if self.order[n] < 0]
        try:
            left = [substitute(arg, dict.fromkeys(vanishing, ZERO)) for arg in node.args]
        except ZeroDivisionError:
            return None
        return vanishing[0] if vanishing and all(self.program.is_scalar(n) for arg in left for n in refs(arg)) else None

    def _power(self, node: Power) -> Iterator[Said]:
        vectors = [n for n in refs(node.base) if not self.program.is_scalar(n)]
        if vectors and node.exponent < 0 and not bounded_away(node.base):
            yield "pseudo-lipschitz", f"it divides by an expression in {vectors[0]} that may be 0", "Keep the divisor away from 0, as in 1 + x^2"
        elif vectors and not float(node.exponent).is_integer() and not not_negative(node.base):
            finding = f"it takes the power {node.exponent:g} of an expression in {vectors[0]} that may be negative"
            yield "pseudo-lipschitz", finding, "Take it of x^2 or abs(x)"


def _parameters(p: Program) -> bool:
    """Whether a scalar is a parameter of some function."""
    return any(p.is_scalar(n) for i in p.body if not isinstance(i, MatMul) for n in refs(i.psi))


def _does_not_converge(i: Nonlin | Moment | OuterNonlin, grows: float) -> Iterator[Said]:
    rate = "it divides by 0" if grows == inf else f"it may grow like n^{grows:g}"
    what = "a scalar converges" if isinstance(i, Moment) else "the law of a coordinate converges"
    yield "scalar", f"{rate}, and {what}; v.x / sqrt(n) is a Gaussian process in the limit, not a constant", CONDITION


# How a variable grows with the Gaussian roots: a number below EXPONENTIAL is the degree of a polynomial bound (0: bounded);
# EXPONENTIAL + p stands for exp(|x|^p).
EXPONENTIAL = 1e6
QUADRATIC = EXPONENTIAL + 2


def growth(e: Expr, tail: Mapping[str, float]) -> float:
    """How fast |psi| grows, given its variables."""
    match e:
        case Ref(name):
            return tail[name]
        case Number() | Tensor() | Softmax():
            return 0.0
        case Add(terms):
            return max((growth(t, tail) for t in terms), default=0.0)
        case Mul(factors):
            each = [growth(f, tail) for f in factors]
            fast = max(each, default=0.0)
            return fast if fast >= EXPONENTIAL else sum(each)
        case Power(base, exponent):
            inner = growth(base, tail)
            return 0.0 if exponent <= 0 else inner if inner >= EXPONENTIAL else inner * exponent
        case Apply(fn, args):
            return _applied(fn, args, max((growth(a, tail) for a in args), default=0.0))
        case Sum(_, arg) | Gather(arg, _, _, _):
            return growth(arg, tail)
        case _:
            assert_never(e)


def _applied(fn: Fn, args: tuple[Expr, ...], inner: float) -> float:
    if fn.growth is Growth.DIVERGENT:
        return inf if inner else 0.0
    if (fn.body is None and fn.name in BOUNDED) or (fn.growth is Growth.LIPSCHITZ and any(fn.order)) or inner == 0:
        return 0.0
    if fn.growth is Growth.EXPONENTIAL:
        if fn.body is None and not_negative(Mul((Number(-1.0), args[0]))):
            return 0.0
        return EXPONENTIAL + (inner if fn.body is None else 1.9 * inner)
    degree = fn.constants[0] if fn.name in ("hermite", "ramp") and fn.body is None else 1.0 if fn.growth is Growth.LIPSCHITZ else 2.0
    return inner if inner >= EXPONENTIAL else inner * max(degree, 0.0)
