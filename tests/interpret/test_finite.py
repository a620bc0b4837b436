"""Finite networks: the laws of what is sampled, the layout of what is computed, and what is refused."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.finite import apply, run, sample, shapes
from tensorprog.language.expr import Ref, Softmax, add, mul, number, power
from tensorprog.language.instr import Axis, Covariance, Embedding, Gaussian, InitScalar, InitVector, Input, MatMul, Matrix, Moment, Nonlin, Width
from tensorprog.language.program import Network, Program, Readout
from tests.finite_networks import conv, mlp, several_readouts, tied, vector_outputs


def test_an_mlp_is_what_one_writes_by_hand() -> None:
    network, n = mlp(), 5
    p = sample(network, jax.random.key(0), n, 3)
    assert {name: a.shape for name, a in p.items()} == {"W": (5, 5), "U": (5, 3), "b": (5,), "v": (1, 5)}
    x = np.random.default_rng(0).standard_normal((2, 4, 3))
    z = np.tanh(1.5 / np.sqrt(3) * x @ p["U"].T)
    y = jax.nn.gelu(1.3 / np.sqrt(5) * z @ p["W"].T + 0.4 * p["b"], approximate=False)
    np.testing.assert_allclose(apply(network, p, n, x), 0.9 / np.sqrt(5) * y @ p["v"][0], rtol=1e-12)


def test_transposes_and_several_widths() -> None:
    """W is m x n with m = round(7/3 n), the same for W and W^T."""
    n, m = 5, 12
    p = sample(tied(), jax.random.key(1), n, {"x": 2})
    assert p["W"].shape == (m, n)
    x = np.arange(2.0)
    w = 1.1 / np.sqrt(n) * p["W"]
    h = w @ (p["U"] @ x / np.sqrt(2))
    z = np.tanh(h)
    values = run(tied().program, p, n, x)
    np.testing.assert_allclose(values["o"], w.T @ (w @ np.sin(w.T @ z) * z), rtol=1e-12)


def test_layout_of_outputs() -> None:
    """(*batch, outputs, *output axes); one output has no dimension of its own; flattened readouts see all positions."""
    n, x = 6, jnp.ones((2, 3))
    assert apply(vector_outputs(), sample(vector_outputs(), jax.random.key(2), n, 3), n, x).shape == (2, 3)
    p = sample(conv(), jax.random.key(2), n, 3)
    assert p["v"].shape == (2, 2, 14)
    x = jax.random.normal(jax.random.key(3), (7, 4, 3))
    f, y = apply(conv(), p, n, x), run(conv().program, p, n, x)["y"]
    np.testing.assert_allclose(f, 1.2 / np.sqrt(2 * 14) * np.einsum("bhn,chn->bc", y, p["v"]), rtol=1e-12)
    np.testing.assert_allclose(apply(conv(), p, n, x[0]), f[0], rtol=1e-12)


def test_inputs_of_one_matrix_share_it() -> None:
    network = several_readouts()
    assert shapes(network, 4, {"x": 3, "xs": 3})["U"] == (4, 3)
    with pytest.raises(InvalidProgram, match="U is used with shapes"):
        shapes(network, 4, {"x": 3, "xs": 2})


def test_joint_law_of_initial_vectors() -> None:
    """Over 200,000 coordinates: 5 standard errors of a unit variance are 5 sqrt(2 / 200000) = 0.016. The covariance is singular: s ~ 2 p[0]."""
    c = np.array([[1.0, 0.5, 2.0], [0.5, 3.0, 1.0], [2.0, 1.0, 4.0]])
    program = Program(
        axes=(Axis("t", 2),),
        vectors=(
            InitVector("p", "n", ("t",), Gaussian(0.3)),
            InitVector("s", "n", (), Gaussian(-1.0, 4.0)),
            InitVector("q", "n", (), Gaussian(0.0, 2.0)),
        ),
        covariances=(Covariance("p", "p", (1.0, 0.5, 0.5, 3.0)), Covariance("p", "s", (2.0, 1.0))),
    )
    n = 200_000
    v = run(program, sample(program, jax.random.key(4), n), n)
    rows = np.stack([v["p"][0], v["p"][1], v["s"], v["q"]])
    np.testing.assert_allclose(rows.mean(1), [0.3, 0.3, -1.0, 0.0], atol=5 * 2 / n**0.5)
    wanted = np.block([[c, np.zeros((3, 1))], [np.zeros((1, 3)), np.full((1, 1), 2.0)]])
    np.testing.assert_allclose(np.cov(rows), wanted, atol=4 * 0.016)
    np.testing.assert_allclose(v["s"] + 1.0, 2.0 * (v["p"][0] - 0.3), atol=1e-6)


def test_an_indefinite_covariance_is_refused() -> None:
    program = Program(vectors=(InitVector("a", "n"), InitVector("b", "n")), covariances=(Covariance("a", "b", (1.5,)),))
    with pytest.raises(InvalidProgram, match="indefinite"):
        run(program, sample(program, jax.random.key(0), 3), 3)


@pytest.mark.parametrize("law", ["gaussian", "rademacher", "uniform"])
def test_entries_have_mean_0_and_variance_1(law: str) -> None:
    """10^6 entries: 5 standard errors are 5e-3 for the mean, 7e-3 for the variance. Embeddings and readouts stay Gaussian: fourth moment 3."""
    p = sample(mlp(), jax.random.key(5), 1000, 1000, law=law)
    assert abs(p["W"].mean()) < 5e-3
    assert abs(p["W"].var() - 1) < 7.1e-3
    assert abs((p["W"] ** 4).mean() - {"gaussian": 3.0, "rademacher": 1.0, "uniform": 1.8}[law]) < 0.05  # sd of z^4 is 10: 5 standard errors
    assert abs((p["U"] ** 4).mean() - 3.0) < 0.05
    assert not np.array_equal(p["U"], p["W"])
    with pytest.raises(InvalidProgram, match="uniform"):
        sample(mlp(), jax.random.key(5), 4, 4, law="cauchy")


def test_scalars_constants_and_moments() -> None:
    """A scalar value * n^exponent, one that is given; a Moment without vectors; a vector that is constant."""
    half = Width("half", Fraction(1, 2))
    program = Program(
        widths=(Width("n"), half),
        axes=(Axis("t", 3),),
        vectors=(InitVector("g", "half"),),
        scalars=(InitScalar("theta", (), 2.0, -0.5), InitScalar("c", ("t",))),
        body=(
            Moment("s", Softmax("t", Ref("c"))),
            Nonlin("one", mul(number(2.0), Ref("theta"))),
            Nonlin("y", mul(Ref("g"), Ref("s"))),
            Moment("m", power(Ref("y"), 2)),
        ),
    )
    c = np.array([[0.0, 1.0, 2.0]])
    p = sample(program, jax.random.key(6), 9)
    v = run(program, p, 9, scalars={"c": c})
    assert p["g"].shape == (4,)  # half of 9 is rounded to even, as Python does
    assert v["one"].shape == (9,)
    np.testing.assert_allclose(v["one"], 4.0 / 3.0, rtol=1e-12)
    np.testing.assert_allclose(v["m"], jax.nn.softmax(c) ** 2 * (p["g"] ** 2).mean(), rtol=1e-12)
    with pytest.raises(InvalidProgram, match="scalar c has no value"):
        run(program, p, 9)
    with pytest.raises(InvalidProgram, match="d is given"):
        run(program, p, 9, scalars={"c": c, "d": 1.0})


def test_jit_grad_and_vmap_over_keys() -> None:
    network, x = tied(), jnp.ones((2, 3))
    keys = jax.random.split(jax.random.key(7), 3)
    f = jax.jit(jax.vmap(lambda key: apply(network, sample(network, key, 4, 3), 4, x)))(keys)
    np.testing.assert_allclose(f[1], apply(network, sample(network, keys[1], 4, 3), 4, x), rtol=1e-12)
    g = jax.grad(lambda p: apply(network, p, 4, x).sum())(sample(network, keys[0], 4, 3))
    assert all(np.abs(a).max() > 0 for a in g.values())


def test_the_cost_of_a_program_does_not_know_the_number_of_points() -> None:
    """Data points are batch dimensions of arrays: the traced program is the same for 2 and for 500 points."""
    network = conv()
    p = sample(network, jax.random.key(8), 4, 3)
    sizes = [len(jax.make_jaxpr(lambda x: apply(network, p, 4, x))(jnp.ones((points, 4, 3))).eqns) for points in (2, 500)]
    assert sizes[0] == sizes[1]


PRODUCT = Program(matrices=(Matrix("W", "n", "n"),), vectors=(InitVector("g", "n"),), body=(MatMul("h", "W", "g"),))
BAD = {
    "base width n is 0": lambda: sample(mlp(), jax.random.key(0), 0, 3),
    "base width n is 2.5": lambda: sample(mlp(), jax.random.key(0), 2.5, 3),
    "dimension of x is None": lambda: sample(mlp(), jax.random.key(0), 4),
    "x is missing": lambda: _apply(mlp(), {}),
    "NaN or infinite": lambda: _apply(mlp(), jnp.array([1.0, jnp.nan, 0.0])),
    "NaN or infinite.*Clean": lambda: _apply(mlp(), jnp.array([1.0, jnp.inf, 0.0])),
    "5 positions along pixel, whose size is 4": lambda: _apply(conv(), jnp.ones((2, 5, 3))),
    r"needs \(\*batch, pixel, d\)": lambda: _apply(conv(), jnp.ones(3)),
    r"U has shape \(4, 3\), expected \(4, 2\)": lambda: _apply(mlp(), jnp.ones(2)),
    "inputs are: x, xs": lambda: _apply(several_readouts(), jnp.ones(3)),
    "tensor v is missing": lambda: apply(mlp(), {k: v for k, v in sample(mlp(), jax.random.key(0), 4, 3).items() if k != "v"}, 4, jnp.ones(3)),
    r"W has shape \(4, 4\), expected \(5, 5\)": lambda: run(PRODUCT, {"W": jnp.ones((4, 4)), "g": jnp.ones(5)}, 5),
}


def _apply(network: Network, x):
    return apply(network, sample(network, jax.random.key(0), 4, 3), 4, x)


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named(message: str) -> None:
    with pytest.raises(InvalidProgram, match=message):
        BAD[message]()


def test_two_readouts_with_one_vector_must_agree() -> None:
    program = Program(
        widths=(Width("n"), Width("m", Fraction(2))),
        inputs=(Input("x"),),
        vectors=(InitVector("g", "n", (), Embedding("U", "x")), InitVector("h", "m", (), Embedding("V", "x"))),
        body=(Nonlin("y", add(Ref("g"), Ref("g"))),),
    )
    with pytest.raises(InvalidProgram, match="v is used with shapes"):
        shapes(Network(program, (Readout("v", "y", "n"), Readout("v", "h", "m"))), 4, 3)
