"""The reduced form is reduced, is a program, and computes the same."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.finite import run, sample
from tensorprog.language.graph import is_reduced
from tensorprog.language.program import Network, Program
from tensorprog.language.text import parse, show
from tensorprog.language.valid import check
from tensorprog.transform.backprop import backprop
from tensorprog.transform.reduce import reduced
from tests.finite_networks import NETWORKS, D

WIDTH = 11


def program(body: str) -> Program:
    p = parse(f"program p\nwidth n\nmatrix W : n x n\nvector g : n ~ N(0, 1)\nscalar a = 2\n{body}\n")
    assert isinstance(p, Program)
    return p


def _values(p: Program, network: Network) -> dict[str, jax.Array]:
    rng = np.random.default_rng(0)
    inputs = {i.name: jnp.asarray(rng.standard_normal((*(p.size[a] for a in sorted(i.axes)), D["x"]))) for i in p.inputs}
    given = {c.name: 0.5 + jnp.arange(float(np.prod([p.size[a] for a in c.axes]))) for c in p.scalars if c.value is None}
    return run(p, sample(network, jax.random.key(1), WIDTH, D["x"]), WIDTH, inputs, given)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_meaning_stays(name: str) -> None:
    """Up to the order of floating-point operations: 1e-12."""
    network = NETWORKS[name]()
    p = network.program
    r = reduced(p)
    assert is_reduced(r)
    assert check(r).ok
    assert r.outputs == p.outputs
    before, after = _values(p, network), _values(r, network)
    for x in set(before) & set(after):
        np.testing.assert_allclose(after[x], before[x], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_backward_pass_is_reduced_too(name: str) -> None:
    r = reduced(backprop(NETWORKS[name]()).program)
    assert is_reduced(r)
    assert check(r).ok
    assert reduced(r) == r


def test_chains_are_fused_and_identities_inserted() -> None:
    p = program("x := relu(g)\ny := tanh(a * x)\nh := W y\nk := W h\nl := W h\nz := h * y\nreturn z")
    body = show(reduced(p)).splitlines()[5:]
    assert body == ["y := tanh(a * relu(g))", "h := W y", "h_id := h", "k := W h_id", "l := W h_id", "z := h * tanh(a * relu(g))", "return z"]


def test_x_vars_that_are_returned_or_never_read_stay() -> None:
    p = program("x := relu(g)\ny := tanh(x)\nz := x^2\nreturn x")
    assert show(reduced(p)).splitlines()[5:] == ["x := relu(g)", "y := tanh(relu(g))", "z := relu(g)^2", "return x"]


def test_moments_are_fused() -> None:
    p = program("x := relu(g)\nc := moment(x^2)\ny := x / c\nd := moment(y)\nreturn d")
    assert show(reduced(p)).splitlines()[5:] == ["c := moment(relu(g)^2)", "d := moment(relu(g) / c)", "return d"]


def test_an_exponential_blow_up_is_refused() -> None:
    lines = ["x0 := relu(g)", *(f"x{k + 1} := x{k} * tanh(x{k})" for k in range(40)), "return x40"]
    with pytest.raises(InvalidProgram, match=r"x\d+: \[fuse\] the fused expression (has|is) \d+ .*Put matrices between the functions"):
        reduced(program("\n".join(lines)))
