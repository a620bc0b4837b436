"""The finite run of every architecture is the forward pass written by hand."""

import inspect
from typing import Any

import jax
import numpy as np
import pytest

import tensorprog as tp
from architectures import ZOO
from tensorprog import Network
from tensorprog.interpret.finite import apply, sample
from tests.architectures import reference
from tests.architectures.cases import CASES, label

WIDTH, DIMENSION, BATCH = 12, 3, 2


def data(network: Network, batch: int = BATCH) -> dict[str, np.ndarray]:
    """Standard normal inputs, (batch, positions.., d)."""
    rng, size = np.random.default_rng(0), network.program.size
    return {i.name: rng.standard_normal((batch, *(size[a] for a in sorted(i.axes)), DIMENSION)) for i in network.program.inputs}


@pytest.mark.parametrize("case", CASES, ids=label)
def test_finite_run_is_the_forward_pass(case: tuple[str, dict[str, Any]]) -> None:
    name, options = case
    network = ZOO[name](**options)
    params = sample(network, jax.random.key(1), WIDTH, DIMENSION)
    inputs = data(network)
    expected = getattr(reference, name)(params, *inputs.values(), **options)
    # Twelve coordinates and a dozen operations: both sides are within some hundred roundings of the real number.
    np.testing.assert_allclose(apply(network, params, WIDTH, inputs), expected, rtol=1e-12, atol=1e-12 * float(np.abs(expected).max()))


def test_every_architecture_has_a_case() -> None:
    assert {name for name, _ in CASES} == set(ZOO)


@pytest.mark.parametrize("name", ZOO)
def test_options_have_small_defaults_and_inputs_are_no_options(name: str) -> None:
    """The command line builds ZOO[name](**options) from the signature alone."""
    parameters = inspect.signature(ZOO[name]).parameters.values()
    assert all(p.default is not p.empty for p in parameters)
    network = ZOO[name]()
    assert network.name == name
    assert not {i.name for i in network.program.inputs} & {p.name for p in parameters}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mlp", {"depth": 0}, "depth is 0"),
        ("mlp", {"depth": 3, "sigma_w": (1.0, 2.0)}, "2 values for a depth of 3"),
        ("mlp", {"nonlinearity": "rleu"}, "no nonlinearity is called 'rleu'"),
        ("resnet", {"order": "past"}, "order is 'past'. Choose one of 'pre', 'post'"),
        ("cnn1d", {"kernel": 0}, "kernel is 0"),
        ("cnn1d", {"pixel": 2, "padding": "valid"}, "no valid position"),
        ("transformer", {"heads": 0}, "heads is 0"),
        ("transformer", {"heads": 2, "qkv": "stream"}, "2 heads without matrices of their own are one head"),
        ("gnn", {"edges": ((0, 4),)}, r"the edge \(0, 4\) leaves the nodes 0 .. 3"),
        ("gnn", {"pieces": (1, 2)}, "pieces of 1, 2 do not make up 4"),
        ("batchnorm_mlp", {"pieces": (2, 0, 2)}, "pieces of 2, 0, 2 do not make up 4"),
        ("rnn", {"time": 0}, "size of axis 'time'"),
    ],
)
def test_options_that_mean_nothing(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(tp.InvalidProgram, match=message):
        ZOO[name](**options)
