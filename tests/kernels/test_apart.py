"""Kernels of pairs from what is found once a point: the numbers of the rules for a whole tile, with less to compute."""

import jax
import numpy as np
import pytest

import tensorprog as tp
from architectures import ZOO
from tensorprog.interpret.limit.contraction import path
from tensorprog.interpret.limit.plan import below
from tensorprog.interpret.limit.scalar import Index
from tensorprog.kernels.exact import Compiled, compiled, same_points
from tensorprog.kernels.symbolic import unvalued


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
