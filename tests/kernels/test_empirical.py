"""Structured products give the kernel of the whole Jacobian, tile by tile; and recorded numbers of another program."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tensorprog.errors import InvalidProgram
from tensorprog.interpret import spans
from tensorprog.interpret.finite import Params, apply, sample
from tensorprog.kernels import empirical, products
from tensorprog.kernels.empirical import EmpiricalKernels, Outputs, compiled, empirical_kernels, empirical_ntk_jacobian
from tensorprog.kernels.products import Gradient
from tensorprog.language.instr import Embedding, Gaussian, InitVector, Input, MatMul, Matrix, Nonlin, Width
from tensorprog.language.program import Network, Program, Readout, Training
from tests.finite_networks import NETWORKS, D, add, conv, f, mlp, r, vector_outputs

WIDTH = 7
ORACLE = np.load(Path(__file__).parent.parent / "oracles" / "empirical.npz")
LINEARIZED = np.load(Path(__file__).parent.parent / "oracles" / "kernels.npz")["lin_f"]


def data(network: Network, points: int, seed: int) -> dict[str, jax.Array]:
    rng = np.random.default_rng(seed)
    size = network.program.size
    return {i.name: jnp.asarray(rng.standard_normal((points, *(size[a] for a in sorted(i.axes)), D["x"]))) for i in network.program.inputs}


def open_scalars(network: Network) -> dict[str, jax.Array]:
    size = network.program.size
    return {c.name: 0.5 + jnp.arange(float(np.prod([size[a] for a in c.axes]))) for c in network.program.scalars if c.value is None}


def same(found: EmpiricalKernels, wanted: EmpiricalKernels) -> None:
    """Equal to rounding; a part that is 0 is small beside the whole."""
    scale = float(np.abs(wanted.ntk).max())
    assert found.ntk.shape == wanted.ntk.shape == found.nngp.shape
    np.testing.assert_allclose(found.nngp, wanted.nngp, rtol=1e-10, atol=1e-13 * scale)
    np.testing.assert_allclose(found.ntk, wanted.ntk, rtol=1e-10, atol=1e-13 * scale)
    assert found.by_parameter.keys() == wanted.by_parameter.keys()
    for name, part in wanted.by_parameter.items():
        np.testing.assert_allclose(found.by_parameter[name], part, rtol=1e-10, atol=1e-12 * scale, err_msg=name)


@pytest.mark.parametrize("narrow", [spans.NARROW, 0], ids=["where it pays", "wherever there is a basis"])
@pytest.mark.parametrize("name", NETWORKS)
def test_structured_products_are_the_jacobian(name: str, narrow: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "NARROW", narrow)
    network = NETWORKS[name]()
    params = sample(network, jax.random.key(1), WIDTH, D["x"])
    x1, x2, scalars = data(network, 3, 0), data(network, 2, 1), open_scalars(network)
    outputs = "full" if network.outputs > 1 else "trace"
    found = empirical_kernels(network, params, WIDTH, x1, x2, outputs=outputs, scalars=scalars)
    wanted = empirical_ntk_jacobian(network, params, WIDTH, x1, x2, outputs=outputs, scalars=scalars)
    same(found, wanted)


def test_a_readout_of_the_body_has_its_law_there() -> None:
    """f = v . (W U x + v) / sqrt(n) with v of mean 1/2 and variance 0.7: both sums read the same v."""
    program = Program(
        "tied",
        (Width("n"),),
        (),
        (Input("x"),),
        (Matrix("W", "n", "n"),),
        (InitVector("g", "n", (), Embedding("U", "x")), InitVector("v", "n", (), Gaussian(0.5, 0.7))),
        body=(MatMul("h", "W", "g"), Nonlin("o", add(r("h"), r("v")))),
        outputs=("o",),
    )
    network = Network(program, (Readout("v", "o", "n"),))
    params = sample(network, jax.random.key(3), WIDTH, D["x"])
    x1, x2 = data(network, 3, 0), data(network, 2, 1)
    same(empirical_kernels(network, params, WIDTH, x1, x2), empirical_ntk_jacobian(network, params, WIDTH, x1, x2))
    v = 0.5 + 0.7**0.5 * params["v"]
    h = params["W"] @ (params["U"] @ x1["x"].T) / (WIDTH * D["x"]) ** 0.5
    np.testing.assert_allclose(apply(network, params, WIDTH, x1), v @ (h + v[:, None]) / WIDTH**0.5, rtol=1e-12)


def test_trace_and_first_are_blocks_of_the_full_kernel() -> None:
    network = vector_outputs()
    params = sample(network, jax.random.key(2), WIDTH, D["x"])
    x = data(network, 3, 2)
    full, trace, first = (empirical_kernels(network, params, WIDTH, x, outputs=o) for o in ("full", "trace", "first"))
    np.testing.assert_allclose(trace.ntk, np.einsum("abcc->ab", full.ntk) / network.outputs, rtol=1e-12)
    np.testing.assert_allclose(first.ntk, full.ntk[:, :, 0, 0], rtol=1e-12)
    np.testing.assert_allclose(first.nngp, full.nngp[:, :, 1, 1], rtol=1e-12)
    assert np.abs(full.ntk[:, :, 0, 1]).max() > 0.0  # at finite width the outputs are coupled


@pytest.mark.parametrize("shape", [(3, 2), (1, 2), (3, 1)])
def test_both_orders_of_contraction_agree(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """By pairs of positions, by gradients, by gradients a row at a time (rows that do not divide into slabs: the last is padded)."""
    rng = np.random.default_rng(8)
    positions, outputs = shape
    l, l2 = (jnp.asarray(rng.standard_normal((points, outputs, positions, 5))) for points in (4, 2))
    r, r2 = (jnp.asarray(rng.standard_normal((points, 1, positions, 3))) for points in (4, 2))
    gradient, gradient2 = (np.einsum("aosi,asj->aoij", a, b[:, 0]) for a, b in ((l, r), (l2, r2)))
    wanted = np.einsum("aoij,bpij->abop", gradient, gradient2)
    for pairs, budget in ((True, 2**20), (False, 2**20), (False, 1), (False, 4 * 6 * outputs * 3 * 2)):
        monkeypatch.setattr(products, "prefers_pairs", lambda *_, pairs=pairs: pairs)
        monkeypatch.setattr(products, "BUDGET", budget)
        np.testing.assert_allclose(products.inner_products([Gradient(l, r, 1.0)], [Gradient(l2, r2, 1.0)]), wanted, rtol=1e-12)


def test_positions_decide_the_order() -> None:
    assert products.prefers_pairs(100, 100, 1, 1024, 1024)
    assert products.prefers_pairs(100, 100, 20, 1024, 1024)
    assert not products.prefers_pairs(100, 100, 196, 64, 64)


def test_outputs_decide_the_order() -> None:
    """All pairs of ten outputs are a hundred pairs, but only ten times as many gradients."""
    assert products.prefers_pairs(5, 5, 64, 128, 128)
    assert not products.prefers_pairs(5, 5, 64, 128, 128, (10, 1))
    assert not products.prefers_pairs(5, 5, 64, 128, 128, (1, 10))


@pytest.mark.parametrize(("build", "outputs"), [(vector_outputs, "full"), (NETWORKS["attention"], "trace")])
def test_tiles_are_parts_of_the_whole(build, outputs: Outputs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the mirrored ones, with the last tile smaller; and the panels of a point, which only many vectors are computed by."""
    network = build()
    params, x = sample(network, jax.random.key(4), WIDTH, D["x"]), data(network, 3, 4)
    whole = empirical_kernels(network, params, WIDTH, x, outputs=outputs)
    same(empirical_kernels(network, params, WIDTH, x, outputs=outputs, tile=2), whole)
    monkeypatch.setattr(empirical, "NARROW", 1)
    panels = empirical_kernels(network, params, WIDTH, x, outputs=outputs)
    same(panels, whole)
    turned = panels.ntk.swapaxes(0, 1).swapaxes(2, 3) if outputs == "full" else panels.ntk.transpose(1, 0, 3, 2)
    assert np.array_equal(turned[0, 1:], panels.ntk[0, 1:])


def test_the_contributions_of_tensors_are_left_out_on_request() -> None:
    network = vector_outputs()
    params, x = sample(network, jax.random.key(4), WIDTH, D["x"]), data(network, 3, 4)
    whole = empirical_kernels(network, params, WIDTH, x, outputs="full", parts=False)
    assert whole.by_parameter == {}
    wanted = empirical_kernels(network, params, WIDTH, x, outputs="full")
    np.testing.assert_allclose(whole.ntk, wanted.ntk, rtol=1e-12, atol=1e-14 * float(wanted.ntk.max()))
    np.testing.assert_allclose(whole.nngp, wanted.nngp, rtol=1e-12)


def test_kernels_have_the_precision_of_the_tensors() -> None:
    network = vector_outputs()
    params = sample(network, jax.random.key(4), WIDTH, D["x"], dtype=jnp.float32)
    x = data(network, 2, 4)
    k = empirical_kernels(network, params, WIDTH, x)
    assert k.ntk.dtype == k.nngp.dtype == jnp.float32
    exact = empirical_kernels(network, {name: a.astype(float) for name, a in params.items()}, WIDTH, x)
    np.testing.assert_allclose(k.ntk, exact.ntk, rtol=1e-4)  # a few hundred operations of relative error 6e-8


def test_kernels_under_jit_and_vmap_over_seeds() -> None:
    network = mlp()
    x, keys = data(network, 2, 6)["x"], jax.random.split(jax.random.key(5), 3)
    kernel = compiled(network, WIDTH)
    several = jax.jit(jax.vmap(lambda key: kernel(sample(network, key, WIDTH, 3), x).ntk))(keys)
    for key, found in zip(keys, several, strict=True):
        np.testing.assert_allclose(found, empirical_kernels(network, sample(network, key, WIDTH, 3), WIDTH, x).ntk, rtol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_no_points_have_empty_kernels(name: str) -> None:
    """Traced for every program, and computed for one."""
    network = NETWORKS[name]()
    params = sample(network, jax.random.key(6), WIDTH, D["x"])
    x, none, scalars = data(network, 2, 6), data(network, 0, 6), open_scalars(network)
    copies, positions = network.outputs, [network.program.size[a] for a in network.output_axes]
    for a, b, points in ((none, None, (0, 0)), (x, none, (2, 0))):
        kernels = partial(empirical_kernels, network, n=WIDTH, outputs="full")
        found = jax.eval_shape(lambda a, b, kernels=kernels: kernels(params, x1=a, x2=b, scalars=scalars), a, b)
        assert {k.shape for k in jax.tree.leaves(found)} == {(*points, copies, copies, *positions, *positions)}
    if name == next(iter(NETWORKS)):
        assert empirical_kernels(network, params, WIDTH, none, scalars=scalars).ntk.shape == (0, 0, *positions, *positions)


def test_a_frozen_tensor_contributes_nothing() -> None:
    network = replace(mlp(), training={"W": Training(0.0), "v": Training(0.0)})
    params, x = sample(network, jax.random.key(6), WIDTH, 3), data(network, 2, 7)
    k = empirical_kernels(network, params, WIDTH, x)
    assert not np.any(k.by_parameter["W"])
    assert not np.any(k.by_parameter["v"])
    assert np.all(np.diag(k.nngp) > 0)
    np.testing.assert_allclose(k.ntk, k.by_parameter["U"] + k.by_parameter["b"], rtol=1e-14)


def test_data_are_refused_with_the_name_of_the_axis() -> None:
    network = conv()
    params = sample(network, jax.random.key(7), WIDTH, 3)
    with pytest.raises(InvalidProgram, match=r"needs \(points, pixel, d\)"):
        empirical_kernels(network, params, WIDTH, jnp.ones((4, 3)))
    with pytest.raises(InvalidProgram, match="5 positions along pixel, whose size is 4"):
        empirical_kernels(network, params, WIDTH, jnp.ones((2, 5, 3)))


# Recorded numbers (see tests/oracles/README.md).


def recorded() -> tuple[Network, Params, jax.Array]:
    """Dense(8, 1.3, .4), relu, Dense(8, 1.3, .4), erf, Dense(3, 1, no bias)."""
    bias = Gaussian(0.0, 0.16)
    p = Program(
        "recorded",
        inputs=(Input("x"),),
        matrices=(Matrix("W1", "n", "n", 1.3),),
        vectors=(InitVector("g", "n", (), Embedding("W0", "x", 1.3)), InitVector("b0", "n", (), bias), InitVector("b1", "n", (), bias)),
        body=(Nonlin("z", f("relu", add(r("g"), r("b0")))), MatMul("h", "W1", "z"), Nonlin("y", f("erf", add(r("h"), r("b1"))))),
    )
    net = Network(p, (Readout("v", "y", "n"),), outputs=3)
    o = {name: jnp.asarray(ORACLE[name]) for name in ORACLE.files}
    params = {"W0": o["W0"].T, "W1": o["W1"].T, "v": o["W2"].T, "b0": o["b0"][0], "b1": o["b1"][0]}
    return net, params, o["x"]


def test_recorded_network_and_kernels() -> None:
    """The readout's bias .2 b stands outside a network here: it adds .2 b to f and .04 to the kernel of each output with itself."""
    network, params, x = recorded()
    f_body = apply(network, params, 8, x)
    np.testing.assert_allclose(f_body + 0.2 * ORACLE["b2"], ORACLE["f"], rtol=1e-12)
    eye = np.eye(3)[None, None]
    np.testing.assert_allclose(empirical_kernels(network, params, 8, x, outputs="full").ntk + 0.04 * eye, ORACLE["ntk_full"], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(empirical_kernels(network, params, 8, x).ntk + 0.04, ORACLE["ntk_trace"], rtol=1e-11)
    np.testing.assert_allclose((f_body + 0.2 * ORACLE["b2"]) @ (f_body + 0.2 * ORACLE["b2"]).T / 3, ORACLE["nngp_trace"], rtol=1e-11)


def test_recorded_linearization() -> None:
    """f(p) + J (p1 - p) at p1 = p + .01 cos(0, 1, ..), array by array, readout bias included."""
    network, params, x = recorded()
    steps = {name: 0.01 * np.cos(np.arange(a.size)).reshape(a.shape) for name, a in ORACLE.items() if name[0] in "Wb"}
    along = {"W0": steps["W0"].T, "W1": steps["W1"].T, "v": steps["W2"].T, "b0": steps["b0"][0], "b1": steps["b1"][0]}
    value, slope = jax.jvp(lambda p: apply(network, p, 8, x), (params,), ({name: jnp.asarray(a) for name, a in along.items()},))
    np.testing.assert_allclose(value + slope + 0.2 * (ORACLE["b2"] + steps["b2"]), LINEARIZED, rtol=1e-11)
