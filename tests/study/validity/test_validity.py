"""The validity of the NTK approximation: bounds, the hard family, training beside its linearization, Lipschitz constants, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tensorprog as tp
from tensorprog.errors import InvalidProgram
from tensorprog.kernels.empirical import empirical_kernels
from tensorprog.study.networks import perceptron
from tensorprog.study.validity.bound import SHARP, ntk_validity_bound
from tensorprog.study.validity.certified import quadratic, two_layer
from tensorprog.study.validity.hard import hard_instance, hardness, scale_needed
from tensorprog.study.validity.training import Lipschitz, Task, centered, descent, estimated_lipschitz, flow, integrator, of_network, sufficient_scale

RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 4))
Y = RNG.standard_normal(5)
N = 48


@tp.network
def mlp(x: tp.Data) -> tp.Output:
    return tp.readout("v") @ tp.tanh(tp.embedding("U") @ x)


@pytest.fixture(scope="module")
def params() -> dict[str, jax.Array]:
    return tp.sample(mlp(), jax.random.key(0), N, 4)


@pytest.fixture(scope="module")
def task(params: dict[str, jax.Array]) -> Task:
    return centered(of_network(mlp(), params, N, X, Y))


def test_the_constant_and_the_fields() -> None:
    v = ntk_validity_bound(2.0, 3.0, 0.5, 1.0, rho=10.0, lip_h=2.0, eps=0.1)
    np.testing.assert_allclose(SHARP, 1.452736, atol=1e-6)
    np.testing.assert_allclose([v.kappa, v.displacement, v.bound], [0.75, 3**0.5 / 2, SHARP * 0.75])
    assert v.applicable
    np.testing.assert_allclose(v.bound_paper, 8**0.5)  # 6 kappa is above what is trivial
    np.testing.assert_allclose(v.lower_hard, 0.15)
    np.testing.assert_allclose(ntk_validity_bound(1e3, 3.0, 0.5, 1.0, lip_h=0.1).bound_chizat or 0, 2 * 3 * 0.01 * 1.5e-3)


def test_scale_and_horizon_are_where_the_bound_is_eps() -> None:
    v = ntk_validity_bound(2.0, 3.0, 0.5, 1.7, eps=0.1)
    assert v.alpha_sufficient is not None
    assert v.horizon is not None
    np.testing.assert_allclose(ntk_validity_bound(v.alpha_sufficient, 3.0, 0.5, 1.7).bound, 0.1)
    np.testing.assert_allclose(ntk_validity_bound(2.0, v.horizon, 0.5, 1.7).bound, 0.1)


def test_beyond_the_ball_only_the_trivial_bound_is_left() -> None:
    v = ntk_validity_bound(1.0, 4.0, 1e-3, 1.0, rho=1.0, lip_h=1.0, eps=0.1)
    assert not v.applicable
    assert v.bound == v.bound_paper == v.bound_chizat == 8**0.5
    assert v.horizon == 1.0  # alpha^2 rho^2 / R0
    assert v.alpha_sufficient == 2.0  # sqrt(T R0) / rho


def test_a_linear_network_has_no_limit_of_time() -> None:
    v = ntk_validity_bound(1.0, 100.0, 0.0, 1.0, eps=0.1)
    assert v.bound == 0.0
    assert v.horizon == np.inf


def test_the_hard_instance_attains_its_lower_bound() -> None:
    for kappa in (1e-3, 0.3, 1.0, 30.0):
        hard = hard_instance(2.0, 5.0, 2 * kappa / 5, 1.0)
        v = ntk_validity_bound(2.0, 5.0, 2 * kappa / 5, 1.0)
        assert v.lower_hard <= hard.error(5.0) <= v.bound
        np.testing.assert_allclose(hard.error(5.0), hardness(kappa), rtol=1e-9)


def test_hardness_has_its_two_asymptotes() -> None:
    np.testing.assert_allclose(hardness(1e-9) / 1e-9, 4 * np.exp(-2), rtol=1e-7)
    np.testing.assert_allclose(hardness([1e3, 1e300]), 2**0.5 / np.e, rtol=1e-12)


def test_the_hard_instance_is_a_task_as_any_other() -> None:
    """Its closed form against the general flow."""
    hard = hard_instance(0.5, 3.0, 2.0, 0.7)
    task = Task(lambda w: hard.a * w + hard.lip_dh * w**2 / 2, np.zeros(1), np.array([hard.target]))
    c = flow(task, 0.5, [1.0, 2.0, 3.0], tolerance=1e-11)
    np.testing.assert_allclose(c.residual[:, 0], hard.residual(c.time), atol=1e-9)
    np.testing.assert_allclose(c.linear[:, 0], hard.linear_residual(c.time), atol=1e-12)
    np.testing.assert_allclose(c.lipschitz.value, 2.0, rtol=1e-9)  # of a quadratic map, every ratio is the constant
    assert (c.error[1:] <= c.posterior[1:]).all()


def test_the_linearization_is_the_empirical_kernel(task: Task, params: dict[str, jax.Array]) -> None:
    k = np.asarray(empirical_kernels(mlp(), params, N, X).ntk)
    j = np.asarray(task.jacobian(task.w0))
    np.testing.assert_allclose(j @ j.T, k, atol=1e-10)


def test_learning_rates_and_frozen_tensors_are_those_of_the_network(params: dict[str, jax.Array]) -> None:
    @tp.network
    def slow(x: tp.Data) -> tp.Output:
        return tp.readout("v", rate=0.3) @ tp.tanh(tp.embedding("U", train=False) @ x)

    task = of_network(slow(), params, N, X, Y)
    assert len(task.w0) == N
    j = np.asarray(task.jacobian(task.w0))
    np.testing.assert_allclose(j @ j.T, np.asarray(empirical_kernels(slow(), params, N, X).ntk), atol=1e-10)


def test_the_error_falls_like_the_scale_in_flow_and_in_sgd(task: Task) -> None:
    batches = np.random.default_rng(1).integers(5, size=(40, 2))
    for train in (lambda a: flow(task, a, [1.0]), lambda a: descent(task, a, 0.05, batches, 40)):
        errors = [train(alpha).error[-1] for alpha in (32.0, 64.0)]
        np.testing.assert_allclose(errors[0] / errors[1], 2.0, rtol=0.1)  # the next order in 1 / alpha


def test_sgd_of_all_points_in_small_steps_is_the_flow(task: Task) -> None:
    batches = np.tile(np.arange(5), (400, 1))
    c, exact = descent(task, 1.0, 0.0025, batches, 400), flow(task, 1.0, [1.0])
    np.testing.assert_allclose(c.residual[-1], exact.residual[-1], atol=0.01)  # first order in the step
    np.testing.assert_allclose(c.linear[-1], exact.linear[-1], atol=0.01)


def test_kinks_are_integrated_by_a_low_order() -> None:
    assert integrator(mlp())[1] == "DOP853"
    assert integrator(perceptron(nonlinearity="relu"))[1] == "RK45"


def test_certified_constants_are_above_estimated_ones(task: Task, params: dict[str, jax.Array]) -> None:
    sure = two_layer(X, params["v"], "tanh", 2.0)
    seen = estimated_lipschitz(task, 2.0, samples=4)
    assert sure.certified
    assert not seen.certified
    assert 0 < seen.value <= sure.value
    assert "certified" in str(sure)
    assert "estimated" in str(seen)


def test_the_constant_of_a_quadratic_map_bounds_every_difference() -> None:
    b = RNG.standard_normal((3, 4, 4))
    b = b + b.transpose(0, 2, 1)
    w = RNG.standard_normal((50, 4))
    turned = np.array([np.linalg.norm(np.einsum("ijk,k->ij", b, v), 2) / np.linalg.norm(v) for v in w])
    assert turned.max() <= quadratic(b).value


def test_a_sufficient_scale_suffices(task: Task) -> None:
    seen = estimated_lipschitz(task, 0.5, samples=2)
    alpha = sufficient_scale(task, 1.0, Lipschitz(2 * seen.value, False, "twice what was seen"), 0.2)
    assert flow(task, alpha, [1.0]).error[-1] <= 0.2


def test_no_scale_suffices_where_the_outputs_grow_with_it(params: dict[str, jax.Array]) -> None:
    plain = of_network(mlp(), params, N, X, 0 * Y)
    with pytest.raises(InvalidProgram, match="Subtract the initial outputs"):
        sufficient_scale(plain, 10.0, Lipschitz(1.0, True, "given"), 0.01)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ntk_validity_bound(0.0, 1.0, 1.0, 1.0), r"alpha is 0.0. Give a number > 0"),
        (lambda: ntk_validity_bound(1.0, -1.0, 1.0, 1.0), "T is -1.0"),
        (lambda: ntk_validity_bound(1.0, 1.0, -1.0, 1.0), "lip_dh is -1.0"),
        (lambda: ntk_validity_bound(1.0, 1.0, 1.0, float("nan")), "R0 is nan"),
        (lambda: ntk_validity_bound(1.0, 1.0, 1.0, 1.0, rho=0.0), "rho is 0.0"),
        (lambda: ntk_validity_bound(1.0, 1.0, 1.0, 1.0, eps=0.0), "eps is 0.0"),
        (lambda: hard_instance(1.0, 0.0, 1.0, 1.0), "T is 0.0"),
        (lambda: scale_needed(1.0, 1.0, 1.0, 0.6), "errs by 0 to 0.52"),
        (lambda: two_layer(X, np.ones(3), "relu", 1.0), "Take `estimated_lipschitz`"),
        (lambda: flow(Task(lambda w: w, np.zeros(1), np.ones(1)), 0.0, [1.0]), "alpha is 0.0"),
        (lambda: flow(Task(lambda w: w, np.zeros(1), np.ones(1)), 1.0, [2.0, 1.0]), "increasing order"),
        (lambda: of_network(mlp(), tp.sample(mlp(), jax.random.key(0), 4, 4), 4, X, jnp.ones(3)), "Give every output its target"),
    ],
)
def test_what_has_no_meaning_is_named(call, message: str) -> None:
    with pytest.raises(InvalidProgram, match=message):
        call()
