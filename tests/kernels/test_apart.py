"""Kernels of pairs from what is found once a point: the numbers of the rules for a whole tile, with less to compute."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tensorprog as tp
from architectures import ZOO
from tensorprog.interpret.limit.contraction import contract, path
from tensorprog.interpret.limit.plan import below
from tensorprog.interpret.limit.scalar import Index
from tensorprog.kernels.exact import Compiled, compiled, same_points
from tensorprog.kernels.symbolic import unvalued
from tensorprog.kernels.tile import tile


@tp.network(x="token")
def attending(x: tp.Data, blocks: int, token: int = 3) -> tp.Output:
    """Attention alone, or Transformer blocks; the tokens are averaged."""
    z = tp.embedding("E") @ x

    def attend(y: tp.Value, l: int) -> tp.Value:
        q, u = tp.matrix(f"Q{l}") @ y, tp.matrix(f"V{l}") @ y
        return tp.matrix(f"O{l}") @ tp.attention(q, q, u, over="token")

    for l in range(blocks):
        z = z + attend(tp.layernorm(z), l)
        z = z + tp.matrix(f"W2_{l}") @ tp.relu(tp.matrix(f"W1_{l}") @ tp.layernorm(z))
    z = tp.layernorm(z) if blocks else attend(z, 0)
    return tp.readout("v") @ z.mean("token")


NETWORKS = {
    "attention": (attending(blocks=0), (3, 4)),
    "transformer": (attending(blocks=1), (3, 4)),
    "convolution": (ZOO["cnn1d"](pixel=3, depth=2, sigma_b=0.3), (3, 2)),
    "dense": (ZOO["mlp"](depth=2, sigma_b=0.3), (4,)),
}


@pytest.fixture(scope="module", params=NETWORKS)
def case(request: pytest.FixtureRequest) -> tuple[Compiled, np.ndarray, np.ndarray]:
    """Points of which some are equal: two of a data set, one of either set, one up to the sign of a zero."""
    network, shape = NETWORKS[request.param]
    a, b = (np.random.default_rng(k).normal(size=(n, *shape)) for k, n in ((0, 5), (1, 5)))
    a[0].flat[0], a[3] = 0.0, a[1]
    b[2], b[3] = a[4], a[0]
    b[3].flat[0] = -0.0
    return compiled(network, block=2), a, b


def test_blocks_have_the_numbers_of_the_whole_tile(case: tuple[Compiled, np.ndarray, np.ndarray]) -> None:
    """To rounding: sums are taken in another order."""
    rules, a, b = case
    name = rules.network.program.inputs[0].name
    with jax.enable_x64(True):
        for x1, x2 in ((a, None), (a, b)):
            found, left, right = rules(x1, x2), {name: x1}, {name: x1 if x2 is None else x2}
            whole = rules.tile(left, right, same_points(left, right), {})
            assert found.method == whole.method
            for k, wanted in ((found.nngp, whole.nngp), (found.ntk, whole.ntk), *((found.by_parameter[p], w) for p, w in whole.by_parameter.items())):
                np.testing.assert_allclose(k, wanted, rtol=1e-12, atol=1e-14)


def test_equal_points_have_equal_rows(case: tuple[Compiled, np.ndarray, np.ndarray]) -> None:
    rules, a, b = case
    ntk = np.asarray(rules(a, b).ntk)
    np.testing.assert_array_equal(ntk[1, 2], ntk[3, 2])
    own = np.asarray(rules(a).ntk)
    np.testing.assert_allclose([ntk[4, 2], ntk[0, 3]], [own[4, 4], own[0, 0]], rtol=1e-14)
    np.testing.assert_array_equal(own, own.T)


def test_what_depends_on_one_point_is_not_found_again() -> None:
    """The attention weights and the norms of both points are known to a pair, and those of the right point are computed as those of the left one."""
    rules = compiled(NETWORKS["transformer"][0])
    once, apart = rules.once, unvalued(rules.symbolic, same=False, plan=rules.once.plan)
    assert len(once.left) == len(once.right) > 4
    alone = below(unvalued(rules.symbolic, same=True, plan=once.mirror), [*once.left, *once.right])
    both = below(unvalued(rules.symbolic, same=True), [*once.left, *once.right])
    assert len(alone) < 0.8 * len(both)
    assert {s.node for s in once.left} <= set(below(apart, rules.symbolic.asked))


def test_sums_that_are_only_summed_are_not_formed() -> None:
    """Of attention alone, averaged, no array over two points and their positions is left, nor the Gram matrix of the inputs."""
    assert compiled(NETWORKS["attention"][0]).once.positions == 1
    assert compiled(NETWORKS["transformer"][0]).once.positions == 9


def test_contractions_take_the_cheap_pairs_first() -> None:
    """a_i K_ij b_j with a number: the number goes into a vector, and no outer product of vectors is formed."""
    parts: list[dict[Index, int]] = [{"#1": 8, "#2": 8, "i": 16, "j": 16}, {"#1": 8, "i": 16}, {"#2": 8, "j": 16}, {}]
    steps = list(path(parts, {"#1", "#2"}))
    assert sum(step.work for step in steps) == 8 * 16 + 8 * 8 * 16 * 16 + 8 * 8 * 16


NAMES = ("i", "j", "k", "l")
SIZES = {"#1": 2, "#2": 3, "i": 2, "j": 3, "k": 4, "l": 2}


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.permutations(NAMES), st.integers(0, 3)), min_size=1, max_size=4),
    st.sets(st.sampled_from(NAMES)),
    st.booleans(),
)
def test_contractions_are_einsum(drawn: list[tuple[bool, bool, list[str], int]], kept: set[str], turn: bool) -> None:
    """In any order of the names, with or without either point, worked on as they are or turned."""
    draw = np.random.default_rng(0)
    operands, subscripts = [], []
    for first, second, order, rank in drawn:
        names = tuple(order[:rank])
        leading = [n for n, present in zip(("#1", "#2"), (first, second), strict=True) if present]
        array = draw.standard_normal([SIZES[n] for n in (*leading, *names)])
        shape = [SIZES["#1"] if first else 1, SIZES["#2"] if second else 1, *(SIZES[n] for n in names)]
        operands.append((jnp.asarray(array.reshape(shape)), names))
        subscripts += [array, [(*SIZES,).index(n) for n in (*leading, *names)]]
    present = {[*SIZES][k] for part in subscripts[1::2] for k in part}
    out = tuple(sorted(kept))
    wanted = np.einsum(*subscripts, [(*SIZES,).index(n) for n in ("#1", "#2", *out) if n in present])
    found = contract(operands, out, 2.0, turn=turn)
    np.testing.assert_allclose(found, 2 * wanted.reshape([SIZES[n] if n in present else 1 for n in ("#1", "#2", *out)]), rtol=1e-12, atol=1e-12)


def test_contributions_that_nobody_asks_for_are_in_the_sum(case: tuple[Compiled, np.ndarray, np.ndarray]) -> None:
    rules, a, b = case
    whole = rules(a, b)
    found = compiled(rules.network, block=2, parts=False)(a, b)
    assert not found.by_parameter
    np.testing.assert_allclose(found.ntk, whole.ntk, rtol=1e-13)


def test_single_precision(case: tuple[Compiled, np.ndarray, np.ndarray]) -> None:
    """Rounding as float32 has it, as the error says; equal points are found in float64."""
    rules, a, _ = case
    found, exact = tile(rules.network, dtype="float32").measured(a), rules(a)
    for k, wanted in ((found.kernels["nngp"], exact.nngp), (found.kernels["ntk"], exact.ntk)):
        assert k.dtype == np.float32
        assert np.abs(k - wanted).max() <= found.error <= 3e-5 * np.abs(wanted).max()


def test_what_single_precision_cannot_tell_is_found_in_float64() -> None:
    """Points that differ by less than the angles of float32 resolve: errors stay those of rounding the result."""
    network, shape = NETWORKS["convolution"]
    x = np.random.default_rng(2).normal(size=(4, *shape))
    x[3] = x[2] + 1e-6 * np.random.default_rng(3).normal(size=shape)
    found, exact = tile(network, dtype="float32").measured(x), compiled(network)(x)
    assert np.abs(found.kernels["ntk"] - exact.ntk).max() <= 1e-7 * np.abs(exact.ntk).max()
    rounded, exact = (compiled(network, block=1)(x, dtype=dtype) for dtype in ("float32", "float64"))
    np.testing.assert_array_equal(rounded.ntk, np.asarray(exact.ntk).astype(np.float32))  # all blocks, whichever of them is computed first


@tp.network(x="token")
def normalized(x: tp.Data, token: int = 3) -> tp.Output:
    """A layernorm takes the scale of the inputs away."""
    h = tp.layernorm(tp.embedding("E") @ x)
    return tp.readout("v") @ tp.relu(tp.matrix("W") @ h).mean("token")


@pytest.mark.parametrize("size", [2.0**-140, 2.0**140])
def test_single_precision_of_any_scale(size: float) -> None:
    """Also where float32 does not hold the inputs: they are computed in float64."""
    x = np.random.default_rng(5).normal(size=(3, 3, 4))
    found, exact = tile(normalized(), dtype="float32")(size * x), tile(normalized())(x)
    for name, k in found.items():
        np.testing.assert_allclose(k, exact[name], rtol=1e-7)


@tp.network
def difference(l: tp.Data, r: tp.Data) -> tp.Output:
    U, W = tp.embedding("U"), tp.matrix("W")
    return tp.readout("v") @ (tp.relu(W @ (U @ l)) - tp.relu(W @ (U @ r)))


def test_single_precision_where_sums_cancel() -> None:
    """Opposite inputs, whose kernel is far below those of its points, have an error in units of these; differences are found in float64."""
    draw = np.random.default_rng(0)
    x, noise = draw.standard_normal((3, 6)), draw.standard_normal((3, 6))
    found, exact = (tile(ZOO["mlp"](depth=1), ["nngp"], dtype=d).measured(x, -x + 1e-2 * noise) for d in ("float32", "float64"))
    assert np.abs(found.kernels["nngp"] - exact.kernels["nngp"]).max() <= found.error
    pairs = {"l": x, "r": x + 1e-3 * noise}
    found, exact = (tile(difference(), dtype=d)(pairs) for d in ("float32", "float64"))
    for name, k in found.items():
        assert np.abs(k - exact[name]).max() <= 1e-7 * np.abs(exact[name]).max()


def test_errors_hold_near_equal_points() -> None:
    """A relu network does not see the scale of a point: what rescaling changes is rounding, which an angle of 1e-3 multiplies by a thousand."""
    draw = np.random.default_rng(0)
    x = draw.standard_normal((4, 6))
    x[1] = x[0] + 1e-3 * draw.standard_normal(6)
    rules = compiled(ZOO["mlp"](depth=10))
    k = rules(x)
    for _ in range(4):
        scale = np.exp(draw.uniform(-1, 1, (4, 1)))
        moved = np.abs(np.asarray(rules(scale * x).ntk) / (scale * scale.T) - k.ntk).max()
        assert 1e-13 < moved < k.error < 1e-9
