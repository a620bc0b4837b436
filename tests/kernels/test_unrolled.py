"""The limit of the unrolled program: kernel gradient descent in the NTK parametrization, the feature-learning recursions in muP.

Exact limits are closed forms (or Hermite series), so that agreement is asked to 1e-11; particles to four of their standard errors.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any, Literal

import jax
import numpy as np
import pytest
from scipy.stats import t as student

import tensorprog as tp
from architectures import ZOO
from tensorprog.errors import InvalidProgram
from tensorprog.kernels.dynamics import gradient_descent, logistic, squared
from tensorprog.kernels.unrolled import given, limit_outputs, particle_outputs
from tensorprog.transform.parametrization import STANDARD
from tensorprog.transform.unroll import SGD, sign_sgd, unroll

FROZEN = tp.Training(rate=0.0)
BATCHES = [[0, 2], [1, 0], [2, 1], [0, 1]]
FOLLOWED: list[tuple[str, dict[str, Any], Literal["squared", "logistic"]]] = [
    ("mlp", {"depth": 1, "nonlinearity": "erf", "sigma_w": 1.3, "sigma_b": 0.2}, "logistic"),
    ("mlp", {"depth": 2, "nonlinearity": "relu", "sigma_w": 1.3, "sigma_b": 0.2}, "squared"),
    ("mlp", {"depth": 3, "nonlinearity": "tanh", "sigma_w": 1.3, "sigma_b": 0.2}, "logistic"),
    ("rnn", {"time": 3, "sigma_b": 0.3}, "squared"),
    ("resnet", {"depth": 2, "sigma_b": 0.1}, "logistic"),
    ("normalized_mlp", {}, "squared"),
]
SMALL = {"cnn2d": {"height": 2, "width": 2, "depth": 1}, "conv_resnet2d": {"height": 2, "width": 2, "depth": 1}}
SLOW = [
    ("mlp", {"depth": depth, "nonlinearity": phi, "sigma_w": 1.3, "sigma_b": 0.2}, loss)
    for depth in (1, 2, 3)
    for phi in ("erf", "relu", "tanh")
    for loss in ("squared", "logistic")
]


def example_2() -> tp.Network:
    """f = v . erf(W erf(U xi)) (Yang & Littwin 2021, section 3.2), the readout frozen."""

    @tp.network
    def two_layers(x: Any) -> Any:
        return tp.readout("v") @ tp.erf(tp.matrix("W") @ tp.erf(tp.embedding("U") @ x))

    return replace(two_layers(), training={"v": FROZEN})


def in_mup(phi: Any, depth: int) -> tp.Network:
    @tp.network
    def net(x: Any) -> Any:
        h = tp.embedding("U") @ x
        for l in range(depth - 1):
            h = tp.matrix(f"W{l}") @ phi(h)
        return tp.readout("v") @ phi(h)

    return replace(net(), kind="moment")


def inputs(net: tp.Network, samples: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {i.name: rng.normal(size=(samples, *(net.program.size[a] for a in sorted(i.axes)), 3)) for i in net.program.inputs}


def follows_the_kernel(case: tuple[str, dict[str, Any], Literal["squared", "logistic"]], momentum: float = 0.0) -> None:
    name, options, loss = case
    net = ZOO[name](**options)
    x, y, f_0 = inputs(net), np.array([1.0, -1.0, 1.0, 0.0]), np.array([0.3, -0.2, 0.5, 1.1])
    u = unroll(net, 4, batches=BATCHES, optimizer=SGD(0.2, momentum), loss=loss)
    found = limit_outputs(u, x, y, f_0)
    how = {"squared": squared, "logistic": logistic}[loss]
    path = gradient_descent(tp.kernels(net, x).ntk, y, rate=0.2, steps=4, f0=f_0, loss=how, momentum=momentum, batches=np.array(BATCHES))
    assert np.abs(np.asarray(path.train)[-1] - f_0).max() > 0.1
    np.testing.assert_allclose(found.value, path.train, atol=1e-11)
    assert np.max(found.error) < 1e-11


@pytest.mark.parametrize("case", FOLLOWED, ids=lambda c: f"{c[0]}-{c[2]}")
def test_the_limit_is_kernel_gradient_descent(case: Any) -> None:
    follows_the_kernel(case)


@pytest.mark.slow
@pytest.mark.parametrize("case", SLOW, ids=lambda c: f"{c[1]['depth']}-{c[1]['nonlinearity']}-{c[2]}")
def test_the_limit_is_kernel_gradient_descent_at_every_depth(case: Any) -> None:
    follows_the_kernel(case)


def test_the_limit_with_momentum_is_the_heavy_ball() -> None:
    follows_the_kernel(FOLLOWED[0], momentum=0.6)


def test_the_recorded_trajectory() -> None:
    """T15 of the reference notes: u and w trained, inputs 1 and 1/2, labels 1 and -1 in turn."""
    u = unroll(example_2(), 2, batches=[0, 1, 0, 1])
    found = limit_outputs(u, np.array([[1.0], [0.5]]), np.array([1.0, -1.0])).value
    recorded = [[0, 0], [0.7786972038, 0.5395340923], [-0.0519339254, -0.0940040594], [0.7672040809, 0.4735501562], [-0.0278264652, -0.1328347541]]
    np.testing.assert_allclose(found, recorded, atol=6e-11)


def test_without_dots_only_the_last_hidden_matrix_trains() -> None:
    """T14: of 0.7786972038 the part 0.4288310033, that of U, is pure dot."""
    found = limit_outputs(unroll(example_2(), 2, batches=[0]), np.array([[1.0], [0.5]]), np.array([1.0, -1.0]), dots="drop").value
    np.testing.assert_allclose(found[1], [0.3498662005, 0.2582861390], atol=6e-11)


def test_a_tensor_that_lags_is_frozen_in_the_limit() -> None:
    """Standard parametrization: the embedding moves the features by n^-3/2, the matrix and the readout make the kernel."""
    net = ZOO["mlp"](depth=2, nonlinearity="erf")
    x, y = inputs(net), np.array([1.0, -1.0, 0.5, 0.0])
    found = limit_outputs(unroll(net, 4, batches=BATCHES, parametrization=STANDARD, optimizer=SGD(0.5)), x, y).value
    k = tp.kernels(net, x).by_parameter
    rest = sum(np.asarray(part) for name, part in k.items() if name != "U")
    path = gradient_descent(rest, y, rate=0.5, steps=4, batches=np.array(BATCHES))
    np.testing.assert_allclose(found, path.train, atol=1e-11)


def shallow_linear(eta: Fraction, steps: int) -> list[Fraction]:
    """T18 (TP IV, Cor. 6.2): f = A C + B D, (A, B) -= eta chi (C, D), (C, D) -= eta chi (A, B) at xi = y = 1."""
    a, b, c, d = Fraction(1), Fraction(0), Fraction(0), Fraction(1)
    found = [a * c + b * d]
    for _ in range(steps):
        chi = found[-1] - 1
        a, b, c, d = a - eta * chi * c, b - eta * chi * d, c - eta * chi * a, d - eta * chi * b
        found.append(a * c + b * d)
    return found


def test_mup_of_a_shallow_linear_network_is_its_recursion() -> None:
    u = unroll(in_mup(lambda h: h, 1), 1, steps=4, optimizer=SGD(0.1))
    found = limit_outputs(u, np.ones((1, 1)), np.ones(1)).value
    np.testing.assert_allclose(found[:, 0], [float(f) for f in shallow_linear(Fraction(1, 10), 4)], atol=1e-14)


def test_mup_of_a_deep_linear_network() -> None:
    """T19: f_2 = 52436687 / 10^8."""
    u = unroll(in_mup(lambda h: h, 2), 1, steps=3, optimizer=SGD(0.1))
    found = limit_outputs(u, np.ones((1, 1)), np.ones(1)).value
    np.testing.assert_allclose(found[:3, 0], [0, 0.3, 0.52436687], atol=1e-14)
    np.testing.assert_allclose(found[3, 0], 0.6970654149, atol=6e-11)


def test_mup_of_a_square() -> None:
    """One step at xi = y = 1: f_1 = 7 eta + 12 eta^3, exactly and by particles."""
    u, eta = unroll(in_mup(lambda h: h**2, 1), 1, steps=1, optimizer=SGD(0.1)), 0.1
    exact = limit_outputs(u, np.ones((1, 1)), np.ones(1))
    assert exact.method == "polynomial"
    np.testing.assert_allclose(exact.value[1, 0], 7 * eta + 12 * eta**3, atol=1e-14)
    sampled = particle_outputs(u, np.ones((1, 1)), np.ones(1), key=jax.random.key(0), samples=2**13)
    assert abs(sampled.value[1, 0] - exact.value[1, 0]) < 4 * sampled.error[1, 0]


def test_mup_of_one_hidden_layer_is_its_recursion() -> None:
    """TP IV, Thm 6.1: Z^{U_t} and Z^{V_t} are functions of two Gaussians, integrated here by the trapezoidal rule."""
    nodes = np.linspace(-8, 8, 801)
    u, v = np.meshgrid(nodes, nodes, indexing="ij")
    w = np.exp(-(u**2 + v**2) / 2) * (nodes[1] - nodes[0]) ** 2 / (2 * np.pi)
    xi, y, eta, outputs = np.array([1.0, 0.5]), np.array([1.0, -1.0]), 0.7, []
    for _ in range(4):
        x = np.tanh(xi[:, None, None] * u)
        outputs.append((w * v * x).sum((1, 2)))
        chi = (outputs[-1] - y)[:, None, None]
        u, v = u - eta * (chi * xi[:, None, None] * v * (1 - x**2)).sum(0), v - eta * (chi * x).sum(0)
    program = unroll(in_mup(tp.tanh, 1), 2, steps=3, optimizer=SGD(eta))
    found = particle_outputs(program, xi[:, None], y, key=jax.random.key(0), samples=2**13)
    assert np.all(np.abs(found.value - np.array(outputs)) < 5 * np.asarray(found.error) + 1e-12)
    assert np.max(found.error) < 2e-3


def test_the_tangent_operator_of_a_sign() -> None:
    """Batch 1: K_Q(chi) = sign(chi) K_sign, odd and blind to the size of chi; erf, one hidden layer, xi = 1: E|x| + E|dh|."""

    @tp.network
    def shallow(x: Any) -> Any:
        return tp.readout("v") @ tp.erf(tp.embedding("U") @ x)

    one = [tp.tangent_operator(shallow(), np.ones((1, 1)), [chi], sign_sgd()) for chi in (0.3, -2.0)]
    from_v, from_u = 2 / np.pi * np.arcsin(np.sqrt(2 / 3)), np.sqrt(2 / np.pi) * 2 / np.sqrt(3 * np.pi)
    for k, sign in zip(one, (1, -1), strict=True):
        assert abs(k.value[0] - sign * (from_v + from_u)) < k.error[0] < 1e-2


def test_particles_follow_the_kernel_too() -> None:
    net = ZOO["mlp"](depth=2, nonlinearity="relu")
    x, y = inputs(net, 2), np.array([1.0, -1.0])
    u = unroll(net, 2, batches=[0, 1], optimizer=SGD(0.3))
    sampled = particle_outputs(u, x, y, key=jax.random.key(0), samples=2**12)
    exact = limit_outputs(u, x, y)
    assert np.all(np.abs(sampled.value - exact.value)[1:] < 4 * np.asarray(sampled.error)[1:])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ZOO))
def test_particles_follow_the_kernel_of_the_whole_shelf(name: str) -> None:
    """Three steps on two samples, one probe. A false alarm in any of the numbers of a case once in a thousand: Student's t of 8 replicates.

    The kernel has an error of its own, which each step passes on by eta |K - K'| sum |chi|.
    """
    net = ZOO[name](**SMALL.get(name, {}))
    x, rng = inputs(net, 3), np.random.default_rng(2)
    outs = ((net.outputs,) if net.outputs > 1 else ()) + tuple(net.program.size[a] for a in net.output_axes)
    y = rng.normal(size=(3, *outs))
    found = tp.theorem(net, x, y, batches=[[0, 1], [1, 2], [0, 1]], widths=(8,), seeds=2, method="particles", particles=2**12)
    assert found.kernel is not None
    moved = np.abs(found.kernel - found.kernel[0]).max()
    own = 3 * found.rate * np.max(tp.kernels(net, x).error) * np.abs(found.kernel - y).sum(1).max()
    alarm = student.ppf(1 - 0.5e-3 / found.limit[1:].size, 7)
    print(f"{name}: moved by {moved:.2g}, apart by {np.abs(found.limit - found.kernel).max():.1e}, error {found.error.max():.1e}, kernel's {own:.1e}")
    assert moved > 0.1
    assert np.all(np.abs(found.limit - found.kernel)[1:] < alarm * found.error[1:] + own)


def test_weight_decay_changes_the_kernel() -> None:
    """A random-feature model, v trained and decayed by k: f_t = k^t f_rest - eta sum_s k^(t - 1 - s) K chi_s with its fixed kernel K."""
    net = replace(ZOO["mlp"](depth=1, nonlinearity="erf"), training={"U": FROZEN})
    x, y, rest = inputs(net, 2), np.array([1.0, -1.0]), np.array([[0.5, 0.2], [0.4, 0.1], [0.3, 0.0]])
    found = limit_outputs(unroll(net, 2, steps=2, optimizer=SGD(0.5, decay=0.4)), x, y, rest).value
    k, kept = np.asarray(tp.kernels(net, x).ntk), 1 - 0.5 * 0.4
    f_1 = rest[1] - 0.5 * k @ (rest[0] - y)
    f_2 = rest[2] - 0.5 * (kept * k @ (rest[0] - y) + k @ (f_1 - y))
    np.testing.assert_allclose(found, [rest[0], f_1, f_2], atol=1e-12)


def test_sign_sgd_moves_by_its_tangent_operator() -> None:
    """T22: one hidden relu layer at xi = 1, all trained: f_1 - f_0 = -eta sign(chi) sqrt(2/pi), within the stated error of quadrature over jumps."""

    @tp.network
    def shallow(x: Any) -> Any:
        return tp.readout("v") @ tp.relu(tp.embedding("U") @ x)

    u = unroll(shallow(), 1, steps=1, optimizer=sign_sgd(0.1), dims=1)
    found = limit_outputs(u, np.ones((1, 1)), np.ones(1))
    assert abs(found.value[1, 0] - 0.1 * np.sqrt(2 / np.pi)) < found.error[1, 0] < 1e-3


def test_labels_and_inputs_are_checked() -> None:
    u = unroll(ZOO["siamese"](), 2, steps=1)
    with pytest.raises(InvalidProgram, match="labels of shape"):
        given(u, {i.name: np.zeros((2, 3)) for i in u.tape.network.program.inputs}, np.zeros(3))
    with pytest.raises(InvalidProgram, match="Give all samples of each"):
        given(u, {}, np.zeros(2))
