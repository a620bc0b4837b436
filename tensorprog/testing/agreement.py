"""The Master Theorem as a law: the exact limit, the sampled limit and finite networks agree within stated errors and at the stated rate.

A comparison that fails is made once more with other random numbers and more of them: chance alone fails one about once in 10^7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from tensorprog.gaussian.problem import Estimate, Strategy
from tensorprog.interpret import finite
from tensorprog.interpret.limit import Limit, limit
from tensorprog.interpret.particles import Dots, particles
from tensorprog.interpret.particles.given import members, most_roots, read_inputs, read_scalar
from tensorprog.interpret.precision import double
from tensorprog.kernels.execution.uncompiled import by_numpy, uncompiled
from tensorprog.language.expr import Expr, Ref, mul
from tensorprog.language.instr import Moment
from tensorprog.language.listing import show
from tensorprog.language.program import Network, Program

ERRORS = 5.0  # standard errors that two ways may differ by; 15 degrees of freedom: once in 6000
BIAS = 10.0  # finite programs: E c_n - c = O(1 / n), with constants below this where vectors are of size about 1
SLACK = 3.0  # of the ratio of errors at two widths; over 16 seeds its logarithm has standard deviation 0.25
REPLICATES = 16
DEFAULT = Strategy()


@double
def assert_agree(
    source: Program | Network,
    *,
    key: Array,
    inputs: Mapping[str, ArrayLike] | None = None,
    scalars: Mapping[str, ArrayLike] | None = None,
    quantities: Mapping[str, Expr] | None = None,
    samples: int = 1024,
    widths: tuple[int, int] = (64, 256),
    seeds: int = 16,
    strategy: Strategy = DEFAULT,
    dots: Dots = "derivative",
) -> None:
    """Check that the exact limit, particles and finite programs say the same.

    Args:
        key: a JAX random key.
        inputs: data for every input, as for `particles`.
        scalars: limits of the initial scalars that the program leaves open. Finite programs are run with every initial scalar at its limit.
        quantities: expressions whose averages are compared; default the scalars of the program, and the second moments of its vector outputs.
        samples: particles in each of 16 replicates, a power of two.
        widths: two base widths of finite programs: agreement is asked at the larger, where the error must be smaller by n^(-1/2).
        seeds: finite programs at each width.
        strategy: how the exact limit takes expectations.
        dots: of the exact limit; particles take "stein". "drop" leaves them out of both: this passes where gradient independence holds,
            and only there.

    Raises:
        AssertionError: two of the three disagree; the message shows the program and the numbers.
    """
    p = source.program if isinstance(source, Network) else source
    data = {name: jnp.asarray(xi) for name, xi in (inputs or {}).items()}
    given = {c.name: jnp.asarray(read_scalar(p, c, scalars or {})) for c in p.scalars}
    asked = quantities or default_quantities(p)
    truth = dict(
        zip(asked, zip(asked.values(), exactly(limit(p, data, scalars=given, strategy=strategy, dots=dots, jit=False), list(asked.values()))))
    )
    law = _Law(p, data, given, samples, widths, seeds, "drop" if dots == "drop" else "stein")
    first = law.complaints(truth, key, 0)
    again = law.complaints({name: truth[name] for name in first}, jax.random.fold_in(key, 1), 1)
    if again:
        raise AssertionError("\n".join([*again.values(), show(source)]))


def exactly(found: Limit, psis: Sequence[Expr]) -> list[Estimate]:
    """The estimates of a limit by NumPy: each program is evaluated once, and compiling it would take far longer."""
    methods: list[str] = []

    def numbers() -> list[tuple[Array, Array]]:
        estimates = found.estimates(psis)
        methods.extend(e.method for e in estimates)
        return [(e.value, jnp.asarray(e.error)) for e in estimates]

    return [Estimate(value, method, error) for (value, error), method in zip(uncompiled(numbers)(), methods, strict=True)]


def default_quantities(p: Program) -> dict[str, Expr]:
    """The Moments of a program, and E Z^x Z^x of the vectors that it returns."""
    moments: dict[str, Expr] = {i.out: Ref(i.out) for i in p.body if isinstance(i, Moment)}
    return moments | {f"E {x} {x}": mul(Ref(x), Ref(x)) for x in p.outputs if not p.is_scalar(x)}


def finite_moments(
    p: Program, quantities: Mapping[str, Expr], n: int, seeds: int, key: Array, inputs: Mapping[str, Array], scalars: Mapping[str, Array]
) -> dict[str, Array]:
    """The averages in `seeds` programs of base width n, (seeds, *batch, *axes) each."""
    taken = {name: f"quantity {i}" for i, name in enumerate(quantities)}
    extended = replace(p, body=(*p.body, *(Moment(taken[name], psi) for name, psi in quantities.items())))
    dims = {name: xi.shape[-1] for name, xi in inputs.items()}

    rng = np.random.default_rng(np.asarray(jax.random.bits(key, (2,), dtype="uint32")))  # no compilation for every shape

    def once(params: dict[str, Array]) -> dict[str, Array]:
        values = finite.run(extended, params, n, inputs, scalars)
        return {name: values[out] for name, out in taken.items()}

    params = {name: rng.standard_normal((seeds, *shape)) for name, shape in finite.shapes(extended, n, dims).items()}
    return by_numpy(jax.vmap(once), params)


@dataclass(frozen=True)
class _Law:
    """A program with all that it is run with."""

    program: Program
    inputs: Mapping[str, Array]
    scalars: Mapping[str, Array]
    samples: int
    widths: tuple[int, int]
    seeds: int
    dots: Dots

    def complaints(self, truth: Mapping[str, tuple[Expr, Estimate]], key: Array, attempt: int) -> dict[str, str]:
        """What disagrees, by quantity; a second attempt takes 16 times the particles and 4 times the width."""
        if not truth:
            return {}
        quantities = {name: psi for name, (psi, _) in truth.items()}
        by_particles, by_networks = jax.random.split(key)
        sampled = self._sampled(quantities, by_particles, self.samples * 16**attempt)
        small, large = (
            finite_moments(self.program, quantities, n * 4**attempt, self.seeds, jax.random.fold_in(by_networks, n), self.inputs, self.scalars)
            for n in self.widths
        )
        found: dict[str, str] = {}
        for name, (_, exact) in truth.items():
            said = [
                _far("particles", exact, *sampled[name]),
                _far(f"networks of width {self.widths[1] * 4**attempt}", exact, *_over_seeds(large[name], BIAS / (self.widths[1] * 4**attempt))),
                _slow(exact, small[name], large[name], self.widths),
            ]
            complaint = "; ".join(s for s in said if s)
            if complaint:
                found[name] = f"{name}: {complaint}"
        return found

    def _sampled(self, quantities: Mapping[str, Expr], key: Array, samples: int) -> dict[str, tuple[Array, Array, float]]:
        bias = most_roots(self.program, members(self.program, read_inputs(self.program, self.inputs))) / samples
        found = particles(self.program, samples=samples, replicates=REPLICATES, key=key, inputs=self.inputs, scalars=self.scalars, dots=self.dots)
        estimates = {name: found.moment(psi) for name, psi in quantities.items()}
        return {name: (e.value, jnp.asarray(e.error), bias) for name, e in estimates.items()}


def _over_seeds(values: Array, bias: float) -> tuple[Array, Array, float]:
    """Mean and standard error over seeds, the bias as given."""
    return values.mean(0), values.std(0, ddof=1) / np.sqrt(len(values)), bias


def _far(way: str, exact: Estimate, value: Array, error: Array, bias: float) -> str:
    """What is wrong if the two differ by more than their errors allow."""
    allowed = ERRORS * error + jnp.asarray(exact.error) + bias * (1.0 + jnp.abs(exact.value)) + 1e-12
    excess = jnp.abs(value - exact.value) / allowed
    if bool(jnp.all(excess <= 1.0)):
        return ""
    worst = np.unravel_index(int(jnp.argmax(excess)), excess.shape)
    numbers = f"{float(value[worst]):.6g} +- {float(error[worst]):.2g}"
    limit_value = f"{float(jnp.broadcast_to(exact.value, excess.shape)[worst]):.6g}"
    return f"{way} say {numbers}, the exact limit ({exact.method}) is {limit_value}, {float(excess[worst]):.1f} times what errors allow"


def _slow(exact: Estimate, small: Array, large: Array, widths: tuple[int, int]) -> str:
    """What is wrong if the error does not fall with the width: rms(n2) <= SLACK (n1 / n2)^(1/2) rms(n1), up to rounding."""
    first, second = (float(jnp.sqrt(jnp.mean((values - exact.value) ** 2))) for values in (small, large))
    rounding = 1e-9 * float(1.0 + jnp.max(jnp.abs(exact.value)))
    if second <= SLACK * (widths[0] / widths[1]) ** 0.5 * first + rounding + float(jnp.max(jnp.asarray(exact.error))):
        return ""
    return f"the error of networks does not fall like n^(-1/2): {first:.3g} at width {widths[0]}, {second:.3g} at {widths[1]} (or 4 times these)"
