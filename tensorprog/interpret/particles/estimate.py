"""Answers by sampling: the mean over independent replicates of the construction, and its standard error.

Bias. Moments of M samples enter nonlinearly, so that a replicate in which a matrix multiplies k members is biased by O(k / M). The standard error,
taken from the spread of the replicates, does not see it; k^2 < M keeps it below. An OuterNonlin that does not factorize is averaged over B = 1024
iid copies, other ones in each replicate: that error is in the spread, but for a bias of O(1 / B) where the average enters nonlinearly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from tensorprog.gaussian.problem import Estimate
from tensorprog.interpret.particles.construction import Construction, Dots, construct, live, stack
from tensorprog.interpret.particles.given import (
    check_functions,
    check_name,
    check_sizes,
    members,
    most_roots,
    read_expression,
    read_inputs,
    read_scalar,
)
from tensorprog.interpret.particles.roots import Normals, Reals, initial_forms
from tensorprog.language.expr import Expr
from tensorprog.language.program import Network, Program
from tensorprog.transform.quotient import at_limit
from tensorprog.transform.separate import separated

MEMORY = 2**30  # bytes of samples held at a time


@dataclass(frozen=True)
class Particles:
    """The limit of a program, sampled; samples too many to `keep` are made again, block by block, for every question."""

    program: Program
    replicates: tuple[Construction, ...]
    keep: bool = True

    def scalar(self, name: str) -> Estimate:
        """The limit of a scalar, an array (*batch, *axes)."""
        check_name(self.program, name, scalar=True)
        return self.estimate(lambda c: c.scalars[name])

    def moment(self, psi: Expr | str) -> Estimate:
        """E psi(Z^x1..; c1..) of an expression, or of its text; an array (*batch, *axes of psi)."""
        e = read_expression(self.program, psi)
        return self.estimate(lambda c: c.expectation(e))

    def gram(self, x: str, y: str | None = None) -> Estimate:
        """E Z^x Z^y over all pairs of members, an array (*batch, *axes of x, *batch, *axes of y)."""
        return self._table(x, y or x, centered=False)

    def covariance(self, x: str, y: str | None = None) -> Estimate:
        """Cov(Z^x, Z^y) over all pairs of members, an array (*batch, *axes of x, *batch, *axes of y)."""
        return self._table(x, y or x, centered=True)

    def _table(self, x: str, y: str, *, centered: bool) -> Estimate:
        for name in (x, y):
            check_name(self.program, name, scalar=False)

        def of(v: Mapping[str, Array], roots: Reals) -> tuple[Reals, Reals, Reals]:
            a, b = (stack([v[name]], roots.shape[1]) for name in (x, y))
            shape = (*v[x].shape[:-1], *v[y].shape[:-1])
            return (a @ b.T / roots.shape[1]).reshape(shape), np.asarray(v[x].mean(-1)), np.asarray(v[y].mean(-1))

        def table(c: Construction) -> Reals:
            second, mean_x, mean_y = c.mean((x, y), of)
            return second - np.multiply.outer(mean_x, mean_y) if centered else second

        return self.estimate(table)

    def estimate(self, question: Callable[[Construction], ArrayLike]) -> Estimate:
        """Any quantity of one replicate: its mean over replicates and its standard error."""
        answers: list[Array] = []
        with jax.enable_x64(True):
            for c in self.replicates:
                answers.append(jnp.asarray(question(c), dtype=jnp.float64))
                if not self.keep:
                    c.release()
            values = jnp.stack(answers)
            method = f"particles, {len(values)} x {self.replicates[0].normals.samples} samples"
            return Estimate(values.mean(0), method, values.std(0, ddof=1) / np.sqrt(len(values)))


def particles(
    program: Program | Network,
    *,
    samples: int = 65536,
    replicates: int = 8,
    key: Array,
    inputs: Mapping[str, ArrayLike] | ArrayLike | None = None,
    scalars: Mapping[str, ArrayLike] | None = None,
    dots: Dots = "stein",
    chunk: int | None = None,
) -> Particles:
    """Sample the limit of a program, or of a network's body (Yang & Littwin 2021, Thm. B.4).

    Args:
        samples: M, a power of two; the error falls as M^{-1/2} or faster.
        replicates: independent repetitions, at least 2, from whose spread the standard error comes.
        key: a JAX random key.
        inputs: an array (*batch, *axes in sorted order, d) for every input of the program; batch dimensions are data points.
        scalars: limits of initial scalars, in place of those in the program; needed for those without a value there.
        dots: how [matmul-dot] finds its expected derivatives: "stein" regresses on earlier hats, right for every function; "derivative"
            differentiates Z, and refuses functions that jump; "drop" leaves dots out (the gradient independence assumption).
        chunk: samples made at a time, a power of two; by default what takes one or two gigabytes.

    Raises:
        InvalidProgram: inputs, scalars or sizes that do not fit the program; an indefinite covariance.
        Diverged: moments beyond the range of numbers.
        OutsideTheory: a delta, or with dots="derivative" any function that jumps: samples do not see derivatives there.
    """
    p = separated(at_limit(program.program if isinstance(program, Network) else program, scalars or ()))
    check_functions(p, differentiated=dots == "derivative")
    data = read_inputs(p, inputs)
    limits = {c.name: read_scalar(p, c, scalars or {}) for c in p.scalars}
    sizes = members(p, data, limits)
    dims = most_roots(p, sizes)
    keep = 16 * dims * samples * replicates <= MEMORY
    lean = not keep and chunk is None and 8 * (dims + 2 * live(p, sizes)) * samples <= 2 * MEMORY
    block = chunk or (samples if lean else _block(samples, dims))
    check_sizes(samples, block, replicates, dims)
    seeds = [int(s) for s in np.asarray(jax.random.bits(key, (replicates,), dtype="uint32"))]
    constructions: list[Construction] = []
    with jax.enable_x64(True):
        for seed in seeds:
            c = _start(p, data, limits, Normals(seed, samples, block, dims))
            constructions.append(construct(c, dots, lean=lean))
            if not keep:
                c.release()
    return Particles(p, tuple(constructions), keep)


def _start(p: Program, data: Mapping[str, Reals], limits: Mapping[str, Reals], normals: Normals) -> Construction:
    forms = initial_forms(p, data)
    scalars = {name: jnp.asarray(a) for name, a in limits.items()}
    return Construction(p, normals, forms, scalars, next_root=1 + max((int(f.dims.max(initial=-1)) for f in forms.values()), default=-1))


def _block(samples: int, dims: int) -> int:
    """The largest power of two whose roots, vectors and temporaries fit in memory."""
    block = samples
    while block > 1024 and 24 * dims * block > MEMORY:
        block //= 2
    return block
