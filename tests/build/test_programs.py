"""What is written is what is meant: traced functions against programs written out by hand."""

import numpy as np
import pytest

import tensorprog as tp
from tensorprog.language.expr import Apply, Ref, add, mul
from tensorprog.language.instr import Embedding, InitVector, Input, MatMul, Matrix, Nonlin, Width
from tensorprog.language.nonlin import fn
from tensorprog.language.program import Network, Program, Readout, Training


def body(source: Network | Program) -> list[str]:
    """The lines of computation, as text."""
    return [line for line in tp.show(source).splitlines() if ":=" in line]


@tp.network
def gated(x, depth):
    U, v = tp.embedding("U"), tp.readout("v")
    h = U @ x
    for l in range(depth):
        V, W = tp.matrix(f"V{l}"), tp.matrix(f"W{l}", sigma=2**0.5)
        h = h + tp.sigmoid(V @ h) * tp.relu(W @ h)
    return v @ h


def test_a_network_is_the_data_that_one_would_write() -> None:
    product = mul(Apply(fn("sigmoid"), (Ref("h1"),)), Apply(fn("relu"), (Ref("h2"),)))
    program = Program(
        name="gated",
        widths=(Width("n"),),
        inputs=(Input("x"),),
        matrices=(Matrix("V0", "n", "n"), Matrix("W0", "n", "n", 2**0.5)),
        vectors=(InitVector("g1", "n", (), Embedding("U", "x")),),
        body=(MatMul("h1", "V0", "g1"), MatMul("h2", "W0", "g1"), Nonlin("x1", add(Ref("g1"), product))),
        outputs=("x1",),
    )
    assert gated(depth=1) == Network(program, (Readout("v", "x1", "n"),))


def test_a_program_prints_as_text_that_can_be_read_back() -> None:
    net = gated(depth=2)
    assert tp.parse(str(net)) == net
    assert tp.parse(str(net.program)) == net.program
    assert str(net).endswith("matrix is used with its transpose in the forward pass.")


def test_a_value_says_what_it_is() -> None:
    assert repr(tp.initial("x", axes={"t": 2})) == "<vector x of width n over t=2>"
    assert repr(tp.moment(tp.initial("x"))) == "<scalar>"


def test_one_matrix_at_every_step() -> None:
    @tp.network(xs="time")
    def rnn(xs):
        W, U, b, v = tp.matrix("W"), tp.embedding("U"), tp.bias("b", 0.5), tp.readout("v")
        s = None
        for x in xs.unstack("time"):
            h = U @ x + b if s is None else W @ s + U @ x + b
            s = tp.erf(h)
        return v @ s

    assert rnn(time=3) == tp.parse("""
        network rnn
        width n
        axis time 3
        input xs over time
        matrix W : n x n
        vector b : n ~ N(0, 0.25)
        vector g1 : n over time = U xs
        x1 := erf(select[time 0](g1) + b)
        h1 := W x1
        x2 := erf(h1 + select[time 1](g1) + b)
        h2 := W x2
        x3 := erf(h2 + select[time 2](g1) + b)
        readout v^T x3 : n
        return x3
    """)


def test_attention_is_two_moments_and_a_mix() -> None:
    @tp.network(x="token")
    def attention(x):
        q, k, u = (tp.matrix(c) @ (tp.embedding("E") @ x) for c in "QKV")
        k, u = k.rename(token="source"), u.rename(token="source")
        a = tp.softmax(tp.moment(q * k), axis="source")
        return tp.readout("v") @ (tp.matrix("O") @ tp.mix(a, u, axis="source"))

    assert body(attention(token=2)) == [
        "h1 := Q g1",
        "h2 := K g1",
        "h3 := V g1",
        "c1 := moment(h1 * rename[token -> source 2](h2))",
        "c2 := moment(softmax[source](c1))",
        "x1 := sum[source](c2 * rename[token -> source 2](h3))",
        "h4 := O x1",
    ]


def test_layernorm_is_two_moments_and_a_gate() -> None:
    @tp.program
    def normed():
        return tp.layernorm(tp.initial("x"), 0.1)

    assert body(normed()) == ["c1 := moment(x)", "c2 := moment((x - c1)^2)", "x1 := (x - c1) / (c2 + 0.1)^0.5"]


def test_what_is_read_once_is_fused_and_what_is_shared_is_not() -> None:
    @tp.program
    def fused():
        x = tp.initial("x")
        once = tp.relu(x)
        twice = tp.tanh(x)
        return tp.matrix("W") @ (once + twice * twice)

    assert body(fused()) == ["x1 := tanh(x)", "x2 := relu(x) + x1 * x1", "h1 := W x2"]


def test_a_named_value_has_its_line_and_its_name() -> None:
    @tp.program
    def named():
        x = tp.initial("x")
        y = tp.relu(x).named("y")
        return (tp.tanh(y) + 1).named("z"), tp.moment(y**2).named("norm")

    assert body(named()) == ["y := relu(x)", "z := tanh(y) + 1", "norm := moment(y^2)"]


def test_names_that_are_taken_are_left_alone() -> None:
    @tp.program
    def taken():
        return tp.matrix("h1") @ (tp.matrix("W") @ tp.initial("x1"))

    assert body(taken()) == ["h2 := W x1", "h3 := h1 h2"]


def test_what_leads_nowhere_is_left_out() -> None:
    @tp.program
    def dead():
        x = tp.initial("x")
        tp.matrix("W") @ tp.relu(x)
        return tp.tanh(x)

    program = dead()
    assert body(program) == ["x1 := tanh(x)"]
    assert program.matrices == ()


def test_long_chains_of_functions_stay_within_what_a_program_may_nest() -> None:
    @tp.program
    def chain():
        x = tp.initial("x")
        for _ in range(200):
            x = tp.tanh(x)
        return x

    program = chain()
    assert tp.check(program).ok
    assert sum(line.count("tanh") for line in body(program)) == 200


def test_a_thousand_steps_need_no_recursion() -> None:
    @tp.program
    def steps():
        W, z = tp.matrix("W"), tp.initial("z")
        for _ in range(1000):
            z = W @ tp.tanh(z)
        return z

    assert len(steps().body) == 2000


def test_widths_are_inferred_and_transposes_go_back() -> None:
    @tp.program
    def tied():
        W = tp.matrix("W", 1.5, rows=tp.width("code", 0.5))
        x = tp.initial("x")
        return W.T @ tp.relu(W @ x)

    program = tied()
    assert program.matrix["W"] == Matrix("W", "code", "n", 1.5)
    assert body(program) == ["h1 := W x", "x1 := relu(h1)", "h2 := W^T x1"]
    assert program.width_of == {"x": "n", "h1": "code", "x1": "code", "h2": "n"}


def test_joint_gaussians_scalars_and_constants() -> None:
    @tp.program
    def initials():
        x, y = tp.gaussians("x", "y", covariance=[[1, 0.5], [0.5, 2]], mean=1)
        p = tp.initial("p", variance=np.array([[1.0, 0.3], [0.3, 1.0]]), axes={"place": 2})
        theta = tp.scalar("theta", 1, -0.5)
        weights = tp.constant([0.25, 0.75], axes="place")
        return x + theta * y + (weights * p).sum("place")

    assert initials() == tp.parse("""
        program initials
        width n
        axis place 2
        vector x : n ~ N(1, 1)
        vector y : n ~ N(1, 2)
        vector p : n over place ~ N(0, 1)
        covariance x, y = (0.5)
        covariance p, p = (1, 0.3, 0.3, 1)
        scalar theta = n^-0.5
        x1 := x + theta * y + sum[place](tensor[place 2](0.25, 0.75) * p)
        return x1
    """)


def test_training_is_said_where_a_tensor_is_declared() -> None:
    @tp.network
    def trained(x):
        h = tp.embedding("U", train=False) @ x + tp.bias("b", rate=2.0)
        return tp.readout("v") @ (tp.matrix("W", convention="sigma") @ h + tp.initial("noise"))

    net = trained()
    assert net.training == {"U": Training(0.0), "b": Training(2.0), "W": Training(1.0, "sigma"), "noise": Training(0.0)}
    assert net.parameters == ("W", "U", "b", "noise", "v")


def test_readouts() -> None:
    @tp.network(x="pixel")
    def readouts(x):
        h = tp.embedding("U") @ x
        y = tp.matrix("W", rows=tp.width("m", 2)) @ h
        v = tp.readout("v", 0.5, outputs=3, axes="pixel")
        return v @ h + tp.readout("w", outputs=3, axes="pixel") @ y + v @ tp.relu(h)

    net = readouts(pixel=2)
    assert net.readouts == (Readout("v", "x1", "n", ("pixel",), 0.5), Readout("w", "h1", "m", ("pixel",)))  # v @ h + v @ relu(h) = v @ (h + relu(h))
    assert net.outputs == 3
    assert body(net) == ["h1 := W g1", "x1 := g1 + relu(g1)"]


def test_the_readout_of_mup_is_a_moment() -> None:
    @tp.network
    def mup(x):
        return tp.readout("v", kind="moment") @ (tp.embedding("U") @ x)

    assert mup().kind == "moment"


def test_an_input_is_moved_before_it_is_embedded() -> None:
    @tp.network(x="pixel")
    def moved(x):
        U = tp.embedding("U")
        return tp.readout("v") @ (U @ x.shift("pixel", 1) + U @ x.mean("pixel") + U @ x.select(pixel=-1))

    net = moved(pixel=3)
    assert len(net.program.vectors) == 1
    assert body(net) == ["x1 := shift[pixel 3, +1](g1) + 0.3333333333333333 * sum[pixel](g1) + select[pixel 2](g1)"]


def test_several_inputs() -> None:
    @tp.network
    def siamese(a, b, depth):
        x, y = (tp.tanh(tp.matrix("W") @ (tp.embedding("U") @ z)) for z in (a, b))
        return tp.readout("v") @ (x * y) if depth else tp.readout("v") @ (x + y)

    assert [i.name for i in siamese(depth=1).program.inputs] == ["a", "b"]


def test_arithmetic_is_what_it_says() -> None:
    @tp.program
    def arithmetic():
        x, y = tp.initial("x"), tp.initial("y")
        c = tp.moment(x * x)
        return 2 - x / c + 3 * -(y**2) / 4 + 1 / (c + 1) - tp.sqrt(c) + np.float64(0.5) * x

    values = {"x": np.array([1.0, -2.0]), "y": np.array([0.5, 3.0])}
    x, y = values.values()
    c = (x * x).mean()
    program = arithmetic()
    found = tp.run(program, values, 2)[program.outputs[0]]
    np.testing.assert_allclose(found, 2 - x / c + 3 * -(y**2) / 4 + 1 / (c + 1) - np.sqrt(c) + 0.5 * x, rtol=1e-14)


def test_stack_is_the_inverse_of_unstack() -> None:
    @tp.program
    def stacked():
        x = tp.initial("x", axes={"t": 3})
        return tp.stack(x.unstack("t")[::-1], "t")

    program = stacked()
    x = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(tp.run(program, {"x": x}, 2)["x1"], x[::-1])


def test_functions_of_ones_own() -> None:
    softsign = tp.nonlinearity("softsign", lambda x: x / (1 + abs(x)), growth=tp.Growth.LIPSCHITZ, parity=-1)

    @tp.program
    def own():
        return softsign(tp.initial("x")) + tp.leaky_relu(0.2)(tp.initial("x"))

    program = own()
    x = np.array([1.0, -3.0])
    np.testing.assert_allclose(tp.run(program, {"x": x}, 2)["x1"], x / (1 + abs(x)) + np.where(x > 0, x, 0.2 * x), rtol=1e-15)


@pytest.mark.parametrize(("padding", "first"), [("zero", 0.0), ("circular", 3.0)])
def test_shift_moves_on(padding, first) -> None:
    @tp.program
    def shifted():
        return tp.initial("x", axes={"t": 3}).shift("t", 1, padding)

    x = np.array([[1.0], [2.0], [3.0]])
    np.testing.assert_array_equal(tp.run(shifted(), {"x": x}, 1)["x1"], [[first], [1.0], [2.0]])
