"""Tables against the rules: accuracy within the stated error, the choice between both, awkward data."""

import pickle
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tensorprog as tp
from tensorprog.kernels.result import Kernels
from tensorprog.kernels.tables import evaluate, panels, tabulated
from tensorprog.kernels.tile import Precision, Tile, tile

D = 8
X = np.random.default_rng(0).standard_normal((101, D))  # one more than what is left to the rules


@tp.network
def mlp(x, phi=tp.relu, depth=2, bias=0.0, normalized=False):
    h = tp.embedding("U", 2**0.5) @ x
    for l in range(depth):
        h = tp.layernorm(h) if normalized else h + tp.bias(f"b{l}", bias) if bias else h
        h = tp.matrix(f"W{l}", 2**0.5) @ phi(h)
    return tp.readout("v") @ phi(h)


NETWORKS = {
    "homogeneous": mlp(depth=3),
    "layernorm": mlp(normalized=True),
    "relu with biases": mlp(bias=0.3),
    "erf with biases": mlp(phi=tp.erf, bias=0.2),
}


@cache
def evaluator(name: str, dtype: Precision = "float64") -> Tile:
    return tile(NETWORKS[name], dtype=dtype)


@cache
def by_rules(name: str) -> Kernels:
    return tp.kernels(NETWORKS[name], X)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NETWORKS)
def test_within_the_stated_error(name: str, dtype: Precision) -> None:
    found, exact = evaluator(name, dtype).measured(X), by_rules(name)
    for kind, k in found.kernels.items():
        assert k.dtype == dtype
        assert np.abs(np.asarray(k, float) - np.asarray(getattr(exact, kind))).max() <= float(found.error)
        np.testing.assert_array_equal(np.asarray(k), np.asarray(k).T)
    scale = np.abs(np.asarray(exact.ntk)).max()
    assert float(found.error) < (2e-5 if dtype == "float32" else 1e-10) * scale


def test_methods() -> None:
    assert evaluator("homogeneous", "float32").measured(X).method.startswith("closed form, tabulated in")
    assert evaluator("homogeneous").measured(X[:5]).method == "closed form"


@pytest.mark.parametrize(("dtype", "deep", "factor"), [("float32", 20, 1.5), ("float64", 50, 2)])
def test_cost_does_not_grow_with_depth(dtype: Precision, deep: int, factor: float) -> None:
    """In the variable theta / (1 + b theta) a deep kernel is as short a series as a shallow one, but for rounding near equal directions."""
    found = [tile(mlp(depth=depth), dtype=dtype).measured(X) for depth in (2, deep)]
    terms = [int(f.method.removesuffix(" terms").split()[-1]) for f in found]
    assert terms[1] <= factor * terms[0]


def test_equal_and_opposite_directions() -> None:
    """One relu layer has K = K(0) (1 - theta / (2 pi) + O(theta^2)), and vanishes at pi with the same slope: arccos would keep 8 digits of theta."""
    angle = np.array([0.0, 1e-9, 1e-7, 1e-5])
    near = np.stack([np.cos(angle), np.sin(angle)], 1) @ np.eye(2, D)
    k = np.asarray(tile(mlp(depth=0), "ntk")(np.concatenate([near, -near, X[:93]]))["ntk"])[0]
    # the series itself is good to 1e-13 of K, its truncated O(theta^2) at 1e-5 to 1e-10
    np.testing.assert_allclose(1 - k[1:4] / k[0], angle[1:] / (2 * np.pi), atol=1e-12, rtol=1e-4)
    np.testing.assert_allclose(k[5:8] / k[0], -angle[1:] / (2 * np.pi), atol=1e-12, rtol=1e-4)


def test_two_sets_and_outputs() -> None:
    whole = np.asarray(evaluator("homogeneous")(X)["ntk"])
    part = tile(NETWORKS["homogeneous"], "ntk")(X[:101], X)
    assert set(part) == {"ntk"}
    np.testing.assert_allclose(np.asarray(part["ntk"]), whole, rtol=0, atol=1e-11)


@settings(max_examples=8, deadline=None)
@given(st.integers(-150, 150), st.integers(0, 100), st.integers(0, 100), st.booleans())
def test_any_scale(power: int, i: int, j: int, zero: bool) -> None:
    """Norms from 1e-150 to 1e150, duplicates, opposite and zero inputs: K(a x, x') = a K(x, x') exactly by homogeneity."""
    x = X.copy()
    x[j] = x[i]
    x[(i + 50) % 101] = -x[i]
    if zero:
        x[(i + 25) % 101] = 0.0
    plain = np.asarray(evaluator("homogeneous")(x)["nngp"])
    scale = np.where(np.arange(101) == i, 10.0**power, 1.0)
    scaled = np.asarray(evaluator("homogeneous")(x * scale[:, None])["nngp"])
    np.testing.assert_allclose(scaled, plain * scale * scale[:, None], rtol=1e-9)


def test_awkward_arrays() -> None:
    t = evaluator("homogeneous")
    expected = np.asarray(t(X)["nngp"])
    np.testing.assert_allclose(np.asarray(t(np.asfortranarray(X))["nngp"]), expected)
    np.testing.assert_allclose(np.asarray(t(np.repeat(X, 2, 1)[:, ::2])["nngp"]), expected)
    np.testing.assert_allclose(np.asarray(t(X.astype(np.float32), X)["nngp"]), expected, atol=1e-5)
    assert t(X[:0])["nngp"].shape == (0, 0)
    assert t(X[:1])["nngp"].shape == (1, 1)
    bad = X.copy()
    bad[7, 2] = np.nan
    with pytest.raises(tp.InvalidProgram, match="row 7"):
        t(bad)
    with pytest.raises(tp.InvalidProgram, match="nngp and ntk"):
        tile(NETWORKS["homogeneous"], "posterior")
    with pytest.raises(tp.InvalidProgram, match="float64 or float32"):
        tile(NETWORKS["homogeneous"], dtype="int8")


def test_a_tile_travels_to_other_processes() -> None:
    t = tile(NETWORKS["homogeneous"], "ntk", dtype="float32")
    t(X)  # what was compiled stays here
    there = pickle.loads(pickle.dumps(t))
    assert np.array_equal(there(X)["ntk"], t(X)["ntk"])
    assert there(X).keys() == {"ntk"}


def test_gradient_in_the_inputs() -> None:
    """Under grad the rules are used; against central differences, of error 1e-5^2."""
    t = tile(mlp(phi=tp.erf, depth=0))
    with jax.enable_x64(True):
        x = jnp.asarray(X[:3])

        def corner(a):
            return t(x.at[0, 0].set(a))["ntk"][0, 1]

        slope, h = jax.grad(corner)(x[0, 0]), 1e-5
        assert abs(slope - (corner(x[0, 0] + h) - corner(x[0, 0] - h)) / (2 * h)) < 1e-7


@pytest.mark.parametrize("points", [101, 3])
def test_constant_data_inside_a_jit(points: int) -> None:
    """By a table and by the rules: computed when it is traced, in float64, whatever the precision and the arguments of the function around it."""
    t, x = evaluator("homogeneous"), X[:points]
    k = np.asarray(t(x)["ntk"])

    def product(v):
        found = t(x)["ntk"]
        assert isinstance(found, jax.Array)
        assert not isinstance(found, jax.core.Tracer)
        return found.astype(v.dtype) @ v + t.diagonal(x).kernels["ntk"].astype(v.dtype)

    v = np.ones(points, np.float32)
    expected = k.sum(1) + np.diag(k)
    np.testing.assert_allclose(jax.jit(product)(v), expected, rtol=1e-5)  # float32 sums of 101 numbers
    np.testing.assert_allclose(jax.jit(lambda v: tp.kernels(NETWORKS["homogeneous"], x, parts=False).ntk.astype(v.dtype) @ v)(v), k.sum(1), rtol=1e-5)


def test_kernels_without_parts() -> None:
    """The one entry point by tables."""
    found = tp.kernels(NETWORKS["homogeneous"], X, parts=False)
    assert "tabulated" in found.method
    assert not found.by_parameter
    np.testing.assert_allclose(found.ntk, by_rules("homogeneous").ntk, atol=float(found.error), rtol=0)


@pytest.mark.parametrize("whole", [0, 1 << 30])
def test_close_pairs_in_many_blocks(whole: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs before the start of a series are left to the rules: in one block, and in every thread, 2 x 2 blocks, close pairs across them."""
    monkeypatch.setattr(tabulated, "WHOLE", whole)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((600, D))
    x[300:] = x[:300] + 1e-3 * rng.standard_normal((300, D))
    found = evaluator("relu with biases", "float32").measured(x)
    assert "tabulated" in found.method
    rows = np.array([0, 5, 299])
    exact = tp.kernels(NETWORKS["relu with biases"], x[rows], x[rows + 300])
    whole_ntk = np.asarray(found.kernels["ntk"])
    assert np.abs(whole_ntk[rows][:, rows + 300] - np.asarray(exact.ntk)).max() <= float(found.error)
    np.testing.assert_array_equal(whole_ntk, whole_ntk.T)


@pytest.mark.parametrize("whole", [0, 1 << 30])
@pytest.mark.parametrize("name", ["homogeneous", "erf with biases"])
def test_right_angles(name: str, whole: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Points whose directions are all far from each other have a series in the cosine; 514 of them are two blocks. Twice: NumPy is first."""
    monkeypatch.setattr(tabulated, "WHOLE", whole)
    x = np.eye(514) * np.linspace(20, 30, 514)[:, None] + 0.2 * np.random.default_rng(2).standard_normal((514, 514))
    some = np.array([0, 1, 511, 512, 513])
    exact = tp.kernels(NETWORKS[name], x[some])
    for found in (evaluator(name, "float32").measured(x) for _ in range(2)):
        for kind, k in found.kernels.items():
            assert np.abs(np.asarray(k, float)[np.ix_(some, some)] - np.asarray(getattr(exact, kind))).max() <= float(found.error)
            np.testing.assert_array_equal(np.asarray(k), np.asarray(k).T)


def test_once_by_numpy_and_then_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbers to rounding, also between two sets of points, of which the memory of one call serves the next."""
    by_numpy = list[bool]()
    monkeypatch.setattr(tabulated, "by_panels", lambda *args: (found := panels.by_panels(*args), by_numpy.append(found is not None))[0])
    x, t = np.random.default_rng(3).standard_normal((250, 120)), tile(NETWORKS["erf with biases"])
    calls = [t.measured(x[:150], x[150:]) for _ in range(3)]
    assert by_numpy == [True]
    assert "tabulated" in calls[0].method
    for name, first in calls[0].kernels.items():
        for later in calls[1:]:
            np.testing.assert_allclose(np.asarray(later.kernels[name]), first, rtol=0, atol=1e-13 * float(np.abs(first).max()))


@pytest.mark.parametrize("theta", [2e-8, 8.2e-8, 1e-6])
@pytest.mark.parametrize("depth", [1, 3, 10])
@pytest.mark.parametrize("bias", [0.0, 0.3])
def test_the_error_of_close_points(depth: int, bias: float, theta: float) -> None:
    """By tables and by the rules, an angle that no cosine in float64 tells: the truth is that of Cho & Saul (2009) in extended precision."""
    x = np.random.default_rng(4).standard_normal((101, D))
    across = x[1] - x[0] * (x[0] @ x[1]) / (x[0] @ x[0])
    x[1] = x[0] + theta * across * np.linalg.norm(x[0]) / np.linalg.norm(across)
    truth = float(arc_cosine(x[0], x[1], depth + 1, bias))
    for points in (x, x[:2]):
        found = relu(depth, bias).measured(points)
        assert abs(float(found.kernels["ntk"][0, 1]) - truth) <= float(found.error)


@cache
def relu(depth: int, bias: float) -> Tile:
    return tile(mlp(depth=depth, bias=bias))


def arc_cosine(x: np.ndarray, y: np.ndarray, layers: int, bias: float) -> np.longdouble:
    """Theta(x, y) of `mlp` with relu, in extended precision: on most machines 64 bits."""
    long, square = np.longdouble, np.longdouble(bias) ** 2
    pi = 2 * np.arctan2(long(1), long(0))
    x, y = x.astype(long), y.astype(long)
    a, b, c = (2 * (p @ q) / len(x) for p, q in ((x, x), (y, y), (x, y)))
    ntk = c
    for layer in range(layers):
        if layer < layers - 1:
            a, b, c, ntk = a + square, b + square, c + square, ntk + square
        size = np.sqrt(a * b)
        theta = np.arctan2(np.sqrt((size - c) * (size + c)), c)
        derivative = (pi - theta) / (2 * pi)
        a, b, c = a / 2, b / 2, size * (np.sin(theta) + (pi - theta) * np.cos(theta)) / (2 * pi)
        ntk = ntk * derivative + c
        if layer < layers - 1:
            a, b, c, ntk = 2 * a, 2 * b, 2 * c, 2 * ntk
    return ntk


def test_served_in_float64() -> None:
    """A table for tiles is made in float64 whoever asks: one of noise of float32 would not reach the tolerance of float64."""
    served = tile(NETWORKS["homogeneous"]).served(X)
    assert served is not None
    assert (served.table.error < 1e-11).all()


def test_many_products_are_products_of_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    """All ways to the sum, beside T_0 .. T_4, one of which has no product."""
    rng, ranks = np.random.default_rng(3), (3, 0, 2, 4, 1)
    with jax.enable_x64(True):
        rows, columns, x = (jnp.asarray(rng.uniform(-1, 1, shape)) for shape in ((7, 10), (10, 5), (7, 5)))
        written = evaluate.products(rows, columns, x, ranks)
        np.testing.assert_allclose(panels.summed(ranks, *(np.asarray(a) for a in (rows, columns, x))), written, atol=1e-14)
        monkeypatch.setattr(evaluate, "WRITTEN", 0)
        np.testing.assert_allclose(evaluate.products(rows, columns, x, ranks), written, atol=1e-14)
