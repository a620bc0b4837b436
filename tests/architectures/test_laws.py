"""What holds for every architecture: it is a valid program, its text and JSON are read back, its gradients are those of automatic differentiation."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import tensorprog as tp
from architectures import ZOO
from tensorprog.kernels.empirical import empirical_kernels, empirical_ntk_jacobian
from tests.architectures.cases import CASES, label

WITH_MOMENTS = {"transformer", "normalized_mlp"}  # scalars from Moments: Netsor+
WIDTH, DIMENSION, BATCH = 9, 3, 2

# One of each kind in the suite; all of them in the slow tier.
DIFFERENTIATED = [
    ("mlp", {"outputs": 3, "frozen": ("U", "b2"), "sigma_b": 0.2}),
    ("cnn1d", {"padding": "valid", "head": "flatten"}),
    ("transformer", {"depth": 1, "heads": 2, "causal": True, "order": "post", "gated": True}),
    ("batchnorm_mlp", {}),
    ("autoencoder", {"ratio": 2.0, "decode": "tanh", "sigma_w": 1.3}),
]


def data(network: tp.Network, points: int = BATCH) -> dict[str, np.ndarray]:
    rng, size = np.random.default_rng(2), network.program.size
    return {i.name: rng.standard_normal((points, *(size[a] for a in sorted(i.axes)), DIMENSION)) for i in network.program.inputs}


@pytest.mark.parametrize("case", CASES, ids=label)
def test_it_is_a_valid_program(case: tuple[str, dict[str, Any]]) -> None:
    name, options = case
    report = tp.check(ZOO[name](**options))
    assert report.ok, str(report)
    transposed = name == "autoencoder"
    norm = name in WITH_MOMENTS and (options.get("norm") != "none" or name == "transformer")
    assert str(report.language) == ("Netsor-T" if transposed else "Netsor+" if norm else "Netsor")
    assert bool(report.gia) is not transposed


@pytest.mark.parametrize("case", CASES, ids=label)
def test_text_and_json_are_read_back(case: tuple[str, dict[str, Any]]) -> None:
    name, options = case
    network = ZOO[name](**options)
    assert tp.parse(tp.show(network)) == network
    assert tp.from_json(tp.to_json(network)) == network


def assert_gradients_agree(name: str, options: dict[str, Any]) -> None:
    network = ZOO[name](**options)
    params = tp.sample(network, jax.random.key(5), WIDTH, DIMENSION)
    found, expected = (kernels(network, params, WIDTH, data(network), outputs="full") for kernels in (empirical_kernels, empirical_ntk_jacobian))
    assert set(found.by_parameter) == set(network.parameters)
    scale = float(np.abs(expected.ntk).max())
    for tensor, kernel in expected.by_parameter.items():
        np.testing.assert_allclose(found.by_parameter[tensor], kernel, rtol=1e-10, atol=1e-12 * scale, err_msg=tensor)


@pytest.mark.parametrize("case", DIFFERENTIATED, ids=label)
def test_backprop_is_automatic_differentiation(case: tuple[str, dict[str, Any]]) -> None:
    assert_gradients_agree(*case)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=label)
def test_backprop_is_automatic_differentiation_for_all(case: tuple[str, dict[str, Any]]) -> None:
    assert_gradients_agree(*case)


# x -> g x on the inputs, (batch, positions.., d), for a permutation of four things; the outputs move along, or stay if they have no position.
Move = Callable[[NDArray[np.float64], list[int]], NDArray[np.float64]]
permuted: Move = lambda x, order: x[:, order]  # noqa: E731
rotated: Move = lambda x, order: np.roll(x, order[0], axis=1)  # noqa: E731
CYCLE = ((0, 1), (1, 2), (2, 3), (3, 0))

SYMMETRIC: list[tuple[str, dict[str, Any], Move]] = [
    ("deep_sets", {"element": 4}, permuted),
    ("transformer", {"token": 4}, permuted),
    ("transformer", {"token": 4, "read": "every", "order": "post", "norm": "rms"}, permuted),
    ("batchnorm_mlp", {"batch": 4, "depth": 2}, permuted),
    ("batchnorm_cnn", {"batch": 4}, permuted),
    ("cnn1d", {"pixel": 4, "padding": "circular"}, rotated),
    ("cnn2d", {"height": 4, "width": 3, "padding": "circular"}, rotated),
    ("cnn2d", {"height": 3, "width": 4, "padding": "circular", "head": "sum"}, lambda x, order: np.roll(x, order[0], axis=2)),
    ("gnn", {"node": 4, "edges": CYCLE}, rotated),
    ("gnn", {"node": 4, "edges": CYCLE, "pool": False}, rotated),
]


@pytest.mark.parametrize(("name", "options", "move"), SYMMETRIC, ids=[label(case[:2]) for case in SYMMETRIC])
@given(order=st.permutations(range(4)))
@settings(max_examples=3)
def test_symmetries_of_an_architecture(name: str, options: dict[str, Any], move: Move, order: list[int]) -> None:
    """f(g x) = g f(x): sets, unmarked tokens, batches, circular images, graphs with their automorphisms."""
    network = ZOO[name](**options)
    params = tp.sample(network, jax.random.key(5), WIDTH, DIMENSION)
    x = data(network)["x"]
    here, there = (np.asarray(tp.apply(network, params, WIDTH, inputs)) for inputs in (x, move(x, order)))
    np.testing.assert_allclose(there, move(here, order) if here.ndim > 1 else here, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("compare", ["difference", "product"])
def test_a_siamese_network_does_not_tell_its_inputs_apart(compare: str) -> None:
    network = ZOO["siamese"](compare=compare)
    params, x = tp.sample(network, jax.random.key(5), WIDTH, DIMENSION), data(network)
    swapped = {"left": x["right"], "right": x["left"]}
    np.testing.assert_allclose(tp.apply(network, params, WIDTH, swapped), tp.apply(network, params, WIDTH, x), rtol=1e-12)


@pytest.mark.parametrize("read", ["last", "mean", "every"])
def test_a_bidirectional_rnn_reads_backward_with_its_chains_exchanged(read: str) -> None:
    network = ZOO["rnn"](bidirectional=True, read=read, sigma_b=0.3)
    params, xs = tp.sample(network, jax.random.key(5), WIDTH, DIMENSION), data(network)["xs"]
    exchanged = {name: params[name.removesuffix("_back") if name.endswith("_back") else f"{name}_back"] for name in params}
    here, there = np.asarray(tp.apply(network, params, WIDTH, xs)), np.asarray(tp.apply(network, exchanged, WIDTH, xs[:, ::-1]))
    np.testing.assert_allclose(there[:, ::-1] if read == "every" else there, here, rtol=1e-10, atol=1e-12)
