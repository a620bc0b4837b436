"""Solving by a factor and against tiles: the same answers; jitter only as large as rounding; refusals that say what helps."""

from pathlib import Path

import numpy as np
import pytest

import tensorprog as tp
from architectures import ZOO
from tensorprog.errors import InvalidProgram
from tensorprog.kernels.dynamics import Blocks, gradient_descent, gradient_flow
from tensorprog.kernels.krylov import conjugate_gradients, descend, lanczos_flow, pivoted_cholesky
from tensorprog.kernels.posterior import posterior
from tensorprog.kernels.solve import factor, posterior_at, solve
from tensorprog.kernels.tiles import TiledMatrix, tiled_kernels, tiled_matrix

NET = ZOO["mlp"](depth=2, sigma_b=0.1)
RNG = np.random.default_rng(0)
X, Z = RNG.normal(size=(40, 3)), RNG.normal(size=(5, 3))
Y = np.stack([np.sin(X.sum(1)), 100 * X[:, 0]], axis=1)  # columns of different size


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> TiledMatrix:
    return tiled_kernels(NET, X, store=tmp_path_factory.mktemp("solve") / "k", size=16).matrix("ntk")


@pytest.fixture(scope="module")
def whole(stored: TiledMatrix) -> np.ndarray:
    return np.asarray(stored)


def test_conjugate_gradients_against_tiles_is_the_factor(stored: TiledMatrix, whole: np.ndarray) -> None:
    exact, found = solve(whole, Y, ridge=0.1), solve(stored, Y, ridge=0.1)
    np.testing.assert_allclose(exact.dual, np.linalg.solve(whole + 0.1 * np.eye(40), Y), rtol=1e-9)
    # an error of the residual is amplified by at most the condition number, about 1e3 here
    np.testing.assert_allclose(found.dual, exact.dual, atol=1e-6 * np.abs(exact.dual).max(0).min())
    assert found.error < 1e-9
    assert 0 < found.steps < 40


def test_a_matrix_that_is_never_held_is_solved(whole: np.ndarray) -> None:
    found = solve(tiled_matrix(NET, X, size=16), Y[:, 0], ridge=0.1, rank=10)
    np.testing.assert_allclose(found.dual, np.linalg.solve(whole + 0.1 * np.eye(40), Y[:, 0]), rtol=1e-6)


def test_the_preconditioner_saves_steps(whole: np.ndarray) -> None:
    plain, helped = (conjugate_gradients(whole, Y, 1e-3, rank=rank).steps for rank in (0, 30))
    assert helped < plain / 2


def test_pivoted_cholesky_is_a_factor_that_takes_the_largest_first(whole: np.ndarray) -> None:
    full = pivoted_cholesky(whole, 40)
    np.testing.assert_allclose(full.root @ full.root.T, whole, atol=1e-10 * np.trace(whole))
    lefts = [pivoted_cholesky(whole, rank).left for rank in (1, 5, 20)]
    assert lefts[0] > lefts[1] > lefts[2] > 0
    rank_one = np.outer(X[:, 0], X[:, 0])
    assert pivoted_cholesky(rank_one, 10).root.shape[1] == 1


@pytest.mark.parametrize("time", [0.1, 3.0, np.inf])
def test_lanczos_is_the_flow_by_eigenvectors(time: float, stored: TiledMatrix, whole: np.ndarray) -> None:
    exact = gradient_flow(whole, Y, [time], ridge=0.05).dual[0]
    found = lanczos_flow(stored, Y, time, 0.05)
    np.testing.assert_allclose(found.dual, exact, atol=1e-7 * np.abs(exact).max(0).min())
    if np.isfinite(time):
        np.testing.assert_allclose(solve(stored, Y, ridge=0.05, time=time).dual, solve(whole, Y, ridge=0.05, time=time).dual, atol=1e-6)


def test_descent_against_tiles_is_descent(stored: TiledMatrix, whole: np.ndarray) -> None:
    exact = gradient_descent(whole, Y, rate=0.01, steps=20, momentum=0.5)
    found = descend(stored, Y, rate=0.01, steps=20, momentum=0.5)
    np.testing.assert_allclose(found.dual, exact.dual[-1], rtol=1e-10)
    assert found.error == pytest.approx(np.linalg.norm(Y - np.asarray(exact.train[-1])) / np.linalg.norm(Y))


@pytest.mark.parametrize("method", ["cholesky", "conjugate gradients"])
def test_the_posterior_by_either(method: str, whole: np.ndarray) -> None:
    k = np.asarray(tp.kernels(NET, np.concatenate([X, Z])).nngp)
    blocks = Blocks.split(k, 40)
    exact = posterior(blocks, Y, noise=0.1)
    found = posterior_at(blocks.train, blocks.cross, np.diag(blocks.test), Y, noise=0.1, method=method, rank=20)
    np.testing.assert_allclose(found.mean, exact.mean, rtol=1e-5)  # the tolerance of the iteration, 1e-8, times the condition number
    np.testing.assert_allclose(found.variance, np.diag(exact.cov), rtol=1e-5)


def test_jitter_is_as_large_as_rounding_and_no_larger(whole: np.ndarray) -> None:
    assert factor(whole).jitter == 0.0
    twice = np.concatenate([X[:20], X[:20]])
    singular = np.asarray(tp.kernels(NET, twice).ntk)
    found = factor(singular - 1e-15 * np.eye(40) * np.trace(singular))
    assert 0 < found.jitter <= 16 * np.finfo(float).eps * np.trace(singular)
    single = factor(np.asarray(whole, np.float32)[np.ix_(np.arange(40) % 20, np.arange(40) % 20)])
    assert single.jitter <= 16 * np.finfo(np.float32).eps * np.trace(whole)


@pytest.mark.parametrize("method", ["cholesky", "conjugate gradients"])
@pytest.mark.parametrize("time", [1.0, np.inf])
def test_no_points_are_solved(time: float, method: str, whole: np.ndarray) -> None:
    assert solve(np.zeros((0, 0)), np.zeros((0, 2)), time=time, method=method).dual.shape == (0, 2)
    prior = posterior_at(whole[:0, :0], whole[:3, :0], np.ones(3), Y[:0], noise=0.1, method=method)
    np.testing.assert_array_equal(prior.mean, np.zeros((3, 2)))
    np.testing.assert_array_equal(prior.variance, np.ones(3))


def test_a_factor_says_what_it_leaves_of_the_targets(whole: np.ndarray) -> None:
    found = solve(whole, Y)
    left = np.linalg.norm(Y - whole @ found.dual, axis=0) / np.linalg.norm(Y, axis=0)
    assert np.max(left) < 1e-9  # rounding times the condition of the kernel, some 1e4
    assert found.error < 1e-9


REFUSED = {
    "not positive": (lambda k: factor(k - 0.5 * np.eye(40)), r"least eigenvalue is -0\.\d+, more than rounding explains"),
    "not finite": (lambda k: factor(k * np.nan), "not finite"),
    "another shape": (lambda k: solve(k, Y[:3]), "wanted \\(N, N\\)"),
    "targets that are not finite": (lambda k: solve(k, np.where(np.arange(40) == 3, np.nan, 1.0)), r"y\[3\] is nan"),
    "entries that are not finite": (lambda k: solve(k * np.nan, Y, method="conjugate gradients"), r"kernel\[0, 0\] is nan"),
    "no symmetric kernel": (lambda k: solve(np.triu(k), Y), "differs from its transpose"),
    "no method": (lambda k: solve(k, Y, method="lu"), "Take 'cholesky' or 'conjugate gradients'"),
    "equal points, different targets": (lambda k: solve(np.ones((2, 2)), [1.0, -1.0]), "the kernel does not reach the targets"),
    "the same by iteration": (lambda k: solve(np.ones((2, 2)), [1.0, -1.0], method="conjugate gradients"), "reached an error of"),
    "an infinite ridge": (lambda k: solve(k, Y, ridge=np.inf), "ridge is inf"),
    "a preconditioner of no rank": (lambda k: solve(k, Y, ridge=0.1, rank=-1), "rank -1"),
    "a vector of another length": (lambda k: tiled_matrix(NET, X[:4]) @ np.ones(3), r"4 x 4 and v has shape \(3,\)"),
    "a point that there is not": (lambda k: tiled_matrix(NET, X[:4]).column(-1), "no point -1 of 4"),
    "a diagonal of what is not square": (lambda k: tiled_matrix(NET, X[:4], X[:2]).diagonal(), "4 x 2 and has no diagonal"),
    "a negative ridge": (lambda k: solve(k, Y, ridge=-1.0), "ridge is -1"),
    "a tolerance out of reach": (lambda k: conjugate_gradients(k, Y, rank=0, steps=2), "error of .* in 2 steps; wanted 1e-10. Take a larger"),
    "too few Lanczos steps": (lambda k: lanczos_flow(k, Y, 50.0, steps=3), "Lanczos reached an error"),
    "a negative diagonal": (lambda k: pivoted_cholesky(-k, 3), "diagonal entry .* is -"),
    "posterior shapes": (lambda k: posterior_at(k, k[:3], np.ones(4), Y, noise=0.1), "wanted \\(M, N\\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str, whole: np.ndarray) -> None:
    call, message = REFUSED[case]
    with pytest.raises(InvalidProgram, match=message):
        call(whole)


@pytest.mark.slow
def test_memory_never_holds_the_kernel(tmp_path: Path) -> None:
    """Products read one tile at a time: no more than two tiles are alive."""
    import tracemalloc

    found = tiled_kernels(NET, np.tile(X, (5, 1)), store=tmp_path / "k", size=16).matrix("ntk")
    v = np.ones(200)
    tracemalloc.start()
    found @ v
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200**2 * 8 / 2  # a few tiles of 16, and what zarr holds
