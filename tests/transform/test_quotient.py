"""Difference quotients in the limit: psi* of Yang & Littwin 2021, and T14 of the reference notes by their Algorithm 1."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tensorprog.errors import OutsideTheory
from tensorprog.interpret.expression import evaluate
from tensorprog.interpret.limit import limit
from tensorprog.interpret.particles import particles
from tensorprog.language.expr import refs
from tensorprog.language.instr import Nonlin
from tensorprog.language.program import Program
from tensorprog.language.text import parse
from tensorprog.transform.quotient import at_limit

SGD_STEP = Path(__file__).parents[2] / "examples" / "programs" / "sgd_step.tp"
HEAD = "program p\nwidth n\naxis t 3\nvector h : n ~ N(0, 1)\nvector g : n ~ N(0, 1)\nvector u : n over t ~ N(0, 1)\nscalar c over t = 0.5\n"
QUOTIENTS = {
    "psi*": "(tanh(h + theta * g) - tanh(h)) / theta",
    "a polynomial": "((h + theta * g)^3 - h^3) / theta",
    "a product": "((h + theta * g) * tanh(h - theta * g) - h * tanh(h)) / theta",
    "of second order": "(sin(h + theta * g) - sin(h) - theta * g * cos(h)) / theta^2",
    "times something": "2 * g * (erf(h + theta * g) - erf(h)) * h / theta",
    "inside a function": "tanh((erf(h + theta * g) - erf(h)) / theta) + h",
    "a quotient in a quotient": "(tanh(h + theta * (erf(h + theta * g) - erf(h)) / theta) - tanh(h)) / theta",
    "along an axis": "sum[t]((tanh(u + theta * g) - tanh(u)) / theta * c)",
    "through a sum": "(sum[t](tanh(u + theta * g)) - sum[t](tanh(u))) / theta",
    "through a gather": "(shift[t 3, +1](tanh(u + theta * g)) - shift[t 3, +1](tanh(u))) / theta",
    "through a softmax": "(softmax[t](c + theta * c^2) - softmax[t](c)) * g / theta",
    "a power": "((1 + h^2 + theta * g^2)^0.5 - (1 + h^2)^0.5) / theta",
    "theta itself": "(theta * g + theta^2 * h) / theta",
}


def program(line: str, scalars: str = "scalar theta = n^-0.5\n") -> Program:
    p = parse(f"{HEAD}{scalars}x := {line}\nreturn x")
    assert isinstance(p, Program)
    return p


def _value(p: Program, theta: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    values = {"h": rng.normal(size=20), "g": rng.normal(size=20), "u": rng.normal(size=(3, 20)), "c": np.array([0.1, -0.4, 0.7])}
    (i,) = p.body
    assert isinstance(i, Nonlin)
    arrays = {name: jnp.asarray(a) for name, a in values.items()} | {"theta": jnp.asarray(theta)}
    return np.asarray(evaluate(i.psi, arrays, p.axes_of, {"h", "g", "u"}))


@pytest.mark.parametrize("name", QUOTIENTS)
def test_the_limit_form_is_the_limit_of_the_quotient(name: str) -> None:
    """At theta = 1e-3 and its half, extrapolated: the error is O(theta^2), about 1e-6, and rounding below 1e-16 / theta^2 = 1e-10."""
    p = program(QUOTIENTS[name])
    extrapolated = 2 * _value(p, 5e-4) - _value(p, 1e-3)
    np.testing.assert_allclose(np.broadcast_to(_value(at_limit(p), 0.0), extrapolated.shape), extrapolated, atol=2e-5, rtol=2e-5)


def test_a_program_without_vanishing_scalars_is_returned_as_it_is() -> None:
    p = program("tanh(h + g)")
    assert at_limit(p) is p


def test_what_a_vanishing_scalar_multiplies_is_gone() -> None:
    (i,) = at_limit(program("tanh(h + theta * g)")).body
    assert isinstance(i, Nonlin)
    assert refs(i.psi) == ("h",)


def test_a_scalar_whose_limit_is_given_is_left_alone() -> None:
    """With theta of limit 1 the same program is muP."""
    p = program(QUOTIENTS["psi*"])
    assert at_limit(p, {"theta"}) is p


@pytest.mark.parametrize(
    "line",
    [
        "h / theta",
        "(tanh(h + theta * g) - erf(h)) / theta",
        "theta^-1",
        "(tanh(h + theta * g) - tanh(h)) / theta^2",
        "theta^-0.5",
        "(tanh(h + (erf(h + theta * g) - erf(h)) / theta - g) - tanh(h)) / theta",
    ],
)
def test_what_has_no_limit_is_refused(line: str) -> None:
    with pytest.raises(OutsideTheory, match=r"x: \[quotient\] it divides by theta, which vanishes"):
        at_limit(program(line))


def test_another_scalar_may_vanish_faster_and_not_more_slowly() -> None:
    line = "(tanh(h + theta * g + kappa * h) - tanh(h)) / theta"
    fast = at_limit(program(line, "scalar theta = n^-0.5\nscalar kappa = n^-1\n"))
    np.testing.assert_allclose(_value(fast, 0.0), _value(at_limit(program(QUOTIENTS["psi*"])), 0.0))
    with pytest.raises(OutsideTheory, match="quotient"):
        at_limit(program(line, "scalar theta = n^-0.5\nscalar kappa = n^-0.25\n"))


def test_t14_one_step_of_sgd_moves_the_output_by_the_kernel() -> None:
    """The w-part of the kernel between 1/2 and 1 is 0.2582861390; chi = -1, so that f moves up by it."""
    p = parse(SGD_STEP.read_text(encoding="utf-8"))
    assert isinstance(p, Program)
    data = {"xi": np.array([[1.0]]), "probe": np.array([[0.5]])}
    exact = float(limit(p, data, scalars={"f": 0.0}).scalar("delta_f")[0])
    assert exact == pytest.approx(0.2582861390, abs=1e-10)
    sampled = particles(p, inputs=data, scalars={"f": 0.0}, samples=2**12, key=jax.random.key(0)).scalar("delta_f")
    assert float(np.max(np.abs(sampled.value - exact) / sampled.error)) < 4
