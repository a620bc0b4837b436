"""The value of an OuterNonlin on arrays, shared by every interpreter that computes with arrays (Yang & Littwin 2023, Def. 2.6.1).

    y_a = mean over b1 .. bm of psi(X_a; X_b1; ..; X_bm; c)

takes time n^(m + 1) and, visited in chunks of own coordinates, memory n.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

import jax
import jax.numpy as jnp
from jax import Array

from tensorprog.interpret.expression import evaluate
from tensorprog.language.expr import Expr, Ref, copies, local_name, localized, walk

POINTS = 1 << 22  # values of psi held at a time


def outer(
    psi: Expr,
    own: Mapping[str, Array],
    others: Mapping[int, Mapping[str, Array]],
    axes: Mapping[str, tuple[str, ...]],
    vectors: frozenset[str],
    n: int,
) -> Array:
    """The array (*batch, *axes of psi, n) of an OuterNonlin.

    Args:
        own: the arrays of the variables at the own coordinate, in the layout of `interpret/expression.py`; also the scalars.
        others: for every k the arrays of the vectors at the coordinates that b_k runs over.
        axes: the named axes of each variable.
        vectors: the names that are vectors.
        n: the size of the width class of the result.
    """
    reads = {e for e in walk(psi) if isinstance(e, Ref)}
    local, names = localized(psi), {local_name(e): axes[e.name] for e in reads}
    scalars = {e.name: jnp.asarray(own[e.name]) for e in reads if e.name not in vectors}
    at = {0: own, **others}
    levels = [{local_name(e): at[k][e.name] for e in reads if e.copy == k and e.name in vectors} for k in (0, *copies(psi))]

    def mean(level: int, fixed: Mapping[str, Array], room: int) -> Array:
        """The average over b_level, b_(level + 1), .. with everything before fixed, as if those were scalars."""
        if level == len(levels) - 1:
            return evaluate(local, {**fixed, **levels[level]}, names, frozenset(levels[level])).mean(-1)
        return _each(lambda here, rest: mean(level + 1, {**fixed, **here}, rest), levels[level], room).mean(0)

    if not levels[0]:
        value = mean(1, scalars, POINTS)
        return jnp.broadcast_to(value[..., None], (*value.shape, n))
    positions = prod(jax.eval_shape(lambda: mean(1, {**scalars, **{x: a[..., 0] for x, a in levels[0].items()}}, 1)).shape)
    room = POINTS // (positions * max(a.shape[-1] for a in levels[-1].values()))
    return jnp.moveaxis(_each(lambda here, rest: mean(1, {**scalars, **here}, rest), levels[0], room), 0, -1)


def _each(f: Callable[[Mapping[str, Array], int], Array], arrays: Mapping[str, Array], room: int) -> Array:
    """f at every coordinate, at most `room` of them at a time; f is told what room is left to it."""
    columns = {name: jnp.moveaxis(jnp.asarray(a), -1, 0) for name, a in arrays.items()}
    count = next(iter(columns.values())).shape[0]
    chunk = max(1, min(room, count))
    if chunk == count:
        return jax.vmap(lambda here: f(here, room // chunk))(columns)
    return jax.lax.map(jax.checkpoint(lambda here: f(here, room // chunk)), columns, batch_size=chunk)
