"""Depth-muP: the linear case against a closed recursion, its limit in depth, and the learning rates by depth (TP VI)."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

import tensorprog as tp
from architectures.resnet import resnet
from tensorprog.kernels.unrolled import limit_outputs
from tensorprog.language.program import Training
from tests.transform.kets import linear_resnet


def linear(depth: int, alpha: float) -> tp.Network:
    """Only the residual branches are trained."""
    net = resnet(depth=depth, nonlinearity="identity", sigma_w=1.0, alpha=alpha, final=False)
    return replace(net, kind="moment", training={"U": Training(0.0), "v": Training(0.0)})


@pytest.mark.parametrize(("depth", "alpha", "steps"), [(2, 0.5, 3), (3, 1.0, 1)])
def test_the_unrolled_limit_is_the_closed_recursion(depth: int, alpha: float, steps: int) -> None:
    unrolled = tp.unroll(linear(depth, alpha), 1, steps=steps, optimizer=tp.SGD(0.5))
    found = limit_outputs(unrolled, jnp.ones((1, 1)), jnp.ones(1)).value
    np.testing.assert_allclose(np.ravel(found), linear_resnet(depth, steps, 0.5, 1.0, 1.0, alpha), rtol=0, atol=1e-12)


def test_training_has_a_limit_in_depth_with_the_exponent_one_half_and_none_with_zero() -> None:
    """Doubling the depth changes f by less each time, half as much: the error in depth is 1 / L."""
    f = np.array([linear_resnet(depth, 3, 0.25, 1.0, 1.0) for depth in (4, 8, 16, 32)])[:, 1:3]
    changes = np.abs(np.diff(f, axis=0))
    np.testing.assert_allclose(changes[-1] / changes[-2], 0.5, atol=0.12)
    first = [linear_resnet(depth, 1, 0.25, 1.0, 1.0, alpha=0.0)[1] for depth in (2, 4, 8)]
    assert first[1] > 4 * first[0]
    assert first[2] > 16 * first[1]


def test_rates_by_depth() -> None:
    net = resnet(depth=8, alpha=0.5)
    branches = [f"W{l}" for l in range(1, 9)]
    assert tp.at_depth(net, branches, 8, 2).trained("W3").rate == 1.0
    slower = tp.at_depth(net, branches, 8, 2, "entrywise")
    assert (slower.trained("W3").rate, slower.trained("U").rate) == (0.5, 1.0)
    with pytest.raises(tp.InvalidProgram, match="there is no tensor X"):
        tp.at_depth(net, ["X"], 8, 2)
