"""Vectors by coordinates in a small basis are the vectors that a run computes, and cost less."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from architectures import ZOO
from tensorprog.interpret import finite, spans
from tensorprog.interpret.finite import sample
from tensorprog.interpret.spans import Span
from tensorprog.kernels.empirical import EmpiricalKernels, compiled, empirical_kernels, empirical_ntk_jacobian
from tensorprog.language.expr import add, mul, number
from tensorprog.language.instr import Embedding, Gaussian, InitVector, Input, MatMul, Matrix, Moment, Nonlin
from tensorprog.language.program import Network, Program, Readout
from tests.finite_networks import NETWORKS, D, N, f, r
from tests.kernels.test_empirical import data, open_scalars, same

WIDTH = 7


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "NARROW", 0)


def transformer(**options: int) -> Network:
    return ZOO["transformer"](token=8, depth=1, eps=1e-5, **options)


def tokens(points: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((points, 8, 3))


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("name", NETWORKS)
def test_every_variable_is_that_of_a_run(name: str) -> None:
    network = NETWORKS[name]()
    params, x = sample(network, jax.random.key(1), WIDTH, D["x"]), data(network, 3, 0)
    found = spans.run(network.program, params, WIDTH, x, open_scalars(network))
    wanted = finite.run(network.program, params, WIDTH, x, open_scalars(network))
    assert found.keys() == wanted.keys()
    for variable, a in wanted.items():
        array = np.asarray(b.dense if isinstance(b := found[variable], Span) else b)
        size = float(np.abs(a).max())
        np.testing.assert_allclose(array, np.broadcast_to(a, array.shape), rtol=1e-12, atol=1e-13 * size, err_msg=variable)


def test_a_transformer_is_linear_in_its_embeddings_up_to_the_first_nonlinearity() -> None:
    """With layer normalization, whose mean adds the vector of ones, and a residual sum of what has two bases."""
    network = transformer()
    params, x = sample(network, jax.random.key(0), 64, 3), tokens(16)
    found = spans.run(network.program, params, 64, x)
    rank = {name: a.coordinates.shape[-1] for name, a in found.items() if isinstance(a, Span)}
    assert rank == {"g1": 3, "x1": 4, "h1": 4, "h2": 4, "h3": 4, "x2": 4, "h4": 4, "x3": 7, "x4": 8, "h5": 8}
    for name, a in finite.run(network.program, params, 64, x).items():
        if name in rank:
            np.testing.assert_allclose(found[name].dense, a, rtol=1e-10, atol=1e-12)


def test_a_span_that_is_no_smaller_than_its_vectors_is_none() -> None:
    network = transformer()
    params = sample(network, jax.random.key(0), 64, 3)
    assert not any(isinstance(a, Span) for a in spans.run(network.program, params, 64, tokens(0)).values())
    wide = sample(network, jax.random.key(0), 64, 40)
    x = np.random.default_rng(0).standard_normal((16, 8, 40))
    assert not any(isinstance(a, Span) for a in spans.run(network.program, wide, 64, x).values())


def test_biases_and_shared_embeddings_are_in_the_basis() -> None:
    """W (U x + b) + 3/2 U x + b is known by eight numbers a point, in the basis of W U, W (b - 1), W 1, U, b - 1 and 1."""
    program = Program(
        "affine",
        (N,),
        (),
        (Input("x"),),
        (Matrix("W", "n", "n"),),
        (
            InitVector("g", "n", (), Embedding("U", "x")),
            InitVector("half", "n", (), Embedding("U", "x", 0.5)),
            InitVector("b", "n", (), Gaussian(1.0, 0.1)),
        ),
        body=(
            Nonlin("z", add(r("g"), r("b"))),
            MatMul("h", "W", "z"),
            Nonlin("y", add(r("h"), r("half"), r("b"), r("g"))),
            Nonlin("out", f("tanh", r("y"))),
        ),
        outputs=("out",),
    )
    network = Network(program, (Readout("v", "out", "n"),))
    params, x = sample(network, jax.random.key(0), 64, 2), np.random.default_rng(0).standard_normal((40, 2))
    found = spans.run(program, params, 64, x)
    y = found["y"]
    assert isinstance(y, Span)
    assert y.coordinates.shape == (40, 8)
    np.testing.assert_allclose(y.dense, finite.run(program, params, 64, x)["y"], rtol=1e-11, atol=1e-12)
    same(empirical_kernels(network, params, 64, x), empirical_ntk_jacobian(network, params, 64, x))


def test_a_large_mean_that_is_subtracted_costs_no_digits() -> None:
    """In float32, z - mean(z) for z = U x + b with a bias of mean 1000: z itself is known to 1e-7 of the mean, which is 1e-4 of what is left."""
    program = Program(
        "centred",
        (N,),
        (),
        (Input("x"),),
        (Matrix("W", "n", "n"),),
        (InitVector("g", "n", (), Embedding("U", "x")), InitVector("b", "n", (), Gaussian(1000.0))),
        body=(
            Nonlin("z", add(r("g"), r("b"))),
            Moment("m", r("z")),
            Nonlin("centred", add(r("z"), mul(number(-1), r("m")))),
            MatMul("h", "W", "centred"),
            Nonlin("out", f("tanh", r("h"))),
        ),
        outputs=("out",),
    )
    network = Network(program, (Readout("v", "out", "n"),))
    params, x = sample(network, jax.random.key(0), 64, 3, dtype=jnp.float32), np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
    assert isinstance(spans.run(program, params, 64, x)["centred"], Span)
    k, wanted = (empirical_kernels(network, p, 64, x) for p in (params, {name: a.astype(jnp.float64) for name, a in params.items()}))
    np.testing.assert_allclose(k.ntk, wanted.ntk, rtol=1e-3)


def test_tensors_of_less_precision_do_not_lower_that_of_the_bases() -> None:
    """Inner products of a basis of float32 would be of float32."""
    network = transformer()
    params, x = sample(network, jax.random.key(0), 64, 3), tokens(16)
    found = spans.run(network.program, {**params, "E": params["E"].astype(jnp.float32)}, 64, x)
    assert {a.basis.dtype for a in found.values() if isinstance(a, Span)} == {np.dtype(np.float64)}


def test_few_points_meet_many() -> None:
    """A basis pays for many points only; two points have none."""
    network = transformer()
    params, x = sample(network, jax.random.key(0), 64, 3), tokens(18)
    whole = empirical_kernels(network, params, 64, x)
    found, turned = empirical_kernels(network, params, 64, x[:2], x[2:]), empirical_kernels(network, params, 64, x[2:], x[:2])
    np.testing.assert_allclose(found.ntk, whole.ntk[:2, 2:], rtol=1e-11)
    np.testing.assert_allclose(turned.ntk, whole.ntk[2:, :2], rtol=1e-11)


def kernels_of(network: Network, points: int) -> tuple[EmpiricalKernels, float]:
    """With the floating-point operations that XLA counts."""
    params, x = sample(network, jax.random.key(0), 64, 3, dtype=jnp.float64), tokens(points)
    kernel = compiled(network, 64, parts=False)
    cost = jax.jit(kernel).lower(params, x).compile().cost_analysis()
    return kernel(params, x), float(cost["flops"])


def test_coordinates_save_a_third_of_the_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a Transformer block, whose perceptron, four times as wide, is not linear in the embeddings."""
    short, few = kernels_of(transformer(), 16)
    monkeypatch.setattr(spans, "NARROW", 10**9)
    long, many = kernels_of(transformer(), 16)
    same(short, long)
    assert few < 2 / 3 * many


def test_kernels_of_one_set_of_points_are_symmetric_to_the_bit() -> None:
    k, _ = kernels_of(transformer(), 16)
    assert np.array_equal(k.ntk, k.ntk.T)
    assert np.array_equal(k.nngp, k.nngp.T)


def test_kernels_in_coordinates_have_derivatives() -> None:
    """Also in a basis that is linearly dependent: two equal features."""
    network, x = transformer(), tokens(16)
    params = sample(network, jax.random.key(0), 64, 3)
    params["E"] = params["E"].at[:, 1].set(params["E"][:, 0])
    kernel = compiled(network, 64, parts=False)

    def size(scale: jax.Array) -> jax.Array:
        return kernel({**params, "Q1": scale * params["Q1"]}, x).ntk.sum()

    slope, step = jax.grad(size)(jnp.asarray(1.0)), 1e-5
    by_differences = (size(jnp.asarray(1 + step)) - size(jnp.asarray(1 - step))) / (2 * step)
    np.testing.assert_allclose(slope, by_differences, rtol=1e-6)
