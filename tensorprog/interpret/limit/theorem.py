"""The limit of a program: the Master Theorem (Yang & Littwin 2021, Theorem B.4), exact.

(1/n) sum_a psi(h1_a .. hk_a)  ->  E psi(Z^{h1} .. Z^{hk}),        c -> c°.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.core import eval_context
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram
from tensorprog.gaussian.problem import Estimate, Strategy
from tensorprog.interpret.limit.data import Arrays, Data, check_variances, data_of, leaves, opened
from tensorprog.interpret.limit.expectation import Expectations
from tensorprog.interpret.limit.lift import Value
from tensorprog.interpret.limit.master import LEFT, PRIME, Dots, Master, primed
from tensorprog.interpret.limit.numbers import Numbers
from tensorprog.interpret.limit.scalar import S
from tensorprog.interpret.precision import Precision, floats, traced
from tensorprog.language.expr import Expr, Ref, axes_of, mul, refs
from tensorprog.language.program import Program
from tensorprog.language.valid import check
from tensorprog.transform.quotient import at_limit

Fetch = Callable[[Hashable], Array]
EXACT = frozenset({"closed form", "polynomial"})


@dataclass(frozen=True)
class Limit:
    """What a program tends to. Each quantity is evaluated when it is asked for, from only what it needs.

    Arrays have shape (N, *positions) where the program has inputs, of N points (or 1 for what does not depend on them), else (*positions).
    """

    program: Program
    data: Arrays
    given: Mapping[str, Array | float]
    overrides: Mapping[str, Array | float]
    strategy: Strategy
    dots: Dots
    jit: bool = True
    dtype: Precision = "float64"

    @cached_property
    def _master(self) -> Master:
        return Master(self.program, dots=self.dots)

    def scalar(self, name: str) -> Array:
        """c° of a scalar of the program."""
        return self.estimate(Ref(name)).value

    def moment(self, psi: Expr) -> Array:
        """E psi(Z^{x1}..; c1°..) of any expression over the program's variables."""
        return self.estimate(psi).value

    def mean(self, x: str) -> Array:
        """E Z^x."""
        return self.moment(Ref(x))

    def product(self, x: str, y: str) -> Array:
        """E Z^x Z^y, at equal positions along axes that both have."""
        return self.moment(mul(Ref(x), Ref(y)))

    def gram(self, x: str, y: str) -> Array:
        """E Z^x Z^y between all positions of x and all positions of y: (N, *positions of x, *positions of y)."""
        env = self._env((x, y))
        s = self._master.pair(env[x], env[y])
        return self._values([(s, (*self.program.axes_of[x], *map(primed, self.program.axes_of[y])))])[0].value

    def estimate(self, psi: Expr) -> Estimate:
        """E psi with the way in which it was found and its error (see `measured`)."""
        return self.estimates([psi])[0]

    def estimates(self, psis: Sequence[Expr]) -> list[Estimate]:
        """E psi of several expressions at once: what they share is computed once. The method is that of all together."""
        master = self._master
        env = self._env({name for psi in psis for name in refs(psi)})
        asked = [(master.expect(psi, env), axes_of(psi, self.program.axes_of)) for psi in psis]
        return self._values(asked)

    def _env(self, names: Collection[str]) -> Mapping[str, Value]:
        """The limits of variables of the program."""
        known = (*self.program.init, *self.program.instruction)
        if unknown := sorted({*names}.difference(known)):
            raise InvalidProgram(f"[limit] {self.program.name} has no variable {unknown[0]}. There are {', '.join(known)}.")
        return self._master.env(LEFT, names)

    def _values(self, asked: Sequence[tuple[S, tuple[str, ...]]]) -> list[Estimate]:
        arrays = (self.data, self.given, self.overrides)
        if traced(arrays, self.strategy.key):
            return self._computed(asked, *arrays)
        with eval_context(), jax.enable_x64(self.dtype == "float64"):
            to = partial(jax.tree.map, lambda a: jnp.asarray(a, floats(self.dtype)))
            return self._computed(asked, *map(to, arrays))

    def _computed(
        self, asked: Sequence[tuple[S, tuple[str, ...]]], data: Arrays, given: Mapping[str, Array | float], overrides: Mapping[str, Array | float]
    ) -> list[Estimate]:
        fetch = leaves(self.program, (data, data), given, overrides)
        found = evaluate(self._master.e, asked, fetch, self.strategy, squeeze=not self.program.inputs, jit=self.jit)
        return [self._whole(estimate, axes) for estimate, (_, axes) in zip(found, asked, strict=True)]

    def _whole(self, found: Estimate, axes: tuple[str, ...]) -> Estimate:
        """At every position, also those on which the number does not depend."""
        points = found.value.shape[:1] if self.program.inputs else ()
        shape = (*points, *(self.program.size[axis.removesuffix(PRIME)] for axis in axes))
        return replace(found, value=jnp.broadcast_to(found.value, shape), error=jnp.broadcast_to(found.error, shape))


def evaluate(
    e: Expectations, asked: Sequence[tuple[S, tuple[str, ...]]], fetch: Fetch, strategy: Strategy, *, squeeze: bool, jit: bool
) -> list[Estimate]:
    """The numbers of scalars, each over axes in the order asked for, with method and error; `squeeze` drops the dimension of the points."""
    methods: list[str] = []

    def run(how: Strategy) -> Run:
        numbers = Numbers(e, fetch, how)
        values = [numbers.value(s, order) for s, order in asked]
        return Run(
            [v[0, 0] if squeeze else v[:, 0] for v in values], methods_of(numbers), len(numbers.estimates), _first(numbers.rcond, squeeze=squeeze)
        )

    def whole() -> tuple[list[Array], list[Array]]:
        found = measured(run, strategy)
        methods.append(found.method)
        return found.value, found.error

    values, errors = (jax.jit(whole) if jit else whole)()
    return [Estimate(value, methods[0], error) for value, error in zip(values, errors, strict=True)]


class Run(NamedTuple):
    """One evaluation: a tree of arrays, the methods and the number of its expectations, and the smallest of their rcond (for each pair)."""

    value: Any
    methods: frozenset[str]
    expectations: int
    rcond: Array | float = 1.0


class Measured(NamedTuple):
    """A tree of arrays, their absolute errors, and how they were found."""

    value: Any
    error: Any
    method: str


REPLICATES = 8
LONG = 64  # expectations


def measured(run: Callable[[Strategy], Run], strategy: Strategy) -> Measured:
    """A value with its error, measured end to end.

    Exact methods carry a bound of their rounding. Where quadrature or series took part, everything is evaluated again by a coarser rule, and the
    difference is the error. Where sampling took part, the value is the mean of independent evaluations, and the error their standard error.
    """
    first = run(strategy)
    method = method_of(first.methods)
    round_off = jax.tree.map(lambda a: rounding(a, first.expectations) / _by_pair(first.rcond, a), first.value)
    if first.methods <= EXACT:
        return Measured(first.value, round_off, method)
    if "sampling" not in first.methods:
        again = run(replace(strategy, nodes=2 * strategy.nodes // 3, terms=2 * strategy.terms // 3)).value
        return Measured(first.value, jax.tree.map(lambda a, b, r: jnp.abs(a - b) + r, first.value, again, round_off), method)
    keys = jax.random.split(jax.random.key(0) if strategy.key is None else strategy.key, REPLICATES)
    every = jax.lax.map(lambda key: run(replace(strategy, key=key)).value, keys)  # compiled once: `first` has told the methods, its value is dropped
    error = jax.tree.map(lambda a: a.std(0, ddof=1) / REPLICATES**0.5, every)
    return Measured(jax.tree.map(lambda a: a.mean(0), every), error, method)


def _first(rcond: Array | float, *, squeeze: bool) -> Array | float:
    """That of the values of one point, cut as they are."""
    a = jnp.asarray(rcond)
    return a if a.ndim < 2 else a[0, 0] if squeeze else a[:, 0]


def _by_pair(rcond: Array | float, a: Array) -> Array | float:
    """That of every entry of an array that begins with the dimensions of points, as far as both have the same; else the smallest."""
    c = jnp.asarray(rcond)
    fits = c.ndim <= a.ndim and all(n in (1, m) for n, m in zip(c.shape, a.shape, strict=False))
    return c.reshape(*c.shape, *(1,) * (a.ndim - c.ndim)) if fits else c.min()


def method_of(methods: frozenset[str]) -> str:
    return " and ".join(sorted(methods)) or "polynomial"


def methods_of(numbers: Numbers) -> frozenset[str]:
    return frozenset(estimate.method for estimate in numbers.estimates)


def rounding(value: Array, expectations: int) -> Array:
    """A bound of the rounding of a chain of closed forms: each adds a few units in the last place, and of a long one reads what the others added."""
    return 8.0 * jnp.finfo(value.dtype).eps * (1 + expectations) ** 0.5 * max(1.0, expectations / LONG) * jnp.abs(value)


def limit(
    program: Program,
    inputs: ArrayLike | Data | None = None,
    *,
    scalars: Mapping[str, Array | float] | None = None,
    variances: Mapping[str, Array | float] | None = None,
    strategy: Strategy = Strategy(),
    dots: Dots = "derivative",
    jit: bool = True,
    dtype: Precision = "float64",
) -> Limit:
    """The infinite-width meaning of a program.

    Args:
        inputs: data for its input slots, (N, *positions, d) each; one array where there is one slot.
        scalars: limits of initial scalars, in place of those in the program; needed for those without a value there.
        variances: sigma^2 of matrices and embeddings and variances of vectors to use instead of the program's, by name (differentiable).
        strategy: how Gaussian expectations are resolved.
        dots: "derivative" or "stein", two ways to the same [matmul-dot]; "drop" leaves it out (the gradient independence assumption).
        jit: compile each quantity; False is faster for a great many small programs, each asked once.
        dtype: of the numbers computed with, whatever JAX's default is; under somebody's jit or grad the precision is theirs.

    Raises:
        InvalidProgram: a program that `check` refuses, data that do not fit, a scalar without a value, values for what the program does not have,
            or another dtype than these two.
        OutsideTheory: an expectation that does not exist.
    """
    check(program).raise_if_invalid()
    floats(dtype)  # refuses others
    check_variances(program, variances or ())
    whole = at_limit(opened(program, scalars or {}))
    return Limit(whole, data_of(program, inputs), dict(scalars or {}), dict(variances or {}), strategy, dots, jit, dtype)
