"""NNGP and NTK of a network in the limit, exact: read once, compiled, and computed by blocks of pairs of points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial, reduce
from math import isqrt
from operator import and_
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram, OutsideTheory
from tensorprog.gaussian.problem import Strategy
from tensorprog.interpret.limit.data import Arrays, Data, data_of, leaves
from tensorprog.interpret.limit.master import Dots
from tensorprog.interpret.limit.numbers import Numbers
from tensorprog.interpret.limit.theorem import Run, measured, method_of, methods_of, rounding
from tensorprog.interpret.precision import Precision, at_once, traced
from tensorprog.kernels.apart import Own, Shared, shared
from tensorprog.kernels.assembly import Block, assembled, mirrored
from tensorprog.kernels.diagonal import Diagonal, Given, diagonal
from tensorprog.kernels.points import count
from tensorprog.kernels.result import Kernels, is_exact, refuse_infinite, refuse_unresolved
from tensorprog.kernels.runnable import Runnable, runnable
from tensorprog.kernels.sides import Points, Side, equal, parted, sides
from tensorprog.kernels.symbolic import Symbolic, closest, expectations, kernels_of, signed, symbolic, values, widest
from tensorprog.language.program import Network
from tensorprog.language.valid import check

FIRST = np.int32(0)
SINGLE = 3e-5  # of the kernels of the points themselves: the rounding up to which a block in float32 stands
CACHED, HELD = 1 << 16, 8_000_000  # numbers in an array that stays in cache, and in one of 64 MiB
FEW = {"float32": 1 << 21, "float64": 1 << 19}  # pairs of positions of pairs of points that NumPy computes before they would be compiled


class Coarse(Exception):
    """A block of kernels that float32 does not hold."""


@dataclass(frozen=True)
class Compiled:
    """The kernels of one network as a function of data: read and compiled once, called many times; pure, so that it can be differentiated and mapped.

    What is small and asked for once is computed by NumPy, which takes less time than to compile it; asked for again, it is compiled. The two agree
    to rounding, within the stated error.

    `__call__(x1, x2=None)` returns `Kernels`; see `kernels`.
    """

    network: Network
    symbolic: Symbolic
    tile: Runnable[Kernels]  # of two sets of points, which of them are equal, and values of variances and open scalars
    pair: Runnable[Kernels]  # of two sets of points that differ, what is known of each, and such values
    alone: Diagonal
    once: Shared
    block: int | None = None
    parts: bool = True

    @at_once
    def __call__(
        self,
        x1: ArrayLike | Data,
        x2: ArrayLike | Data | None = None,
        variances: Mapping[str, Array | float] | None = None,
        dtype: Precision = "float64",
    ) -> Kernels:
        """`dtype` float32 is that of the blocks that can be computed in it; what is traced or goes by NumPy has the precision of its arrays."""
        program, given = self.network.program, dict(variances or {})
        left = data_of(program, x1, "x1")
        right = left if x2 is None else data_of(program, x2, "x2")
        same_features(left, right)
        if traced((left, right, given)):
            whole = self.tile(left, right, same_points(left, right), given)
            return _symmetric(whole) if x2 is None else whole
        found = self._by_blocks(_numpy(left), None if x2 is None else _numpy(right), given, dtype)
        refuse_infinite(found)
        refuse_unresolved((found.nngp, found.ntk), found.error, found.method)
        return found

    def _by_blocks(self, left: Points, right: Points | None, given: Given, dtype: Precision) -> Kernels:
        """By small blocks where all expectations have closed forms; else by large ones, each for itself."""
        found = self._by_pairs(left, right, given, dtype)
        if found is not None:
            return found
        n, m = count(left), count(right or left)
        rows, columns = sides(left, right, self._size(HELD, self._positions, n, m))
        like = self.tile.outline(*_tile_arguments(rows, columns or rows, 0, 0), given)

        def tile(p: int, q: int) -> Kernels:
            with jax.enable_x64(True):
                return self.tile(*_tile_arguments(rows, columns or rows, p, q), given)

        return assembled(tile, rows, columns, like, np.dtype(dtype), parts=self.parts)

    def _by_pairs(self, left: Points, right: Points | None, given: Given, dtype: Precision) -> Kernels | None:
        """From what is found once a point; None where an expectation has no closed form."""
        alone = self.alone.outline(left, given)
        if not is_exact(alone.kernels):
            return None
        precision: Precision = dtype if self.pair.jitted and self._rounds else "float64"
        numbers = {name: np.asarray(v, precision) for name, v in given.items()}
        n, m = count(left), count(right or left)
        size = self._size(CACHED, self.once.positions, n, m)
        few = 0 < n * m * self.once.positions <= (2 * FEW[precision] if right is None else FEW[precision])
        (x, own), (y, other) = (parted((points, alone.own), count(points), size, precision) for points in (left, right or left))
        same = jax.ShapeDtypeStruct((count(x, 1), count(y, 1)), bool)
        with jax.enable_x64(precision == "float64"):
            arguments = (x, own, y, other, FIRST, FIRST, same, numbers)
            like = self.pair.outline(*arguments)
            if not is_exact(like):
                return None
            way = self.pair.meet(*arguments) if few else self.pair
            compiled = way is self.pair
            with self.pair.ahead(*arguments) if compiled else nullcontext(), jax.enable_x64(True):
                rows, columns = sides(left, right, size, lambda points: self.alone(points, given))
        single = precision == "float32" and rows.moderate() and (columns is None or columns.moderate())
        whole = partial(assembled, left=rows, right=columns, like=like, dtype=np.dtype(dtype), parts=self.parts, threads=compiled)
        blocks = partial(self._blocks, way, rows, columns or rows, given)
        try:
            return whole(blocks("float32" if single else "float64"))
        except Coarse:
            return whole(blocks("float64"))  # all of them: which was first is a matter of chance

    def _blocks(self, pair: Callable[..., Kernels], left: Side, right: Side, given: Given, dtype: Precision) -> Block:
        """The kernels of blocks of points that differ; the first one that float32 does not hold ends all (`Coarse`)."""

        sizes = [(left.sizes(name), right.sizes(name)) for name in ("nngp", "ntk")]

        with jax.enable_x64(dtype == "float64"):
            first = left.read(dtype)
            known = *first, *(first if right is left else right.read(dtype))
        numbers = {name: np.asarray(v, dtype) for name, v in given.items()}

        def block(p: int, q: int) -> Kernels:
            with jax.enable_x64(dtype == "float64"):  # a setting of each thread
                found = pair(*known, np.int32(p), np.int32(q), equal(left, right, p, q), numbers)
            relative = np.asarray(found.error, float)
            if dtype == "float32" and not (relative.max(initial=0.0) <= SINGLE and all(np.isfinite(k).all() for k in (found.nngp, found.ntk))):
                raise Coarse
            largest = np.maximum(*(a[p][:, None] * b[q] for a, b in sizes))
            with np.errstate(over="ignore"):  # then nothing is known of it
                return replace(found, error=(relative * largest).max(initial=0.0))

        return block

    def _size(self, numbers: int, positions: int, *points: int) -> int:
        """The points a side of a block at which no array over two points and positions has many more numbers than so."""
        return self.block or min(max(1, *points), max(1, isqrt(numbers // positions)))

    @cached_property
    def _rounds(self) -> bool:
        """Whether float32 is tried: nothing cancels, and pairs have more to compute than one sum of products, which takes as long in float64."""
        return not signed(self.symbolic) and (expectations(self.symbolic) > 0 or self.once.positions > 1)

    @cached_property
    def _positions(self) -> int:
        return widest(self.symbolic)


def compiled(
    network: Network,
    *,
    strategy: Strategy = Strategy(),
    dots: Dots = "derivative",
    flat_steps: bool = False,
    block: int | None = None,
    ntk: bool = True,
    parts: bool = True,
) -> Compiled:
    """The exact kernels of a network, read once; see `kernels.limit.kernels` for the arguments. Without `ntk` that of the result is 0."""
    check_network(network)
    if network.kind != "ntk":
        raise OutsideTheory("[readout] f = v . x / n tends to 0 and has no NNGP. Use a readout of kind 'ntk', or `limit` on the program.")
    found = symbolic(network, matched=True, dots=dots, flat_steps=flat_steps, ntk=ntk)
    once = shared(found)
    alone = diagonal(found, once, strategy, parts=parts)
    tile, pair = (runnable(found, f) for f in (partial(_tile, found, strategy), partial(_pair, found, once, strategy, parts)))
    return Compiled(network, found, tile, pair, alone, once, block, parts)


def check_network(network: Network) -> None:
    """Refuse what has no kernel: a bare program, a network that `check` refuses."""
    if not isinstance(network, Network):
        raise InvalidProgram(
            f"[kernel] a kernel is that of a network, not of {type(network).__name__}. Give it a readout (tp.network), or use `limit`."
        )
    check(network).raise_if_invalid()


def same_features(left: Arrays, right: Arrays) -> None:
    for name, a in left.items():
        if a.shape[-1] != right[name].shape[-1]:
            raise InvalidProgram(f"[input] {name} has {a.shape[-1]} features in x1 and {right[name].shape[-1]} in x2. Give both the same features.")


def _numpy(data: Arrays) -> Points:
    return {name: np.asarray(a, np.float64) for name, a in data.items()}


def _symmetric(k: Kernels) -> Kernels:
    """A tile of points with themselves, symmetric to the last bit."""

    def mean(a: Array) -> Array:
        return (a + mirrored(a)) / 2

    return replace(k, nngp=mean(k.nngp), ntk=mean(k.ntk), by_parameter={name: mean(a) for name, a in k.by_parameter.items()})


def same_points(a: Mapping[str, Any], b: Mapping[str, Any]) -> Any:
    """(N1, N2), true where two points are equal entry by entry; for arrays of NumPy and of JAX."""
    return reduce(and_, ((v[:, None] == b[name][None]).all(tuple(range(2, v.ndim + 1))) for name, v in a.items()))


def _tile(found: Symbolic, strategy: Strategy, left: Arrays, right: Arrays, same: Array, given: Given) -> Kernels:
    """The kernels of one tile; `given` are variances of tensors and values of open scalars, by name."""
    fetch = leaves(found.master.program, (left, right), given, given)

    def run(how: Strategy) -> Run:
        numbers = Numbers(found.master.e, fetch, how, same, closest=jnp.where(same, 1.0, closest(found)))
        return Run(values(found, numbers, (count(left), count(right))), methods_of(numbers), len(numbers.estimates), numbers.rcond)

    return kernels_of(*measured(run, strategy))


def _tile_arguments(left: Side, right: Side, p: int, q: int) -> tuple[Points, Points, np.ndarray]:
    a, b = ({name: np.asarray(v)[at] for name, v in side.data.items()} for side, at in ((left, p), (right, q)))
    return a, b, equal(left, right, p, q)


def _pair(
    found: Symbolic,
    once: Shared,
    strategy: Strategy,
    parts: bool,
    left: Arrays,
    row: Own,
    right: Arrays,
    column: Own,
    p: ArrayLike,
    q: ArrayLike,
    same: Array,
    given: Given,
) -> Kernels:
    """The same of parts p and q of two sets of points, from what is known of each; not of those that are the `same`.

    The error is that of each pair, relative to the kernels of its points: rounding is that of sums and products of covariances, which may be
    larger than what they make.
    """
    left, row = jax.tree.map(lambda a: lax.dynamic_index_in_dim(a, p, keepdims=False), (left, row))
    right, column = jax.tree.map(lambda a: lax.dynamic_index_in_dim(a, q, keepdims=False), (right, column))
    with jax.default_matmul_precision("highest"):
        fetch = leaves(found.master.program, (left, right), given, given)
        numbers = Numbers(found.master.e, fetch, strategy, same=False, known=once.known(row, column), plan=once.plan, closest=closest(found))
        nngp, ntk, by_parameter = values(found, numbers, (count(left), count(right)), parts=parts)
    relative = rounding(jnp.ones(same.shape), expectations(found)) / jnp.where(same, 1.0, numbers.rcond)
    return Kernels(nngp, ntk, by_parameter, relative, method_of(methods_of(numbers)))
