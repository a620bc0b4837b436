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
    target = sizes[op.ranks[op.member] :]
    blocks = [[_matrix(read, c, m, n) for c, n in zip(row, op.ranks, strict=True)] for row, m in zip(op.covariances, op.ranks, strict=True)]
    right = [_matrix(read, b, m, len(target), target) for b, m in zip(op.moments, op.ranks, strict=True)]
    values, vectors = eigh(stacked(blocks))
    size = jnp.abs(values).max(-1, keepdims=True, initial=0.0)
    alive = jnp.abs(values) > 1e-10 * size
    solved = (vectors * jnp.where(alive, 1 / jnp.where(alive, values, 1.0), 0.0)[..., None, :]) @ (vectors.mT @ stacked([[b] for b in right]))
    counts = [a.shape[-2] for a in right]
    start = sum(counts[: op.member])
    return solved[:, :, start : start + counts[op.member]].reshape(*solved.shape[:2], *sizes)


def _matrix(read: Read, s: S, rows: int, columns: int, target: tuple[int, ...] | None = None) -> Array:
    """s over the indices 0 .. rows - 1 and rows .. rows + columns - 1 as a matrix; indices that s lacks are broadcast to `target`."""
    a = read(s, tuple(range(rows + columns)))
    full = a if target is None else jnp.broadcast_to(a, (*a.shape[: 2 + rows], *target))
    return full.reshape(*full.shape[:2], prod(full.shape[2 : 2 + rows]), prod(full.shape[2 + rows :]))
