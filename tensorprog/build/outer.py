"""tp.outer: a function of several coordinates, averaged over all but the own one (Yang & Littwin 2023, "Tensor Programs IVb", Def. 2.6.1)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from tensorprog.build.declare import BASE
from tensorprog.build.value import Coordinate, Outer, Value, coordinates_of, noun
from tensorprog.errors import InvalidProgram


def outer(psi: Callable[..., Any]) -> Value:
    """The vector y_a = (1/n) sum_b psi: `tp.outer(lambda b: tp.sign(u * v[b]) * z[b])` is y_a = (1/n) sum_b sign(u_a v_b) z_b.

    Inside, v[b] is v at the coordinate b, and u is u at the own coordinate a. With two parameters, `lambda b, c: ..`, the average is over all pairs.

    Raises:
        InvalidProgram: psi has no parameter, does not read one of its coordinates, or is no value.
    """
    others = tuple(Coordinate() for _ in inspect.signature(psi).parameters)
    if not others:
        raise InvalidProgram("[outer] the function has no parameter. Write tp.outer(lambda b: tp.sign(u * v[b])): b is the other coordinate.")
    value = psi(*others)
    if not isinstance(value, Value):
        raise InvalidProgram(f"[outer] the function returns {noun(value)}. It returns an expression in vectors, such as tp.sign(u * v[b]).")
    read = coordinates_of(value)
    for k, b in enumerate(others, 1):
        if b not in read:
            raise InvalidProgram(f"[outer] nothing is read at coordinate {k}. Write v[b] for v at the coordinate b, or leave the parameter out.")
    if set(read) - set(others):
        raise InvalidProgram("[outer] it reads a coordinate of another tp.outer around it. Give that one two parameters: lambda b, c: ..")
    return Value(value.axes, Outer(value, others), value.width or BASE)
