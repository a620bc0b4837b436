"""The value of an expression on arrays, shared by every interpreter that computes with arrays (Nonlin and Moment bodies).

Layout. A vector's array has shape (*batch, *axes, n): leading batch dimensions that broadcast as in numpy, then its named axes sorted
by name, then coordinates. A scalar's array has shape (*batch, *axes).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import add as plus
from operator import mul as times
from string import ascii_letters
from typing import assert_never

import jax
import jax.numpy as jnp
from jax import Array

from tensorprog.gaussian.functions import function
from tensorprog.language.expr import Add, Apply, Expr, Gather, Mul, Number, Power, Ref, Softmax, Sum, Tensor, walk

COORDINATE = ""  # the name of the last dimension, beside those of axes

Part = tuple[Array, tuple[str, ...]]  # a factor, and the axes that it has


def evaluate(e: Expr, values: Mapping[str, Array], axes: Mapping[str, tuple[str, ...]], vectors: frozenset[str] | set[str]) -> Array:
    """The array of `e`, with shape (*batch, *axes_of(e), n), or without n where `e` reads no vector.

    Args:
        values: an array for every variable that `e` reads, in the layout above.
        axes: the (sorted) named axes of each variable.
        vectors: the names that are vectors (the others are scalars).
    """
    has_vector = any(isinstance(node, Ref) and node.name in vectors for node in walk(e))
    out, _ = _value(e, values, axes, vectors, 1 if has_vector else 0)
    return out


def average(e: Expr, values: Mapping[str, Array], axes: Mapping[str, tuple[str, ...]], vectors: frozenset[str] | set[str]) -> Array:
    """The mean over the coordinates of an `e` that reads a vector, with shape (*batch, *axes_of(e))."""
    parts = [_value(factor, values, axes, vectors, 1) for factor in (e.factors if isinstance(e, Mul) else (e,))]
    return _summed(parts, COORDINATE, 1)[0] / max(a.shape[-1] for a, _ in parts)


def align(a: Array, own: tuple[str, ...], target: tuple[str, ...], trailing: int) -> Array:
    """Insert axes of size 1 so that an array over `own` broadcasts over `target` (both sorted)."""
    batch = a.ndim - len(own) - trailing
    shape = list(a.shape[:batch])
    sizes = dict(zip(own, a.shape[batch : batch + len(own)], strict=True))
    shape += [sizes.get(name, 1) for name in target]
    return a.reshape(*shape, *a.shape[a.ndim - trailing :] if trailing else ())


def take(a: Array, position: int, index: tuple[int, ...]) -> Array:
    """a[.., index, ..] along one dimension, with 0 where the index is -1."""
    if index == tuple(range(a.shape[position])):
        return a
    out = jnp.take(a, jnp.array([max(i, 0) for i in index]), axis=position)
    if min(index) >= 0:
        return out
    keep = jnp.array([i >= 0 for i in index]).reshape([-1 if d == position % a.ndim else 1 for d in range(a.ndim)])
    return jnp.where(keep, out, 0)


def _value(e: Expr, values: Mapping[str, Array], axes: Mapping[str, tuple[str, ...]], vectors: frozenset[str] | set[str], trailing: int) -> Part:
    def below(arg: Expr) -> Part:
        return _value(arg, values, axes, vectors, trailing)

    def together(args: tuple[Expr, ...]) -> tuple[list[Array], tuple[str, ...]]:
        return _aligned([below(arg) for arg in args], trailing)

    match e:
        case Ref(name):
            a = jnp.asarray(values[name])
            return (a[..., None] if trailing and name not in vectors else a), tuple(axes[name])
        case Number(value):
            return jnp.full((1,) * trailing, value), ()
        case Tensor(own, shape, entries):
            target = tuple(sorted(own))
            a = jnp.array(entries, jnp.result_type(1.0, *values.values())).reshape(shape).transpose([own.index(name) for name in target])
            return (a[..., None] if trailing else a), target
        case Add(terms):
            parts, target = together(terms)
            return reduce(plus, parts), target
        case Mul(factors):
            parts, target = together(factors)
            return reduce(times, parts), target
        case Power(base, exponent):
            a, own = below(base)
            return (a ** int(exponent) if float(exponent).is_integer() else a**exponent), own
        case Apply(fn, args):
            parts, target = together(args)
            return function(fn)(*parts), target
        case Sum(axis, arg):
            return _summed([below(factor) for factor in (arg.factors if isinstance(arg, Mul) else (arg,))], axis, trailing)
        case Gather(arg, axis, into, index):
            a, own = below(arg)
            at = _position(own, axis, trailing)
            if into is None:
                taken = take(a, at, index)
                return jnp.squeeze(taken, at), _without(own, axis)
            renamed = tuple(into if name == axis else name for name in own)
            target = tuple(sorted(renamed))
            taken = take(a, at, index)
            batch = a.ndim - len(own) - trailing
            order = [*range(batch), *(batch + renamed.index(name) for name in target), *range(batch + len(own), a.ndim)]
            return taken.transpose(order), target
        case Softmax(axis, arg):
            a, own = below(arg)
            return jax.nn.softmax(a, axis=_position(own, axis, trailing)), own
        case _:
            assert_never(e)


def _aligned(parts: list[Part], trailing: int) -> tuple[list[Array], tuple[str, ...]]:
    target = tuple(sorted({name for _, own in parts for name in own}))
    return [align(a, own, target, trailing) for a, own in parts], target


def _summed(factors: list[Part], over: str, trailing: int) -> Part:
    """The sum of a product over an axis or over coordinates; with dimensions `trailing` behind, unless over coordinates.

    Where the product is larger than each factor (queries and keys at all pairs of positions), it is contracted and never formed.
    """
    names = [(*own, COORDINATE) if trailing and a.shape[-1] > 1 else own for a, own in factors]
    present = sorted({name for own in names for name in own})
    if over in present and all(len(own) < len(present) for own in names):
        return _contracted(factors, names, present, over, trailing)
    parts, target = _aligned(factors, trailing)
    product = reduce(times, parts)
    return (product.sum(-1), target) if over == COORDINATE else (product.sum(_position(target, over, trailing)), _without(target, over))


def _contracted(factors: list[Part], names: list[tuple[str, ...]], present: list[str], over: str, trailing: int) -> Part:
    letter = dict(zip(present, ascii_letters, strict=False))
    target = _without(tuple(present), over)
    if COORDINATE in target:
        target = (*_without(target, COORDINATE), COORDINATE)
    operands = (a[..., 0] if trailing and COORDINATE not in own else a for (a, _), own in zip(factors, names, strict=True))
    terms = ["..." + "".join(letter[name] for name in own) for own in (*names, target)]
    out = jnp.einsum(f"{','.join(terms[:-1])}->{terms[-1]}", *operands)
    return (out[..., None] if trailing and COORDINATE not in (*target, over) else out), _without(target, COORDINATE)


def _without(own: tuple[str, ...], axis: str) -> tuple[str, ...]:
    return tuple(name for name in own if name != axis)


def _position(own: tuple[str, ...], axis: str, trailing: int) -> int:
    return own.index(axis) - len(own) - trailing
