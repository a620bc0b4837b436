"""Hypothesis strategies for well-typed random programs, networks and their inputs.

Programs are small, and their vectors and scalars of size about 1: coefficients below 1, bounded or Lipschitz functions, at most one square a line. So
that finite networks approach the limit without huge constants, and laws about all programs can be tested on hundreds of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from tensorprog.language.expr import Apply, Expr, Gather, Ref, Softmax, Sum, Tensor, add, moved, mul, number, power, refs
from tensorprog.language.instr import (
    Axis,
    Covariance,
    Embedding,
    Gaussian,
    InitScalar,
    InitVector,
    Input,
    Instr,
    MatMul,
    Matrix,
    Moment,
    Nonlin,
    OuterNonlin,
    Width,
)
from tensorprog.language.nonlin import fn
from tensorprog.language.program import Network, Program, Readout, Training

FUNCTIONS = ("tanh", "erf", "sin", "relu", "gaussian", "sigmoid", "cos")
COEFFICIENTS = (1.0, 0.5, -0.7)
RATIOS = (Fraction(2), Fraction(1, 2), Fraction(3, 2))
AXIS = "t"


@st.composite
def programs(
    draw: st.DrawFn, *, data: bool | None = None, functions: Sequence[str] = FUNCTIONS, lines: int = 4, bound: bool = True, outer: bool = False
) -> Program:
    """Well-typed programs; about two thirds use a W and its W^T, half feed a Moment into a Nonlin, half have two widths, two fifths an axis.

    Args:
        data: whether initial vectors embed an input `xi`; None: either.
        functions: the nonlinearities to draw from, built-in functions without constants.
        lines: at most so many lines besides those that use W^T and feed Moments.
        bound: multiply only by bounded factors; False allows products of any two vectors (slower convergence in width).
        outer: one line or more averages over other coordinates (language NE-OR-T).
    """
    chance = _Chance(draw)
    two_widths, family, tied, fed = chance(0.55), chance(0.42), chance(0.68), chance(0.55)
    embedded = chance(0.5) if data is None else data
    d = _initial(draw, chance, two_widths=two_widths, family=family, embedded=embedded)
    d.functions, d.bound = tuple(functions), bound
    blocks = [_random_line] * draw(st.integers(1, lines)) + [_tied_pair] * tied + [_fed_moment] * fed
    blocks += [_outer] * (draw(st.integers(1, 2)) if outer else 0)
    for block in draw(st.permutations(blocks)):
        block(d)
    _moment(d)
    vectors = [i.out for i in d.body if not isinstance(i, Moment)]
    scalars = [i.out for i in d.body if isinstance(i, Moment)]
    return d.program((*scalars, *vectors[-1:]))


@st.composite
def networks(draw: st.DrawFn, *, data: bool = True, functions: Sequence[str] = FUNCTIONS, lines: int = 3) -> Network:
    """Networks f = v^T x / sqrt(n): a random body, a readout of its last vector that depends on the data, some tensors frozen or slow."""
    chance = _Chance(draw)
    program = draw(programs(data=data, functions=functions, lines=lines).filter(lambda p: not data or _reached(p)))
    slow = {m.name: Training(draw(st.sampled_from((0.0, 0.5))), draw(st.sampled_from(("unit", "sigma")))) for m in program.matrices}
    return replace(read_out(program), training={name: t for name, t in slow.items() if chance(0.25)})


def read_out(program: Program) -> Network:
    """The network that reads the last vector (of those that depend on data, if there are any), flattened over its axes."""
    of = (_reached(program) or [name for name, width in program.width_of.items() if width is not None])[-1]
    return Network(program, (Readout("readout", of, program.width_of[of] or "n", program.axes_of[of]),))


@st.composite
def inputs(draw: st.DrawFn, program: Program | Network, *, points: int = 2, dimension: int = 3) -> dict[str, NDArray[np.float64]]:
    """Data for every input, (points, *axes, dimension), of norm about sqrt(dimension); some points equal, opposite or zero."""
    p = program.program if isinstance(program, Network) else program
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    out: dict[str, NDArray[np.float64]] = {}
    for i in p.inputs:
        xi = rng.standard_normal((points, *(p.size[a] for a in sorted(i.axes)), dimension))
        relation = draw(st.sampled_from(("independent", "independent", "equal", "opposite", "zero")))
        if points > 1 and relation != "independent":
            xi[-1] = {"equal": xi[0], "opposite": -xi[0], "zero": 0.0 * xi[0]}[relation]
        out[i.name] = xi
    return out


@dataclass(frozen=True)
class Features:
    """What a program exercises."""

    tied: bool  # some W and its W^T are both used
    fed: bool  # a Moment is read by a Nonlin
    widths: int  # width classes in use
    family: bool  # a variable has an axis


def features(p: Program) -> Features:
    uses = {(i.matrix, i.transpose) for i in p.body if isinstance(i, MatMul)}
    moments = {i.out for i in p.body if isinstance(i, Moment)}
    return Features(
        tied=any((m, True) in uses and (m, False) in uses for m, _ in uses),
        fed=any(isinstance(i, Nonlin) and moments & set(refs(i.psi)) for i in p.body),
        widths=len({w for i in p.body if (w := p.width_of[i.out]) is not None}),
        family=any(p.axes_of[i.out] for i in p.body),
    )


@dataclass(frozen=True)
class _Chance:
    draw: st.DrawFn

    def __call__(self, probability: float) -> bool:
        return self.draw(st.integers(0, 99)) < 100 * probability


@dataclass
class _Draft:
    """A program being drawn."""

    draw: st.DrawFn
    widths: tuple[Width, ...]
    axes: tuple[Axis, ...]
    inputs: tuple[Input, ...]
    matrices: tuple[Matrix, ...]
    vectors: tuple[InitVector, ...]
    covariances: tuple[Covariance, ...]
    scalars: tuple[InitScalar, ...]
    body: list[Instr] = field(default_factory=list[Instr])
    functions: tuple[str, ...] = FUNCTIONS
    bound: bool = True

    def program(self, outputs: tuple[str, ...] = ()) -> Program:
        return Program(
            "random", self.widths, self.axes, self.inputs, self.matrices, self.vectors, self.covariances, self.scalars, tuple(self.body), outputs
        )  # fmt: skip

    def named(self, width: str | None) -> list[str]:
        """The variables of that width, the latest first."""
        return [name for name, w in reversed(list(self.program().width_of.items())) if w == width]

    def vector(self, width: str) -> Expr:
        """A vector, more often a late one; a family also summed up, shifted or picked from."""
        names = self.named(width)
        return self.along_axis(Ref(self.draw(st.sampled_from((*names[:2], *names)))))

    def scalar(self) -> Expr:
        """A scalar in a bounded function."""
        names = self.named(None)
        if not names:
            return number(0.5)
        return Apply(fn(self.draw(st.sampled_from(("tanh", "sin", "sigmoid")))), (Ref(self.draw(st.sampled_from((names[0], *names)))),))

    def along_axis(self, x: Ref) -> Expr:
        if AXIS not in self.program().axes_of[x.name]:
            return x
        size = self.axes[0].size
        index = tuple(range(size))
        return self.draw(
            st.sampled_from(
                (
                    x, x, x,
                    mul(number(1 / size), Sum(AXIS, x)),
                    Gather(x, AXIS, AXIS, (-1, *index[:-1])),
                    Gather(x, AXIS, AXIS, index[::-1]),
                    Gather(x, AXIS, None, (size - 1,)),
                    mul(x, Tensor((AXIS,), (size,), tuple(1.0 - 0.5 * i for i in index))),
                )
            )
        )  # fmt: skip

    def coefficient(self) -> Expr:
        return number(self.draw(st.sampled_from(COEFFICIENTS)))

    def function(self, x: Expr) -> Expr:
        return Apply(fn(self.draw(st.sampled_from(self.functions))), (x,))

    def line(self, make: type[Nonlin] | type[Moment] | type[OuterNonlin], letter: str, psi: Expr) -> str:
        name = f"{letter}{len(self.body)}"
        self.body.append(make(name, psi))
        return name

    def matmul(self, matrix: Matrix, transpose: bool, arg: str) -> str:
        name = f"h{len(self.body)}"
        self.body.append(MatMul(name, matrix.name, arg, transpose))
        return name


def _initial(draw: st.DrawFn, chance: _Chance, *, two_widths: bool, family: bool, embedded: bool) -> _Draft:
    """Initial vectors and matrices: one or two widths, a family or none, correlated vectors or not."""
    sigma = st.sampled_from((1.0, 0.8, 1.2))
    n, m = Width("n"), Width("m", draw(st.sampled_from(RATIOS)))
    axes = (Axis(AXIS, draw(st.integers(2, 3))),) if family else ()
    over = (AXIS,) if family else ()
    input_axes = over if chance(0.7) else ()
    first = InitVector("g", "n", input_axes, Embedding("U", "xi", draw(sigma))) if embedded else InitVector("g", "n", over, _gaussian(draw))
    vectors = [first, InitVector("b", "n", over if chance(0.3) else (), _gaussian(draw))]
    if two_widths:
        vectors.append(InitVector("u", "m", over if chance(0.3) else (), _gaussian(draw)))
    matrices = [Matrix("A", "m", "n", draw(sigma))] if two_widths else []
    if not two_widths or chance(0.4):
        matrices.append(Matrix("W", "n", "n", draw(sigma)))
    covariances = () if embedded or not chance(0.3) else (_covariance(draw, vectors[0], vectors[1], {a.name: a.size for a in axes}),)
    scalars = (InitScalar("theta", (), draw(st.sampled_from((1.0, 0.5))), draw(st.sampled_from((0.0, -0.5)))),) if chance(0.25) else ()
    data = (Input("xi", input_axes),) if embedded else ()
    return _Draft(draw, (n, m) if two_widths else (n,), axes, data, tuple(matrices), tuple(vectors), covariances, scalars)


def _gaussian(draw: st.DrawFn) -> Gaussian:
    return Gaussian(draw(st.sampled_from((0.0, 0.0, 0.5))), draw(st.sampled_from((1.0, 0.5))))


def _covariance(draw: st.DrawFn, a: InitVector, b: InitVector, size: dict[str, int]) -> Covariance:
    """The same correlation between all members, so small that the joint law exists; or a singular law, where both are single vectors."""
    count = int(np.prod([size[x] for x in (*a.axes, *b.axes)]))
    sd = np.prod([v.law.variance**0.5 for v in (a, b) if isinstance(v.law, Gaussian)])
    correlation = draw(st.sampled_from((1.0, 0.5, -0.5))) if count == 1 else 0.3
    return Covariance(a.name, b.name, (float(correlation * sd),) * count)


def _random_line(d: _Draft) -> None:
    d.draw(st.sampled_from((_matmul, _matmul, _nonlin, _nonlin, _moment)))(d)


def _matmul(d: _Draft) -> str:
    matrix = d.draw(st.sampled_from(d.matrices))
    transpose = d.draw(st.booleans())
    names = d.named(matrix.rows if transpose else matrix.cols)
    return d.matmul(matrix, transpose, d.draw(st.sampled_from((*names[:2], *names))))


def _nonlin(d: _Draft) -> str:
    width = d.draw(st.sampled_from(d.widths)).name
    return d.line(Nonlin, "x", _psi(d, d.vector(width), width))


def _psi(d: _Draft, x: Expr, width: str) -> Expr:
    """A function of a linear form, times a bounded factor, or a square."""
    y = d.vector(width)
    form = add(mul(d.coefficient(), x), mul(d.coefficient(), y))
    choices = [d.function(x), d.function(form), form, mul(x, d.function(y)), add(d.function(x), mul(d.scalar(), y)), d.function(add(x, d.scalar()))]
    choices.append(mul(d.function(x), d.function(y)) if d.bound else mul(number(0.5), x, y))
    return d.draw(st.sampled_from(choices))


def _moment(d: _Draft) -> str:
    width = d.draw(st.sampled_from(d.widths)).name
    x, y = d.vector(width), d.vector(width)
    psi = d.draw(st.sampled_from((mul(x, y), power(x, 2.0), d.function(x), mul(x, d.function(y)), mul(d.scalar(), x, y))))
    return d.line(Moment, "c", psi)


def _tied_pair(d: _Draft) -> None:
    """h = W x, y = psi(h, ..), W^T y: the dot is not 0."""
    matrix, first = d.draw(st.sampled_from(d.matrices)), d.draw(st.booleans())
    names = d.named(matrix.rows if first else matrix.cols)
    h = d.matmul(matrix, first, d.draw(st.sampled_from((*names[:2], *names))))
    width = matrix.cols if first else matrix.rows
    y = d.line(Nonlin, "x", _psi(d, Ref(h), width))
    d.matmul(matrix, not first, y)


def _fed_moment(d: _Draft) -> None:
    """c = Moment(..), and a vector that reads it; over an axis also through a softmax."""
    c: Expr = Ref(_moment(d))
    width = d.draw(st.sampled_from(d.widths)).name
    x = d.vector(width)
    if AXIS in d.program().axes_of[c.name]:
        c = d.draw(st.sampled_from((c, Softmax(AXIS, c))))
    bounded = d.draw(st.sampled_from((c, Apply(fn("tanh"), (c,)))))
    d.line(Nonlin, "x", d.draw(st.sampled_from((mul(bounded, d.function(x)), d.function(add(x, bounded)), add(x, mul(number(0.5), bounded))))))


def _outer(d: _Draft) -> str:
    """An average over one or two other coordinates, of their own widths; some factorize, some do not."""
    own, first, second = (d.vector(d.draw(st.sampled_from(d.widths)).name) for _ in range(3))
    there = moved(first, {0: 1}, lambda _: False)
    bounded = d.function(moved(second, {0: 2}, lambda _: False))
    mixed = d.function(mul(own, there))
    choices = (mixed, mul(mixed, there), mul(mixed, bounded), mul(d.function(own), d.function(there)), add(own, mul(d.scalar(), mixed)))
    return d.line(OuterNonlin, "y", d.draw(st.sampled_from((*choices, Apply(fn("sign"), (mul(own, there),))))))


def _reached(p: Program) -> list[str]:
    """The vectors that depend on an embedding."""
    found = [v.name for v in p.vectors if isinstance(v.law, Embedding)]
    seen = set(found)
    for i in p.body:
        if seen & set((i.arg,) if isinstance(i, MatMul) else refs(i.psi)):
            seen.add(i.out)
            found += [i.out] * (p.width_of[i.out] is not None)
    return found
