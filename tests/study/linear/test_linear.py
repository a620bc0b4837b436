"""Two-layer linear networks: what the closed form says at its edges, and what is refused."""

import numpy as np
import pytest

from tensorprog.errors import InvalidProgram, OutsideTheory
from tensorprog.study.linear.balance import Shape, Weights, balanced, correlation, random_weights, require_possible, weights, whiten
from tensorprog.study.linear.flow import integrate, integrate_products, stacked
from tensorprog.study.linear.kernel import as_matrix, distances, input_similarity, kernel_distance, ntk, output_similarity, phase
from tensorprog.study.linear.singular import gamma, singular_values
from tensorprog.study.linear.solution import limit, solve
from tensorprog.study.linear.tasks import continual, semantic

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("shape", "lam"), [((2, 4, 5), 3.0), ((5, 4, 2), -3.0), ((4, 2, 3), 2.0), ((3, 3, 3), -1.0), ((3, 5, 4), 0.0)])
def test_balanced_weights_are_balanced_and_keep_it(shape: tuple[int, int, int], lam: float) -> None:
    w = balanced(Shape(*shape), lam, seed=1)
    assert w.defect < 1e-13
    assert abs(w.lam - lam) < 1e-13
    w1, w2 = integrate(w, RNG.standard_normal((shape[2], shape[0])), [2.0])
    np.testing.assert_allclose(Weights(w1[0], w2[0]).imbalance, w.imbalance, atol=1e-10)


def test_aligned_weights_share_the_singular_vectors_of_the_task() -> None:
    sigma = RNG.standard_normal((3, 4))
    u, _, vt = np.linalg.svd(sigma)
    inside = u.T @ balanced(Shape(4, 3, 3), 2.0, aligned=sigma).product @ vt.T
    np.testing.assert_allclose(inside[:, :3], np.diag(np.diagonal(inside)), atol=1e-13)
    np.testing.assert_allclose(inside[:, 3:], 0.0, atol=1e-13)


def test_aligned_weights_follow_the_equation_of_one_mode() -> None:
    """The closed form for matrices and that for singular values, which share no code, on the same network."""
    sigma, times = RNG.standard_normal((3, 4)), [0.0, 0.2, 0.7, 2.0]
    start = balanced(Shape(4, 3, 3), -1.5, aligned=sigma, seed=2)
    u, s, vt = np.linalg.svd(sigma, full_matrices=False)
    begun = np.diagonal(u.T @ start.product @ vt.T)
    modes = u.T @ solve(start.w1, start.w2, sigma, times).product @ vt.T
    for t, m in zip(times, modes, strict=True):
        np.testing.assert_allclose(np.diagonal(m), singular_values(begun, s, -1.5, t), atol=1e-12)


def _wrong_way(n: int) -> tuple[Weights, np.ndarray]:
    """lambda = 0 and a product with another orientation than Sigma."""
    start, sigma = balanced(Shape(n, n, n), 0.0, seed=3, scale=0.7), np.random.default_rng(4).standard_normal((n, n))
    if np.linalg.det(start.product) * np.linalg.det(sigma) > 0:
        sigma[0] *= -1
    return start, sigma


def test_a_saddle_is_flagged_and_solved_at_all_times() -> None:
    start, sigma = _wrong_way(3)
    times = [0.0, 1.0, 3.0, 5.0, 400.0, np.inf]
    found = solve(start.w1, start.w2, sigma, times)
    assert found.saddle
    assert found.condition == np.inf
    # an integrator leaves the stable manifold of a saddle by rounding, growing as e^{2 s t}
    np.testing.assert_allclose(found.qq[:4], stacked(*integrate(start, sigma, times[:4])), atol=1e-8)
    smallest = np.linalg.svd(sigma, compute_uv=False)[-1]
    np.testing.assert_allclose(found.loss[4:], 0.5 * smallest**2, rtol=1e-10)


def test_half_of_all_orientations_end_on_a_saddle() -> None:
    """det(W2 W1) det(Sigma) < 0 decides at lambda = 0; any other lambda escapes."""
    for seed in range(12):
        start, sigma = balanced(Shape(3, 3, 3), 0.0, seed=seed), np.random.default_rng(seed + 50).standard_normal((3, 3))
        assert solve(start.w1, start.w2, sigma, [0.0]).saddle == (np.linalg.det(start.product) * np.linalg.det(sigma) < 0)
        other = balanced(Shape(3, 3, 3), 1e-3, seed=seed)
        assert solve(other.w1, other.w2, sigma, [np.inf]).loss[0] < 1e-12


def test_the_condition_number_grows_as_lambda_falls() -> None:
    """cond(B) ~ 1 / |lambda| when the product has the other orientation."""
    _, sigma = _wrong_way(3)
    conditions = [solve(w.w1, w.w2, sigma, [0.0]).condition for w in (balanced(Shape(3, 3, 3), lam, seed=3, scale=0.7) for lam in (1e-2, 1e-3, 1e-4))]
    np.testing.assert_allclose(np.diff(np.log10(conditions)), 1.0, atol=0.1)


def test_a_bottleneck_learns_the_best_approximation_of_its_rank() -> None:
    sigma = RNG.standard_normal((4, 5))
    w = balanced(Shape(5, 2, 4), 1.0, seed=5)
    u, s, vt = np.linalg.svd(sigma)
    found = solve(w.w1, w.w2, sigma, [1.0, np.inf])
    np.testing.assert_allclose(found.product[1], (u[:, :2] * s[:2]) @ vt[:2], atol=1e-12)
    np.testing.assert_allclose(found.qq[0], stacked(*integrate(w, sigma, [1.0]))[0], atol=1e-9)


def test_a_task_with_null_modes_is_solved() -> None:
    sigma = np.diag([2.0, 1.0, 0.0])
    for lam in (0.0, 1.0):
        w = balanced(Shape(3, 3, 3), lam, seed=6, scale=0.8)
        found = solve(w.w1, w.w2, sigma, [0.0, 2.0, 5.0])
        np.testing.assert_allclose(found.qq, stacked(*integrate(w, sigma, [0.0, 2.0, 5.0])), atol=1e-8)


def test_large_balances_make_one_layer_plain() -> None:
    """lambda -> inf: W2 W2^T -> lambda I and W1^T W1 -> V S^2 V^T / lambda, with relative corrections (s / lambda)^2."""
    sigma, lam = RNG.standard_normal((3, 3)), 1e4
    inner, outer = limit(Shape(3, 3, 3), lam, sigma)
    np.testing.assert_allclose(outer / lam, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(lam * inner, sigma.T @ sigma, rtol=1e-5)


def test_products_of_any_network_obey_their_own_equation() -> None:
    """Unbalanced, wide: the closed system against the integrated weights, two of them at once."""
    both, sigma = [random_weights(Shape(3, 20, 2), 0.3, 0.2, seed) for seed in (0, 1)], RNG.standard_normal((2, 3))
    starts = np.stack([stacked(w.w1, w.w2) for w in both])
    found = integrate_products(starts, sigma, [0.0, 1.0])
    for i, w in enumerate(both):
        np.testing.assert_allclose(found[:, i], stacked(*integrate(w, sigma, [0.0, 1.0])), atol=1e-8)


def test_the_kernel_is_output_major_and_starts_at_no_distance() -> None:
    w, x = balanced(Shape(3, 2, 2), 1.0, seed=7), RNG.standard_normal((4, 3))
    found = solve(w.w1, w.w2, RNG.standard_normal((2, 3)), [0.0, 1.0])
    k = as_matrix(ntk(found.inner, found.outer, x))
    expected = np.kron(np.eye(2), x @ w.w1.T @ w.w1 @ x.T) + np.kron(w.w2 @ w.w2.T, x @ x.T)
    np.testing.assert_allclose(k[0], expected, atol=1e-12)
    d = distances(found, x)
    assert d[0] == 0.0
    np.testing.assert_allclose(d[1], 1 - (k[0] * k[1]).sum() / np.linalg.norm(k[0]) / np.linalg.norm(k[1]), rtol=1e-9)
    np.testing.assert_allclose(kernel_distance(k[0], 3 * k[0]), 0.0, atol=1e-15)


def test_representations_of_the_hierarchy_mirror_it() -> None:
    """Learned from small weights, items are as similar as their targets say: both are functions of Y Y^T."""
    x, y = semantic()
    sigma = correlation(x, y)
    np.testing.assert_allclose(np.linalg.svd(sigma, compute_uv=False), [1, 1, *[0.5**0.5] * 2, *[0.5] * 4], atol=1e-12)
    w = balanced(Shape(8, 8, 8), 0.5, scale=0.1, seed=8)
    found = solve(w.w1, w.w2, sigma, [np.inf])
    u, s, vt = np.linalg.svd(sigma)
    s1 = (np.hypot(0.5, 2 * s) - 0.5) / 2
    np.testing.assert_allclose(input_similarity(found, x)[0], 8 * (vt.T * s1) @ vt, atol=1e-10)
    np.testing.assert_allclose(output_similarity(found, y)[0], y @ (u / (s1 + 0.5)) @ u.T @ y.T, atol=1e-9)


@pytest.mark.parametrize(
    ("shape", "lam", "name"),
    [((4, 2, 2), 20, "lazy"), ((4, 2, 2), -20, "delayed rich"), ((2, 2, 4), 20, "delayed rich"), ((3, 3, 3), -20, "lazy"), ((3, 3, 3), 0, "rich")],
)
def test_phases_by_shape_and_balance(shape: tuple[int, int, int], lam: float, name: str) -> None:
    found = phase(Shape(*shape), lam, [1.0, 0.5])
    assert found.name == name
    assert found.align <= found.fit


def test_alignment_is_slow_where_the_balance_is_large() -> None:
    np.testing.assert_allclose(phase(Shape(4, 2, 2), -1e4, [1.0, 0.5]).align, 2 * 0.5**2 / 1e4, rtol=1e-6)


def test_tasks_follow_each_other_without_a_jump() -> None:
    w = balanced(Shape(3, 3, 3), 1.0, seed=9)
    a, b = RNG.standard_normal((2, 3, 3))
    path = continual(w, (a, b), (1.0, 2.0), points=5)
    np.testing.assert_allclose(path.losses[4], path.losses[5], atol=1e-12)
    assert path.active.tolist() == [0] * 5 + [1] * 5
    assert path.time[-1] == 3.0
    assert path.end.defect < 1e-12


@pytest.mark.parametrize("lam", [0.0, 1e-9, 1.0])
def test_gamma_begins_at_0_and_ends_at_1(lam: float) -> None:
    g = gamma([0.1, 2.0, 1.0], 1.0, lam, np.array([0.0, 0.5, np.inf])[:, None])
    assert (g[0] == 0).all()
    np.testing.assert_allclose(g[2], 1.0, rtol=1e-14)


def test_gamma_on_and_beside_the_separatrix() -> None:
    """From s0 < 0 a mode ends at 0 for lambda = 0, and at its target for any other lambda, however small."""
    assert singular_values(-0.5, 1.0, 0.0, np.inf) == 0.0
    np.testing.assert_allclose(singular_values(-0.5, 1.0, [1e-8, -1e-8], np.inf), 1.0, rtol=1e-12)


BALANCED = balanced(Shape(3, 2, 2), 1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: require_possible(Shape(2, 3, 4), -1.0), r"rank 2 at most, so lambda >= 0"),
        (lambda: require_possible(Shape(4, 3, 2), 1.0), r"rank 2 at most, so lambda <= 0"),
        (lambda: balanced(Shape(2, 3, 2), 1.0), "no weights of shape"),
        (lambda: balanced(Shape(2, 2, 2), np.nan), "finite lambda"),
        (lambda: balanced(Shape(2, 2, 2), 1.0, aligned=np.eye(3)), "aligned has shape"),
        (lambda: weights(np.ones((2, 3)), np.ones((2, 3))), r"wanted \(Nh, Ni\) and \(No, Nh\)"),
        (lambda: weights(np.full((2, 2), np.nan), np.ones((2, 2))), "NaN"),
        (lambda: solve(np.ones((2, 3)), np.eye(2), np.ones((2, 3)), [1.0]), "Draw them with `balanced`"),
        (lambda: solve(BALANCED.w1, BALANCED.w2, np.ones((3, 2)), [1.0]), r"wanted a finite \(No, Ni\)"),
        (lambda: solve(BALANCED.w1, BALANCED.w2, np.ones((2, 3)), [-1.0]), "numbers >= 0"),
        (lambda: solve(BALANCED.w1, BALANCED.w2, np.ones((2, 3)), [1.0], tau=0.0), "positive time constant"),
        (lambda: solve(BALANCED.w1, BALANCED.w2, np.ones((2, 3)), [np.inf], form="za"), "Take form='stable'"),
        (lambda: integrate(BALANCED, np.ones((2, 3)), [np.inf]), "take `solve`"),
        (lambda: correlation(RNG.standard_normal((10, 3)), np.ones((10, 2))), "holds for whitened inputs only"),
        (lambda: correlation(np.sqrt(3) * np.eye(3), np.ones(3)), r"y has shape \(3,\)"),
        (lambda: whiten(np.ones((5, 2))), "span a smaller space"),
        (lambda: gamma(0.1, -1.0, 0.0, 1.0), "singular values"),
        (lambda: continual(BALANCED, [np.ones((2, 3))], []), "0 durations"),
        (lambda: ntk(np.eye(3), np.eye(2), np.ones((4, 2))), r"wanted \(N, 3\)"),
    ],
)
def test_what_has_no_meaning_is_named(call, message: str) -> None:
    with pytest.raises(InvalidProgram, match=message):
        call()


def test_the_printed_form_says_where_it_divides_by_zero() -> None:
    w = balanced(Shape(3, 2, 2), 0.0)
    with pytest.raises(OutsideTheory, match="F is singular"):
        solve(w.w1, w.w2, np.ones((2, 3)), [1.0], form="riccati")
