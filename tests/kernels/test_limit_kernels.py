"""Limiting kernels against recorded numbers (tests/oracles/README.md), ground truths T2..T4, T13, T14, and an independent path sum."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr

import tensorprog as tp
from architectures import ZOO
from tensorprog.gaussian.problem import Strategy
from tensorprog.kernels.limit import compiled, kernels
from tensorprog.kernels.paths import path_ntk
from tensorprog.transform.backprop import backprop

ORACLES = Path(__file__).parents[1] / "oracles"
RECORDED = np.load(ORACLES / "kernels.npz")
ARCHITECTURES = np.load(ORACLES / "architectures.npz")
X = RECORDED["x"]
ROOT2 = 2**0.5


@tp.network
def fc(x, phi, depth, sigma_w=ROOT2, sigma_b=0.0, readout_bias=False):
    h = tp.embedding("U", sigma=sigma_w) @ x
    for l in range(depth):
        h = (h if l == 0 else tp.matrix(f"W{l}", sigma=sigma_w) @ phi(h)) + (tp.bias(f"b{l}", sigma=sigma_b) if sigma_b else 0.0)
    return tp.readout("v") @ phi(h)


@tp.network
def resnet(x):
    h = tp.embedding("U", sigma=ROOT2) @ x + tp.bias("b", sigma=0.1)
    for l in range(3):
        h = h + tp.matrix(f"W{l}", sigma=ROOT2) @ tp.relu(h) + tp.bias(f"b{l}", sigma=0.1)
    return tp.readout("v") @ h


@tp.network
def layernormed(x):
    h = tp.embedding("U", sigma=1.3) @ x + tp.bias("b", sigma=0.4)
    h = tp.matrix("W", sigma=1.3) @ tp.relu(tp.layernorm(h, eps=1e-12)) + tp.bias("b1", sigma=0.4)
    return tp.readout("v") @ tp.relu(tp.layernorm(h, eps=1e-12))


def linear(h):
    return 1.0 * h


FULLY_CONNECTED = {
    **{f"fc_relu_d{d}": fc(phi=tp.relu, depth=d) for d in (1, 2, 3, 8)},
    "fc_relu_bias_d2": fc(phi=tp.relu, depth=2, sigma_w=1.3, sigma_b=0.4),
    "fc_erf_d3": fc(phi=tp.erf, depth=3, sigma_w=1.5, sigma_b=0.1),
    "fc_sin_d2": fc(phi=tp.sin, depth=2, sigma_w=1.5, sigma_b=0.1),
    "fc_leakyrelu02_d2": fc(phi=tp.leaky_relu(0.2), depth=2, sigma_b=0.1),
    "linear_d2": fc(phi=linear, depth=2, sigma_w=1.3, sigma_b=0.4),
    **{f"act_{name}": fc(phi=getattr(tp, name), depth=1, sigma_w=1.2, sigma_b=0.3) for name in ("relu", "erf", "gelu", "sin", "cos", "abs")},
    "act_gaussian": fc(phi=tp.gauss, depth=1, sigma_w=1.2, sigma_b=0.3),
    "act_sigmoid_like": fc(phi=lambda h: 0.5 * tp.erf(h / 2.4020563531719796) + 0.5, depth=1, sigma_w=1.2, sigma_b=0.3),
    "act_rbf": fc(phi=lambda h: ROOT2 * tp.sin(ROOT2 * h + np.pi / 4), depth=1, sigma_w=1.2, sigma_b=0.3),
    **{f"act_mono{k}": fc(phi=lambda h, k=k: 1.0 * h if k == 1 else h**k, depth=1, sigma_w=1.2, sigma_b=0.3) for k in range(4)},
    "act_num_gelu_deg101": fc(phi=tp.gelu, depth=1, sigma_w=1.2, sigma_b=0.3),
    "resnet_fc_3blocks": resnet(),
    "fc_ln_relu_d2": layernormed(),
}


def assert_recorded(found, name: str, tolerance: float) -> None:
    """Relative to the largest entry, as the recorded accuracies are stated."""
    for kind in ("nngp", "ntk"):
        expected = RECORDED[f"{name}__{kind}"]
        error = np.abs(np.asarray(getattr(found, kind)) - expected).max() / np.abs(expected).max()
        assert error < tolerance, f"{name} {kind}: {error:.1e}"


@pytest.mark.parametrize("name", sorted(FULLY_CONNECTED))
def test_recorded_kernels(name: str) -> None:
    found = kernels(FULLY_CONNECTED[name], X)
    # layernorm's recorded 1e-12 inside the root stands in ours as eps; all others are closed forms on both sides
    assert_recorded(found, name, 1e-12)
    assert found.method in ("closed form", "polynomial", "closed form and polynomial")
    assert float(found.error) < 1e-11
    np.testing.assert_array_equal(np.asarray(found.ntk), np.asarray(found.ntk).T)
    np.testing.assert_allclose(sum(found.by_parameter.values()), found.ntk, rtol=1e-14)


@pytest.mark.parametrize("name", ["fc_relu_d3", "fc_erf_d3", "act_gelu", "act_abs", "fc_leakyrelu02_d2"])
def test_recorded_kernels_by_quadrature(name: str) -> None:
    """The same numbers without closed forms, kinks included."""
    assert_recorded(kernels(FULLY_CONNECTED[name], X, strategy=Strategy(closed=False, series=False)), name, 1e-9)


@pytest.mark.parametrize(("name", "phi"), [("act_num_tanh_deg101", tp.tanh), ("act_num_swish_deg101", tp.silu)])
def test_no_closed_form(name: str, phi) -> None:
    """The recorded tanh carries its own quadrature error, 3.3e-6."""
    found = kernels(fc(phi=phi, depth=1, sigma_w=1.2, sigma_b=0.3), X)
    assert_recorded(found, name, 5e-6)
    fine = kernels(fc(phi=phi, depth=1, sigma_w=1.2, sigma_b=0.3), X, strategy=Strategy(series=False, nodes=401))
    assert float(np.abs(found.ntk - fine.ntk).max()) <= float(found.error + fine.error)


def test_sign_has_no_ntk() -> None:
    net = fc(phi=tp.sign, depth=1, sigma_w=1.2, sigma_b=0.3)
    with pytest.raises(tp.OutsideTheory, match=r"\[kernel\] the contribution of U to the ntk is infinite"):
        kernels(net, X)
    with pytest.warns(UserWarning, match="flat_steps"):
        assert_recorded(kernels(net, X, flat_steps=True), "act_sign", 1e-12)


@tp.network(xs="time")
def rnn(xs, pool, variances):
    w, u, b, v = (c**0.5 for c in variances)
    W, bias = tp.matrix("W", sigma=w, convention="sigma"), tp.bias("b", sigma=b, convention="sigma")
    states = []
    for g in (tp.embedding("U", sigma=u, convention="sigma") @ xs).unstack("time"):
        states.append(tp.erf(W @ states[-1] + g + bias if states else g + bias))
    out = tp.stack(states, "step").mean("step") if pool else states[-1]
    return tp.readout("v", v, convention="sigma") @ out


@pytest.mark.parametrize("pool", [False, True])
def test_recorded_rnn(pool: bool) -> None:
    """Tensor Programs II's tied RNN, last state and average pooling; the published kernel has 1e-7 inside its roots."""
    name = f"rnn_A_{'avgpool' if pool else 'last'}"
    found = kernels(rnn(time=5, pool=pool, variances=tuple(ARCHITECTURES["rnn_A_varw_varu_varb_varv"])), ARCHITECTURES["rnn_x"])
    np.testing.assert_allclose(found.ntk, ARCHITECTURES[f"{name}_ntk"], rtol=1e-12)
    np.testing.assert_allclose(found.nngp, ARCHITECTURES[f"{name}_nngp"], rtol=1e-12)
    if pool:
        np.testing.assert_allclose(found.ntk, ARCHITECTURES["rnn_A_avgpool_ntk_as_published_eps1e-7"], rtol=1e-6)


def test_recorded_covariances_inside_the_rnn() -> None:
    """E h^i h^j, E s^i s^j and E ds^i ds^j of the first four steps, within each sequence; the last are for f = sum of the states."""
    variances = tuple(ARCHITECTURES["rnn_A_varw_varu_varb_varv"])
    found = tp.limit(backprop(rnn(time=5, pool=True, variances=variances)).program, ARCHITECTURES["rnn_x"], jit=False)
    embedded = found.gram("g1", "g1")
    for name, index in (("h", "hhcov"), ("x", "scov"), ("dx", "dscov")):
        recorded = np.einsum("aaij->aij", ARCHITECTURES[f"rnn_A_avgpool_{index}"])
        for i, j in ((1, 1), (1, 3), (2, 3), (4, 4)):  # the program's h_i is W s^i, without the input of step i + 1
            gram = found.gram(f"{name}{i}", f"{name}{j}")
            ours, step = (gram + embedded[:, i, j] + variances[2], 0) if name == "h" else (gram * (25 if name == "dx" else 1), 1)
            np.testing.assert_allclose(ours, recorded[:, i - step, j - step], rtol=1e-12, err_msg=f"{name} {i} {j}")


@pytest.mark.parametrize(("phi", "expected"), [(tp.relu, [(0.6089977810, 0.9423311144), (0.6839056509, 1.3514795611), (0.7381281923, 1.7378446792)])])
def test_t2_deep_relu(phi, expected) -> None:
    """x^l = sqrt(2) relu(h^l) on the sphere, cos = 1/2; the readout counts as a layer: diagonal Theta = L + 1."""
    x = jnp.array([[1.0, 1.0], [ROOT2 * np.cos(np.pi / 4 + np.pi / 3), ROOT2 * np.sin(np.pi / 4 + np.pi / 3)]])
    for depth, (nngp, ntk) in enumerate(expected, 1):
        found = kernels(fc(phi=lambda h: ROOT2 * phi(h), depth=depth, sigma_w=1.0), x)
        assert float(found.nngp[0, 1]) == pytest.approx(nngp, abs=1e-10)
        assert float(found.ntk[0, 1]) == pytest.approx(ntk, abs=1e-10)
        assert float(found.ntk[0, 0]) == pytest.approx(depth + 1, abs=1e-12)


def test_t3_deep_erf() -> None:
    x = jnp.array([[1.0, 1.0], [ROOT2 * np.cos(np.pi / 4 + np.pi / 3), ROOT2 * np.sin(np.pi / 4 + np.pi / 3)]])
    one, two = (kernels(fc(phi=tp.erf, depth=d, sigma_w=1.0), x) for d in (1, 2))
    np.testing.assert_allclose(
        [one.nngp[0, 0], one.nngp[0, 1], one.ntk[0, 0], one.ntk[0, 1]], [0.4645590544, 0.2163468959, 1.0339690891, 0.4414259750], atol=1e-10
    )
    np.testing.assert_allclose(
        [two.nngp[0, 0], two.nngp[0, 1], two.ntk[0, 0], two.ntk[0, 1]], [0.3199090097, 0.1440165949, 1.0986062135, 0.4429799590], atol=1e-10
    )


@pytest.mark.parametrize("q", [0.25, 1.0, 3.0])
def test_t4_worked_mlp(q: float) -> None:
    """Tensor Programs II, E.1: two relu layers with unit biases, Theta(x, x) = 3 q / 4 + 7 / 4."""
    found = kernels(fc(phi=tp.relu, depth=2, sigma_w=1.0, sigma_b=1.0), jnp.array([[q**0.5]]))
    assert float(found.ntk[0, 0]) == pytest.approx(0.75 * q + 1.75, abs=1e-12)


def test_t13_t14_paper_examples() -> None:
    """IIb's two worked examples; without dots U would not move the network at all when the backward pass is part of a program."""
    x = jnp.array([[1.0], [0.5]])
    one = kernels(fc(phi=tp.erf, depth=1, sigma_w=1.0), x)
    np.testing.assert_allclose(one.by_parameter["U"], [[0.5694100347, 0.3402875820], [0.3402875820, 0.2250790790]], atol=1e-10)
    np.testing.assert_allclose(one.by_parameter["v"], [[0.4645590544, 0.3125056189], [0.3125056189, 0.2163468959]], atol=1e-10)
    two = kernels(fc(phi=tp.erf, depth=2, sigma_w=1.0), x)
    np.testing.assert_allclose(two.by_parameter["W1"][0], [0.3498662005, 0.2582861390], atol=1e-10)
    np.testing.assert_allclose(two.by_parameter["U"][0], [0.4288310033, 0.2812479533], atol=1e-10)


@tp.network
def tied(x):
    W = tp.matrix("W")
    return tp.readout("v") @ (W.T @ tp.erf(W @ tp.erf(tp.embedding("U") @ x)))


def test_tied_autoencoder_needs_its_dots() -> None:
    """W and W^T in the forward pass: the two forms of the dot agree, and dropping it halves the part of U."""
    x = jnp.array([[1.0]])
    derivative, stein, dropped = (kernels(tied(), x, dots=d) for d in ("derivative", "stein", "drop"))
    np.testing.assert_allclose(derivative.ntk, stein.ntk, rtol=1e-9)
    # by hand: dx = W^T dh = hat + v E erf'(h), q = E erf(g)^2
    q, slope = 2 / np.pi * np.arcsin(2 / 3), 2 / np.sqrt(np.pi)
    dh = slope**2 / np.sqrt(1 + 4 * q)
    gain, square = slope / np.sqrt(1 + 2 * q), 2 / np.pi * np.arcsin(2 * q / (1 + 2 * q))
    u = slope**2 / np.sqrt(5) * (dh + gain**2)
    assert float(derivative.by_parameter["U"][0, 0]) == pytest.approx(u, rel=1e-12)
    assert float(derivative.ntk[0, 0]) == pytest.approx(u + dh * q + square + square + q * gain**2, rel=1e-12)
    assert float(dropped.by_parameter["U"][0, 0]) == pytest.approx(slope**2 / np.sqrt(5) * dh, rel=1e-12)


def test_path_sum_is_the_ntk() -> None:
    """Written-out RNN (shared W), MLP with biases, ResNet: the sum over isomorphic paths against the double sum over uses."""

    @tp.network
    def recurrent(x, y, z):
        W, U, b = tp.matrix("W", sigma=1.2), tp.embedding("U", sigma=0.9), tp.bias("b", sigma=0.3)
        s = tp.erf(U @ x + b)
        s = tp.erf(W @ s + U @ y + b)
        return tp.readout("v", sigma=1.1) @ tp.erf(W @ s + U @ z + b)

    data = {k: X[:3, i : i + 3] for i, k in enumerate("xyz")}
    for net, inputs in ((recurrent(), data), (fc(phi=tp.relu, depth=3, sigma_b=0.2), X), (resnet(), X)):
        np.testing.assert_allclose(path_ntk(net, inputs), kernels(net, inputs).ntk, rtol=1e-12)
    with jax.enable_x64(False):
        single = X.astype(np.float32)
        np.testing.assert_allclose(path_ntk(resnet(), single), kernels(resnet(), single).ntk, rtol=1e-12)
    with pytest.raises(tp.OutsideTheory, match="path"):
        path_ntk(tied(), X)


def test_two_data_sets_and_tiles() -> None:
    net = FULLY_CONNECTED["fc_relu_bias_d2"]
    whole = kernels(net, X)
    np.testing.assert_allclose(kernels(net, X[:2], X[2:]).ntk, whole.ntk[:2, 2:], rtol=1e-14)
    np.testing.assert_allclose(kernels(net, X, block=4).ntk, whole.ntk, rtol=1e-14)
    assert kernels(net, X[:0]).ntk.shape == (0, 0)


def test_equal_opposite_and_zero_inputs() -> None:
    """Degenerate pairs hit the diagonal exactly; zero inputs give zeros, not NaN."""
    x = jnp.concatenate([X[:2], X[:1], -X[:1], jnp.zeros((1, 5))])
    for net in (fc(phi=tp.relu, depth=3), fc(phi=tp.erf, depth=2), fc(phi=tp.tanh, depth=2)):
        k = kernels(net, x)
        assert float(k.ntk[0, 2]) == float(k.ntk[0, 0]) == float(k.ntk[2, 2])
        assert np.all(np.isfinite(k.ntk))
        assert np.all(np.asarray(k.ntk)[4] == 0)
    odd = kernels(fc(phi=tp.erf, depth=2), x)
    np.testing.assert_allclose(odd.ntk[0, 3], -odd.ntk[0, 0], rtol=1e-12)


def test_functions_of_ones_own_and_random_keys() -> None:
    """E sin u sin v = exp(-(a + b) / 2) sinh c, and cosh for cos. Two functions of one name are two networks; a random key is no key of a cache."""
    c = 2 * X[:2] @ X[:2].T / 5
    decay = np.exp(-(np.diag(c)[:, None] + np.diag(c)) / 2)
    for body, parity, value in ((jnp.sin, -1, np.sinh(c)), (jnp.cos, 1, np.cosh(c))):
        found = kernels(fc(phi=tp.nonlinearity("mine", body, parity=parity), depth=1), X[:2])
        np.testing.assert_allclose(found.nngp, decay * value, atol=float(found.error), rtol=0)
    keyed = kernels(fc(phi=tp.relu, depth=1), X[:2], strategy=Strategy(key=jax.random.key(0)))
    np.testing.assert_array_equal(keyed.ntk, kernels(fc(phi=tp.relu, depth=1), X[:2]).ntk)


def test_a_network_read_again_is_the_same_computation() -> None:
    """To the bit: nothing depends on where objects lie in memory, as the order of a set of them does."""
    like = {"x": jax.ShapeDtypeStruct((2, 3, 3, 2), np.float64)}
    texts: set[str] = set()
    for _ in range(5):
        with jax.enable_x64(True):
            tile = compiled(ZOO["cnn2d"](height=3, width=3)).tile
            texts.add(tile.inside.lower(like, like, jax.ShapeDtypeStruct((2, 2), bool), {}).as_text())
    assert len(texts) == 1


@pytest.mark.parametrize("theta", [1e-6, 1e-7, 5e-8, 1e-9, 1e-12])
def test_the_error_of_close_points_is_that_of_their_angle(theta: float) -> None:
    """relu, one hidden layer, an angle that no float64 cosine tells: Theta = (sin theta + 2 (pi - theta) cos theta) / pi times |x| |y| / d."""
    x = np.array([[1.0, 0.0], [1.0, theta], [1.0, 0.0]])
    k = kernels(fc(phi=tp.relu, depth=1), x)
    size = (1 + theta**2) ** 0.5 / 2
    assert abs(float(k.ntk[0, 1]) - size * (np.sin(theta) + 2 * (np.pi - theta) * np.cos(theta)) / np.pi) <= float(k.error)
    assert float(k.ntk[0, 2]) == float(k.ntk[0, 0])
    assert float(kernels(fc(phi=tp.relu, depth=1), x[[0, 2]]).error) < 1e-14  # equal points are known to be equal


def test_kernels_are_differentiable_and_mappable() -> None:
    k = compiled(fc(phi=tp.erf, depth=2, sigma_w=1.3))

    def entry(x, s):
        return k(x, variances={"W1": s}).ntk[0, 1]

    gx, gs = jax.grad(entry, argnums=(0, 1))(jnp.asarray(X[:2]), 1.69)
    step = 1e-6
    up, down = entry(X[:2], 1.69 + step), entry(X[:2], 1.69 - step)
    assert float(gs) == pytest.approx(float(up - down) / (2 * step), rel=1e-7)
    assert gx.shape == (2, 5)
    assert np.all(np.isfinite(gx))
    batched = jax.vmap(lambda x: k(x).ntk)(jnp.stack([X[:2], X[2:4]]))
    np.testing.assert_allclose(batched[1], k(X[2:4]).ntk, rtol=1e-13)


def test_bad_data() -> None:
    net = FULLY_CONNECTED["fc_relu_d1"]
    with pytest.raises(tp.InvalidProgram, match="row 1"):
        kernels(net, jnp.asarray(X).at[1, 0].set(jnp.nan))
    with pytest.raises(tp.InvalidProgram, match="shape"):
        kernels(net, X[0])
    with pytest.raises(tp.InvalidProgram, match="features"):
        kernels(net, X, X[:, :3])
    with pytest.raises(tp.InvalidProgram, match="no array of numbers"):
        kernels(net, [["a", "b"]])
    with pytest.raises(tp.InvalidProgram, match="not of Program"):
        kernels(net.program, X)


def test_a_zero_point_has_no_layer_normalization() -> None:
    with pytest.raises(tp.OutsideTheory, match="layer normalization without eps of a zero point"):
        kernels(ZOO["transformer"](token=3, depth=1), np.zeros((2, 3, 4)))


def test_positions_that_are_all_the_same_are_all_counted() -> None:
    """f = v . sum_t relu(h_t) with h_t = W c at three positions: (3 relu(h))^2 and (3 relu'(h))^2 on average."""
    network = tp.parse(
        "network same\nwidth n\naxis t 3\ninput x over t\nmatrix W : n x n\nvector g : n over t = U x\nvector c : n ~ N(0, 1)\n"
        "z := c + g - g\nh := W z\no := sum[t](relu(h))\nreadout v^T o : n\nreturn o\n"
    )
    k = kernels(network, np.ones((2, 3, 2)))
    for a in (k.nngp, k.by_parameter["W"], k.by_parameter["c"]):
        np.testing.assert_allclose(a, 4.5, rtol=1e-12)


@tp.network
def opened(x: tp.Data, a: float | None, sigma_v: float = 0.8) -> tp.Output:
    h, c = tp.embedding("U") @ x, tp.scalar("a", a)
    return tp.readout("v", sigma_v, convention="sigma") @ (c * tp.relu(h) + h)


def test_given_scalars_and_variances_are_those_of_the_network() -> None:
    """Beside the network written with them: a scalar that has a value of its own too, sigma^2 of a readout in either convention."""
    own = kernels(opened(a=0.3, sigma_v=1.2), X)
    given = kernels(opened(a=0.7), X, scalars={"a": 0.3}, variances={"v": 1.44})
    for name in own.by_parameter:
        np.testing.assert_allclose(given.by_parameter[name], own.by_parameter[name], rtol=1e-12)
    np.testing.assert_allclose(given.nngp, own.nngp, rtol=1e-12)
    with pytest.raises(tp.InvalidProgram, match="b is given, but is no"):
        kernels(opened(a=0.3), X, scalars={"b": 1.0})
    with pytest.raises(tp.InvalidProgram, match="a is given, but is no tensor with a variance"):
        kernels(opened(a=0.3), X, variances={"a": 1.0})


def test_correlated_vectors_are_trained_with_their_covariance() -> None:
    """f = v . (g + sum_t P_t + Q): what P and Q contribute is the sum of their joint covariance, as the NNGP without the data's part is."""
    network = tp.parse(
        "network joint\nwidth n\naxis t 2\ninput x\nvector g : n = U x\nvector P : n over t ~ N(0, 1)\nvector Q : n ~ N(0, 2)\n"
        "covariance P, P = (1, 0.6, 0.6, 1.5)\ncovariance P, Q = (0.3, 0.1)\no := g + sum[t](P) + Q\nreadout v^T o : n\nreturn o\n"
    )
    assert isinstance(network, tp.Network)
    k = kernels(network, X[:2])
    parts = k.by_parameter
    np.testing.assert_allclose(parts["P"] + parts["Q"], 1 + 1.5 + 2 + 2 * (0.6 + 0.3 + 0.1), rtol=1e-12)
    np.testing.assert_allclose(parts["P"] + parts["Q"] + parts["U"], k.nngp, rtol=1e-12)
    sampled = tp.particle_kernels(network, X[:2], samples=1024, key=jax.random.key(0))
    np.testing.assert_allclose(sampled.by_parameter["Q"], parts["Q"], rtol=1e-2)  # 8 x 1024 particles


def test_hard_thresholds_at_equal_points() -> None:
    """z = h 1[|h| > 1/2]: E z^2, and half of it after a relu layer, in the NNGP and in the parts of W and of the readout alike."""

    @tp.network
    def hard(x: tp.Data) -> tp.Output:
        h = tp.embedding("U", train=False) @ x
        return tp.readout("v") @ tp.relu(tp.matrix("W") @ (h * tp.step(h - 0.5) + h * tp.step(-h - 0.5)))

    x = np.random.default_rng(0).normal(size=(3, 4))
    sigma = np.sqrt((x**2).mean(1))
    a = 0.5 / sigma
    squares = 2 * sigma**2 * (a * np.exp(-(a**2) / 2) / np.sqrt(2 * np.pi) + ndtr(-a))  # E h^2 1[|h| > 1/2]
    for k in (kernels(hard(), x), kernels(hard(), x, x.copy())):
        for part in (k.nngp, k.by_parameter["W"], k.by_parameter["v"]):
            np.testing.assert_allclose(np.diag(part), squares / 2, rtol=1e-12)


@pytest.mark.parametrize("distance", [1e-3, 1e-5, 1e-6])
def test_the_error_of_hard_thresholds_at_close_points(distance: float) -> None:
    """A delta fixes the argument of the other copy's step to theta^2 of its rounding; E z z' against one integral over the left argument."""

    @tp.network
    def hard(x: tp.Data) -> tp.Output:
        h = tp.embedding("U", train=False) @ x
        return tp.readout("v") @ (h * tp.step(h - 0.5))

    x, y = np.array([[1.0, 0.0]]), (1 + distance) * np.array([[np.cos(distance), np.sin(distance)]])
    found = kernels(hard(), np.sqrt(2) * x, np.sqrt(2) * y)
    mean, spread = (1 + distance) * np.cos(distance), (1 + distance) * np.sin(distance)

    def conditional(h: float) -> float:
        m = mean * h
        t = (m - 0.5) / spread
        return h * np.exp(-(h**2) / 2) / np.sqrt(2 * np.pi) * (m * ndtr(t) + spread * np.exp(-(t**2) / 2) / np.sqrt(2 * np.pi))

    edge = 0.5 + 40 * distance
    wanted = sum(quad(conditional, a, b, epsabs=1e-14, epsrel=1e-13, limit=400)[0] for a, b in ((0.5, edge), (edge, 12.0)))
    assert abs(float(found.nngp[0, 0]) - wanted) <= float(found.error) + 1e-12
    assert float(found.error) <= 1e-13 / distance**2
