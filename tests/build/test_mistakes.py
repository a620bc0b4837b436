"""A mistake gets an error that names the rule, what was found, and the way out, at the line where it is made."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

import tensorprog as tp


def vector(name: str = "x", **options) -> tp.Value:
    return tp.initial(name, **options)


def network_of(function: Callable) -> Callable[[], object]:
    return tp.network(function)


def program_of(*outputs: object) -> Callable[[], object]:
    def made():
        return outputs

    return tp.program(made)


MISTAKES: dict[str, tuple[Callable[[], object], str, str, str]] = {
    # what is done, rule, finding, way out
    "widths": (lambda: vector() + vector("y", width=tp.width("m", 2)), "[+]", "different widths", "with a matrix"),
    "axis sizes": (lambda: vector(axes={"t": 2}) * vector("y", axes={"t": 3}), "[axes]", "2 positions in one operand and 3 in the other", "rename"),
    "matrix of scalar": (lambda: tp.matrix("W") @ tp.moment(vector()), "[matmul]", "W cannot multiply the scalar", "vectors"),
    "matrix of number": (lambda: tp.matrix("W") @ 2.0, "[matmul]", "W cannot multiply a float", "vectors"),
    "matrix of width": (lambda: tp.matrix("W", cols=tp.width("m", 2)) @ vector(), "[matmul]", "W takes vectors of width m", "cols=tp.width('n', 1)"),
    "transpose of width": (lambda: tp.matrix("W", rows=tp.width("m", 2)).T @ vector(), "[matmul]", "W.T takes vectors of width m", "rows=tp.width"),
    "vector on the left": (lambda: vector() @ tp.matrix("W"), "[matmul]", "the vector x of width n stands left of @", "W.T @ x"),
    "inner product by @": (lambda: vector() @ vector("y"), "[matmul]", "stands left of @", "tp.moment(x * y)"),
    "matrix plus vector": (lambda: vector() + tp.matrix("W"), "[+]", "a matrix cannot be an operand", "by @"),
    "matrix times number": (lambda: 2 * tp.matrix("W"), "[matmul]", "no arithmetic", "2 * (W @ x)"),
    "array operand": (lambda: vector() * np.ones(3), "[*]", "cannot be an operand", "tp.constant"),
    "array on the left": (lambda: np.ones(3) * vector(), "[*]", "cannot be an operand", "tp.constant"),
    "text operand": (lambda: vector() + "b", "[+]", "a str cannot be an operand", "vectors, scalars and numbers"),
    "function of a number": (lambda: tp.relu(1.0), "[relu]", "not of a float", "vectors and scalars"),
    "function of a matrix": (lambda: tp.relu(tp.matrix("W")), "[relu]", "not of a matrix", "vectors and scalars"),
    "function by name": (lambda: tp.nonlinearity("rleu"), "[function]", "'rleu'", "relu"),
    "function renamed": (lambda: tp.nonlinearity("relu", lambda x: x), "[function]", "built in", "another name"),
    "function with constants": (lambda: tp.ramp(1.5), "[function]", "an integer from -1 to 100, got 1.5", "Call tp.ramp"),
    "function without constants": (lambda: tp.nonlinearity("leaky_relu"), "[function]", "1 constants (slope), got 0", "Call tp.leaky_relu"),
    "axes without sizes": (lambda: vector(axes=("t",)), "[axes]", "('t',) names no sizes", "axes={'token': 3}"),
    "sigma of several": (lambda: tp.matrix("W", [1.0, 2.0]), "[sigma]", "[1.0, 2.0]", "a number >= 0"),
    "moment of a scalar": (lambda: tp.moment(tp.moment(vector())), "[moment]", "not of the scalar", "vector"),
    "softmax of a vector": (lambda: tp.softmax(vector(axes={"t": 2}), "t"), "[softmax]", "vector x of width n over t=2", "tp.moment(q * k)"),
    "power of a vector": (lambda: vector() ** vector("y"), "[power]", "exponent is a number", "not the vector"),
    "branch": (lambda: 1 if vector() else 2, "[trace]", "cannot branch", "tp.step"),
    "loop": (lambda: list(vector()), "[axes]", "cannot be looped over", "unstack"),
    "unknown axis": (lambda: vector(axes={"t": 2}).mean("token"), "[axes]", "has no axis 'token'", "its axes are 't'"),
    "no axis": (lambda: vector().sum("t"), "[axes]", "has no axis 't'", "no named axes"),
    "all axes": (lambda: vector(axes={"t": 2}).sum(), "[axes]", "no axis is named", "mean('token')"),
    "position": (lambda: vector(axes={"t": 2}).select(t=2), "[select]", "no position 2", "2 positions"),
    "gather outside": (lambda: vector(axes={"t": 2}).gather("t", [0, 2]), "[gather]", "2 is no position", "0 .. 1"),
    "gather to a new size": (lambda: vector(axes={"t": 4}).gather("t", [0, 2]), "[gather]", "4 positions and 2 are taken", "into="),
    "gather onto an axis": (lambda: vector(axes={"t": 2, "s": 2}).rename(t="s"), "[gather]", "already has an axis 's'", "another name"),
    "stack onto an axis": (lambda: tp.stack([vector(axes={"t": 2})], "t"), "[stack]", "already has an axis 't'", "another name"),
    "valid convolution": (lambda: tp.taps(2, 3, padding="valid"), "[conv]", "no valid position in 2", "smaller filter"),
    "sigma that is no number": (lambda: tp.matrix("W", float("nan")), "[sigma]", "nan", ">= 0"),
    "sigma": (lambda: tp.matrix("W", -1.0), "[sigma]", "-1.0", ">= 0"),
    "variance": (lambda: vector(variance=-1.0), "[initial]", "-1.0", ">= 0"),
    "name": (lambda: tp.matrix("W 1"), "[name]", "'W 1'", "letters"),
    "ratio": (lambda: tp.width("m", 0), "[width]", "is 0", "positive"),
    "scalar that grows": (lambda: tp.scalar("c", 1, 0.5), "[scalar]", "no limit", "exponent <= 0"),
    "covariance shape": (lambda: tp.gaussians("x", "y", covariance=[[1.0]]), "[gaussians]", "shape (1, 1)", "symmetric 2 x 2"),
    "constant shape": (lambda: tp.constant([1.0, 2.0], axes=("a", "b")), "[constant]", "1 dimensions", "each dimension once"),
    "ragged constant": (lambda: tp.constant([[1.0], [1.0, 2.0]], axes=("a", "b")), "[constant]", "differ in length", "nested list"),
    "two matrices of one name": (
        program_of(tp.matrix("W") @ vector(), tp.matrix("W", 2.0) @ vector()),
        "[matrix]",
        "'W' is declared in two ways",
        "rename one",
    ),
    "two embeddings of one name": (
        network_of(lambda x: tp.readout("v") @ (tp.embedding("U") @ x + tp.embedding("U", 2.0) @ x)),
        "[embedding]",
        "'U' is declared",
        "rename one",
    ),
    "matrix and embedding of one name": (
        network_of(lambda x: tp.readout("v") @ (tp.matrix("U") @ (tp.embedding("U") @ x))),
        "[name]",
        "'U' is the name of two",
        "another name",
    ),
    "two vectors of one name": (program_of(vector(), vector(variance=2.0)), "[initial]", "'x' is declared in two ways", "rename one"),
    "two lines of one name": (program_of(vector().named("y"), tp.relu(vector("z")).named("x")), "[name]", "'x'", "another name"),
    "trained in two ways": (
        program_of(tp.matrix("W") @ vector(), tp.matrix("W", train=False) @ vector()),
        "[training]",
        "'W' is declared in two ways",
        "rename one",
    ),
    "matrix and vector of one name": (program_of(tp.matrix("x") @ vector()), "[name]", "'x'", "another name"),
    "no readout": (network_of(lambda x: tp.embedding("U") @ x), "[network]", "returns the vector", "return v @ x"),
    "nothing returned": (network_of(lambda x: None), "[network]", "returns a NoneType", "return v @ x"),
    "input in arithmetic": (network_of(lambda x: x + 1), "[input]", "the input x is data", "tp.embedding('U') @ x"),
    "input in a matrix": (network_of(lambda x: tp.matrix("W") @ x), "[matmul]", "the input x", "tp.embedding"),
    "input in a function": (network_of(lambda x: tp.relu(x) + 1), "[relu]", "the input x", "vectors and scalars"),
    "input in a readout": (network_of(lambda x: tp.readout("v") @ x), "[readout]", "the input x", "reads out a vector"),
    "input not used": (network_of(lambda x: tp.readout("v") @ vector()), "[input]", "does not depend on the input 'x'", "default"),
    "embedding of a vector": (lambda: tp.embedding("U") @ vector(), "[embedding]", "not the vector", "tp.matrix"),
    "readout of a scalar": (lambda: tp.readout("v") @ tp.moment(vector()), "[readout]", "not the scalar", "a vector"),
    "readout axes": (lambda: tp.readout("v", axes="pixel") @ vector(), "[axes]", "no axis 'pixel'", "no named axes"),
    "output in arithmetic": (lambda: 2 * (tp.readout("v") @ vector()), "[readout]", "not computed with", "sigma"),
    "outputs that differ": (
        network_of(lambda x: tp.readout("v") @ (tp.embedding("U") @ x) + tp.readout("w", outputs=2) @ (tp.embedding("U") @ x)),
        "[readout]",
        "equally many outputs",
        "one kind",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(mistake: str) -> None:
    make, rule, finding, way_out = MISTAKES[mistake]
    with pytest.raises(tp.InvalidProgram) as caught:
        make()
    message = str(caught.value)
    assert message.startswith(rule)
    assert finding in message
    assert way_out in message


@tp.network(xs="time")
def rnn(xs, depth=1):
    return tp.readout("v") @ (tp.embedding("U") @ xs).mean("time")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "size of axis 'time' of input 'xs' is not given"),
        ({"time": 0}, "is 0"),
        ({"time": "3"}, "is '3'"),
        ({"time": 2, "widht": 3}, "no option 'widht'"),
    ],
)
def test_a_network_says_what_it_needs(options, message) -> None:
    with pytest.raises(tp.InvalidProgram, match=message):
        rnn(**options)


def test_axes_of_no_parameter() -> None:
    with pytest.raises(tp.InvalidProgram, match="axes are declared for 'ys'"):
        tp.network(ys="time")(lambda xs: xs)


def test_a_value_of_another_network() -> None:
    kept = []

    @tp.network
    def first(x):
        kept.append(tp.embedding("U") @ x)
        return tp.readout("v") @ kept[0]

    first()
    with pytest.raises(tp.InvalidProgram, match="'x' is no input of this network"):
        tp.program(lambda: kept[0])()


def test_writing_a_program_imports_no_array_library() -> None:
    script = (
        "import sys, tensorprog as tp, tensorprog.language, architectures\n"
        "architectures.ZOO['transformer']()\n"
        "loaded = {'jax', 'numpy', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported: {loaded}' if loaded else 0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.parametrize("name", sorted(tp.LATER))
def test_what_computes_is_where_the_face_says(name: str) -> None:
    assert getattr(tp, name) is not None


def test_the_face_knows_its_names() -> None:
    assert {"kernels", "network", *tp.LATER} <= set(dir(tp))
    assert callable(tp.kernels)
    with pytest.raises(AttributeError, match="no attribute 'kernles'"):
        tp.kernles
