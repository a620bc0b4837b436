"""Families written out, and programs simplified: both are programs with the values of the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.finite import run, sample
from tensorprog.kernels.execution.uncompiled import by_numpy
from tensorprog.language.instr import Embedding
from tensorprog.language.program import Program
from tensorprog.language.text import parse, show
from tensorprog.language.valid import check
from tensorprog.transform.backprop import backprop
from tensorprog.transform.simplify import simplified
from tensorprog.transform.unfold import member, positions, unfolded
from tests.finite_networks import NETWORKS, D

WIDTH = 7
FAMILIES = sorted(name for name, network in NETWORKS.items() if network().program.axes)


def program(body: str, head: str = "") -> Program:
    p = parse(f"program p\nwidth n\naxis t 3\n{head}matrix W : n x n\nvector g : n ~ N(0, 1)\nvector u : n over t ~ N(0, 1)\n{body}\n")
    assert isinstance(p, Program)
    return p


def split(p: Program, axes: Sequence[str], values: Mapping[str, Array], axes_of: Mapping[str, tuple[str, ...]]) -> dict[str, Array]:
    """The values of families, member by member."""
    out: dict[str, Array] = {}
    for name, a in values.items():
        own = sorted(axes_of.get(name, ()))
        for at in positions([x for x in own if x in axes], p.size):
            out[member(name, own, at)] = a[tuple(at.get(x, slice(None)) for x in own)]
    return out


def data(p: Program) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array]]:
    rng = np.random.default_rng(0)
    inputs = {i.name: jnp.asarray(rng.standard_normal((*(p.size[a] for a in sorted(i.axes)), D["x"]))) for i in p.inputs}
    given = {c.name: jnp.asarray(rng.uniform(0.5, 1.5, [p.size[a] for a in sorted(c.axes)])) for c in p.scalars if c.value is None}
    return sample(p, jax.random.key(1), WIDTH, D["x"]), inputs, given


def _run(p: Program, params: dict[str, Array], inputs: dict[str, Array], given: dict[str, Array]) -> dict[str, Array]:
    return dict(run(p, params, WIDTH, inputs, given))


def agrees(p: Program, q: Program, axes: Sequence[str]) -> None:
    """Up to the order of floating-point operations: 1e-12."""
    assert check(q).ok
    params, inputs, given = data(p)
    of_input = {i.name: i.axes for i in p.inputs}
    tensors = {v.name: v.axes for v in p.vectors if not isinstance(v.law, Embedding)}
    before = split(p, axes, by_numpy(partial(_run, p), params, inputs, given), p.axes_of)
    after = by_numpy(partial(_run, q), split(p, axes, params, tensors), split(p, axes, inputs, of_input), split(p, axes, given, p.axes_of))
    for x in (i.out for i in q.body):
        np.testing.assert_allclose(after[x], before[x], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", FAMILIES)
def test_families_written_out_have_the_values_of_their_members(name: str) -> None:
    network = NETWORKS[name]()
    p = backprop(network).program if name == "rnn" else network.program
    q = unfolded(p)
    assert not q.axes
    agrees(p, q, tuple(p.size))


@pytest.mark.parametrize("name", [name for name in FAMILIES if len(NETWORKS[name]().program.axes) > 1])
def test_one_axis_is_written_out_and_the_others_stay(name: str) -> None:
    p = NETWORKS[name]().program
    for axis in p.size:
        q = unfolded(p, [axis])
        assert [a.name for a in q.axes] == [a.name for a in p.axes if a.name != axis]
        agrees(p, q, (axis,))


def test_a_program_written_out_can_be_read_again() -> None:
    q = unfolded(backprop(NETWORKS["attention"]()).program)
    assert parse(show(q)) == q


def test_an_axis_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidProgram, match=r"\[axis\] p has no axis token\. Its axes are t\."):
        unfolded(program("return g"), ["token"])


@pytest.mark.parametrize("name", NETWORKS)
def test_a_simplified_program_has_the_values_of_the_first(name: str) -> None:
    p = backprop(NETWORKS[name]()).program
    agrees(p, simplified(p), ())


@pytest.mark.parametrize(
    ("rule", "body", "simple"),
    [
        ("copy", "x := tanh(g)\ny := x\nz := W y\nreturn z", "x := tanh(g)\nz := W x\nreturn z"),
        ("copy of an output", "x := tanh(g)\ny := x\nreturn y", "x := tanh(g)\ny := x\nreturn y"),
        ("copy of a scalar", "c := moment(g^2)\nd := moment(c)\nx := d * g\nreturn x", "c := moment(g^2)\nx := c * g\nreturn x"),
        ("equal", "x := tanh(g)\ny := tanh(g)\nk := W x\nl := W y\nz := k * l\nreturn z", "x := tanh(g)\nk := W x\nz := k * k\nreturn z"),
        ("multiple", "c := moment(g^2)\nx := -2 * c * g\ny := x + u\nreturn y", "c := moment(g^2)\ny := -2 * c * g + u\nreturn y"),
        ("pruned", "x := tanh(g)\ny := W x\nreturn x", "x := tanh(g)\nreturn x"),
    ],
)
def test_rules(rule: str, body: str, simple: str) -> None:
    assert simplified(program(body)) == program(simple)


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("a vector made of a scalar is no copy", "c := moment(g^2)\nx := c\ny := tanh(x * g)\nreturn y"),
        ("a multiple with two readers", "c := moment(g^2)\nx := c * g\ny := tanh(x)\nz := x * y\nreturn z"),
        ("a multiple that is multiplied", "c := moment(g^2)\nx := c * g\ny := W x\nreturn y"),
    ],
)
def test_what_stays(what: str, body: str) -> None:
    assert simplified(program(body)) == program(body)


def test_a_member_that_reads_no_vector_any_more_keeps_its_width() -> None:
    body = "c := moment(v)\nx := relu(shift[t 3, +1](v) + softmax[t](c))\nd := moment(x * sum[t](v))\nreturn d"
    p = program(body, "width m = 2 n\nvector v : m over t ~ N(0, 1)\n")
    q = unfolded(p)
    check(q).raise_if_invalid()
    assert {q.width_of[f"x[{k}]"] for k in range(3)} == {"m"}
    agrees(p, q, ("t",))
