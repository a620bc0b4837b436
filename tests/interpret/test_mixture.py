"""Batch normalization in the limit: Gaussian scale mixtures against the recorded integrals of Tensor Programs II, App. E.4."""

from pathlib import Path

import numpy as np
import pytest

import tensorprog as tp
from architectures.normalized_mlp import batchnorm_mlp
from tensorprog.gaussian.problem import Strategy
from tensorprog.kernels.exact import compiled, dimension, symbolic

RECORDED = np.load(Path(__file__).parents[1] / "oracles" / "architectures.npz")


@tp.network(x="batch")
def batchnormed(x):
    return tp.readout("v") @ tp.relu(tp.batchnorm(tp.embedding("U") @ x, "batch")).named("x1")


@pytest.mark.parametrize("batch", ["1", "2"])
def test_relu_batchnorm_is_one_integral(batch: str) -> None:
    """E relu(BN h)_i relu(BN h)_j within a batch; the recorded integrals are good to 1e-6."""
    x = RECORDED[f"bn_x{batch}"][None]
    found = tp.limit(batchnormed(batch=x.shape[1]).program, x)
    np.testing.assert_allclose(found.gram("x1", "x1")[0], RECORDED[f"bn_d1_nngp{batch}"], rtol=1e-6)


def test_across_two_batches_it_is_two_integrals() -> None:
    """Batches of 7 and 6, each normalized by itself, under the same weights; the recorded double integrals are good to 1e-4."""
    x = np.concatenate([RECORDED["bn_x1"], RECORDED["bn_x2"]])[None]
    network = batchnorm_mlp(batch=13, pieces=(7, 6))
    found = tp.limit(network.program, x, strategy=Strategy(nodes=60)).gram(*network.program.outputs * 2)[0]
    np.testing.assert_allclose(found[:7, 7:], RECORDED["bn_d1_nngpx"], rtol=1e-4)
    np.testing.assert_allclose(found[:7, :7], RECORDED["bn_d1_nngp1"], rtol=1e-6)
    np.testing.assert_allclose(found[7:, 7:], RECORDED["bn_d1_nngp2"], rtol=1e-6)


def test_scale_does_not_matter() -> None:
    """Batch normalization without eps forgets the scale of its input, and each column has mean square 1."""
    x = RECORDED["bn_x2"][None]
    small, large = (np.asarray(tp.limit(batchnormed(batch=6).program, s * x).gram("x1", "x1")) for s in (1e-3, 1e3))
    np.testing.assert_allclose(small, large, rtol=1e-9)


def test_the_expectations_are_recognized() -> None:
    """No expectation is left to sampling."""
    assert dimension(symbolic(batchnormed(batch=3))) == 0


@pytest.mark.slow
def test_recorded_batchnorm_kernels() -> None:
    x = RECORDED["bn_x1"][None]
    found = compiled(batchnormed(batch=7))(x)
    np.testing.assert_allclose(found.nngp[0, 0], RECORDED["bn_d1_nngp1"], atol=1e-6)
    np.testing.assert_allclose(found.ntk[0, 0], RECORDED["bn_d1_ntk1"], atol=1e-6)
    assert found.method == "quadrature"
