"""Networks follow kernel gradient descent the better the wider they are, and the study sees it when they follow another kernel."""

import dataclasses
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

import tensorprog as tp
from tensorprog.errors import InvalidProgram
from tensorprog.kernels import train as descent
from tensorprog.kernels.dynamics import Loss, cross_entropy, squared
from tensorprog.kernels.dynamics.losses import gradient
from tensorprog.kernels.empirical import empirical_ntk_jacobian
from tensorprog.language.program import Network, Training
from tensorprog.study import training
from tensorprog.study.training import Following, follow

RNG = np.random.default_rng(0)
X, X_TEST = RNG.standard_normal((8, 6)), RNG.standard_normal((6, 6))
Y = np.sign(X[:, 0])


@tp.network
def mlp(x: tp.Data, outputs: int = 1) -> tp.Output:
    h = tp.matrix("W", 2**0.5) @ tp.relu(tp.embedding("U", 1.3) @ x)
    return tp.readout("v", outputs=outputs) @ tp.relu(h)


@pytest.fixture(scope="module")
def following() -> Following:
    return follow(mlp(), X, Y, X_TEST, (32, 512), seeds=8)


def test_the_gap_falls_with_width(following: Following) -> None:
    assert (np.diff(following.gaps) < 0).all()
    # Corrections to the limit are n^(-1/2): 16 times the width, a quarter of the gap, and single seeds spread by a factor of two around it.
    assert following.gaps[-1] < 0.5 * following.gaps[0]
    assert following.gaps[-1] < 0.12


def test_each_network_starts_at_its_own_outputs(following: Following) -> None:
    for run in following.runs:
        np.testing.assert_allclose(run.test[:, 0], run.kernel_test[:, 0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(run.loss[:, 0], run.kernel_loss[:, 0], rtol=1e-12)
        assert len(np.unique(run.loss[:, 0])) == len(run.loss)


def test_the_gap_is_read_when_the_kernel_has_learned(following: Following) -> None:
    for run in following.runs:
        for seed, stop in enumerate(run.stop):
            relative = run.kernel_loss[seed] / run.kernel_loss[seed, 0]
            assert relative[stop] <= 0.1 < relative[stop - 1]
    assert following.steps == max(max(r.stop) for r in following.runs)


def test_a_wrong_kernel_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The readout alone trained in the networks, everything in the kernel: no width closes the gap."""
    monkeypatch.setattr(descent, "unit_rates", lambda net, n: {"U": 0.0, "W": 0.0, "v": 1.0})
    assert follow(mlp(), X, Y, X_TEST, (256,), seeds=2).gaps[0] > 0.2


SLOW = dataclasses.replace(mlp(), training={"U": Training(rate=0.0), "W": Training(rate=0.3, convention="sigma")})
LABELS = np.arange(8) % 3


@pytest.mark.parametrize(
    ("net", "y", "loss", "momentum"), [(SLOW, Y, squared, 0.0), (mlp(outputs=3), LABELS, cross_entropy, 0.5)], ids=["rates", "momentum, outputs"]
)
def test_small_steps_move_by_the_empirical_kernel(net: Network, y: np.ndarray, loss: Loss, momentum: float) -> None:
    """At first order in eta a network moves by -eta K_0 L'(f_0) in the first step, K_0 its own empirical NTK, and 2 + mu times that in two."""
    eta, key = 1e-7, jax.random.key(0)
    f = training._descend(training._task(net, X, y, X, eta, loss, momentum, 0.1, "float64"), 32, 2, key).test
    k = empirical_ntk_jacobian(net, tp.sample(net, key, 32, 6), 32, X, outputs="full").ntk.reshape(8, 8, net.outputs, net.outputs)
    push = gradient(loss)(f[0], jnp.asarray(y)).reshape(8, -1)
    expected = -jnp.einsum("ijab,jb->ia", k, push).reshape(f[0].shape)
    np.testing.assert_allclose((f[1] - f[0]) / eta, expected, rtol=1e-5, atol=1e-6)  # eta times second derivatives, and eps / eta
    np.testing.assert_allclose((f[2] - f[0]) / eta, (2 + momentum) * expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_classes_are_followed_too() -> None:
    found = follow(mlp(outputs=3), X, LABELS, X_TEST, (32, 512), seeds=2, loss=cross_entropy, level=0.5)
    assert found.runs[0].test.shape == (2, found.steps + 1, 6, 3)
    assert found.gaps[1] < 0.5 * found.gaps[0]


def test_a_study_can_be_shown_and_kept(following: Following) -> None:
    console = Console(record=True, width=140, file=io.StringIO())
    console.print(following.table())
    text = console.export_text()
    assert all(f"{gap:.1%}" in text for gap in following.gaps)
    assert following.to_dict()["gaps"] == following.gaps.tolist()


def _positions() -> Network:
    @tp.network(x="token")
    def each(x: tp.Data) -> tp.Output:
        return tp.readout("v") @ tp.relu(tp.embedding("U") @ x)

    return each(token=2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: follow(mlp(), X, Y, X_TEST, (32,), rate=1e-9), "still above 10% of its start after 64 steps"),
        (lambda: follow(mlp(), X, Y, X_TEST, (32,), loss=lambda f, y: jnp.abs(f - y)), "Give a learning rate"),
        (lambda: follow(_positions(), X[:, None].repeat(2, 1), Y, X_TEST[:, None].repeat(2, 1), (32,)), "outputs along"),
        (lambda: follow(mlp(), X, Y[:5], X_TEST, (32,)), "shape"),
    ],
)
def test_what_has_no_meaning_is_named(call, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "LONGEST", 64)
    with pytest.raises(InvalidProgram, match=message):
        call()
