"""Convergence in width: relative errors of finite networks against the limit fall like n^(-1/2) (Master Theorem; fluctuations of averages).

Protocol. For every width and seed a network is sampled, and a quantity q_n (a kernel matrix, a scalar of the program) compared with its limit q:
the error is |q_n - q| / |q| in the Frobenius norm. Over seeds the root-mean-square is taken. (The error of the *mean* over seeds falls faster;
and at widths below about 16 times the depth, terms of higher order in depth / n steepen the line.) The slope of log error against log width
should then be -1/2, with an interval from a bootstrap over seeds that excludes 0 and -1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram
from tensorprog.interpret import finite
from tensorprog.interpret.limit import limit
from tensorprog.interpret.precision import double
from tensorprog.kernels import empirical
from tensorprog.kernels.limit import kernels
from tensorprog.language.expr import Expr, Ref, refs
from tensorprog.language.instr import MatMul, Moment
from tensorprog.language.program import Network, Program
from tensorprog.study.fit import Floats, Slope, root_mean_square, slope

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

KERNELS = ("nngp", "ntk")
Inputs = Mapping[str, ArrayLike] | ArrayLike | None
Progress = Callable[[float, str], None]
Measure = Callable[[Array, int], dict[str, Array]]


@dataclass(frozen=True)
class Curve:
    """One quantity: its error at every width and seed."""

    quantity: str
    widths: tuple[int, ...]
    errors: Floats  # (widths, seeds), relative (absolute where the limit is 0)
    limit_error: float = 0.0  # relative error of the limit itself, as its evaluation states it
    method: str = ""  # how the limit was evaluated

    @cached_property
    def rms(self) -> Floats:
        """Root-mean-square over seeds, (widths,)."""
        return root_mean_square(self.errors)

    @cached_property
    def slope(self) -> Slope:
        """The exponent of the error in the width."""
        return slope(self.widths, self.errors)


@dataclass(frozen=True)
class Study:
    """The errors of a network or program over widths and seeds."""

    name: str
    curves: tuple[Curve, ...]
    key: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(file=StringIO(), width=100, color_system=None)
        with console.capture() as printed:
            console.print(self.table())
        return printed.get().rstrip()

    def __getitem__(self, quantity: str) -> Curve:
        return next(c for c in self.curves if c.quantity == quantity)

    @property
    def widths(self) -> tuple[int, ...]:
        return self.curves[0].widths

    @property
    def seeds(self) -> int:
        return self.curves[0].errors.shape[1]

    def table(self) -> Table:
        """Errors by width, and the slopes, for a terminal."""
        from rich.table import Table

        table = Table(title=f"{self.name}: relative error against the limit, root-mean-square over {self.seeds} seeds")
        table.add_column("width", justify="right")
        for c in self.curves:
            table.add_column(c.quantity, justify="right")
        for i, n in enumerate(self.widths):
            table.add_row(str(n), *(f"{c.rms[i]:.4f}" if c.rms[i] >= 1e-3 else f"{c.rms[i]:.2e}" for c in self.curves))
        table.add_section()
        table.add_row("slope", *(f"{c.slope.value:.3f}" for c in self.curves), style="bold")
        table.add_row("95 %", *(f"{c.slope.low:.3f} .. {c.slope.high:.3f}" for c in self.curves))
        return table

    def plot(self) -> Figure:
        """Error against width in logarithmic axes, with a line of slope -1/2."""
        from tensorprog.study import plots

        return plots.convergence(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data (for JSON): errors, slopes and what they were measured with."""
        curves = {
            c.quantity: {
                "errors": c.errors.tolist(),
                "rms": c.rms.tolist(),
                "slope": c.slope.value,
                "interval": [c.slope.low, c.slope.high],
                "limit_error": c.limit_error,
                "method": c.method,
            }
            for c in self.curves
        }
        return {"name": self.name, "widths": list(self.widths), "seeds": self.seeds, "key": self.key, "facts": dict(self.facts), "curves": curves}

    def to_npz(self, path: str | Path) -> None:
        """Errors (widths, seeds) of every quantity, and the widths."""
        errors = {f"errors/{c.quantity}": c.errors for c in self.curves}
        np.savez(path, widths=np.array(self.widths), key=self.key, name=self.name, **errors)  # pyright: ignore[reportArgumentType]


@double
def converge(
    source: Network | Program,
    x: Inputs = None,
    widths: Sequence[int] | None = None,
    *,
    seeds: int = 64,
    key: int = 0,
    quantities: Sequence[str] | None = None,
    moments: Mapping[str, Expr] | None = None,
    scalars: Mapping[str, ArrayLike] | None = None,
    law: finite.Law = "gaussian",
    progress: Progress | None = None,
    keep: Callable[[Study], None] | None = None,
) -> Study:
    """Measure how fast finite networks approach the limit.

    Args:
        source: a network, or a bare program.
        x: data, (N, *positions, d), or one array an input.
        widths: base widths; default four doublings from 64, or from 16 times the depth if that is more.
        quantities: "nngp" and "ntk" of a network (its default), and names of scalars of the program (the default of a bare program: its scalar
            outputs, or all Moments).
        moments: further quantities: the name of each, and the expression psi whose average (1/n) sum_a psi is compared with E psi.
        scalars: values of initial scalars, in place of those in the program; needed for those without a value there.
        law: of the entries of matrices; see `interpret.finite.sample`.
        progress: called with the fraction of the work done and what is under way.
        keep: called after every width from the second on with the study so far, so that an interruption loses one width at most.

    Returns:
        A study; `study["ntk"].slope` is the exponent with its interval.

    Raises:
        InvalidProgram: no such quantity, or numbers that have no meaning.
    """
    program = source.program if isinstance(source, Network) else source
    program = replace(program, body=(*program.body, *(Moment(name, psi) for name, psi in (moments or {}).items())))
    source = replace(source, program=program) if isinstance(source, Network) else program
    names = (*(quantities if quantities is not None else _default(source, moments or {})), *(moments or {}))
    _require_quantities(source, names)
    chosen = tuple(widths or (max(64, 16 * depth(program)) * 2**i for i in range(4)))
    truth = _limits(source, x, names, scalars)
    sample = _finite(source, x, names, scalars, law)

    def study(errors: Mapping[str, Floats]) -> Study:
        curves = tuple(Curve(q, chosen[: len(errors[q])], errors[q], truth[q].relative_error, truth[q].method) for q in names)
        return Study(program.name, curves, key, {"law": law, "depth": depth(program)})

    known = {q: t.value for q, t in truth.items()}
    return study(measure(sample, known, chosen, seeds, jax.random.key(key), progress, None if keep is None else lambda errors: keep(study(errors))))


@double
def measure(
    sample: Measure,
    limits: Mapping[str, Array],
    widths: Sequence[int],
    seeds: int,
    key: Array,
    progress: Progress | None = None,
    keep: Callable[[Mapping[str, Floats]], None] | None = None,
) -> dict[str, Floats]:
    """|q_n - q| / |q| for every quantity, (widths, seeds): the protocol above for anything that can be sampled.

    Args:
        sample: from a key and a width to the quantities of one random network; JAX-traceable in the key.
        limits: what each tends to; where that is 0 the error is absolute.
        keep: called after every width from the second on with what is measured so far.

    Raises:
        InvalidProgram: fewer than two widths or seeds, or an error that is not finite.
    """
    if len(widths) < 2 or sorted(set(widths)) != list(widths) or widths[0] < 1 or seeds < 2:
        raise InvalidProgram(f"[study] a slope needs growing widths and at least two seeds, got widths {tuple(widths)} and {seeds} seeds.")
    scale = {q: float(jnp.linalg.norm(v.ravel())) or 1.0 for q, v in limits.items()}
    work, done = sum(n * n for n in widths) * seeds, 0
    out: dict[str, list[Floats]] = {q: [] for q in limits}
    for n in widths:

        def error(k: Array, n: int = n) -> dict[str, Array]:
            return {q: jnp.linalg.norm((v - limits[q]).ravel()) / scale[q] for q, v in sample(k, n).items()}

        errors = jax.jit(partial(jax.lax.map, error))
        parts: list[dict[str, Array]] = []
        for keys in _groups(jax.random.split(jax.random.fold_in(key, n), seeds), n):
            if progress is not None:
                progress(done / work, f"width {n}")
            parts.append(jax.block_until_ready(errors(keys)))
            done += len(keys) * n * n
        for q in out:
            out[q].append(np.concatenate([np.asarray(p[q], dtype=np.float64) for p in parts]))
        if keep is not None and n > widths[0]:
            keep({q: _finite_errors(q, np.stack(rows), widths) for q, rows in out.items()})
    if progress is not None:
        progress(1.0, "done")
    return {q: _finite_errors(q, np.stack(rows), widths) for q, rows in out.items()}


def depth(program: Program) -> int:
    """The largest number of MatMuls, the embedding included, on a path through the program."""
    level = dict.fromkeys(program.init, 1)
    for i in program.body:
        reads = (i.arg,) if isinstance(i, MatMul) else refs(i.psi)
        level[i.out] = max((level[r] for r in reads), default=0) + isinstance(i, MatMul)
    return max(level.values(), default=1)


@dataclass(frozen=True)
class _Truth:
    """A limit, and how well it is known."""

    value: Array
    error: Array
    method: str

    @property
    def relative_error(self) -> float:
        """A bound of the relative Frobenius error from the largest error of an entry."""
        norm = float(jnp.linalg.norm(self.value.ravel())) or 1.0
        return float(jnp.max(self.error)) * self.value.size**0.5 / norm


def _limits(source: Network | Program, x: Inputs, names: Sequence[str], scalars: Mapping[str, ArrayLike] | None) -> dict[str, _Truth]:
    program = source.program if isinstance(source, Network) else source
    data: Any = jax.tree.map(jnp.asarray, x)
    given = {c: jnp.asarray(v) for c, v in (scalars or {}).items()}
    out: dict[str, _Truth] = {}
    if isinstance(source, Network) and set(names) & set(KERNELS):
        k = kernels(source, data, scalars=given)
        out = {"nngp": _Truth(k.nngp, k.error, k.method), "ntk": _Truth(k.ntk, k.error, k.method)}
    found = limit(program, data, scalars=given)
    estimates = {q: found.estimate(Ref(q)) for q in names if q not in out}
    out |= {q: _Truth(e.value, jnp.asarray(e.error), e.method) for q, e in estimates.items()}
    return {q: out[q] for q in names}


def _finite(source: Network | Program, x: Inputs, names: Sequence[str], scalars: Mapping[str, ArrayLike] | None, law: finite.Law) -> Measure:
    """The quantities of one random network, as a function of a key and a width."""
    program = source.program if isinstance(source, Network) else source
    dims = {name: a.shape[-1] for name, a in finite.inputs_of(program, x).items()}
    wanted = [q for q in names if not (isinstance(source, Network) and q in KERNELS)]

    def sample(key: Array, n: int) -> dict[str, Array]:
        params = finite.sample(source, key, n, dims, law)
        out: dict[str, Array] = {}
        if isinstance(source, Network) and len(wanted) < len(names):
            k = empirical.empirical_kernels(source, params, n, x, outputs="first", scalars=scalars)
            out = {"nngp": k.nngp, "ntk": k.ntk}
        values = finite.run(program, params, n, x, scalars) if wanted else {}
        out |= {q: values[q] for q in wanted}
        return {q: out[q] for q in names}

    return sample


def _default(source: Network | Program, moments: Mapping[str, Expr]) -> tuple[str, ...]:
    if isinstance(source, Network):
        return KERNELS
    scalars = [i.out for i in source.body if isinstance(i, Moment) and i.out not in moments]
    return tuple(s for s in scalars if s in source.outputs) or tuple(scalars)


def _require_quantities(source: Network | Program, names: Sequence[str]) -> None:
    program = source.program if isinstance(source, Network) else source
    known = [*(KERNELS if isinstance(source, Network) else ()), *(i.out for i in program.body if isinstance(i, Moment))]
    unknown = [q for q in names if q not in known]
    if unknown or not names:
        listed = ", ".join(known) or "none: give moments={name: expression}"
        raise InvalidProgram(f"[study] {program.name} has no quantity {', '.join(map(repr, unknown))}. Those that converge are {listed}.")


def _groups(keys: Array, n: int) -> list[Array]:
    """The seeds in groups of equal size, between which progress is told: smaller groups for wider networks."""
    size = next(s for s in range(max(1, min(len(keys), 2**22 // n**2)), 0, -1) if len(keys) % s == 0)
    return [keys[i : i + size] for i in range(0, len(keys), size)]


def _finite_errors(quantity: str, errors: Floats, widths: Sequence[int]) -> Floats:
    bad = np.argwhere(~np.isfinite(errors))
    if len(bad):
        n, seed = widths[bad[0][0]], bad[0][1]
        raise InvalidProgram(f"[study] {quantity}: seed {seed} at width {n} is not finite. Does a moment diverge, or a normalization divide by 0?")
    return errors
