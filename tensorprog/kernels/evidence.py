"""The evidence of a network's Gaussian process, log p(y) = -(y^T S^-1 y + log det S + N log 2 pi) / 2 with S = K + noise, and its maximum (type II).

The kernel is differentiable in every sigma^2 of the network, so that they and the noise are fitted by gradient (Rasmussen & Williams 2006, ch. 5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from scipy.optimize import minimize

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.limit.data import Data, data_of, variances
from tensorprog.interpret.precision import double
from tensorprog.kernels.dynamics.trajectory import start
from tensorprog.kernels.exact import compiled, same_points
from tensorprog.kernels.points import count
from tensorprog.language.instr import Embedding, Gaussian, InitVector
from tensorprog.language.program import Network

RANGE = 1e4  # a variance may leave its starting value by this factor
STARTS = (1.0, 10.0, 100.0, 1000.0)  # times the noise that is given: from one that is far too small, the first step ends where all is noise


@dataclass(frozen=True)
class Tuned:
    """A network whose variances maximize the evidence.

    Attributes:
        variances: sigma^2 by tensor name. noise: the variance of the targets' noise. log_evidence: at the maximum, summed over outputs.
        converged: whether the gradient vanished (on the boundary of the search region: along it).
        steps: evaluations of the evidence and its gradient.
    """

    network: Network
    variances: Mapping[str, float]
    noise: float
    log_evidence: float
    converged: bool
    steps: int


def log_evidence(kernel: ArrayLike, y: ArrayLike, noise: ArrayLike) -> Array:
    """log p(y) for y of shape (N,) or (N, k), summed over outputs; differentiable. NaN where K + noise is not positive definite to rounding."""
    k, target = jnp.asarray(kernel), jnp.asarray(y).reshape(len(jnp.asarray(y)), -1)
    factor = jnp.linalg.cholesky(k + noise * jnp.eye(len(k)))
    half = jax.scipy.linalg.solve_triangular(factor, target, lower=True)
    log_det = 2.0 * jnp.log(jnp.diagonal(factor)).sum()
    return -0.5 * ((half**2).sum() + target.shape[1] * (log_det + len(k) * jnp.log(2 * jnp.pi)))


@double
def tuned(
    network: Network, x: ArrayLike | Data, y: ArrayLike, *, names: Sequence[str] | None = None, noise: float = 1e-2, tune_noise: bool = True
) -> Tuned:
    """Maximize the evidence over the logarithms of the variances, from those of the network, by L-BFGS.

    Args:
        x: (N, *positions, d); y: (N,) or (N, k).
        names: the tensors whose variances are fitted: matrices, embeddings, vectors, readouts. None: all whose variance is not 0.
        noise: where the noise starts, or 10, 100, 1000 times that, whichever has the most evidence; it stays if not `tune_noise`.

    Raises:
        InvalidProgram: a name that is no tensor with a variance, a noise that is not positive, targets that do not fit the points.
    """
    kernels = compiled(network)
    unit = {r.vector: r.sigma**2 for r in network.readouts}  # a readout vector is N(0, 1), and its sigma a factor
    whole = {name: value * unit.get(name, 1.0) for name, value in variances(kernels.symbolic.master.program).items()}
    known = {name: value for name, value in whole.items() if value > 0}
    chosen = tuple(known if names is None else names)
    if unknown := sorted(set(chosen) - set(known)):
        raise InvalidProgram(f"[evidence] {unknown[0]} is no tensor with a variance. There are {', '.join(known)}.")
    if not noise > 0:
        raise InvalidProgram(f"[evidence] the noise is {noise}. Start from a positive number.")
    points = data_of(network.program, x, "x")
    if not count(points):
        raise InvalidProgram("[evidence] there are no points. Give at least one.")
    target = jnp.asarray(start(count(points), y, None)[0], float)

    @jax.jit
    def value_and_slope(logs: Array) -> tuple[Array, Array]:
        def cost(logs: Array) -> Array:
            now = {name: jnp.exp(log) / unit.get(name, 1.0) for name, log in zip(chosen, logs)}
            return -log_evidence(kernels.tile(points, points, same_points(points, points), now).nngp, target, jnp.exp(logs[-1]))

        return jax.value_and_grad(cost)(logs)

    def step(logs: np.ndarray) -> tuple[float, np.ndarray]:
        cost, slope = value_and_slope(jnp.asarray(logs))
        return (float(cost), np.asarray(slope)) if np.isfinite(cost) else (1e300, np.zeros_like(logs))

    first, reach = np.log([*(known[name] for name in chosen), noise]), np.log(RANGE)
    if tune_noise:
        first[-1] = min(first[-1] + np.log(STARTS), key=lambda noise: step(np.array([*first[:-1], noise]))[0])
    bounds = [(s - reach, s + reach) for s in first[:-1]] + [(first[-1] - reach, first[-1] + reach) if tune_noise else (first[-1], first[-1])]
    found = minimize(step, first, jac=True, method="L-BFGS-B", bounds=bounds)
    best = dict(zip(chosen, map(float, np.exp(found.x[:-1]))))
    return Tuned(with_variances(network, best), best, float(np.exp(found.x[-1])), -float(found.fun), bool(found.success), int(found.nfev))


def with_variances(network: Network, found: Mapping[str, float]) -> Network:
    """The network with other variances of its tensors, by name; of a readout sigma^2, its vector being N(0, 1)."""
    p = network.program
    matrices = tuple(replace(m, sigma=found[m.name] ** 0.5) if m.name in found else m for m in p.matrices)
    vectors = tuple(_with_variance(v, found) for v in p.vectors)
    readouts = tuple(replace(r, sigma=found[r.vector] ** 0.5) if r.vector in found else r for r in network.readouts)
    return replace(network, program=replace(p, matrices=matrices, vectors=vectors), readouts=readouts)


def _with_variance(v: InitVector, found: Mapping[str, float]) -> InitVector:
    match v.law:
        case Embedding(matrix) if matrix in found:
            return replace(v, law=replace(v.law, sigma=found[matrix] ** 0.5))
        case Gaussian() if v.name in found:
            return replace(v, law=replace(v.law, variance=found[v.name]))
        case _:
            return v
