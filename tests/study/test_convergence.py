"""Finite networks approach the limit at rate n^(-1/2), and the study sees it when they do not."""

import io
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

import tensorprog as tp
from tensorprog.errors import InvalidProgram
from tensorprog.language.expr import Ref, mul
from tensorprog.study.convergence import Study, converge, depth, measure

X = np.random.default_rng(0).standard_normal((4, 8))
WIDTHS = (64, 128, 256, 512)  # from 16 times the depth on


@tp.network
def mlp(x: tp.Data, layers: int = 2) -> tp.Output:
    h = tp.embedding("U") @ x
    for i in range(layers):
        h = tp.matrix(f"W{i}", sigma=2**0.5) @ tp.relu(h) + tp.bias(f"b{i}", 0.3)
    return tp.readout("v") @ tp.relu(h)


@tp.program
def tied() -> tp.Value:
    """A Moment whose limit is a dot alone: W^T erf(W x) against x, with limit E erf'(Z) and not 0."""
    x = tp.initial("x")
    w = tp.matrix("W")
    return tp.moment((w.T @ tp.erf(w @ x)) * x)


@pytest.fixture(scope="module")
def study() -> Study:
    return converge(mlp(), X, WIDTHS, key=1)


@pytest.mark.parametrize("quantity", ["nngp", "ntk"])
def test_kernels_converge_at_the_rate(study: Study, quantity: str) -> None:
    curve = study[quantity]
    assert curve.errors.shape == (4, 64)
    assert curve.slope.at_rate, curve.slope
    assert curve.limit_error < 1e-10


def test_a_moment_with_a_dot_converges_at_the_rate() -> None:
    study = converge(tied(), widths=WIDTHS)
    assert study.curves[0].slope.at_rate, study.curves[0].slope


def test_moments_of_a_network_by_expression() -> None:
    net = mlp()
    h = net.program.body[0].out
    study = converge(net, X, (64, 256), seeds=8, quantities=(), moments={"second moment": mul(Ref(h), Ref(h))})
    assert [c.quantity for c in study.curves] == ["second moment"]
    assert study["second moment"].rms[1] < study["second moment"].rms[0]


def test_scalars_are_given_to_kernels_on_both_sides() -> None:
    """f = v . (a U x): both kernels are a^2 times those of the linear network."""
    net = tp.network(lambda x: tp.readout("v") @ (tp.scalar("a") * (tp.embedding("U") @ x)))()
    study = converge(net, X[:2], (64, 4096), seeds=2, scalars={"a": 3.0})
    assert study["ntk"].rms[1] < 0.1  # of size 4096^(-1/2) = 0.016


def test_a_wrong_limit_is_seen() -> None:
    """The dot left out: the Moment would tend to 0. The error stays where it is, and the slope is 0."""

    def sample(key: jax.Array, n: int) -> dict[str, jax.Array]:
        return {"c": tp.run(tied(), tp.sample(tied(), key, n), n)[tied().outputs[0]]}

    right = tp.limit(tied()).scalar(tied().outputs[0])
    found = measure(sample, {"c": jnp.zeros(())}, (64, 128, 256), 32, jax.random.key(0))["c"]
    np.testing.assert_allclose(found[-1].mean(), right, rtol=0.1)  # 32 seeds at width 256: standard error about 1 %
    from tensorprog.study.convergence import Curve

    curve = Curve("c", (64, 128, 256), found)
    assert not curve.slope.at_rate
    assert 0.0 in curve.slope or curve.slope.low > -0.25


def test_a_width_has_the_same_networks_in_every_study(study: Study) -> None:
    again = converge(mlp(), X, WIDTHS[:2], key=1, quantities=("nngp",))
    np.testing.assert_allclose(again["nngp"].errors, study["nngp"].errors[:2], rtol=1e-10)


def test_a_study_can_be_shown_and_kept(study: Study, tmp_path) -> None:
    console = Console(record=True, width=100, file=io.StringIO())
    console.print(study.table())
    assert [line.strip() for line in str(study).splitlines()][-1].startswith("└")  # what print(study) shows is the table
    text = console.export_text()
    assert "slope" in text
    assert all(line in str(study) for line in ("slope", *map(str, WIDTHS)))
    assert all(str(n) in text for n in WIDTHS)
    study.to_npz(tmp_path / "study.npz")
    with np.load(tmp_path / "study.npz") as kept:
        np.testing.assert_array_equal(kept["errors/ntk"], study["ntk"].errors)
    assert json.loads(json.dumps(study.to_dict()))["curves"]["ntk"]["slope"] == study["ntk"].slope.value


def test_progress_grows_to_one() -> None:
    told: list[float] = []
    converge(mlp(layers=1), X, (16, 32), seeds=2, quantities=("nngp",), progress=lambda fraction, _: told.append(fraction))
    assert told == sorted(told)
    assert told[0] == 0.0
    assert told[-1] == 1.0


def test_depth_counts_the_longest_chain_of_products() -> None:
    assert depth(mlp(layers=3).program) == 4
    assert depth(tied()) == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: converge(mlp(), X, (64, 128), quantities=("ntkk",)), "no quantity 'ntkk'. Those that converge are nngp, ntk"),
        (lambda: converge(mlp(), X, (64,)), "growing widths"),
        (lambda: converge(mlp(), X, (128, 64)), "growing widths"),
        (lambda: converge(mlp(), X, (64, 128), seeds=1), "two seeds"),
        (lambda: converge(tied(), widths=(64, 128), quantities=("ntk",)), "no quantity 'ntk'"),
    ],
)
def test_what_has_no_meaning_is_named(call, message: str) -> None:
    with pytest.raises(InvalidProgram, match=message):
        call()
