"""Random well-typed programs and random expressions, for laws that hold of all of them. A seed fixes the program."""

from __future__ import annotations

from fractions import Fraction
from random import Random

from tensorprog.language.expr import Add, Apply, Expr, Gather, Mul, Number, Power, Ref, Softmax, Sum, Tensor, axes_of
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
    Width,
)
from tensorprog.language.nonlin import TABLE, named
from tensorprog.language.program import Network, Program, Readout, Training

SIZES = {"token": 3, "source": 3, "time": 2}
MATRICES = (Matrix("W", "n", "n", 1.5), Matrix("A", "n", "m", 0.1 + 0.2), Matrix("B 2", "m", "n"))
VECTORS = (
    InitVector("g", "n", ("token",), Embedding("U", "xi", 2.0)),
    InitVector("b", "n", (), Gaussian(0.25, 1e-3)),
    InitVector("u", "m", ("token", "time"), Gaussian()),
    InitVector("v1", "n"),
    InitVector("v2", "n", ("time",)),
)
SCALARS = (
    InitScalar("theta", exponent=-0.5),
    InitScalar("f0", ("time",), None),
    InitScalar("kappa", (), -2.5, -1.0),
    InitScalar("e", ("token",), 0.1),
)
COVARIANCES = (Covariance("v1", "v2", (0.5, -0.25)), Covariance("v2", "v2", (1.0, 0.1, 0.1, 2.0)))
CONSTANTS = {"leaky_relu": (0.2,), "abrelu": (-0.5, 1.5), "hermite": (3.0,), "ramp": (2.0,)}
NUMBERS = (0.0, 1.0, -1.0, 2.0, -3.0, 0.5, 1e-300, -1.7976931348623157e308, 0.1, 1 / 3, 1e22, -2.5e-7)


def random_program(seed: int, length: int = 8) -> Program:
    rng = Random(seed)
    width: dict[str, str | None] = {v.name: v.width for v in VECTORS} | {c.name: None for c in SCALARS}
    axes = {v.name: v.axes for v in VECTORS} | {c.name: c.axes for c in SCALARS}
    body: list[Instr] = []
    for k in range(length):
        out = f"{rng.choice('xhc')}{k}"
        kind = rng.choice(("matmul", "nonlin", "moment"))
        if kind == "matmul":
            m, transpose = rng.choice(MATRICES), rng.random() < 0.5
            needed = m.rows if transpose else m.cols
            arg = rng.choice([x for x, w in width.items() if w == needed])
            body.append(MatMul(out, m.name, arg, transpose))
            width[out], axes[out] = (m.cols if transpose else m.rows), axes[arg]
            continue
        w = rng.choice(("n", "m"))
        anchor = rng.choice([x for x, v in width.items() if v == w])
        psi = Add((Ref(anchor), random_expression(rng, w, width, axes, 4)))
        body.append(Nonlin(out, psi) if kind == "nonlin" else Moment(out, psi))
        width[out], axes[out] = (w if kind == "nonlin" else None), axes_of(psi, axes)
    return Program(
        f"random {seed}",
        (Width("n"), Width("m", Fraction(3, 2))),
        tuple(Axis(a, n) for a, n in SIZES.items()),
        (Input("xi", ("token",)),),
        MATRICES,
        VECTORS,
        COVARIANCES,
        SCALARS,
        tuple(body),
        tuple(i.out for i in body[-2:]),
    )


def random_network(seed: int) -> Network:
    p = random_program(seed)
    vectors = [x for x, w in p.width_of.items() if w is not None]
    x = Random(seed).choice(vectors)
    width = p.width_of[x] or ""
    training = {"W": Training(0.0), "U": Training(0.5, "sigma"), "B 2": Training(2.0)} if seed % 2 else {}
    return Network(p, (Readout("V", x, width, p.axes_of[x], 0.7),), 1 + seed % 3, "moment" if seed % 5 == 0 else "ntk", training)


def random_expression(rng: Random, width: str, widths: dict[str, str | None], axes: dict[str, tuple[str, ...]], depth: int) -> Expr:
    """An expression of vectors of one width and of scalars, of any node."""
    readable = [x for x, w in widths.items() if w in (width, None)]
    if depth == 0:
        return rng.choice((Ref(rng.choice(readable)), Number(rng.choice(NUMBERS)), _tensor(rng)))

    def below() -> Expr:
        return random_expression(rng, width, widths, axes, depth - 1)

    match rng.randrange(9):
        case 0:
            return Add(tuple(below() for _ in range(rng.randint(2, 3))))
        case 1:
            return Mul(tuple(below() for _ in range(rng.randint(2, 3))))
        case 2:
            return Power(below(), rng.choice((2.0, -1.0, 0.5, -0.5, 3.0, -2.0)))
        case 3 | 4:
            return _apply(rng, below())
        case 5 | 6:
            return _along_axis(rng, below(), axes)
        case 7:
            scalars: dict[str, str | None] = {x: w for x, w in widths.items() if w is None}
            inner = Add((Ref("f0"), random_expression(rng, "", scalars, axes, depth - 1)))
            return Softmax("time", inner)
        case _:
            return below()


def _tensor(rng: Random) -> Tensor:
    kind = rng.randrange(3)
    if kind == 0:
        return Tensor(("token",), (3,), (0.0, 1.0, 0.0))
    if kind == 1:
        return Tensor(("source", "token"), (3, 3), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    return Tensor(("time", "token"), (2, 3), tuple(rng.choice(NUMBERS) for _ in range(6)))


def _apply(rng: Random, arg: Expr) -> Expr:
    name = rng.choice([n for n in TABLE if n != "delta"])
    return Apply(named(name, CONSTANTS.get(name, ()), (rng.choice((0, 0, 0, 1, 2, 4)),), {}), (arg,))


def _along_axis(rng: Random, arg: Expr, axes: dict[str, tuple[str, ...]]) -> Expr:
    own = axes_of(arg, axes)
    if not own:
        return arg
    axis = rng.choice(own)
    match rng.randrange(4):
        case 0:
            return Sum(axis, arg)
        case 1:
            return Gather(arg, axis, None, (rng.randrange(SIZES[axis]),))
        case 2:
            return Gather(arg, axis, axis, tuple(rng.randrange(-1, SIZES[axis]) for _ in range(SIZES[axis])))
        case _:
            free = [a for a in SIZES if a not in own]
            into = rng.choice(free) if free else axis
            return Gather(arg, axis, into, tuple(i if i < SIZES[axis] else -1 for i in range(SIZES[into])))
