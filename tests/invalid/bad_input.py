"""The table of bad input: what a person might type, and what the message must contain. The documentation runs it, and so does a test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import tensorprog as tp
from architectures import ZOO

QUOTES = '"""'
LISTING = "program p\nwidth n\nmatrix W : n x n\nvector a : n ~ N(0, 1)\n"
NAMES = {"tp": tp, "np": np, "mlp": ZOO["mlp"], "net": ZOO["mlp"](), "X": np.linspace(-1.0, 1.0, 15).reshape(3, 5)}


@dataclass(frozen=True)
class BadInput:
    """`code` raises `kind` with a message that contains `says`."""

    what: str
    code: str
    kind: type[tp.TensorProgramError]
    says: str


def run(code: str) -> None:
    """Run the code with `tp`, `np`, `mlp`, `net = mlp()` and `X` of shape (3, 5) at hand."""
    exec(code, dict(NAMES))


def read(*lines: str) -> str:
    """The code that checks a program of these lines, under the head LISTING."""
    source = LISTING + "\n".join(lines)
    return f"tp.check(tp.parse({QUOTES}{source}\n{QUOTES})).raise_if_invalid()"


def invalid(what: str, code: str, says: str) -> BadInput:
    return BadInput(what, code, tp.InvalidProgram, says)


def outside(what: str, code: str, says: str) -> BadInput:
    return BadInput(what, code, tp.OutsideTheory, says)


DATA = [
    invalid("data with one axis too many", "tp.kernels(net, np.ones((3, 2, 5)))", "[input] x1 for x has shape (3, 2, 5), not (N, d)"),
    invalid("one input without the axis of points", "tp.kernels(net, np.ones(5))", "[input] x1 for x has shape (5,), not (N, d)"),
    invalid("NaN in the data", "tp.kernels(net, np.where(X > 0.9, np.nan, X))", "[input] x1 for x has NaN or infinite entries in row 2"),
    invalid("infinite data", "tp.converge(net, np.where(X < 0, np.inf, X), [16, 32], seeds=2)", "NaN or infinite entries in row 0"),
    invalid("complex data", "tp.kernels(net, X + 1j)", "[input] x1 for x are complex numbers"),
    invalid("no features", "tp.kernels(net, X[:, :0])", "[input] x1 for x has no features"),
    invalid("NaN in a row to fit", "tp.NTKRegressor(net).fit(np.where(X > 0.9, np.nan, X), X[:, 0])", "X has NaN or infinite entries in row 2"),
    invalid("NaN at one width", "tp.apply(net, {}, 8, np.where(X > 0.9, np.nan, X))", "the first at (2,"),
    invalid("no points to sample", "import jax; tp.particle_kernels(net, X[:0], key=jax.random.key(0))", "no points to sample"),
    invalid("no points to train on", "tp.gradient_flow(np.ones((0, 0)), np.ones(0), [1.0])", "[shape] kernel is that of no training points"),
    invalid("no points to tune on", "tp.tuned(net, X[:0], np.ones(0))", "[evidence] there are no points"),
    invalid("targets that do not fit the points", "tp.tuned(net, X, np.ones(1))", "[shape] y has shape (1,)"),
    invalid("a moment of what is no variable", "tp.limit(net.program, X).product('nothing', 'nothing')", "has no variable nothing. There are"),
    invalid("targets that do not fit", "tp.gradient_descent(np.eye(3), np.ones(4), rate=0.1, steps=2)", "[shape] y has shape (4,)"),
]

SIZES = [
    invalid("zero width", "import jax; tp.sample(net, jax.random.key(0), 0, 5)", "[width] the base width n is 0"),
    invalid("no hidden layer", "mlp(depth=0)", "depth is 0"),
    invalid("one width only for a slope", "tp.converge(net, X, [64], seeds=8)", "a slope needs growing widths"),
    invalid("a huge axis", read("axis token 1000000000000", "return a"), "[axis] token has size 1000000000000"),
]

LAWS = [
    invalid("a negative standard deviation", "tp.matrix('W', sigma=-1.0)", "[sigma] sigma of W is -1.0"),
    invalid("a negative variance", read("vector b : n ~ N(0, -1)", "return b"), "[init] the variance is -1"),
    invalid(
        "an indefinite covariance",
        read("vector b : n ~ N(0, 1)", "covariance a, b = (2)", "return b"),
        "[covariance] the joint covariance of a, b is indefinite",
    ),
]

NAMES_AND_TYPES = [
    invalid("a variable that does not exist", read("x := relu(b)", "return x"), "[name] there is no variable called b"),
    invalid("a matrix that does not exist", read("h := W2 a", "return h"), "[name] there is no matrix called W2"),
    invalid("a function that does not exist", read("x := reul(a)", "return x"), "no nonlinearity is called 'reul'"),
    invalid("a nonlinearity that does not exist", "mlp(nonlinearity='reul')", "[function] no nonlinearity is called 'reul'"),
    invalid(
        "widths that do not fit",
        read("width m = 2 n", "matrix W1 : n x m", "h := W1 a", "return h"),
        "[matmul] W1 is n x m but a has width n. Transpose W1, or give a width m",
    ),
]

FILES = [
    invalid("a cyclic program", read("x := relu(a + h)", "h := W x", "return h"), "[name] h is defined below, on line 6. Move that line up"),
    invalid("a truncated program", "tp.parse(tp.show(net)[:-12])", "the line ends where a width is expected"),
    invalid("a truncated exchange file", "tp.from_json(tp.to_json(net)[:-20])", "Is the file cut off?"),
    invalid("code in a program", read("x := __import__('os').system('ls')", "return x"), "[syntax]"),
    invalid("deep nesting", read("x := " + "relu(" * 500 + "a" + ")" * 500, "return x"), "[expression] the expression is nested more than"),
]

THEORY = [
    outside("an exponential whose moments diverge", read("c := moment(exp(a * a))", "return c"), "[growth] it may grow like exp(x^2)"),
    outside("a scalar that does not converge", read("scalar s = n^0.5", "x := s * a", "return x"), "[scalar] s grows like n^0.5"),
]

TABLE = {"Data": DATA, "Sizes": SIZES, "Laws": LAWS, "Names and types": NAMES_AND_TYPES, "Files": FILES, "Outside the theorem": THEORY}
