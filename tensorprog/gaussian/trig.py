"""Products of sines and cosines: the characteristic function E cos(t.u + p) = cos(t.m + p) exp(-t.C t / 2)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import jax.numpy as jnp
from jax import Array

from tensorprog.gaussian.law import Law, is_zero, times
from tensorprog.gaussian.problem import Factor, Scalars


def waves(factors: Sequence[Factor], u: Law) -> Array:
    """E prod_i cos(s_i u_i + p_i) = 2^(1-n) sum over signs of E cos(s_1 u_1 + p_1 +- (s_2 u_2 + p_2) +- ...); sin x = cos(x - pi/2)."""
    n, total = len(factors), jnp.asarray(0.0)
    for signs in product((1, -1), repeat=n - 1):
        frequency: dict[int, float] = {}
        sines, phase = 0, 0.0
        for sign, f in zip((1, *signs), factors, strict=True):
            frequency[f.coord] = frequency.get(f.coord, 0.0) + sign * f.scale
            sines += sign * (f.fn.name == "sin")
            phase += sign * f.shift
        total = total + _wave(frequency, phase, sines % 4, u)
    return total / 2 ** (n - 1)


def _wave(frequency: dict[int, float], phase: float, quarters: int, u: Law) -> Array:
    """E cos(t.u + phase - quarters pi/2); the quarters are exact, so that an odd wave of zero mean is an exact zero."""
    t = [(i, f) for i, f in frequency.items() if f != 0.0]
    mean: Scalars = sum((f * u.mean(i) for i, f in t if not is_zero(u.mean(i))), phase)
    if is_zero(mean) and quarters % 2:
        return jnp.asarray(0.0)
    wave = (jnp.cos, jnp.sin, lambda x: -jnp.cos(x), lambda x: -jnp.sin(x))[quarters](jnp.asarray(mean))
    variance: Scalars = 0.0
    for at, (i, f) in enumerate(t):
        variance = variance + f * f * u.cov(i, i) + sum(times(2 * f * g, u.cov(i, j)) for j, g in t[:at])
    return wave * jnp.exp(-0.5 * jnp.asarray(variance))
