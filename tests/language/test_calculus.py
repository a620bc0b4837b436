"""The adjoint of an expression is automatic differentiation of its value."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tensorprog.interpret.expression import evaluate
from tensorprog.language.calculus import Scope, adjoint, sum_out, widen
from tensorprog.language.expr import ZERO, Apply, Gather, Power, Ref, Softmax, Sum, Tensor, add, identity, mul, number, one_hot
from tensorprog.language.nonlin import fn, user_function

SCOPE = Scope({"x": ("t",), "y": ("s", "t"), "z": (), "c": ("s",), "w": ("u",)}, {"s": 3, "t": 4, "u": 2})
x, y, z, c, w = map(Ref, "xyzcw")

CASES = {
    "product": mul(x, y, z),
    "square as a product": mul(x, x, y),
    "sum broadcasts": add(x, mul(number(3), c), z),
    "power": Power(add(mul(x, x), number(1)), -0.5),
    "function": Apply(fn("tanh"), (mul(x, y),)),
    "function of two": Apply(user_function("sinprod", lambda a, b: jnp.sin(a) * b, arity=2), (x, c)),
    "mean over an axis": mul(number(0.25), Sum("t", y)),
    "closed sum beside the same axis": mul(x, Sum("t", mul(x, x))),
    "softmax attention": Sum("s", mul(Softmax("s", add(y, c)), c, z)),
    "constant tensor": Sum("s", mul(Tensor(("s", "u"), (3, 2), (1.0, 2.0, -1.0, 0.5, 3.0, 0.0)), c, w)),
    "shift with padding": mul(Gather(x, "t", "t", (-1, 0, 1, 2)), x),
    "stride": mul(Gather(x, "t", "u", (0, 2)), w),
    "repeat along the same axis": mul(Gather(x, "t", "t", (0, 0, 2, 0)), x),
    "repeat into another axis": mul(Gather(w, "u", "t", (0, 0, 1, -1)), x),
    "selection": mul(Gather(y, "t", None, (2,)), c),
    "selection of padding": add(Gather(x, "t", None, (-1,)), z),
    "stack": add(mul(one_hot("u", 2, 0), z), mul(one_hot("u", 2, 1), Gather(x, "t", None, (1,)))),
    "gather of a constant direction": Gather(add(w, z), "u", "t", (0, 1, 1, 1)),
}


def values(seed: int) -> dict[str, jax.Array]:
    rng = np.random.default_rng(seed)
    return {name: jnp.asarray(rng.standard_normal([SCOPE.size[a] for a in axes])) for name, axes in SCOPE.axes.items()}


def value(e, at, axes=SCOPE.axes):
    return evaluate(e, at, axes, frozenset())


@pytest.mark.parametrize("name", CASES)
def test_adjoint_is_automatic_differentiation(name: str) -> None:
    e, at = CASES[name], values(0)
    own = SCOPE.of(e)
    g = jnp.asarray(np.random.default_rng(1).standard_normal([SCOPE.size[a] for a in own]))
    expected = jax.grad(lambda v: jnp.sum(g * value(e, v)))(at)
    scope = Scope({**SCOPE.axes, "g": own}, SCOPE.size)
    found = adjoint(e, Ref("g"), scope)
    assert ZERO not in found.values()
    for variable, axes in SCOPE.axes.items():
        got = value(widen(found.get(variable, ZERO), axes, scope), {**at, "g": g}, scope.axes)
        assert got.shape == (at[variable].shape if variable in found else ()), variable
        np.testing.assert_allclose(got, expected[variable], rtol=1e-12, atol=1e-13, err_msg=variable)


@pytest.mark.parametrize("name", CASES)
def test_constant_cotangent_needs_no_axes(name: str) -> None:
    """A cotangent of 1 without any axis is constant along all of them."""
    e, at = CASES[name], values(2)
    expected = jax.grad(lambda v: jnp.sum(value(e, v)))(at)
    found = adjoint(e, number(1), SCOPE)
    for variable, axes in SCOPE.axes.items():
        got = value(widen(found.get(variable, ZERO), axes, SCOPE), at)
        np.testing.assert_allclose(got, expected[variable], rtol=1e-12, atol=1e-13, err_msg=variable)


def test_further_axes_of_the_cotangent_are_carried_through() -> None:
    """With cotangent identity(t, t') the adjoint is the whole Jacobian."""
    scope = Scope(SCOPE.axes, {**SCOPE.size, "t'": 4})
    at = values(3)
    e = mul(x, Sum("t", mul(x, x)))
    jacobian = value(adjoint(e, identity("t", "t'", 4), scope)["x"], at)
    np.testing.assert_allclose(jacobian, jax.jacobian(lambda a: value(e, {**at, "x": a}))(at["x"]).T, rtol=1e-12)


def test_expressions_stay_small() -> None:
    assert adjoint(add(x, x), Ref("z"), SCOPE)["x"] == mul(number(2), z)
    assert adjoint(mul(x, x), z, SCOPE)["x"] == mul(number(2), z, x)
    assert adjoint(Softmax("s", c), z, SCOPE) == {}
    assert sum_out(mul(z, c), ("s",), SCOPE) == mul(z, Sum("s", c))
    assert sum_out(mul(c, one_hot("s", 3, 1)), ("s",), SCOPE) == Gather(c, "s", None, (1,))
    injective = adjoint(Gather(x, "t", "t", (-1, 0, 1, 2)), x, SCOPE)["x"]
    assert injective == Gather(x, "t", "t", (1, 2, 3, -1))


def test_a_distribution_has_no_derivative() -> None:
    with pytest.raises(ValueError, match="delta"):
        adjoint(Apply(fn("delta"), (x,)), x, SCOPE)
