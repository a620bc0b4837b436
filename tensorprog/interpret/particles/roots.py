"""Roots, the only randomness of a limit: standard normals, and the initial vectors as linear forms of them [init].

A root is one row of a D x M array of standard normals. The first `SOBOL` rows are scrambled Sobol points through the normal quantile (Owen 1997):
marginally N(0, 1), jointly more even than independent draws. Later rows, in dimensions where evenness no longer pays, are independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.initial import covariance, gaussians, groups, positions, root
from tensorprog.language.instr import Embedding, Gaussian, InitVector
from tensorprog.language.program import Program

Reals = NDArray[np.float64]
SOBOL = 64
DATA_CUT, LAW_CUT = 1e-12, 1e-7  # singular values, relative to the largest, below which inputs, or initial vectors, count as linearly dependent


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

    def release(self) -> None:
        self._kept = None

    def _sobol(self, b: int) -> Reals:
        from scipy.stats import qmc  # which takes longer to import than JAX

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

    Embeddings by the same matrix U are sigma U xi / sqrt(d): jointly Gaussian over data points, positions and vectors, with
    Cov = sigma sigma' <xi, xi'> / d. Gaussian vectors are independent unless a `Covariance` joins them.

    Raises:
        InvalidProgram: a covariance that is not positive semidefinite.
    """
    law = {v.name: v for v in program.vectors}
    embedded: dict[str, list[str]] = {}
    for v in program.vectors:
        if isinstance(v.law, Embedding):
            embedded.setdefault(v.law.matrix, []).append(v.name)
    joined = groups(program)
    alone = [(name,) for name in gaussians(program) if not any(name in group for group in joined)]
    factors = [(names, _embedding_factor([law[name] for name in names], data)) for names in embedded.values()]
    factors += [(names, _full_rank(root(covariance(program, names)), LAW_CUT)) for names in (*joined, *alone)]
    forms: dict[str, Form] = {}
    first = 0
    for names, factor in factors:
        dims, start = np.arange(first, first + factor.shape[1]), 0
        first += factor.shape[1]
        for name in names:
            forms[name] = _form(program, law[name], data, factor[start:], dims)
            start += len(forms[name].factor)
    return forms


def _form(program: Program, v: InitVector, data: Mapping[str, Reals], rows: Reals, dims: NDArray[np.int64]) -> Form:
    match v.law:
        case Embedding(_, name, _):
            shape, mean = data[name].shape[:-1], 0.0
        case Gaussian(mean, _):
            shape = positions(program, v)
    return Form(rows[: prod(shape)], dims, shape, mean)


def _embedding_factor(group: Sequence[InitVector], data: Mapping[str, Reals]) -> Reals:
    """L with L L^T = sigma sigma' <xi, xi'> / d, of full column rank, its columns in order of decreasing variance."""
    laws = [v.law for v in group if isinstance(v.law, Embedding)]
    if len({data[law.input].shape[-1] for law in laws}) > 1:
        raise InvalidProgram(f"[init] {laws[0].matrix} multiplies inputs of different dimension. Give each its own matrix.")
    rows = np.concatenate([law.sigma * data[law.input].reshape(-1, data[law.input].shape[-1]) for law in laws])
    return _full_rank(rows / np.sqrt(rows.shape[1]), DATA_CUT)


def _full_rank(a: Reals, cut: float) -> Reals:
    """L with L L^T = a a^T and as many columns as the rank of a, the largest first."""
    u, s, _ = np.linalg.svd(a, full_matrices=False)
    keep = s > cut * s.max(initial=0.0)
    return u[:, keep] * s[keep]
