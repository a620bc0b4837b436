"""Batch normalization in the limit: Gaussian scale mixtures against the recorded integrals of Tensor Programs II, App. E.4."""

from pathlib import Path

import jax
import numpy as np
import pytest

import tensorprog as tp
from architectures.normalized_mlp import batchnorm_mlp
from tensorprog.gaussian.problem import Strategy
from tensorprog.kernels.exact import compiled
from tensorprog.kernels.particles import particle_kernels
from tensorprog.kernels.symbolic import dimension, symbolic

RECORDED = np.load(Path(__file__).parents[1] / "oracles" / "architectures.npz")
BATCHES = np.concatenate([RECORDED["bn_x1"], RECORDED["bn_x2"]])[None]
FINE = Strategy(nodes=60)  # of a double integral, whose integrand is analytic in a narrower strip


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
    network = batchnorm_mlp(batch=13, pieces=(7, 6))
    found = tp.limit(network.program, BATCHES, strategy=FINE).gram(*network.program.outputs * 2)[0]
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


@tp.program(x="batch")
def inverse_variance(x):
    h = tp.embedding("U") @ x
    return tp.moment(((h - h.mean("batch")) ** 2).mean("batch") ** -1.0)


def test_an_inverse_variance_has_a_mean_from_four_points_on() -> None:
    """E B / chi^2_{B-1} = B / (B - 3) for independent unit Gaussians, and infinite where they span fewer than three dimensions."""
    found = [float(tp.limit(inverse_variance(batch=b), b**0.5 * np.eye(b)[None]).scalar(inverse_variance(batch=b).outputs[0])[0]) for b in (3, 4, 6)]
    np.testing.assert_allclose(found, [np.inf, 4.0, 2.0], rtol=1e-8)


@pytest.mark.slow
def test_three_points_have_no_kernel_after_batch_normalization() -> None:
    with pytest.raises(tp.OutsideTheory, match=r"span fewer than three dimensions.*give eps > 0"):
        tp.kernels(batchnorm_mlp(batch=3), RECORDED["bn_x1"][None, :3])


def test_recorded_batchnorm_kernel_across_two_batches() -> None:
    """By sampling the theorem: 1 / sqrt(131072) is 0.3 %. Within a batch gradients have a heavier tail, 1 / std^2."""
    found = particle_kernels(batchnorm_mlp(batch=13, pieces=(7, 6)), BATCHES, samples=16384, replicates=8, key=jax.random.key(0))
    for kind, part, allowed in (("nngp", "x", 0.01), ("ntk", "x", 0.01), ("ntk", "1", 0.02), ("ntk", "2", 0.02)):
        rows, columns = {"x": np.s_[:7, 7:], "1": np.s_[:7, :7], "2": np.s_[7:, 7:]}[part]
        recorded = RECORDED[f"bn_d1_{kind}{part}"]
        error = np.asarray(getattr(found, kind))[0, 0][rows, columns] - recorded
        assert np.linalg.norm(error) < allowed * np.linalg.norm(recorded), (kind, part)


@pytest.mark.slow
@pytest.mark.parametrize("batch", ["1", "2"])
def test_recorded_batchnorm_kernels(batch: str) -> None:
    x = RECORDED[f"bn_x{batch}"][None]
    found = compiled(batchnormed(batch=x.shape[1]))(x)
    np.testing.assert_allclose(found.nngp[0, 0], RECORDED[f"bn_d1_nngp{batch}"], atol=1e-6)
    np.testing.assert_allclose(found.ntk[0, 0], RECORDED[f"bn_d1_ntk{batch}"], atol=1e-6)
    assert found.method == "quadrature"
