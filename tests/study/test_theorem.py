"""Theorem 5.3 as a report: the ways to f_t agree where the theory says so, for networks with one output, several, and one a position."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest

from architectures import ZOO
from tensorprog.errors import InvalidProgram, OutsideTheory
from tensorprog.interpret.finite import sample
from tensorprog.kernels.limit import kernels
from tensorprog.kernels.train import train
from tensorprog.kernels.unrolled import conditioned
from tensorprog.study.dichotomy import dichotomy
from tensorprog.study.theorem import Theorem, theorem
from tensorprog.study.transfer_limit import limit_curve

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4))


@pytest.fixture(scope="module")
def found() -> Theorem:
    net = ZOO["mlp"](depth=2, nonlinearity="erf", outputs=2)
    return theorem(net, X, RNG.normal(size=(3, 2)), batches=[[0, 1], [1, 0]], rate=0.3, momentum=0.5, widths=(32, 128), seeds=6)


def test_the_unrolled_limit_is_kernel_gradient_descent(found: Theorem) -> None:
    assert found.method == "closed form"
    assert found.deviation is not None
    assert found.deviation < 1e-11


def test_dots_matter(found: Theorem) -> None:
    assert found.dropped is not None
    assert np.abs(found.limit - found.dropped).max() > 1e-2


def test_networks_start_where_the_limit_starts(found: Theorem) -> None:
    np.testing.assert_allclose(found.networks[:, :, 0], 0.0, atol=1e-12)


def test_wider_networks_are_closer(found: Theorem) -> None:
    """Twice over for a factor 4 in the width; 6 seeds leave the ratio of two root-mean-squares within a factor 1.6 of it."""
    near, far = np.sqrt((found.distances**2).mean(-1))[::-1]
    assert 1.25 < far / near < 3.2


def test_it_is_shown_and_saved(found: Theorem) -> None:
    assert "slope" in found.summary()
    assert len(found.plot().axes) == 2
    assert found.table().row_count == 3
    saved = json.loads(json.dumps(found.to_dict()))
    np.testing.assert_array_equal(saved["limit"], found.limit)


def test_one_output_a_position() -> None:
    net = ZOO["rnn"](time=2, read="every")
    result = theorem(net, RNG.normal(size=(2, 2, 3)), RNG.normal(size=(2, 2)), steps=2, widths=(16,), seeds=2)
    assert result.deviation is not None
    assert result.deviation < 1e-11
    assert result.networks.shape == (1, 2, 3, 2, 2)


def test_where_features_are_learned_particles_answer() -> None:
    net = replace(ZOO["mlp"](depth=1, nonlinearity="tanh"), kind="moment")
    result = theorem(net, X, np.array([1.0, -1.0, 0.5]), steps=2, rate=0.5, widths=(256,), seeds=4, particles=2**11)
    assert result.kernel is None
    assert "particles" in result.method
    spread = result.networks[0].std(0, ddof=1)[1:] / 2 + 4 * result.error[1:]  # standard error of 4 seeds, and of the particles
    assert np.all(np.abs(result.networks[0].mean(0) - result.limit)[1:] < 6 * spread)


def test_a_network_is_trained_from_the_given_outputs() -> None:
    net = ZOO["mlp"](depth=1)
    start = np.array([0.5, -0.5, 1.0])
    result = theorem(net, X, np.zeros(3), steps=1, rate=0.1, start=start, widths=(24,), seeds=2, key=3)
    key = jax.random.split(jax.random.fold_in(jax.random.key(3), 24), 2)[0]
    params = conditioned(net, sample(net, key, 24, 4), 24, X, start)
    path = train(net, params, 24, X, np.zeros(3), rate=0.1, steps=1)
    np.testing.assert_allclose(result.networks[0, 0], path.train, atol=1e-12)


def test_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidProgram, match="Give every sample its label"):
        theorem(ZOO["mlp"](), X, np.zeros(2))


def test_the_limit_of_a_sweep_in_the_ntk_parametrization_is_the_mean_over_starts() -> None:
    """Against 4,096 draws of f_0: four standard errors."""
    net, y, rate = ZOO["mlp"](depth=1, nonlinearity="erf"), np.array([1.0, -1.0, 0.5]), 0.7
    k = kernels(net, X)
    f = RNG.multivariate_normal(np.zeros(3), np.asarray(k.nngp), 4096)
    for _ in range(3):
        f = f - rate / 3 * (f - y) @ np.asarray(k.ntk)
    losses = 0.5 * ((f - y) ** 2).mean(1)
    curve = limit_curve(net, X, y, 64, [rate], parametrization="ntp", steps=3)
    assert abs(curve.losses[0] - losses.mean()) < 4 * losses.std() / 64
    with pytest.raises(OutsideTheory, match="ntp and mup"):
        limit_curve(net, X, y, 64, [rate], parametrization="framework", steps=3)


def test_the_limit_of_a_sweep_is_infinite_where_training_diverges() -> None:
    curve = limit_curve(ZOO["mlp"](depth=2), X, np.array([1.0, -1.0, 0.5]), 64, [1e6], parametrization="mup", steps=8, particles=2**8)
    assert curve.losses[0] == np.inf


def test_kernels_stay_or_move() -> None:
    """tanh from n = 32 to 128: a factor 4 down in the NTK parametrization, none in muP (between 1/1.5 and 1.5, 8 seeds)."""
    net: Any = ZOO["mlp"](depth=1, nonlinearity="tanh")
    result = dichotomy({"ntp": net, "mup": replace(net, kind="moment")}, X, np.array([1.0, -1.0, 0.5]), (32, 128), seeds=8)
    ratio = {name: np.sqrt((d[0] ** 2).mean() / (d[1] ** 2).mean()) for name, d in result.drifts.items()}
    assert 2.5 < ratio["ntp"] < 6.0
    assert 1 / 1.5 < ratio["mup"] < 1.5
    assert result.table().row_count == 2
    assert result.plot().axes
