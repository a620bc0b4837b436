"""Kernels of awkward data: right, or refused by an error that names what is wrong. Zeros, duplicates, opposites, norms from 1e-150 to 1e150."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tensorprog as tp
from architectures import ZOO
from tensorprog.kernels.exact import Compiled, compiled

X = np.random.default_rng(0).normal(size=(5, 3))
NETWORKS = {
    "relu": {"depth": 2},
    "relu with biases": {"depth": 2, "sigma_b": 0.3},
    "erf with biases": {"depth": 2, "nonlinearity": "erf", "sigma_b": 0.3},
}


@cache
def kernel(name: str) -> Compiled:
    return compiled(ZOO["mlp"](**NETWORKS[name]))


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(
    name=st.sampled_from(sorted(NETWORKS)),
    powers=st.lists(st.integers(-150, 150), min_size=5, max_size=5),
    relations=st.lists(st.sampled_from(["none", "zero", "equal", "opposite"]), min_size=4, max_size=4),
)
def test_every_scale_and_every_relation(name: str, powers: list[int], relations: list[str]) -> None:
    """Finite, symmetric, positive semidefinite to rounding once its diagonal is 1; equal points have equal rows; what is homogeneous scales."""
    scale = 10.0 ** np.array(powers)
    x = X * scale[:, None]
    for i, relation in enumerate(relations, 1):
        x[i] = {"none": x[i], "zero": 0 * x[i], "equal": x[0], "opposite": -x[0]}[relation]
    found = kernel(name)(x)
    for k in map(np.asarray, (found.nngp, found.ntk)):
        size = np.sqrt(np.diag(k))
        assert np.isfinite(k).all()
        np.testing.assert_array_equal(k, k.T)
        assert (np.abs(k) <= (1 + 1e-12) * size * size[:, None]).all()
        unit = k / np.where(size > 0, size, 1.0) / np.where(size > 0, size, 1.0)[:, None]
        assert np.linalg.eigvalsh(unit)[0] > -1e-7  # the angle of two points is known to the root of rounding
        for i, relation in enumerate(relations, 1):
            if relation == "equal":
                np.testing.assert_allclose(k[i], k[0], rtol=1e-13)
    if name == "relu" and set(relations) == {"none"}:
        np.testing.assert_allclose(found.ntk, np.asarray(kernel(name)(X).ntk) * scale * scale[:, None], rtol=1e-12)


def test_types_and_layouts_do_not_matter() -> None:
    """float32, integers, a transposed array, every other column, lists: the same numbers, in float64."""
    whole = np.arange(15).reshape(5, 3)
    wanted = kernel("relu")(whole.astype(float)).ntk
    layouts = [whole, whole.astype(np.float32), whole.tolist(), np.asfortranarray(whole.astype(float)), np.repeat(whole, 2, 1)[:, ::2]]
    for x in layouts:
        np.testing.assert_allclose(kernel("relu")(x).ntk, wanted, rtol=1e-14)
    np.testing.assert_allclose(kernel("relu")(whole, whole.astype(np.float32)).ntk, wanted, rtol=1e-14)


def test_no_points_one_point_and_a_bad_row() -> None:
    for n in (0, 1):
        assert kernel("relu")(X[:n]).ntk.shape == (n, n)
        assert kernel("relu")(X[:n], X).ntk.shape == (n, 5)
    for bad in (np.nan, np.inf):
        x = X.copy()
        x[3, 1] = bad
        with pytest.raises(tp.InvalidProgram, match="x2 for x has NaN or infinite entries in row 3"):
            kernel("relu")(X, x)


def test_a_scale_that_quadrature_does_not_resolve_is_refused() -> None:
    """tanh of a Gaussian of standard deviation 1e10 is a step to every rule, and its squared slope a spike between two nodes."""
    with pytest.raises(tp.InvalidProgram, match=r"\[accuracy\] .* Normalize the inputs"):
        tp.kernels(ZOO["mlp"](depth=1, nonlinearity="tanh"), 1e10 * X)


def arccosine(k: np.ndarray) -> np.ndarray:
    """2 E relu(u) relu(u') for Gaussians of this covariance (Cho & Saul 2009)."""
    size = np.sqrt(np.outer(np.diag(k), np.diag(k)))
    angle = np.arccos(np.clip(k / size, -1.0, 1.0))
    return size * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / np.pi


@pytest.mark.parametrize("depth", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_depth(depth: int) -> None:
    """A thousand layers: read, checked, written, differentiated; the kernel by its recursion, whose rounding adds up over the layers."""
    net = ZOO["mlp"](depth=depth)
    assert tp.check(net).ok
    assert tp.parse(tp.show(net)) == net
    assert tp.from_json(tp.to_json(net)) == net
    wanted = X @ X.T / 3 * 2
    for _ in range(depth):
        wanted = arccosine(wanted)
    found = tp.kernels(net, X)
    np.testing.assert_allclose(found.nngp, wanted / 2, rtol=1e-6)
    assert np.isfinite(found.ntk).all()
