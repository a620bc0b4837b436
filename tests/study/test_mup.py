"""The muP table against Tables 3 and 8 of TP V, one network at every width, the coordinate check, the transfer of learning rates."""

from dataclasses import replace
from fractions import Fraction

import jax
import numpy as np
import pytest

import tensorprog as tp
from architectures.mlp import mlp
from architectures.transformer import transformer
from tensorprog.interpret.finite import apply, sample
from tensorprog.kernels.adam import Adam
from tensorprog.kernels.tensors import unit_rates
from tensorprog.kernels.train import train
from tensorprog.study.mup import Form, Optimizer
from tensorprog.transform.parametrization import exponents
from tensorprog.transform.rescale import at_width

ONE, HALF = Fraction(1), Fraction(1, 2)
ROLES = {"U": "vector", "b1": "vector", "W2": "matrix", "v": "readout"}
# (std, multiplier, rate) as powers of n: TP V Table 3, whose variances are squares of these, and Table 8
PUBLISHED: dict[tuple[Optimizer, Form], dict[str, tuple[Fraction, ...]]] = {
    ("sgd", "table 3"): {"vector": (0 * ONE, 0 * ONE, ONE), "matrix": (-HALF, 0 * ONE, 0 * ONE), "readout": (-ONE, 0 * ONE, -ONE)},
    ("adam", "table 3"): {"vector": (0 * ONE, 0 * ONE, 0 * ONE), "matrix": (-HALF, 0 * ONE, -ONE), "readout": (-ONE, 0 * ONE, -ONE)},
    ("sgd", "table 8"): {"vector": (0 * ONE, 0 * ONE, ONE), "matrix": (-HALF, 0 * ONE, 0 * ONE), "readout": (0 * ONE, -ONE, ONE)},
    ("adam", "table 8"): {"vector": (0 * ONE, 0 * ONE, 0 * ONE), "matrix": (-HALF, 0 * ONE, -ONE), "readout": (0 * ONE, -ONE, 0 * ONE)},
}


@pytest.mark.parametrize(("optimizer", "form"), PUBLISHED)
def test_the_tables_of_tp_v(optimizer: Optimizer, form: Form) -> None:
    table = tp.mup(mlp(depth=2, sigma_b=0.1), optimizer, form=form, base=64, target=256)
    rows = {r.tensor: r for r in table.rows}
    for tensor, role in ROLES.items():
        wanted = PUBLISHED[optimizer, form][role]
        assert rows[tensor].powers[:3] == wanted
        assert rows[tensor].factor[:3] == pytest.approx([4.0 ** float(p) for p in wanted])


def test_every_tensor_of_a_transformer_has_its_row() -> None:
    net = transformer(position="learned")
    table = tp.mup(net)
    assert {r.tensor for r in table.rows} == set(net.parameters)
    assert {r.shape for r in table.rows if r.tensor.startswith("W")} == {"4n x n", "n x 4n"}
    assert "matrix-like" in str(table)


def test_mistakes() -> None:
    with pytest.raises(tp.InvalidProgram, match="Give both, positive"):
        tp.mup(mlp(), base=64)
    with pytest.raises(tp.InvalidProgram, match="activations keep their size"):
        at_width(mlp(), replace(tp.MUP, matrix=exponents(0, 0, 0)), 64, 32)
    with pytest.raises(tp.InvalidProgram, match="Give positive rates that grow"):
        tp.transfer(mlp(), np.ones((2, 3)), np.ones(2), rates=[1.0, 0.5])


def test_at_the_base_width_all_parametrizations_are_the_network_itself() -> None:
    net = mlp(depth=2, sigma_v=0.7)
    for p in (tp.MUP, tp.NTP, tp.FRAMEWORK, tp.up_s(0.25)):
        same = at_width(net, p, 32, 32)
        assert (same.readouts, unit_rates(same, 32)) == (net.readouts, unit_rates(net, 32))


@pytest.mark.parametrize("adam", [None, Adam()], ids=["sgd", "adam"])
def test_a_network_of_kind_moment_is_mup_already(adam: Adam | None) -> None:
    """f = v.x / n trained n times faster is muP under SGD: the two train alike, from the same tensors."""
    net, base, n = mlp(depth=2), 8, 32
    optimizer = "sgd" if adam is None else "entrywise"
    moment = replace(net, kind="moment", readouts=tuple(replace(r, sigma=r.sigma * base**0.5) for r in net.readouts))
    a, b = at_width(net, tp.MUP, n, base, optimizer), at_width(moment, tp.MUP, n, base, optimizer)
    if adam is None:
        assert unit_rates(b, n) == pytest.approx(unit_rates(moment, n))
    b = replace(b, training={name: replace(t, rate=t.rate / base) for name, t in b.training.items()})  # its units at the base width
    x, y = np.eye(3), np.array([1.0, -1.0, 0.5])
    with jax.enable_x64(True):
        params = sample(net, jax.random.key(0), n, 3)
        np.testing.assert_allclose(apply(a, params, n, x), apply(b, params, n, x), rtol=1e-12)
        f, g = (train(s, params, n, x, y, rate=0.05, steps=3, adam=adam).train for s in (a, b))
    np.testing.assert_allclose(f, g, rtol=1e-10, atol=1e-12)


def test_the_coordinate_check_tells_right_from_wrong() -> None:
    """muP keeps all sizes; with one tensor's rate a power of n too large, that tensor and no other is named."""
    net = mlp(depth=2, nonlinearity="tanh", sigma_v=0.1)  # a small f_0, which shrinks with the width in muP, hardly moves the targets
    x, y = np.eye(4) * 2.0, np.array([1.0, -1.0, 1.0, -1.0])
    wrong = replace(tp.MUP, name="wrong", tensors={"W2": exponents(0, HALF, HALF, 1)})
    right, found = (tp.coordinate_check(net, x, y, (16, 64), parametrization=p, steps=1, seeds=4, rate=0.05) for p in (tp.MUP, wrong))
    assert right.right, str(right)
    assert found.wrong == {"W2": "grows"}
    assert found.parts["W2"].slope.value == pytest.approx(0.5, abs=0.1)
    assert "the part of W2 grows with the width" in str(found)
    assert {right.start[name].verdict for name in ("g1", "x1", "h1", "x2")} == {"keeps its size"}


def test_transfer_sweeps_and_marks_what_diverges() -> None:
    net, x, y = mlp(depth=1, nonlinearity="erf"), np.eye(4) * 2.0, np.array([1.0, -1.0, 1.0, -1.0])
    seen: list[object] = []
    study = tp.transfer(net, x, y, (16, 64), rates=[0.1, 1.0, 1e4], parametrizations=(tp.NTP, tp.MUP), steps=12, seeds=2, keep=seen.append)
    assert study.losses.shape == (2, 2, 3, 2)
    assert len(seen) == 2
    assert not np.isfinite(study.mean[:, :, 2]).any()
    np.testing.assert_allclose(study.losses[0, 0], study.losses[1, 0], rtol=1e-5)  # the base width; float32
    figure = study.plot(limit={"mup": ([0.1, 1.0], [0.4, 0.2])})
    assert "limit" in figure.axes[1].get_legend_handles_labels()[1]
