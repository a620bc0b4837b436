"""The limiting kernels of every architecture against its finite networks, and the symmetries that architectures promise."""

from functools import cache
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tensorprog as tp
from architectures import ZOO
from tensorprog.kernels.empirical import compiled
from tensorprog.kernels.exact import Compiled
from tensorprog.kernels.exact import compiled as exact
from tensorprog.kernels.particles import particle_kernels
from tensorprog.kernels.symbolic import nodes, symbolic
from tests.architectures.cases import CASES, label

DIMENSION, POINTS = 4, 2
QUICK = [
    ("mlp", {"depth": 3, "nonlinearity": "erf", "sigma_w": (1.1, 1.2, 1.3), "sigma_b": (0.1, 0.0, 0.3), "ratios": (1.0, 4.0, 0.5), "sigma_v": 0.7}),
    ("normalized_mlp", {"norm": "rms", "sigma_b": 0.2}),
    ("autoencoder", {"ratio": 2.0}),
]


def data(network: tp.Network, points: int = POINTS, seed: int = 3) -> dict[str, np.ndarray]:
    rng, size = np.random.default_rng(seed), network.program.size
    return {i.name: rng.standard_normal((points, *(size[a] for a in sorted(i.axes)), DIMENSION)) for i in network.program.inputs}


@pytest.mark.parametrize("case", QUICK, ids=label)
def test_finite_kernels_scatter_around_the_limit(case: tuple[str, dict[str, Any]]) -> None:
    """Each entry's mean over seeds is within 6 standard errors, and a bias of order 1/n, of the limit."""
    name, options = case
    network, seeds, n = ZOO[name](**options), 24, 128
    x = data(network)
    limit = tp.kernels(network, x)
    finite = compiled(network, n)
    draws = [finite(tp.sample(network, jax.random.key(seed), n, DIMENSION), x) for seed in range(seeds)]
    for kind in ("nngp", "ntk"):
        found, expected = np.stack([getattr(k, kind) for k in draws]), np.asarray(getattr(limit, kind))
        standard = found.std(0, ddof=1) / np.sqrt(seeds)
        allowed = 6 * standard + 8 / n * np.abs(expected).max()
        assert (np.abs(found.mean(0) - expected) < allowed).all(), kind
        assert (standard < 0.1 * np.abs(expected).max()).all()  # the test can see a tenth of the kernel


def assert_kernel(case: tuple[str, dict[str, Any]]) -> None:
    """Symmetric, positive semidefinite, the sum of its contributions, and what sampling the Master Theorem finds."""
    name, options = case
    network = ZOO[name](**options)
    x = data(network)
    found = tp.kernels(network, x)
    sampled = particle_kernels(network, x, samples=8192, replicates=8, key=jax.random.key(6))
    assert set(found.by_parameter) == set(network.parameters)
    for kind in ("nngp", "ntk"):
        kernel = np.asarray(getattr(found, kind))
        positions = kernel.ndim // 2 - 1
        matrix = kernel.transpose(0, *range(2, 2 + positions), 1, *range(2 + positions, 2 + 2 * positions)).reshape(int(kernel.size**0.5), -1)
        size = np.abs(matrix).max()
        np.testing.assert_allclose(matrix, matrix.T, rtol=0, atol=1e-12 * size + float(found.error))
        assert np.linalg.eigvalsh(matrix).min() > -1e-12 * len(matrix) * size - len(matrix) * float(found.error)
        # `error` is the largest standard error of an entry, from 8 replicates: Student's t with 7 degrees of freedom is beyond 7 once in 5000.
        np.testing.assert_allclose(getattr(sampled, kind), kernel, rtol=0, atol=7 * float(sampled.error) + float(found.error), err_msg=kind)
    total = sum(np.asarray(part) for part in found.by_parameter.values())
    np.testing.assert_allclose(total, found.ntk, rtol=0, atol=1e-13 * float(np.abs(total).max()) * len(found.by_parameter))


@pytest.mark.parametrize("case", QUICK[:2], ids=label)
def test_the_limit_is_a_kernel_and_sampling_finds_it(case: tuple[str, dict[str, Any]]) -> None:
    assert_kernel(case)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=label)
def test_the_limit_is_a_kernel_and_sampling_finds_it_for_all(case: tuple[str, dict[str, Any]]) -> None:
    """Batch normalization with eps: in the three dimensions that the points here span, quadrature without it is off by a third, and refuses."""
    name, options = case
    assert_kernel((name, {"eps": 0.1} | options if name == "batchnorm_mlp" else options))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=label)
def test_finite_kernels_converge_at_the_rate(case: tuple[str, dict[str, Any]]) -> None:
    """The root mean square error falls like n^(-1/2): the slope's 95% interval, widened by a sixth for corrections of order 1/n, holds -1/2.

    Batch normalization with eps: without it squared gradients have the tail of 1 / chi^2_r, r the dimension that the centred points span, and no
    variance for r <= 4, which is all that the features here allow.
    """
    name, options = case
    network = ZOO[name](**({"eps": 0.1} | options if name == "batchnorm_mlp" else options))
    study = tp.converge(network, data(network), widths=(64, 128, 256, 512), seeds=48)
    for kind in ("nngp", "ntk"):
        slope = study[kind].slope
        assert slope.low - 1 / 6 < -0.5 < slope.high + 1 / 6, f"{kind}: {slope}"


@pytest.mark.parametrize("name", ["resnet", "mixer", "transformer", "conv_resnet1d"])
def test_the_symbolic_kernel_grows_linearly_with_depth(name: str) -> None:
    """Sums over the layers before are made once and shared, mixing and scaling along the way included: each block adds as many scalars."""
    counts = [len(nodes(symbolic(ZOO[name](depth=depth), matched=True))) for depth in (3, 5, 7)]
    assert counts[2] - counts[1] == counts[1] - counts[0]


@pytest.mark.parametrize("case", [("lstm", {"time": 2}), ("resnet", {"depth": 2, "order": "post"})], ids=label)
def test_expectations_of_many_variables_are_sampled_and_say_so(case: tuple[str, dict[str, Any]]) -> None:
    """Functions of more than three variables that are no linear forms: the method is named, and the error is neither 0 nor large."""
    name, options = case
    network = ZOO[name](**options)
    found = tp.kernels(network, data(network))
    assert "sampling" in found.method or "particles" in found.method, found.method
    assert 0 < float(found.error) < 0.05 * np.abs(found.ntk).max()


INVARIANT: list[tuple[str, dict[str, Any], str]] = [
    ("deep_sets", {"element": 4, "encoder": 1}, "permutation"),
    ("transformer", {"token": 4, "norm": "none", "ratio": 1.0}, "permutation"),
    ("cnn1d", {"pixel": 4, "depth": 1, "padding": "circular"}, "rotation"),
    ("gnn", {"node": 4, "depth": 1, "edges": ((0, 1), (1, 2), (2, 3), (3, 0))}, "rotation"),
]


@cache
def invariant_kernel(case: int) -> Compiled:
    """Compiled once for all examples."""
    name, options, _ = INVARIANT[case]
    return exact(ZOO[name](**options))


@pytest.mark.parametrize("case", range(len(INVARIANT)), ids=[f"{name}-{group}" for name, _, group in INVARIANT])
@given(order=st.permutations(range(4)), shift=st.integers(1, 3), seed=st.integers(0, 2**16))
@settings(max_examples=8)
def test_symmetries_of_an_architecture_are_symmetries_of_its_kernel(case: int, order: list[int], shift: int, seed: int) -> None:
    """Permutations of a set and of unmarked tokens, rotations of a circular image and of a cycle: K(g x, y) = K(x, y).

    And of them all, since embeddings are Gaussian: K(x Q, y Q) = K(x, y) for every orthogonal Q on the features.
    """
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((2, 1, 4, DIMENSION))
    q = np.linalg.qr(rng.standard_normal((DIMENSION, DIMENSION)))[0]
    moved = x[:, order] if INVARIANT[case][2] == "permutation" else np.roll(x, shift, axis=1)
    (here, _), (there, _), (_, turned) = np.asarray(invariant_kernel(case)(np.concatenate([x, moved, x @ q]), np.concatenate([y, y @ q])).ntk)
    np.testing.assert_allclose(there, here, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(turned, here, rtol=1e-11, atol=1e-13)


def test_graphs_of_different_size_have_a_kernel() -> None:
    """A graph beside another one has the kernel it has alone."""
    edges = ((0, 1), (2, 3), (3, 4))
    x = np.random.default_rng(0).standard_normal((1, 5, DIMENSION))
    both = np.asarray(tp.kernels(ZOO["gnn"](node=5, edges=edges, pieces=(2, 3)), x).ntk)[0, 0]
    first = np.asarray(tp.kernels(ZOO["gnn"](node=2, edges=((0, 1),)), x[:, :2]).ntk)[0, 0]
    second = np.asarray(tp.kernels(ZOO["gnn"](node=3, edges=((0, 1), (1, 2))), x[:, 2:]).ntk)[0, 0]
    np.testing.assert_allclose(np.diag(both), [first, second], rtol=1e-12)
    assert np.linalg.eigvalsh(both).min() > 0


def test_a_causal_transformer_read_at_its_first_token_sees_nothing_else() -> None:
    network = ZOO["transformer"](causal=True, read="first", position="learned", ratio=1.0)
    x = data(network)["x"]
    later = x.copy()
    later[:, 1:] += 1.0
    params = tp.sample(network, jax.random.key(0), 8, DIMENSION)
    np.testing.assert_allclose(tp.apply(network, params, 8, later), tp.apply(network, params, 8, x), rtol=1e-12)


def test_frozen_features_have_the_nngp_as_ntk() -> None:
    """Random features train their readout only (Rahimi & Recht 2007)."""
    network = ZOO["random_features"](nonlinearity="erf", sigma_b=0.3)
    found = tp.kernels(network, data(network, 4))
    np.testing.assert_array_equal(found.ntk, found.nngp)
    assert np.linalg.eigvalsh(np.asarray(found.ntk)).min() > 0
