"""Small networks written out instruction by instruction: sharing, transposes, scalars, axes, several widths."""

from fractions import Fraction

from tensorprog.language.expr import Apply, Expr, Gather, Ref, Softmax, Sum, add, mul, number, one_hot, power
from tensorprog.language.instr import Axis, Covariance, Embedding, Gaussian, InitScalar, InitVector, Input, MatMul, Matrix, Moment, Nonlin, Width
from tensorprog.language.nonlin import fn, user_function
from tensorprog.language.program import Network, Program, Readout, Training

N, M, K = Width("n"), Width("m", Fraction(7, 3)), Width("k", Fraction(1, 2))
D = {"x": 3}


def f(name: str, *args: Expr, constants: tuple[float, ...] = ()) -> Expr:
    return Apply(fn(name, *constants), args)


def r(name: str) -> Expr:
    return Ref(name)


def mlp() -> Network:
    program = Program(
        "mlp",
        (N,),
        (),
        (Input("x"),),
        (Matrix("W", "n", "n", 1.3),),
        (InitVector("g", "n", (), Embedding("U", "x", 1.5)), InitVector("b", "n", (), Gaussian(0.0, 0.16))),
        body=(Nonlin("z", f("tanh", r("g"))), MatMul("h", "W", "z"), Nonlin("hb", add(r("h"), r("b"))), Nonlin("y", f("gelu", r("hb")))),
        outputs=("y",),
    )
    return Network(program, (Readout("v", "y", "n", sigma=0.9),), training={"b": Training(0.5), "W": Training(2.0, "sigma")})


def vector_outputs() -> Network:
    net = mlp()
    return Network(net.program, net.readouts, outputs=3)


def rnn() -> Network:
    """The same W, U and b at every step, of which the last is read out and the mean also."""
    steps = 3
    axes = (Axis("t", steps),)
    body = []
    for t in range(steps):
        body.append(Nonlin(f"u{t}", Gather(r("g"), "t", None, (t,))))
        recurrent = [r(f"Ws{t - 1}")] if t else []
        if t:
            body.append(MatMul(f"Ws{t - 1}", "W", f"s{t - 1}"))
        body.append(Nonlin(f"s{t}", f("erf", add(r(f"u{t}"), r("b"), *recurrent))))
    mean = mul(number(1 / steps), add(*(r(f"s{t}") for t in range(steps))))
    program = Program(
        "rnn",
        (N,),
        axes,
        (Input("x", ("t",)),),
        (Matrix("W", "n", "n", 1.2),),
        (InitVector("g", "n", ("t",), Embedding("U", "x", 0.9)), InitVector("b", "n", (), Gaussian(0.0, 0.3))),
        body=(*body, Nonlin("y", add(mean, r(f"s{steps - 1}")))),
        outputs=("y",),
    )
    return Network(program, (Readout("v", "y", "n"),))


def tied() -> Network:
    """W and W^T in the forward pass, rectangular, both with a nonlinearity."""
    program = Program(
        "tied",
        (N, M),
        (),
        (Input("x"),),
        (Matrix("W", "m", "n", 1.1),),
        (InitVector("g", "n", (), Embedding("U", "x")),),
        body=(
            MatMul("h", "W", "g"),
            Nonlin("z", f("tanh", r("h"))),
            MatMul("a", "W", "z", True),
            Nonlin("y", f("sin", r("a"))),
            MatMul("h2", "W", "y"),
            Nonlin("y2", mul(r("h2"), r("z"))),
            MatMul("o", "W", "y2", True),
        ),
        outputs=("o",),
    )
    return Network(program, (Readout("v", "o", "n", sigma=0.7),))


def layernorm() -> Network:
    """Through the Moments mean and variance (a Moment of a Moment), with gain and bias, in a width that is not the readout's."""
    program = Program(
        "layernorm",
        (N, M),
        (),
        (Input("x"),),
        (Matrix("W", "n", "m"),),
        (
            InitVector("g", "m", (), Embedding("U", "x", 1.4)),
            InitVector("gain", "m", (), Gaussian(1.0, 0.2)),
            InitVector("bias", "m", (), Gaussian(0.0, 0.1)),
        ),
        scalars=(InitScalar("eps", (), 1e-3), InitScalar("small", (), 2.0, -0.5)),
        body=(
            Moment("mu", r("g")),
            Moment("var", power(add(r("g"), mul(number(-1), r("mu"))), 2)),
            Moment("std", power(add(r("var"), r("eps")), 0.5)),
            Nonlin("y", add(mul(r("gain"), add(r("g"), mul(number(-1), r("mu"))), power(r("std"), -1)), r("bias"), r("small"))),
            Nonlin("z", f("relu", r("y"))),
            MatMul("h", "W", "z"),
            Moment("q", mul(r("h"), r("h"), r("mu"))),
            Moment("p", mul(r("q"), r("y"), r("z"))),
            Moment("s", f("tanh", add(r("p"), r("q")))),
            Nonlin("o", mul(f("tanh", r("h")), add(r("s"), number(1)))),
        ),
        outputs=("o",),
    )
    return Network(program, (Readout("v", "o", "n"),))


def attention() -> Network:
    """Softmax of query-key averages over tokens; the output is a sequence, one f a token."""
    program = Program(
        "attention",
        (N, K),
        (Axis("source", 3), Axis("token", 3)),
        (Input("x", ("token",)),),
        (Matrix("Q", "k", "n"), Matrix("Kk", "k", "n", 1.2), Matrix("V", "n", "n", 0.8)),
        (InitVector("g", "n", ("token",), Embedding("U", "x")),),
        body=(
            MatMul("q", "Q", "g"),
            MatMul("ky", "Kk", "g"),
            MatMul("val", "V", "g"),
            Nonlin("ks", Gather(r("ky"), "token", "source", (0, 1, 2))),
            Nonlin("vs", Gather(r("val"), "token", "source", (0, 1, 2))),
            Moment("logit", mul(number(3.0), r("q"), r("ks"))),
            Moment("a", Softmax("source", r("logit"))),
            Nonlin("o", Sum("source", mul(r("a"), r("vs")))),
            Nonlin("y", add(r("g"), f("tanh", r("o")))),
        ),
        outputs=("y",),
    )
    return Network(program, (Readout("v", "y", "n"),))


def conv() -> Network:
    """Three taps by zero-padded shifts, a stride, then a readout flattened over pixels."""
    taps = {-1: (-1, 0, 1, 2), 0: (0, 1, 2, 3), 1: (1, 2, 3, -1)}
    program = Program(
        "conv",
        (N, M),
        (Axis("half", 2), Axis("pixel", 4)),
        (Input("x", ("pixel",)),),
        tuple(Matrix(f"W{i}", "m", "n", 0.8) for i in range(3)),
        (InitVector("g", "n", ("pixel",), Embedding("U", "x")), InitVector("b", "m", ("half",), Gaussian(0.1, 0.2))),
        body=(
            Nonlin("z", f("relu", r("g"))),
            *(Nonlin(f"z{i}", Gather(r("z"), "pixel", "pixel", index)) for i, index in enumerate(taps.values())),
            *(MatMul(f"h{i}", f"W{i}", f"z{i}") for i in range(3)),
            Nonlin("h", Gather(add(r("h0"), r("h1"), r("h2")), "pixel", "half", (0, 2))),
            Nonlin("y", f("tanh", add(r("h"), r("b")))),
        ),
        outputs=("y",),
    )
    return Network(program, (Readout("v", "y", "m", ("half",), sigma=1.2),), outputs=2)


def several_readouts() -> Network:
    """Readouts of different widths, one flattened, one sharing its vector, and two embeddings of one matrix."""
    program = Program(
        "readouts",
        (N, M, K),
        (Axis("t", 2),),
        (Input("x"), Input("xs", ("t",))),
        (Matrix("A", "m", "n"), Matrix("B", "k", "m", 1.5)),
        (
            InitVector("g", "n", (), Embedding("U", "x")),
            InitVector("gs", "n", ("t",), Embedding("U", "xs", 0.6)),
            InitVector("p", "k", (), Gaussian(0.0, 1.0)),
        ),
        body=(
            Nonlin("z", mul(f("sin", r("gs")), r("g"))),
            MatMul("h", "A", "z"),
            Nonlin("y", f("tanh", r("h"))),
            MatMul("o", "B", "y"),
            Nonlin("s", add(Sum("t", r("o")), r("p"))),
            Nonlin("s2", f("sin", r("s"))),
            Moment("c", mul(r("p"), r("s"))),
            Nonlin("last", mul(r("s"), r("c"))),
        ),
        outputs=("last",),
    )
    readouts = (Readout("v1", "s", "k", (), 0.5), Readout("v2", "y", "m", ("t",), 2.0), Readout("v1", "s2", "k"), Readout("p", "last", "k"))
    return Network(program, readouts)


def positions() -> Network:
    """A readout that keeps one axis and sums another; a vector parameter over axes, correlated ones too; a batch axis that is normalised."""
    program = Program(
        "positions",
        (N,),
        (Axis("a", 2), Axis("b", 3)),
        (Input("x", ("b",)),),
        (Matrix("W", "n", "n"),),
        (
            InitVector("g", "n", ("b",), Embedding("U", "x")),
            InitVector("p", "n", ("a",), Gaussian()),
            InitVector("q", "n", ("b",), Gaussian(0.5)),
            InitVector("s", "n", (), Gaussian(0.0, 1.0)),
        ),
        (Covariance("p", "p", (1.0, 0.5, 0.5, 1.0)), Covariance("p", "s", (1.0, 0.5))),
        (InitScalar("c", ("b",), None),),
        body=(
            Nonlin("m", mul(number(1 / 3), Sum("b", r("g")))),
            Nonlin("centred", add(r("g"), mul(number(-1), r("m")))),
            Nonlin("w", power(add(mul(r("g"), r("g"), r("centred"), r("centred")), number(2)), 0.5)),
            MatMul("h", "W", "w"),
            Nonlin("y", add(f("tanh", mul(r("h"), r("p"))), mul(r("q"), r("c")), r("s"))),
            Moment("k", mul(r("y"), r("y"), r("c"))),
            Nonlin("o", mul(r("y"), r("k"), one_hot("b", 3, 1))),
            Nonlin("out", add(r("o"), f("sin", r("y")))),
        ),
        outputs=("out",),
    )
    return Network(program, (Readout("v", "out", "n", ("b",)),))


def mup() -> Network:
    net = layernorm()
    smooth = user_function("softsign2", lambda a, b: a / (1 + b * b), arity=2)
    program = Program(
        "mup",
        net.program.widths,
        (),
        net.program.inputs,
        net.program.matrices,
        net.program.vectors,
        (),
        net.program.scalars,
        (*net.program.body, Nonlin("end", Apply(smooth, (r("o"), r("h"))))),
        ("end",),
    )
    return Network(program, (Readout("v", "end", "n"), Readout("w", "z", "m")), kind="moment")


NETWORKS = {net.__name__: net for net in (mlp, vector_outputs, rnn, tied, layernorm, attention, conv, several_readouts, positions, mup)}
