"""What sweeps and checks across widths approach: loss after training, and sizes of activations, at infinite width.

Parametrizations agree at a base width n_0. Then at width n

    NTK parametrization:  the same rate; the limit is kernel gradient descent, averaged over f_0 ~ GP(0, NNGP)
    muP:                  f = sqrt(n_0) v . x / n and rates eta n / n_0; the limit is that of the unrolled program, by particles

A parametrization with one rate for all widths has no limit: it diverges at any fixed rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import NamedTuple

import jax
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from tensorprog.errors import Diverged, OutsideTheory
from tensorprog.interpret.precision import double
from tensorprog.kernels.limit import kernels
from tensorprog.kernels.points import Points, count, points_of
from tensorprog.kernels.unrolled import limit_samples, particle_outputs
from tensorprog.language.expr import Ref, mul
from tensorprog.language.program import Network
from tensorprog.study.fit import Floats
from tensorprog.study.frame import Progress
from tensorprog.transform.unroll import SGD, unroll


class Curve(NamedTuple):
    """Losses of the limit at each rate, with their standard errors; infinite where training diverges."""

    rates: Floats
    losses: Floats
    errors: Floats


@double
def limit_curve(
    network: Network,
    x: Points | ArrayLike,
    y: ArrayLike,
    base: int,
    rates: Sequence[float],
    *,
    parametrization: str,
    steps: int,
    key: int = 0,
    particles: int = 2**13,
    tell: Progress = lambda fraction, now: None,
) -> Curve:
    """The mean squared loss sum (f - y)^2 / 2N after `steps` steps of full-batch gradient descent on it, at infinite width.

    Args:
        base: the width at which the parametrization is the network itself.
        parametrization: "ntp" or "mup"; no other of the named ones has a limit at a fixed rate.
        particles: samples of the muP limit.

    Raises:
        OutsideTheory: another parametrization, several outputs, or a network of kind "moment".
    """
    if network.kind != "ntk" or network.outputs > 1 or network.output_axes or parametrization not in ("ntp", "mup"):
        raise OutsideTheory(f"[transfer] the limit is found for ntp and mup, of a network of kind 'ntk' with one output; asked: {parametrization}.")
    data, target = points_of(network, x), np.asarray(y, dtype=np.float64)
    found: list[tuple[float, float]] = []
    k = kernels(network, data) if parametrization == "ntp" else None
    for i, rate in enumerate(rates):
        tell(i / len(rates), f"limit at rate {rate:.3g}")
        if k is not None:
            found.append(_kernel_loss(np.asarray(k.ntk), np.asarray(k.nngp), target, rate, steps))
        else:
            found.append(_mup_loss(network, data, target, base, rate, steps, jax.random.key(key), particles))
    losses, errors = np.array(found).T
    return Curve(np.asarray(rates, dtype=np.float64), np.where(np.isfinite(losses), losses, np.inf), errors)


def _kernel_loss(ntk: Floats, nngp: Floats, y: Floats, rate: float, steps: int) -> tuple[float, float]:
    """E |A (f_0 - y)|^2 / 2N with A = (I - eta K / N)^T and f_0 ~ GP(0, NNGP): |A y|^2 + tr A NNGP A^T, over 2N."""
    eigenvalues, v = np.linalg.eigh(ntk)
    with np.errstate(over="ignore"):
        a = (v * (1.0 - rate * eigenvalues / len(y)) ** steps) @ v.T
        return float((np.sum((a @ y) ** 2) + np.einsum("ij,jk,ik->", a, nngp, a)) / (2 * len(y))), 0.0


def _mup_loss(network: Network, x: Points, y: Floats, base: int, rate: float, steps: int, key: Array, particles: int) -> tuple[float, float]:
    u = unroll(in_mup(network, base), count(x), steps=steps, optimizer=SGD(rate / base), reduction="mean")
    try:
        f = particle_outputs(u, x, y, key=key, samples=particles, replicates=4)
    except Diverged:
        return inf, inf
    last, error = np.asarray(f.value)[-1], np.asarray(f.error)[-1]
    return float(0.5 * np.mean((last - y) ** 2)), float(np.sqrt(np.sum(((last - y) * error) ** 2)) / len(y))


def in_mup(network: Network, base: int) -> Network:
    """The network whose muP it is at large widths: f = sqrt(n_0) v . x / n, trained at eta n / n_0; at width n_0 the network itself."""
    return replace(network, kind="moment", readouts=tuple(replace(r, sigma=r.sigma * base**0.5) for r in network.readouts))


@double
def limit_sizes(
    network: Network, x: Points | ArrayLike, y: ArrayLike, base: int, rate: float, *, steps: int, key: int = 0, particles: int = 2**13
) -> dict[str, float]:
    """The sizes that a coordinate check in muP with SGD tends to: "start x" and "change x" of every vector of the forward pass, and of f.

    start: sqrt E (Z^{x_0})^2,    change: sqrt E (Z^{x_T} - Z^{x_0})^2,    over samples and positions.
    """
    data = points_of(network, x)
    u = unroll(in_mup(network, base), count(data), steps=steps, optimizer=SGD(rate / base), reduction="mean")
    vectors = [name for name, width in network.program.width_of.items() if width is not None]
    moved = {name: dev for name in vectors if (dev := u.dev[name][-1]) is not None}
    found = limit_samples(u, data, np.asarray(y, dtype=np.float64), keep=(*vectors, *moved.values()), key=jax.random.key(key), samples=particles)

    def rms(name: str) -> float:
        return float(np.sqrt(np.mean(np.asarray(found.moment(mul(Ref(name), Ref(name))).value))))

    sizes = {f"start {name}": rms(name) for name in vectors} | {f"change {name}": rms(dev) for name, dev in moved.items()}
    return sizes | {"change f": float(np.sqrt(np.mean(np.asarray(found.scalar(u.f[-1]).value) ** 2)))}
