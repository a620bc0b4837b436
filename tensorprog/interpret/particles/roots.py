"""Roots, the only randomness of a limit: standard normals, and the initial vectors as linear forms of them [init].

A root is one row of a D x M array of standard normals. The first `SOBOL` rows are scrambled Sobol points through the normal quantile (Owen 1997):
marginally N(0, 1), jointly more even than independent draws. Later rows, in dimensions where evenness no longer pays, are independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import qmc

from tensorprog.errors import InvalidProgram
from tensorprog.language.instr import Embedding, Gaussian, InitVector
from tensorprog.language.program import Program

Reals = NDArray[np.float64]
SOBOL = 64
RANK_CUT = 1e-12  # relative singular value below which inputs, or initial vectors, count as linearly dependent


@dataclass(frozen=True)
class Form:
    """mean + factor @ roots[dims]: jointly Gaussian members. `factor` is (members, roots); `shape` is (*batch, *axes), its product the members."""

    factor: Reals
    dims: NDArray[np.int64]
    shape: tuple[int, ...]
    mean: float = 0.0


class Normals:
    """The D x M array of roots in blocks of columns; a block is made again whenever it is asked for, the last one is kept."""

    def __init__(self, seed: int, samples: int, block: int, dims: int) -> None:
        self.seed, self.samples, self.block, self.dims = seed, samples, block, dims
        self._kept: tuple[int, Reals] | None = None

    def __len__(self) -> int:
        return self.samples // self.block

    def __getitem__(self, b: int) -> Reals:
        """Block b, of shape (D, block)."""
        if self._kept is None or self._kept[0] != b:
            self._kept = (b, np.concatenate([self._sobol(b), self._independent(b)]))
        return self._kept[1]

    def _sobol(self, b: int) -> Reals:
        engine = qmc.Sobol(min(self.dims, SOBOL), scramble=True, rng=np.random.default_rng(self.seed))
        if b:
            engine.fast_forward(b * self.block)
        half_step = 0.5**31  # points are multiples of 2^-30: never ask for the quantile of 0
        return ndtri(engine.random(self.block).T + half_step)

    def _independent(self, b: int) -> Reals:
        rest = max(0, self.dims - SOBOL)
        return np.random.default_rng([self.seed, b]).standard_normal((rest, self.block))


def initial_forms(program: Program, data: Mapping[str, Reals]) -> dict[str, Form]:
    """Every initial vector as a linear form of roots [init].

    Embeddings by the same matrix U are sigma U xi / sqrt(d): jointly Gaussian over data points, positions and vectors, Cov = sigma sigma' <xi, xi'> / d.
    Gaussian vectors are independent unless a `Covariance` joins them.

    Raises:
        InvalidProgram: a covariance that is not positive semidefinite.
    """
    forms: dict[str, Form] = {}
    first = 0
    for group in _groups(program):
        blocks = [_shape(program, v, data) for v in group]
        factor = _embedding_factor(group, data) if isinstance(group[0].law, Embedding) else _gaussian_factor(program, group)
        dims = np.arange(first, first + factor.shape[1])
        first += factor.shape[1]
        ends = np.cumsum([int(np.prod(shape)) for shape in blocks])
        for v, shape, part in zip(group, blocks, np.split(factor, ends[:-1]), strict=True):
            forms[v.name] = Form(part, dims, shape, v.law.mean if isinstance(v.law, Gaussian) else 0.0)
    return forms


def _groups(program: Program) -> list[list[InitVector]]:
    """Initial vectors that may be correlated: one embedding matrix, or a chain of stated covariances."""
    label = {v.name: v.law.matrix if isinstance(v.law, Embedding) else v.name for v in program.vectors}
    for c in program.covariances:
        a, b = label[c.a], label[c.b]
        label = {name: a if group == b else group for name, group in label.items()}
    groups: dict[tuple[bool, str], list[InitVector]] = {}
    for v in program.vectors:
        groups.setdefault((isinstance(v.law, Embedding), label[v.name]), []).append(v)
    return list(groups.values())


def _shape(program: Program, v: InitVector, data: Mapping[str, Reals]) -> tuple[int, ...]:
    match v.law:
        case Embedding(_, name, _):
            return data[name].shape[:-1]
        case Gaussian():
            return tuple(program.size[a] for a in sorted(v.axes))


def _embedding_factor(group: Sequence[InitVector], data: Mapping[str, Reals]) -> Reals:
    """L with L L^T = sigma sigma' <xi, xi'> / d, of full column rank, its columns in order of decreasing variance."""
    laws = [v.law for v in group if isinstance(v.law, Embedding)]
    rows = np.concatenate([law.sigma * data[law.input].reshape(-1, data[law.input].shape[-1]) for law in laws])
    u, s, _ = np.linalg.svd(rows / np.sqrt(rows.shape[1]), full_matrices=False)
    keep = s > RANK_CUT * s.max(initial=0.0)
    return u[:, keep] * s[keep]


def _gaussian_factor(program: Program, group: Sequence[InitVector]) -> Reals:
    """L with L L^T the joint covariance of the group, by eigenvectors: a singular covariance is legal."""
    shapes = [tuple(program.size[a] for a in sorted(v.axes)) for v in group]
    ends = np.cumsum([0, *(int(np.prod(s)) for s in shapes)])
    where = {v.name: slice(ends[i], ends[i + 1]) for i, v in enumerate(group)}
    covariance = np.zeros((ends[-1], ends[-1]))
    for v in group:
        np.fill_diagonal(covariance[where[v.name], where[v.name]], v.law.variance if isinstance(v.law, Gaussian) else 0.0)
    for c in program.covariances:
        if c.a in where:
            block = _stated(program, c.a, c.b, c.values)
            covariance[where[c.a], where[c.b]], covariance[where[c.b], where[c.a]] = block, block.T
    if not covariance[~np.eye(len(covariance), dtype=bool)].any() and (covariance.diagonal() >= 0).all():
        return np.diag(np.sqrt(covariance.diagonal()))[:, covariance.diagonal() > 0]
    w, q = np.linalg.eigh(covariance)
    if w.min() < -1e-9 * max(w.max(), 1e-300):
        names = ", ".join(v.name for v in group)
        raise InvalidProgram(f"[init] the covariance of {names} has the eigenvalue {w.min():.3g}. Give one that is positive semidefinite.")
    keep = w > RANK_CUT * w.max()
    return (q[:, keep] * np.sqrt(w[keep]))[:, ::-1]


def _stated(program: Program, a: str, b: str, values: tuple[float, ...]) -> Reals:
    """The stated values, row-major over the axes as declared, as a matrix over members in sorted axis order."""
    declared = [program.init[name].axes for name in (a, b)]
    names = [(side, axis) for side, axes in enumerate(declared) for axis in axes]
    order = [names.index((side, axis)) for side, axes in enumerate(declared) for axis in sorted(axes)]
    cube = np.array(values).reshape([program.size[axis] for _, axis in names]).transpose(order)
    return cube.reshape(int(np.prod([program.size[x] for x in declared[0]])), -1)
