"""Kernel dynamics against recorded numbers, against each other, and against linear regression done by hand."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tensorprog.errors import InvalidProgram
from tensorprog.kernels import dynamics
from tensorprog.kernels.dynamics import (
    Blocks,
    UnstableRate,
    cross_entropy,
    ensemble_flow,
    gradient_descent,
    gradient_flow,
    huber,
    largest_stable_rate,
    logistic,
    loss_flow,
    minibatches,
    squared,
)

ORACLE = np.load(Path(__file__).parents[1] / "oracles" / "dynamics.npz")
# The recorded loss is the mean over 4 points and 2 outputs: reduction "mean" over points leaves the factor 1/2 of the outputs, put into the rate.
HALF = {"rate": 0.5, "reduction": "mean"}


def blocks(name: str, kind: str) -> Blocks:
    return Blocks.split(ORACLE[f"{name}__{kind}"], 4)


def problem(seed: int = 0, n: int = 6, m: int = 3, k: int = 2) -> tuple[Blocks, jax.Array, jax.Array]:
    """A well-conditioned kernel of n training and m test points, targets and initial outputs."""
    a, b, c = jax.random.split(jax.random.key(seed), 3)
    features = jax.random.normal(a, (n + m, n + m + 2))
    return Blocks.split(features @ features.T / (n + m), n), jax.random.normal(b, (n, k)), jax.random.normal(c, (n, k))


def test_gradient_flow_matches_the_recorded_numbers() -> None:
    ntk = blocks("fc_relu_d3", "ntk")
    path = gradient_flow(ntk.train, ORACLE["y_train"], ORACLE["gd_t"], f0=ORACLE["f0_train"], **HALF)
    np.testing.assert_allclose(path.train, ORACLE["gd_fc_relu_d3__train_mean"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(path.at(ntk.cross, ORACLE["f0_test"]), ORACLE["gd_fc_relu_d3__test_mean"], rtol=0, atol=1e-10)


@pytest.mark.parametrize("relative", [False, True])
def test_ridge_matches_the_recorded_numbers(relative: bool) -> None:
    ntk = blocks("fc_relu_d3", "ntk")
    path = gradient_flow(ntk.train, ORACLE["y_train"], [np.inf], f0=ORACLE["f0_train"], ridge=0.1, relative=relative)
    recorded = ORACLE[f"gd_fc_relu_d3__test_mean_ridge0.1{'rel' if relative else 'abs'}_tinf"]
    np.testing.assert_allclose(path.at(ntk.cross, ORACLE["f0_test"])[0], recorded, rtol=0, atol=1e-10)
    ridge = 0.1 * (np.diag(ntk.train).mean() if relative else 1.0)
    solved = np.linalg.solve(ntk.train + ridge * np.eye(4), ORACLE["y_train"] - ORACLE["f0_train"])
    np.testing.assert_allclose(path.train[0], ORACLE["f0_train"] + ntk.train @ solved, rtol=0, atol=1e-11)


@pytest.mark.parametrize("trained", ["ntk", "nngp"])
def test_ensemble_matches_the_recorded_numbers(trained: str) -> None:
    out = ensemble_flow(blocks("fc_relu_d3", trained), blocks("fc_relu_d3", "nngp"), ORACLE["y_train"], ORACLE["gd_t"], **HALF)
    for part in ("train_mean", "train_cov", "test_mean", "test_cov"):
        np.testing.assert_allclose(getattr(out, part), ORACLE[f"gdens_fc_relu_d3__{trained}_{part}"], rtol=0, atol=1e-10, err_msg=part)


def test_largest_rate_matches_the_recorded_number() -> None:
    largest = largest_stable_rate(blocks("fc_relu_d3", "ntk").train, reduction="mean", curvature=0.5)
    np.testing.assert_allclose(largest, ORACLE["gd_fc_relu_d3__maxlr"], rtol=1e-12)


def test_loss_flow_with_momentum_matches_the_recorded_numbers() -> None:
    ntk = blocks("fc_relu_d3", "ntk")
    path = loss_flow(ntk.train, ORACLE["y_train"], ORACLE["gd_t"][:4], f0=ORACLE["f0_train"], momentum=0.9, **HALF)
    np.testing.assert_allclose(path.train, ORACLE["gdode_fc_relu_d3__momentum0.9_train"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(path.at(ntk.cross, ORACLE["f0_test"]), ORACLE["gdode_fc_relu_d3__momentum0.9_test"], rtol=0, atol=1e-6)
    assert path.error < 1e-7


@pytest.mark.parametrize("labels", [np.array([0, 1, 1, 0]), np.eye(2)[[0, 1, 1, 0]]])
def test_loss_flow_on_the_cross_entropy_matches_the_recorded_numbers(labels: np.ndarray) -> None:
    ntk = blocks("fc_erf_d3", "ntk")
    path = loss_flow(ntk.train, labels, ORACLE["gd_t"][:4], f0=ORACLE["f0_train"], loss=cross_entropy, reduction="mean")
    np.testing.assert_allclose(path.train, ORACLE["gdode_fc_erf_d3__xent_train"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(path.at(ntk.cross, ORACLE["f0_test"]), ORACLE["gdode_fc_erf_d3__xent_test"], rtol=0, atol=1e-6)


def linear_model(loss, features, w, y, rates, batches, momentum):
    """SGD with a heavy ball on f = features w, in parameter space: what the kernel recursion must equal, step by step."""
    velocity, path = jnp.zeros_like(w), [features @ w]
    gradient = jax.grad(lambda w, b: sum(loss(features[i] @ w, y[i]) for i in b))
    for eta, b in zip(rates, batches):
        g = gradient(w, b)
        velocity = momentum * velocity + g
        w = w - eta * velocity
        path.append(features @ w)
    return jnp.stack(path)


SINGLE, MINI = [0, 3, 3, 1, 2], [[0, 1], [2, 3], [3, 3], [1, 0], [4, 2]]


def cosh(f: jax.Array, y: jax.Array) -> jax.Array:
    """A user's own loss."""
    return jnp.sum(jnp.cosh(f - y))


@pytest.mark.parametrize(
    ("loss", "batches"),
    [(squared, SINGLE), (squared, MINI), (squared, None), (cross_entropy, MINI), (huber(0.3), SINGLE), (logistic, SINGLE), (cosh, None)],
    ids=["single", "minibatch", "full", "cross entropy", "huber", "logistic", "cosh"],
)
def test_descent_is_sgd_on_a_linear_model(loss, batches) -> None:
    a, b, c = jax.random.split(jax.random.key(1), 3)
    features, w = jax.random.normal(a, (8, 5)), jax.random.normal(b, (5, 2))
    y = jnp.sign(jax.random.normal(c, (6, 2))) if loss is not cross_entropy else jax.nn.softmax(jax.random.normal(c, (6, 2)))
    rates = 0.02 / (1 + jnp.arange(5))
    shown = linear_model(loss, features, w, y, rates, [range(6)] * 5 if batches is None else np.reshape(batches, (5, -1)), 0.8)
    k, f0 = features @ features.T, features @ w
    path = gradient_descent(k[:6, :6], y, rate=lambda t: 0.02 / (1 + t), steps=5, f0=f0[:6], loss=loss, batches=batches, momentum=0.8)
    np.testing.assert_allclose(path.train, shown[:, :6], rtol=0, atol=1e-12)
    np.testing.assert_allclose(path.at(k[6:, :6], f0[6:]), shown[:, 6:], rtol=0, atol=1e-12)


def test_recording_fewer_steps_keeps_the_same_path() -> None:
    k, y, f0 = problem()
    every = gradient_descent(k.train, y, rate=0.1, steps=12, f0=f0)
    fourth = gradient_descent(k.train, y, rate=0.1, steps=12, f0=f0, record=4)
    np.testing.assert_array_equal(fourth.time, [0, 4, 8, 12])
    np.testing.assert_allclose(fourth.train, every.train[::4], atol=1e-14)


def test_descent_tends_to_flow_at_first_order_in_the_rate() -> None:
    k, y, f0 = problem()
    exact = gradient_flow(k.train, y, [1.0], f0=f0).train[0]
    rates = np.array([1 / 64, 1 / 128, 1 / 256])
    errors = [float(jnp.abs(gradient_descent(k.train, y, rate=eta, steps=round(1 / eta), f0=f0).train[-1] - exact).max()) for eta in rates]
    slope = np.polyfit(np.log(rates), np.log(errors), 1)[0]
    assert 0.95 < slope < 1.05  # Euler's method is of order 1; the second order shifts the slope by O(rate)


def test_the_two_flows_agree_on_the_squared_loss() -> None:
    k, y, f0 = problem()
    times = [3.0, 0.5, 1.0]
    closed, solved = gradient_flow(k.train, y, times, f0=f0, rate=0.7), loss_flow(k.train, y, times, f0=f0, rate=0.7)
    np.testing.assert_allclose(solved.train, closed.train, atol=10 * float(solved.error) + 1e-9)
    np.testing.assert_allclose(solved.dual, closed.dual, atol=1e-6)


def test_the_largest_rate_is_where_descent_turns() -> None:
    k, y, _ = problem()
    for momentum in (0.0, 0.5):
        largest = float(largest_stable_rate(k.train, momentum=momentum))
        below = gradient_descent(k.train, y, rate=0.99 * largest, steps=4000, momentum=momentum)
        with pytest.warns(UnstableRate, match=f"{largest:.4g}"):
            above = gradient_descent(k.train, y, rate=1.01 * largest, steps=4000, momentum=momentum)
        assert jnp.abs(below.train[-1] - y).max() < jnp.abs(below.train[0] - y).max()
        assert jnp.abs(above.train[-1]).max() > 1e6


def test_the_largest_rate_of_single_points_keeps_every_step_from_moving_away() -> None:
    k, y, _ = problem()
    order = minibatches(jax.random.key(0), 6, 1, 60)
    largest = float(largest_stable_rate(k.train, batches=order))
    path = gradient_descent(k.train, y, rate=0.999 * largest, steps=60, batches=order)
    gap = jnp.linalg.solve(k.train, y) - path.dual  # distance to the interpolating solution in the kernel's norm
    distance = jnp.einsum("tik,ij,tjk->t", gap, k.train, gap)
    assert (jnp.diff(distance) <= 1e-12).all()


def test_minibatches_visit_every_point_once_an_epoch() -> None:
    order = minibatches(jax.random.key(0), 6, 2, 7)
    assert order.shape == (7, 2)
    assert sorted(np.ravel(order[:3])) == sorted(np.ravel(order[3:6])) == list(range(6))
    assert not np.array_equal(order[:3], order[3:6])


def test_duplicated_points_at_infinity_take_the_mean_of_their_targets() -> None:
    """K singular: two equal points with different targets meet at the mean; the pseudo-inverse says so, and no finite time disagrees."""
    k, y, _ = problem(n=4)
    twice = np.array([0, 1, 2, 3, 3])
    kernel, targets = k.train[jnp.ix_(twice, twice)], jnp.concatenate([y, 1 + y[3:]])
    path = gradient_flow(kernel, targets, [1e6, np.inf])
    for f in path.train:
        np.testing.assert_allclose(f[3:], jnp.stack([y[3] + 0.5] * 2), atol=1e-9)
        np.testing.assert_allclose(f[:3], y[:3], atol=1e-9)
    np.testing.assert_allclose(path.train, path.at(kernel), atol=1e-9)


def test_zero_kernel_stays_at_the_start() -> None:
    _, y, f0 = problem()
    path = gradient_flow(jnp.zeros((6, 6)), y, [0.0, 1.0, np.inf], f0=f0)
    np.testing.assert_array_equal(path.train, jnp.stack([f0] * 3))


def test_scaling_time_against_rate_and_reduction_against_size() -> None:
    k, y, f0 = problem()
    base = gradient_flow(k.train, y, [0.6], f0=f0)
    np.testing.assert_allclose(gradient_flow(k.train, y, [0.2], f0=f0, rate=3.0).train, base.train, atol=1e-13)
    np.testing.assert_allclose(gradient_flow(k.train, y, [3.6], f0=f0, reduction="mean").train, base.train, atol=1e-13)


def test_ensemble_is_the_law_of_single_runs() -> None:
    """Gradient flow is affine in f_0: pushing an exact square root of the nngp through single runs gives the ensemble's covariance."""
    ntk, y, _ = problem(0, k=1)
    nngp = problem(1, k=1)[0]
    full = jnp.block([[nngp.train, nngp.cross.T], [nngp.cross, nngp.test]])
    root = jnp.linalg.cholesky(full)
    out = ensemble_flow(ntk, nngp, y, [0.7], ridge=0.1)
    base = gradient_flow(ntk.train, y, [0.7], ridge=0.1)
    np.testing.assert_allclose(out.test_mean, base.at(ntk.cross), atol=1e-12)
    columns = [gradient_flow(ntk.train, y[:, 0], [0.7], f0=root[:6, j], ridge=0.1) for j in range(9)]
    train = jnp.stack([c.train[0] - base.train[0, :, 0] for c in columns])
    test = jnp.stack([c.at(ntk.cross, root[6:, j])[0] - base.at(ntk.cross)[0, :, 0] for j, c in enumerate(columns)])
    np.testing.assert_allclose(out.train_cov[0], train.T @ train, atol=1e-12)
    np.testing.assert_allclose(out.test_cov[0], test.T @ test, atol=1e-12)


def test_gradient_flow_is_differentiable_where_eigenvalues_coincide() -> None:
    """Directional derivatives by central differences; the kernel c I + a rank-one term has an eigenvalue of multiplicity n - 1."""
    n, key = 5, jax.random.key(3)
    u, d = jax.random.normal(key, (n,)), jax.random.normal(jax.random.key(4), (n, n))
    kernel, y = 2 * jnp.eye(n) + jnp.outer(u, u), jnp.arange(1.0, n + 1)

    def f(s, t):
        return gradient_flow(kernel + s * (d + d.T), y, jnp.stack([t, jnp.inf]), ridge=0.1).at(jnp.ones((1, n)))

    _, tangent = jax.jvp(f, (0.0, 0.3), (1.0, 0.5))
    step = 1e-5
    numeric = (f(step, 0.3 + 0.5 * step) - f(-step, 0.3 - 0.5 * step)) / (2 * step)
    np.testing.assert_allclose(tangent, numeric, rtol=1e-6, atol=1e-8)  # central differences: step^2 and eps / step
    assert jnp.isfinite(jax.grad(lambda s: f(s, 0.3).sum())(0.0))


def test_jit_and_vmap_change_nothing() -> None:
    k, y, f0 = problem()
    flow = lambda y: gradient_flow(k.train, y, jnp.array([0.5, 2.0]), f0=f0).train  # noqa: E731
    descent = lambda y: gradient_descent(k.train, y, rate=0.05, steps=3, f0=f0).train  # noqa: E731
    for f in (flow, descent):
        np.testing.assert_allclose(jax.jit(f)(y), f(y), atol=1e-13)
        np.testing.assert_allclose(jax.vmap(f)(jnp.stack([y, 2 * y])), jnp.stack([f(y), f(2 * y)]), atol=1e-12)


def test_float64_whatever_the_global_default() -> None:
    k, y, f0 = problem()
    jax.config.update("jax_enable_x64", False)
    path = gradient_flow(np.asarray(k.train), np.asarray(y), [1.0], f0=np.asarray(f0))
    assert path.train.dtype == np.float64


# Rounding.

TIMES = [0.0, 0.1, 10.0, np.inf]


def spread(seed: int, n: int = 80, m: int = 20) -> Blocks:
    """A kernel with eigenvalues over four decades."""
    a, b = jax.random.split(jax.random.key(seed))
    directions, _ = jnp.linalg.qr(jax.random.normal(a, (n + m, n + m)))
    values = 10.0 ** jax.random.uniform(b, (n + m,), minval=-2.0, maxval=2.0)
    return Blocks.split((directions * values) @ directions.T, n)


@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_float32_keeps_its_error(ridge: float) -> None:
    """The reported error holds, and is no more than 200 times the one seen: its bound on divided differences is sharp at small s t only."""
    k, y = spread(0), jax.random.normal(jax.random.key(1), (80, 3))
    exact, rounded = (gradient_flow(k.train, y, TIMES, ridge=ridge, dtype=dtype) for dtype in ("float64", "float32"))
    seen = float(jnp.abs(exact.train - rounded.train).max())
    assert rounded.train.dtype == rounded.dual.dtype == np.float32
    assert seen <= float(rounded.error) <= 200 * seen
    assert float(exact.error) < 1e-8 * float(rounded.error)  # the ratio of the rounding units is 2e-9


@pytest.mark.parametrize("train", [True, False])
def test_the_law_in_float32_keeps_its_error(train: bool) -> None:
    ntk, nngp, y = spread(2), spread(3), jax.random.normal(jax.random.key(4), (80, 2))
    exact, rounded = (ensemble_flow(ntk, nngp, y, TIMES, ridge=0.1, train=train, dtype=dtype) for dtype in ("float64", "float32"))
    parts = ["train_mean", "test_mean", "test_cov", *(["train_cov"] if train else [])]
    seen = max(float(jnp.abs(getattr(exact, part) - getattr(rounded, part)).max()) for part in parts)
    assert rounded.test_cov.dtype == np.float32
    assert seen <= float(rounded.error) <= 1000 * seen  # covariances are bounded by the largest g(s), whatever the direction
    assert float(exact.error) < 1e-8 * float(rounded.error)


def test_the_error_has_no_scale() -> None:
    """Inputs of norm 1e-145 and 1e145: the squares of the entries of K would overflow, and underflow."""
    k, y = spread(0, 20, 5), jnp.ones(20)
    errors = [float(gradient_flow(scale * k.train, y, [1.0 / scale]).error) for scale in (1.0, 1e-290, 1e290)]
    assert max(errors) < 4 * min(errors)  # another scale, another rounding


NAN = np.diag([1.0, np.nan])
BAD = [
    (lambda: gradient_flow(NAN, np.ones(2), [1.0]), r"kernel\[1, 1\] is nan"),
    (lambda: gradient_descent(NAN, np.ones(2), rate=0.1, steps=1), r"kernel\[1, 1\] is nan"),
    (lambda: gradient_flow(np.ones((2, 3)), np.ones(2), [1.0]), r"shape \(2, 3\)"),
    (lambda: gradient_flow(np.array([[1.0, 0.5], [0.1, 1.0]]), np.ones(2), [1.0]), "differs from its transpose"),
    (lambda: gradient_flow(-np.eye(2), np.ones(2), [1.0]), "not positive semidefinite"),
    (lambda: gradient_flow(np.eye(2), np.ones(3), [1.0]), "2 training points"),
    (lambda: gradient_flow(np.eye(2), np.array([1.0, np.inf]), [1.0]), r"y\[1\] is inf"),
    (lambda: gradient_flow(np.eye(2), np.ones((2, 2)), [1.0], f0=np.ones((2, 3))), "y has shape"),
    (lambda: gradient_flow(np.eye(2), np.ones(2), [-1.0]), ">= 0"),
    (lambda: gradient_flow(np.eye(2), np.ones(2), [1.0], ridge=-1.0), "ridge"),
    (lambda: gradient_flow(np.eye(2), np.ones(2), [1.0]).at(np.ones((1, 3))), "k_test has shape"),
    (lambda: gradient_descent(np.eye(2), np.ones(2), rate=[0.1, 0.1], steps=3), "learning rate has shape"),
    (lambda: gradient_descent(np.eye(2), np.ones(2), rate=np.nan, steps=3), "not finite"),
    (lambda: gradient_descent(np.eye(2), np.ones(2), rate=0.1, steps=2, batches=[0, 2]), "there are 2"),
    (lambda: gradient_descent(np.eye(2), np.ones(2), rate=0.1, steps=3, batches=[0, 1]), "batches have shape"),
    (lambda: gradient_descent(np.eye(2), np.ones(2), rate=0.1, steps=3, record=2), "divisor of 3"),
    (lambda: gradient_descent(np.eye(2), np.array([0, 1]), rate=0.1, steps=3, loss=cross_entropy), "one output a class"),
    (lambda: loss_flow(np.eye(2), np.ones(2), [np.inf]), "finite times"),
    (lambda: minibatches(jax.random.key(0), 4, 5, 1), "between 1 and 4"),
    (lambda: gradient_flow(np.eye(2), np.ones(2), [1.0], dtype="float16"), "float64 or float32"),
    (lambda: ensemble_flow(Blocks.split(np.eye(3), 2), Blocks.split(np.eye(4), 2), np.ones(2), [1.0]), "nngp.cross has shape"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input_is_named(call, message: str) -> None:
    with pytest.raises(InvalidProgram, match=message):
        call()


def test_everything_public_is_documented() -> None:
    assert all(getattr(dynamics, name).__doc__ for name in dynamics.__all__)
