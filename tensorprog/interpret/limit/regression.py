"""[matmul-dot] by Stein's lemma: a = C^+ b from the arrays of C and b (Yang & Littwin 2021, Remark B.6)."""

from __future__ import annotations

from math import prod

import jax.numpy as jnp
from jax import Array

from tensorprog.gaussian.jacobi import eigh
from tensorprog.interpret.limit.scalar import Regression, S
from tensorprog.interpret.limit.squares import Read, stacked


def regression(op: Regression, sizes: tuple[int, ...], read: Read) -> Array:
    """The entry of C^+ b that `op` names, (N1, N2, *sizes); eigenvalues below 1e-10 of the largest are 0 (duplicated products make C singular)."""
    target = sizes[len(op.roots[op.member]) :]
    blocks = [[_matrix(read, c, m, n) for c, n in zip(row, op.roots, strict=True)] for row, m in zip(op.covariances, op.roots, strict=True)]
    right = [_matrix(read, b, m, target) for b, m in zip(op.moments, op.roots, strict=True)]
    values, vectors = eigh(stacked(blocks))
    size = jnp.abs(values).max(-1, keepdims=True, initial=0.0)
    alive = jnp.abs(values) > 1e-10 * size
    solved = (vectors * jnp.where(alive, 1 / jnp.where(alive, values, 1.0), 0.0)[..., None, :]) @ (vectors.mT @ stacked([[b] for b in right]))
    counts = [a.shape[-2] for a in right]
    start = sum(counts[: op.member])
    return solved[:, :, start : start + counts[op.member]].reshape(*solved.shape[:2], *sizes)


def _matrix(read: Read, s: S, rows: tuple[int, ...], columns: tuple[int, ...]) -> Array:
    """s over indices of the sizes `rows`, and then `columns`, as a matrix; indices that s lacks are broadcast."""
    a = read(s, tuple(range(len(rows) + len(columns))))
    return jnp.broadcast_to(a, (*a.shape[:2], *rows, *columns)).reshape(*a.shape[:2], prod(rows), prod(columns))
