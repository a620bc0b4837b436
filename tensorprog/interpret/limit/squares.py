"""The law of a Gaussian mixture's forms: sums of squares in coordinates where they are z^T M z, and what else is a function of that z."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array

from tensorprog.gaussian.jacobi import eigh
from tensorprog.interpret.limit.scalar import At, Index, S
from tensorprog.interpret.limit.variable import Use

Read = Callable[[S, tuple[Index, ...]], Array]  # the array of a scalar, (N1, N2, *positions), its positions in an order
CUT = 1e-12  # eigenvalues and residual variances below this part of the whole are 0


@dataclass(frozen=True, eq=False)
class Quadratic:
    """Q^{-power}, Q = offset + sum weights * form^2."""

    power: float
    offset: float
    forms: tuple[Use, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Law:
    """The forms of the squares are R z, coordinate m is loads[m] . z + something independent; z standard normal.

    Attributes:
        squares: of each sum, R^T diag(weights) R over its mean `scale`.
        rank, ranks: how many squares there are in truth, in all and in each sum (the least over the data).
        carried: of each sum, which coordinates are functions of its forms.
        rest: covariances of the coordinates beyond z.
    """

    squares: tuple[Array, ...]
    scale: tuple[Array, ...]
    rank: Array
    ranks: tuple[Array, ...]
    carried: tuple[list[Array], ...]
    loads: list[Array]
    rest: dict[tuple[int, int], Array]


def law(sums: list[Quadratic], gram: Array, onto: list[Array], cov: Callable[[int, int], Array]) -> Law:
    """The law from covariances over (N1, N2, positions or 1).

    Args:
        gram: of all forms of the squares, (.., forms, forms).
        onto: of each coordinate with the forms, (.., forms).
        cov: of two coordinates.
    """
    mains = len(onto)
    values, vectors = eigh(gram)
    alive = values > CUT * values[..., -1:]
    root = vectors * jnp.sqrt(jnp.where(alive, values, 0.0))[..., None, :]  # gram = root root^T
    inverse = vectors * jnp.where(alive, jnp.where(alive, values, 1.0) ** -0.5, 0.0)[..., None, :]
    loads = [(c[..., None, :] @ inverse)[..., 0, :] for c in onto]
    rest = {(i, j): _residual(cov, loads, i, j) for i in range(mains) for j in range(i, mains)}
    squares, scales, ranks, carried, start = list[Array](), list[Array](), list[Array](), list[list[Array]](), 0
    for q in sums:
        own = root[..., start : start + len(q.forms), :]
        whole = own.mT @ (jnp.array(q.weights)[:, None] * own)
        scales.append(q.offset + jnp.trace(whole, axis1=-2, axis2=-1))
        squares.append(whole / scales[-1][..., None, None])
        rank, inside = _span(squares[-1], loads)
        ranks.append(rank)
        carried.append([jnp.all(rest[m, m] == 0) & inside[m] for m in range(mains)])
        start += len(q.forms)
    return Law(tuple(squares), tuple(scales), alive.sum(-1).min(), tuple(ranks), tuple(carried), loads, rest)


def _residual(cov: Callable[[int, int], Array], loads: list[Array], i: int, j: int) -> Array:
    """What of Cov(i, j) the squares do not carry; exactly 0 where it is rounding."""
    c = cov(i, j)
    left = c - (loads[i] * loads[j]).sum(-1)
    size = jnp.sqrt(cov(i, i) * cov(j, j))
    return jnp.where(jnp.abs(left) <= 1e-10 * size, 0.0, left)


def _span(squares: Array, loads: list[Array]) -> tuple[Array, list[Array]]:
    """The rank of a sum of squares, the least over the data, and which coordinates it carries whole."""
    values, vectors = eigh(squares)
    dead = vectors * jnp.where(values > CUT, 0.0, 1.0)[..., None, :]
    beyond = [((l[..., None, :] @ dead) ** 2).sum((-1, -2)) for l in loads]
    return (values > CUT).sum(-1).min(), [jnp.all(b <= 1e-10 * (l**2).sum(-1)) for b, l in zip(beyond, loads, strict=True)]


def stacked(rows: list[list[Array]]) -> Array:
    """A matrix of matrices, in the last two dimensions; the others broadcast."""
    lead = jnp.broadcast_shapes(*(a.shape[:-2] for row in rows for a in row))
    return jnp.concatenate([jnp.concatenate([jnp.broadcast_to(a, (*lead, *a.shape[-2:])) for a in row], -1) for row in rows], -2)


def side_by_side(scalars: list[S], sizes: tuple[int, ...], read: Read) -> Array:
    """Scalars side by side, (N1, N2, positions or 1, scalars); read together where they are one array at several fixed positions."""
    ranks, first = tuple(range(len(sizes))), scalars[0]
    fixed = [k for k, name in enumerate(first.idx) if isinstance(name, At)]
    names = tuple(len(sizes) + k if k in fixed else name for k, name in enumerate(first.idx))

    def alike(s: S) -> bool:
        return s.node is first.node and all(isinstance(n, At) if k in fixed else n == names[k] for k, n in enumerate(s.idx))

    if all(map(alike, scalars)):
        a = read(S(first.node, names), (*ranks, *(len(sizes) + k for k in fixed)))
        places = ([i.position for s in scalars for i in [s.idx[k]] if isinstance(i, At)] for k in fixed)
        at = [jnp.minimum(jnp.array(p), a.shape[2 + len(sizes) + d] - 1) for d, p in enumerate(places)]
        a = a[(..., *at)] if fixed else jnp.repeat(a[..., None], len(scalars), -1)
    else:
        a = jnp.stack(jnp.broadcast_arrays(*(read(s, ranks) for s in scalars)), -1)
    if all(n == 1 for n in a.shape[2:-1]):
        return a.reshape(*a.shape[:2], 1, -1)
    return jnp.broadcast_to(a, (*a.shape[:2], *sizes, a.shape[-1])).reshape(*a.shape[:2], -1, a.shape[-1])
