"""What holds for every architecture: it is a valid program, its text and JSON are read back, its gradients are those of automatic differentiation."""

from typing import Any

import jax
import numpy as np
import pytest

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
