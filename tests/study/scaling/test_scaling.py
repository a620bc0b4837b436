"""Scaling laws: targets, splits, ridge by validation, networks that start at 0, exponents, resumption, and the kernel along training."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from tensorprog.errors import InvalidProgram
from tensorprog.study.frame import Run, tidy
from tensorprog.study.networks import perceptron
from tensorprog.study.scaling.data import Split, digits, label, real, synthetic
from tensorprog.study.scaling.evolution import Course, evolve
from tensorprog.study.scaling.laws import AFTER_FIXED, EMPIRICAL, NETWORK, SGD, Plan, exponent, louder, measure
from tensorprog.study.scaling.predictors import Training, learner, regress

SHORT = Training(steps=40, looks=8, batch=16)


def test_targets() -> None:
    x = np.array([[2.0, -1.0, 3.0], [-1.0, -2.0, 0.5]])
    np.testing.assert_allclose(label("xor", x), [-1, 1])
    np.testing.assert_allclose(label("cubic", x), [-6, 1])
    np.testing.assert_allclose(label("staircase", x), [2 - 2 - 6, -1 + 2 + 1])
    np.testing.assert_allclose(label("quadratic", x), [-2, 2])


def test_splits_are_disjoint_and_reproducible() -> None:
    x = np.arange(30.0)[:, None]
    one, again = (real(x, x[:, 0], 12, 8, seed=3) for _ in range(2))
    np.testing.assert_array_equal(np.sort(one.points[:, 0]), x[:, 0])
    np.testing.assert_array_equal(one.points, again.points)
    assert [len(a) for a in (one.y, one.y_val, one.y_test)] == [12, 8, 10]
    images, parity = digits()
    np.testing.assert_allclose((images**2).sum(1), 64)
    assert set(parity) == {-1.0, 1.0}


@pytest.mark.parametrize(("x", "y", "said"), [(np.ones((9, 2)), np.ones((9, 2)), "one number"), (np.ones((9, 2)), np.ones(9), "no test points")])
def test_bad_data_are_refused(x, y, said) -> None:
    with pytest.raises(InvalidProgram, match=said):
        real(x, y, 6, 3, 0)


def test_the_ridge_comes_from_validation() -> None:
    """A linear kernel and a linear target: without noise the smallest ridge of the grid that is stable wins, with noise a larger one."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((90, 5)), rng.standard_normal(5)
    y = x @ w
    clean = Split(x[:30], y[:30], x[30:60], y[30:60], x[60:], y[60:])
    kernel = x[:30] @ x.T
    assert regress(kernel, clean, 30).mse < 1e-12
    noisy = replace(clean, y=clean.y + 3 * rng.standard_normal(30))
    assert regress(kernel, noisy, 30).chosen > regress(kernel, clean, 30).chosen
    hidden = replace(noisy, y_test=rng.permutation(noisy.y_test))
    assert regress(kernel, hidden, 30).chosen == regress(kernel, noisy, 30).chosen  # test targets choose nothing


def test_training_is_reproducible() -> None:
    split = synthetic("xor", 4, 32, 20, 30, 0)
    net = perceptron(depth=1, sigma_v=0.2)
    learn = learner(net, 16, SHORT, 32)
    one, two = (learn(split, jax.random.key(1)) for _ in range(2))
    assert one.score == two.score
    np.testing.assert_array_equal(one.params["U"], two.params["U"])


def test_a_louder_network_moves_less() -> None:
    """Output times 50: what SGD learns is as large, by weights that move about 50 times less."""
    split, net = synthetic("quadratic", 4, 32, 20, 30, 0), perceptron(depth=1, sigma_v=0.2)
    how = replace(SGD, steps=40, looks=2, batch=16)

    def moved(network) -> float:
        found = learner(network, 64, how, 32)(split, jax.random.key(0))
        return float(np.linalg.norm(found.params["U"] - found.initial["U"]))

    assert moved(louder(net, 50.0)) < moved(net) / 10


def test_exponents_of_a_power_law() -> None:
    """error = 3 n^-0.4, with equal seeds: the fit is exact, and so is its interval."""
    table = tidy({"seed": s, "n": n, "predictor": NETWORK, "mse": 3 * n**-0.4, "error": n**-1.0} for s in range(3) for n in (64, 256, 128))
    assert exponent(table, NETWORK, "mse").value == pytest.approx(0.4)
    assert exponent(table, NETWORK, "error").low == pytest.approx(1.0)


def test_measuring_keeps_seeds_and_reads_them_again(tmp_path) -> None:
    asked = (NETWORK, EMPIRICAL, AFTER_FIXED)
    plan = Plan((16, 32), 2, width=16, predictors=asked, training=SHORT, fixed=16)

    def split(seed: int) -> Split:
        return synthetic("xor", 4, 48, 20, 30, seed)

    network = perceptron(depth=1, sigma_v=0.2)
    first = measure(network, split, plan, Run(0, folder=tmp_path, provenance={"of": "test"}))
    assert len(first["mse"]) == 2 * 2 * len(asked)
    assert set(first["predictor"]) == set(asked)
    again = measure(network, split, replace(plan, training=replace(SHORT, rate=9.0)), Run(0, folder=tmp_path, provenance={"of": "test"}))
    np.testing.assert_array_equal(first["mse"], again["mse"])  # from the folder: the rate of 9 was not tried
    assert np.isfinite(first["mse"]).all()


def test_measuring_refuses_sizes_that_do_not_grow() -> None:
    with pytest.raises(InvalidProgram, match="must grow"):
        measure(perceptron(depth=1), lambda seed: synthetic("xor", 4, 8, 4, 4, seed), Plan((8,), 1), Run(0))


def test_the_kernel_along_training() -> None:
    course = Course((0, 20, 60), points=24, width=16, batch=16, rate=0.05)
    table = evolve(perceptron(depth=1, sigma_v=0.2), synthetic("xor", 4, 64, 2, 2, 1), synthetic("xor", 4, 24, 20, 30, 0), course, 0)
    assert table["kernel distance"][0] == pytest.approx(0.0, abs=1e-12)
    assert (table["kernel distance"][1:] > 1e-4).all()
    assert table["network mse"][0] == pytest.approx(1.0, abs=1e-6)
    assert table["network mse"][-1] < 0.9
