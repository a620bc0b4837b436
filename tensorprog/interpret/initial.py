"""The joint law of the initial Gaussian vectors, as mean + root times independent N(0, 1) (Yang & Littwin 2021, Def. 4.2).

The law acts on positions, not on coordinates: a member (vector, position) has covariances with other members, and every coordinate is an
independent draw. The root is the symmetric one, of the eigendecomposition: singular covariances are legal.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from math import prod, sqrt

import jax.numpy as jnp
import networkx as nx
import numpy as np
from jax import Array
from numpy.typing import NDArray

from tensorprog.errors import InvalidProgram
from tensorprog.language.instr import Gaussian, InitVector
from tensorprog.language.program import Program

CLIP = 1e-10  # eigenvalues above -CLIP * largest are rounding, below they are an indefinite matrix


def gaussians(program: Program) -> dict[str, InitVector]:
    """The initial vectors that are not embeddings."""
    return {v.name: v for v in program.vectors if isinstance(v.law, Gaussian)}


def groups(program: Program) -> tuple[tuple[str, ...], ...]:
    """The initial vectors that some `Covariance` joins, in the order of the program; vectors that stand in none are left out."""
    graph = nx.Graph((c.a, c.b) for c in program.covariances)
    order = [v.name for v in program.vectors]
    return tuple(tuple(sorted(part, key=order.index)) for part in nx.connected_components(graph))


def positions(program: Program, vector: InitVector) -> tuple[int, ...]:
    """The sizes of a vector's axes, sorted by name."""
    return tuple(program.size[a] for a in sorted(vector.axes))


def covariance(program: Program, names: tuple[str, ...]) -> NDArray[np.float64]:
    """The covariance matrix of all members of `names`, members of a vector in row-major order of its sorted axes."""
    law = {v.name: v for v in program.vectors}
    sizes = [prod(positions(program, law[name])) for name in names]
    start = dict(zip(names, np.cumsum([0, *sizes]), strict=False))
    out = np.diag(np.concatenate([np.full(size, _variance(law[name])) for name, size in zip(names, sizes, strict=True)]))
    for c in program.covariances:
        if c.a in start and c.b in start:
            values = _sorted_axes(np.asarray(c.values, dtype=float), program, (law[c.a], law[c.b]))
            rows, cols = slice(start[c.a], start[c.a] + len(values)), slice(start[c.b], start[c.b] + values.shape[1])
            out[rows, cols] = values
            out[cols, rows] = values.T
    return out


def root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The symmetric square root of a positive semi-definite matrix.

    Raises:
        InvalidProgram: the matrix is not symmetric, or has a negative eigenvalue beyond rounding.
    """
    if not np.allclose(matrix, matrix.T, rtol=1e-12, atol=0.0):
        raise InvalidProgram("[init] the covariance of initial vectors is not symmetric. Give C(a, b) = C(b, a).")
    values, vectors = np.linalg.eigh(matrix)
    if values[0] < -CLIP * max(values[-1], 0.0) or (values[-1] <= 0.0 and values[0] < 0.0):
        raise InvalidProgram(f"[init] the covariance of initial vectors is indefinite: eigenvalue {values[0]:.3g}. Give a semi-definite one.")
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def shares(program: Program, name: str) -> dict[tuple[str, str], NDArray[np.float64]]:
    """What the unit draws of one vector are of the covariance of any two of its group: root_{a, name} root_{name, b}, (*axes of a, *axes of b).

    Over the vectors of a group these add up to the covariance. Empty for a vector that no `Covariance` joins.
    """
    vectors = gaussians(program)
    group = next((names for names in groups(program) if name in names), ())
    shapes = {a: positions(program, vectors[a]) for a in group}
    cuts = np.cumsum([prod(shape) for shape in shapes.values()])[:-1]
    drawn = np.split(root(covariance(program, group)), cuts, axis=1)[group.index(name)] if group else np.zeros((0, 0))
    rows = dict(zip(group, np.split(drawn, cuts), strict=True)) if group else {}
    return {(a, b): (rows[a] @ rows[b].T).reshape((*shapes[a], *shapes[b])) for a in group for b in group}


def scale(program: Program, units: Mapping[str, Array]) -> dict[str, Array]:
    """root(covariance) applied to arrays (*batch, *axes, n), one a Gaussian initial vector: unit draws to the joint law about mean 0.

    The root is symmetric, so the same map takes gradients with respect to the vectors to gradients with respect to the units.
    """
    vectors = gaussians(program)
    out = {name: sqrt(_variance(v)) * units[name] for name, v in vectors.items()}
    for names in groups(program):
        shapes = {name: positions(program, vectors[name]) for name in names}
        flat = [_flatten(units[name], len(shapes[name])) for name in names]
        batch = reduce(jnp.broadcast_shapes, (a.shape[:-2] for a in flat))
        stacked = jnp.concatenate([jnp.broadcast_to(a, (*batch, *a.shape[-2:])) for a in flat], axis=-2)
        mixed = jnp.asarray(root(covariance(program, names)), stacked.dtype) @ stacked
        cuts = np.cumsum([prod(shape) for shape in shapes.values()])[:-1]
        for name, part in zip(names, jnp.split(mixed, cuts, axis=-2), strict=True):
            out[name] = part.reshape(*batch, *shapes[name], part.shape[-1])
    return out


def _flatten(a: Array, axes: int) -> Array:
    batch = a.ndim - axes - 1
    return a.reshape(*a.shape[:batch], prod(a.shape[batch:-1]), a.shape[-1])


def _variance(v: InitVector) -> float:
    return v.law.variance if isinstance(v.law, Gaussian) else 0.0


def _sorted_axes(values: NDArray[np.float64], program: Program, pair: tuple[InitVector, InitVector]) -> NDArray[np.float64]:
    """values over (a's axes, b's axes) as declared -> a matrix over the members in sorted order."""
    shape = [program.size[axis] for v in pair for axis in v.axes]
    order, offset = list[int](), 0
    for v in pair:
        order += [offset + v.axes.index(axis) for axis in sorted(v.axes)]
        offset += len(v.axes)
    rows = prod(program.size[axis] for axis in pair[0].axes)
    return values.reshape(shape).transpose(order).reshape(rows, -1)
