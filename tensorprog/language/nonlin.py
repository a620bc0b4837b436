"""Coordinatewise functions as values: one row a function says its body, derivative, growth, parity and kinks.

A body takes the array namespace J first (`jax.numpy` with `erf`, `sigmoid` ... added), so that this table needs no array library. `derivative` is
an expression where one is given; None means that automatic differentiation of the body is used, and the derivative is written f'. `form` rewrites
a function in the atoms whose Gaussian expectations have closed forms (ramp, erf, gaussian, sin, cos, exp, powers).
"""

# A body is untyped on purpose: J is any array namespace, x any array of it.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import factorial, isfinite, pi, sqrt
from typing import Any

from tensorprog.language.expr import Apply, Expr, Fn, Growth, add, mul, number, power

G = Growth
MAX_DEGREE = 100  # of a Hermite polynomial or a ramp
LEAST_DEGREE = {"hermite": 0, "ramp": -1}  # functions whose constant is a degree


@dataclass(frozen=True)
class Row:
    """What is known of a built-in function; `constants` names its parameters, as in leaky_relu[0.2](h)."""

    body: Callable[..., Any]
    derivative: Callable[..., Expr] | None = None
    growth: Growth = G.LIPSCHITZ
    parity: int = 0
    kinks: tuple[float, ...] = ()
    form: Callable[..., Expr] | None = None
    constants: tuple[str, ...] = ()


def _call(name: str, x: Expr, *constants: float) -> Expr:
    return Apply(fn(name, *constants), (x,))


def _ramp_derivative(x: Expr, k: float) -> Expr:
    if k < 0:
        raise ValueError("the derivative of delta is not a function, and nothing here gives its expectation a meaning")
    return _call("delta", x) if k == 0 else mul(number(k), _call("ramp", x, k - 1))


def hermite_coefficients(k: int) -> tuple[float, ...]:
    """Coefficients, lowest degree first, of the probabilists' Hermite polynomial He_k normalized by sqrt(k!): E h_j(z) h_k(z) = [j = k]."""
    previous, current = [0.0], [1.0]
    for j in range(k):
        nxt = [0.0, *current]
        for i, c in enumerate(previous):
            nxt[i] -= j * c
        previous, current = current, nxt
    return tuple(c / sqrt(factorial(k)) for c in current)


def polynomial(x: Expr, coefficients: tuple[float, ...]) -> Expr:
    """sum_i coefficients[i] x^i."""
    return add(*(mul(number(c), power(x, i)) for i, c in enumerate(coefficients) if c != 0.0), number(0.0))


def _hermite(x: Expr, k: float) -> Expr:
    return polynomial(x, hermite_coefficients(int(k)))


TABLE: dict[str, Row] = {
    "identity": Row(lambda J, x: x, lambda x: number(1), parity=-1, form=lambda x: x),
    "relu": Row(lambda J, x: J.maximum(x, 0.0), lambda x: _call("step", x), kinks=(0.0,), form=lambda x: _call("ramp", x, 1.0)),
    "step": Row(lambda J, x: J.where(x > 0, 1.0, 0.0), lambda x: _call("delta", x), G.POLYNOMIAL, 0, (0.0,), lambda x: _call("ramp", x, 0.0)),
    "delta": Row(lambda J, x: J.zeros_like(x), None, G.DISTRIBUTION, 1, (0.0,), lambda x: _call("ramp", x, -1.0)),
    "ramp": Row(
        lambda J, x, k: J.where(x > 0, J.maximum(x, 0.0) ** k if k else 1.0, 0.0) if k >= 0 else J.zeros_like(x),
        _ramp_derivative,
        G.PSEUDO_LIPSCHITZ,
        0,
        (0.0,),
        constants=("power",),
    ),
    "leaky_relu": Row(
        lambda J, x, a: J.where(x > 0, x, a * x),
        lambda x, a: add(number(a), mul(number(1 - a), _call("step", x))),
        kinks=(0.0,),
        form=lambda x, a: add(mul(number(a), x), mul(number(1 - a), _call("ramp", x, 1.0))),
        constants=("slope",),
    ),
    "abrelu": Row(
        lambda J, x, a, b: J.where(x > 0, b * x, a * x),
        lambda x, a, b: add(number(a), mul(number(b - a), _call("step", x))),
        kinks=(0.0,),
        form=lambda x, a, b: add(mul(number(a), x), mul(number(b - a), _call("ramp", x, 1.0))),
        constants=("left", "right"),
    ),
    "abs": Row(
        lambda J, x: J.abs(x),
        lambda x: _call("sign", x),
        parity=1,
        kinks=(0.0,),
        form=lambda x: add(mul(number(2), _call("ramp", x, 1.0)), mul(number(-1), x)),
    ),
    "sign": Row(
        lambda J, x: J.sign(x),
        lambda x: mul(number(2), _call("delta", x)),
        G.POLYNOMIAL,
        -1,
        (0.0,),
        lambda x: add(_call("ramp", x, 0.0), mul(number(-1), _call("ramp", mul(number(-1), x), 0.0))),  # 0 at 0
    ),
    "erf": Row(lambda J, x: J.erf(x), lambda x: mul(number(2 / sqrt(pi)), _call("gaussian", x)), parity=-1),
    "gaussian": Row(lambda J, x: J.exp(-x * x), lambda x: mul(number(-2), x, _call("gaussian", x)), parity=1),
    "tanh": Row(lambda J, x: J.tanh(x), parity=-1),
    "sigmoid": Row(lambda J, x: J.sigmoid(x)),
    "gelu": Row(
        lambda J, x: 0.5 * x * (1.0 + J.erf(x / sqrt(2))),
        lambda x: add(
            number(0.5),
            mul(number(0.5), _call("erf", mul(number(sqrt(0.5)), x))),
            mul(number(1 / sqrt(2 * pi)), x, _call("gaussian", mul(number(sqrt(0.5)), x))),
        ),
        form=lambda x: add(mul(number(0.5), x), mul(number(0.5), x, _call("erf", mul(number(sqrt(0.5)), x)))),
    ),
    "gelu_tanh": Row(lambda J, x: 0.5 * x * (1.0 + J.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))),
    "silu": Row(lambda J, x: x * J.sigmoid(x)),
    "softplus": Row(lambda J, x: J.softplus(x), lambda x: _call("sigmoid", x)),
    "sin": Row(lambda J, x: J.sin(x), lambda x: _call("cos", x), parity=-1),
    "cos": Row(lambda J, x: J.cos(x), lambda x: mul(number(-1), _call("sin", x)), parity=1),
    "exp": Row(lambda J, x: J.exp(x), lambda x: _call("exp", x), G.EXPONENTIAL),
    "hermite": Row(
        lambda J, x, k: sum(c * x**i for i, c in enumerate(hermite_coefficients(int(k)))),
        lambda x, k: mul(number(sqrt(k)), _hermite(x, k - 1)) if k else number(0),
        G.PSEUDO_LIPSCHITZ,
        form=_hermite,
        constants=("degree",),
    ),
}


def fn(name: str, *constants: float) -> Fn:
    """The built-in function of that name, e.g. fn("leaky_relu", 0.2).

    Raises:
        KeyError: no such function; the message lists those that exist.
        ValueError: the wrong number of constants, or one outside its domain.
    """
    row = TABLE.get(name)
    if row is None:
        raise KeyError(f"no nonlinearity is called {name!r}; built in are {', '.join(sorted(TABLE))}")
    if len(constants) != len(row.constants):
        raise ValueError(f"{name} takes {len(row.constants)} constants ({', '.join(row.constants) or 'none'}), got {len(constants)}")
    least = LEAST_DEGREE.get(name)
    if not all(isfinite(c) for c in constants) or (least is not None and not (least <= constants[0] <= MAX_DEGREE and constants[0] % 1 == 0)):
        domain = "finite constants" if least is None else f"an integer from {least} to {MAX_DEGREE}"
        raise ValueError(f"{name} takes {domain}, got {', '.join(map(repr, constants))}")
    growth, parity, kinks = row.growth, row.parity, row.kinks
    if name == "hermite":
        parity = 1 if constants[0] % 2 == 0 else -1
    if name == "ramp" and constants[0] <= 1:
        growth = (G.DISTRIBUTION, G.POLYNOMIAL, G.LIPSCHITZ)[int(constants[0]) + 1]
        parity = 1 if constants[0] == -1 else 0
    return Fn(name, tuple(float(c) for c in constants), growth=growth, parity=parity, kinks=kinks)


def differentiated(f: Fn, order: tuple[int, ...]) -> Fn:
    """The partial derivative of f of that order: as smooth as f, or discontinuous where f has kinks."""
    if not any(order):
        return replace(f, order=order)
    return replace(f, order=order, growth=max(f.growth, G.POLYNOMIAL) if f.kinks else f.growth)


def named(name: str, constants: tuple[float, ...], order: tuple[int, ...], functions: Mapping[str, Fn]) -> Fn:
    """The function that a text means by a name: a user's from `functions`, else a built-in, with its derivatives taken.

    Raises:
        KeyError: no such function; the message lists those that exist.
        ValueError: wrong constants, or the wrong number of arguments.
    """
    f = functions[name] if name in functions else fn(name, *constants)
    if f.constants != constants:
        raise ValueError(f"{name} was given with the constants {f.constants}, the text has {constants}")
    if len(order) != f.arity:
        raise ValueError(f"{name} takes {f.arity} argument{'s' * (f.arity != 1)}, got {len(order)}")
    return differentiated(f, order)


def user_function(
    name: str, body: Callable[..., Any], *, arity: int = 1, growth: Growth = G.PSEUDO_LIPSCHITZ, parity: int = 0, kinks: tuple[float, ...] = ()
) -> Fn:
    """A user's own function: any JAX-traceable `body(x1..xk)` applied coordinate by coordinate.

    Raises:
        ValueError: the name belongs to a built-in function.
    """
    if name in TABLE:
        raise ValueError(f"{name!r} is built in; give your function another name")
    return Fn(name, (), (0,) * arity, body, growth, parity, kinks)


def derivative(f: Fn, args: tuple[Expr, ...], i: int = 0) -> Expr:
    """d f(args) / d args[i], as an expression."""
    row = TABLE.get(f.name) if f.body is None else None
    if row is not None and row.derivative is not None and sum(f.order) == 0:
        return row.derivative(*args, *f.constants)
    if f.growth is G.DISTRIBUTION:
        raise ValueError("the derivative of delta is not a function, and nothing here gives its expectation a meaning")
    return Apply(differentiated(f, tuple(o + (j == i) for j, o in enumerate(f.order))), args)


def form(f: Fn, x: Expr) -> Expr | None:
    """f(x) rewritten in the atoms of the exact engine, or None where f is an atom itself."""
    row = TABLE.get(f.name) if f.body is None else None
    return row.form(x, *f.constants) if row is not None and row.form is not None and sum(f.order) == 0 else None


def parity(f: Fn) -> int:
    """+1 even, -1 odd, 0 neither; each derivative turns the sign."""
    return f.parity * (-1) ** sum(f.order)
