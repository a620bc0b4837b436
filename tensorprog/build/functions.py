"""Functions of values: named nonlinearities, moments, softmax, mixing along an axis (Yang & Littwin 2021, Def. B.1)."""

# Arguments come from people, who are told what they mixed up, so types are checked at run time too.
# pyright: reportUnnecessaryIsInstance=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from tensorprog.build.value import Average, Value, noun, pointwise
from tensorprog.errors import InvalidProgram
from tensorprog.language.expr import Apply, Expr, Fn, Growth, Softmax, add, mul, one_hot
from tensorprog.language.instr import Axis
from tensorprog.language.nonlin import TABLE, fn, user_function

Nonlinearity: TypeAlias = Callable[..., Value]


@dataclass(frozen=True)
class Function:
    """A coordinatewise function that can be called on values."""

    fn: Fn

    @property
    def noun(self) -> str:
        return f"the function {self.fn.name}"

    def __call__(self, *args: Value) -> Value:
        """The function of vectors, coordinate by coordinate, or of scalars.

        Raises:
            InvalidProgram: the wrong number of arguments, or an argument that is no value.
        """
        if len(args) != self.fn.arity:
            raise InvalidProgram(f"[{self.fn.name}] takes {self.fn.arity} argument(s), got {len(args)}.")
        for x in args:
            if not isinstance(x, Value):
                raise InvalidProgram(f"[{self.fn.name}] is a function of vectors and scalars, not of {noun(x)}.")
        return pointwise(self.fn.name, lambda *e: Apply(self.fn, e), *args)


def builtin(name: str, *constants: float) -> Function:
    """The built-in function of that name.

    Raises:
        InvalidProgram: there is none, or it takes other constants.
    """
    if name not in TABLE:
        known = ", ".join(sorted(TABLE))
        raise InvalidProgram(f"[function] no nonlinearity is called {name!r}; built in are {known}. Your own: tp.nonlinearity(name, body).")
    try:
        return Function(fn(name, *constants))
    except (ValueError, TypeError) as error:
        raise InvalidProgram(f"[function] {error}. Call tp.{name} with such constants.") from error


identity, relu, step, abs_, sign = (builtin(name) for name in ("identity", "relu", "step", "abs", "sign"))
erf, gauss, tanh, sigmoid, softplus = (builtin(name) for name in ("erf", "gaussian", "tanh", "sigmoid", "softplus"))
gelu, gelu_tanh, silu = (builtin(name) for name in ("gelu", "gelu_tanh", "silu"))
sin, cos, exp = (builtin(name) for name in ("sin", "cos", "exp"))


# gauss(x) = e^(-x^2) is "gaussian" in a program's text; that name belongs to the package tensorprog.gaussian.


def leaky_relu(slope: float = 0.01) -> Function:
    """x -> x for x > 0, slope * x otherwise."""
    return builtin("leaky_relu", slope)


def abrelu(left: float, right: float) -> Function:
    """x -> right * x for x > 0, left * x otherwise."""
    return builtin("abrelu", left, right)


def ramp(power: int) -> Function:
    """x -> 1[x > 0] x^power, for power = 0, 1, .."""
    return builtin("ramp", power)


def hermite(degree: int) -> Function:
    """The normalized Hermite polynomial of that degree."""
    return builtin("hermite", degree)


def sqrt(x: Value) -> Value:
    """x^(1/2)."""
    return x**0.5


def nonlinearity(
    name: str | Nonlinearity,
    body: Callable[..., Any] | None = None,
    *,
    arity: int = 1,
    growth: Growth = Growth.PSEUDO_LIPSCHITZ,
    parity: int = 0,
    kinks: tuple[float, ...] = (),
) -> Nonlinearity:
    """Your own function: any JAX-traceable `body(x1, .., xk)`, applied coordinate by coordinate.

    Without a body it is the built-in function of that name; a function of values is returned as it is, so that an option may be either.

    Args:
        growth: how fast it grows, which decides which Master Theorem applies.
        parity: +1 for an even function, -1 for an odd one.
        kinks: where it or its first derivative jumps.
    """
    if not isinstance(name, str):
        return name
    if body is None:
        return builtin(name)
    if name in TABLE:
        raise InvalidProgram(f"[function] {name!r} is built in. Give your function another name.")
    return Function(user_function(name, body, arity=arity, growth=growth, parity=parity, kinks=kinks))


def moment(x: Value) -> Value:
    """The scalar (1/n) sum over coordinates of x, e.g. moment(x * y) = x^T y / n; one for every position of x's axes."""
    if not isinstance(x, Value) or x.width is None:
        raise InvalidProgram(f"[moment] is the average over the coordinates of a vector, not of {noun(x)}.")
    return Value(x.axes, Average(x), None)


def softmax(c: Value, axis: str) -> Value:
    """exp(c_j) / sum_j exp(c_j) along a named axis; of scalars."""
    if not isinstance(c, Value) or c.width is not None:
        raise InvalidProgram(f"[softmax] is a function of scalars over an axis, such as the logits tp.moment(q * k), not of {noun(c)}.")
    c.size(axis)
    return c.along(lambda e: Softmax(axis, e), c.axes)


def mix(weights: Value, values: Value, axis: str) -> Value:
    """sum_j a_j u_j along a named axis: attention's output, a graph convolution, a mean with weights."""
    return (weights * values).sum(axis)


def stack(members: Sequence[Value], axis: str) -> Value:
    """The family over a new axis with these members, in order; the inverse of unstack.

    Raises:
        InvalidProgram: no members, or one that already has this axis.
    """
    if not members:
        raise InvalidProgram(f"[stack] nothing to stack along {axis!r}.")
    for x in members:
        if any(own.name == axis for own in x.axes):
            raise InvalidProgram(f"[stack] {x.describe()} already has an axis {axis!r}. Choose another name.")
    places = [one_hot(axis, len(members), i) for i in range(len(members))]

    def psi(*es: Expr) -> Expr:
        return add(*(mul(place, e) for place, e in zip(places, es, strict=True)))

    return pointwise("stack", psi, *members, new=(Axis(axis, len(members)),))
