"""`kernels`: the limiting NNGP and NTK of any network (Yang & Littwin 2021, Theorem 5.1), exact where that is possible, sampled elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import jax
from jax import Array
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram
from tensorprog.gaussian.problem import Strategy
from tensorprog.interpret.limit.data import Data, check_variances, opened
from tensorprog.interpret.limit.master import Dots
from tensorprog.interpret.precision import traced
from tensorprog.kernels.exact import Compiled, check_network, compiled
from tensorprog.kernels.key import Parts, network_of, parts_of
from tensorprog.kernels.particles import particle_kernels
from tensorprog.kernels.result import Kernels
from tensorprog.kernels.symbolic import dimension
from tensorprog.kernels.tile import tile
from tensorprog.language.program import Network

__all__ = ["Compiled", "Kernels", "compiled", "kernels"]


def kernels(
    network: Network,
    x1: ArrayLike | Data,
    x2: ArrayLike | Data | None = None,
    *,
    strategy: Strategy = Strategy(),
    variances: Mapping[str, Array | float] | None = None,
    scalars: Mapping[str, Array | float] | None = None,
    dots: Dots = "derivative",
    flat_steps: bool = False,
    block: int | None = None,
    samples: int = 32768,
    key: Array | None = None,
    parts: bool = True,
) -> Kernels:
    """The limiting NNGP and NTK on data sets x1 (N1 points) and x2 (N2 points, default x1).

    Exact wherever the expectations are of closed form, polynomial, or at most three-dimensional. Where a function of non-linear variables
    reads more than three Gaussians (gated recurrence, batch normalization, post-activation residual blocks), the theorem is sampled: `method`
    says so and `error` is a standard error.

    Args:
        x1, x2: (N, *positions, d), or one such array an input.
        strategy: how Gaussian expectations are resolved.
        variances: sigma^2 to use instead of the network's, by tensor name (differentiable).
        scalars: values of scalars, such as parameters of nonlinearities, in place of those in the network; needed for those that it leaves open
            (differentiable).
        dots: "derivative" or "stein", two ways to the same [matmul-dot]; "drop" leaves it out (the gradient independence assumption).
        flat_steps: take the derivative of a step as 0 (automatic differentiation's convention, not the theorem's).
        samples, key: particles in each of 8 replicates, and their random key (fixed if None), where sampling is needed.
        block: compute in tiles of so many points, which bounds memory; None: a size that fits.
        parts: False leaves `by_parameter` empty, and then many pairs are evaluated by tables where that is possible: see `tile`, which
            keeps the tables for later data, and gives float32 on request.

    Raises:
        InvalidProgram: data that do not fit the network's inputs, values for tensors or scalars that it does not have.
        OutsideTheory: an expectation that does not exist.
    """
    check_network(network)
    network = replace(network, program=opened(network.program, scalars or {}))
    given = {**_of_unit_readouts(network, variances or {}), **(scalars or {})}
    if not parts and not given and dots == "derivative" and not flat_steps and not traced((x1, x2)):
        fast = tile(network, strategy=strategy).tabulated(x1, x2)
        if fast is not None:
            return Kernels(fast.kernels["nngp"], fast.kernels["ntk"], {}, fast.error, fast.method)
    build = _compiled if strategy.key is None else _compiled.__wrapped__  # a random key is no key of a cache
    found = build(parts_of(network), strategy, dots, flat_steps, block)
    if dimension(found.symbolic) <= strategy.max_dimension or given or dots == "stein" or traced((x1, x2)):
        return found(x1, x2, given)
    chosen = jax.random.key(0) if key is None else key
    return particle_kernels(network, x1, x2, samples=samples, replicates=8, key=chosen, dots="drop" if dots == "drop" else "stein")


def _of_unit_readouts(network: Network, variances: Mapping[str, Array | float]) -> dict[str, Array | float]:
    """sigma^2 of tensors as variances: a readout vector is N(0, 1), and its sigma a factor."""
    sigmas = {r.vector: r.sigma for r in network.readouts if r.vector not in network.program.init}
    check_variances(network.program, variances, sigmas)
    if unscaled := [name for name in variances if sigmas.get(name) == 0.0]:
        raise InvalidProgram(f"[variances] the readout {unscaled[0]} has sigma 0, of which there is no multiple. Give it another sigma.")
    return {name: value / sigmas.get(name, 1.0) ** 2 for name, value in variances.items()}


@lru_cache(maxsize=16)
def _compiled(parts: Parts, strategy: Strategy, dots: Dots, flat_steps: bool, block: int | None) -> Compiled:
    """`compiled` of the network of these parts: a second call, with other data, neither reads nor compiles again."""
    return compiled(network_of(parts), strategy=strategy, dots=dots, flat_steps=flat_steps, block=block)
