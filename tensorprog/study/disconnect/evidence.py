"""The evidence of Bayesian linear regression and its maximum over the two precisions (MacKay 1992, "Bayesian interpolation").

r = Phi w + noise with w ~ N(0, 1 / alpha) and noise ~ N(0, 1 / beta) over t observations. With the eigenvalues s_i of Phi^T Phi and the
coordinates c_i of Phi^T r in its eigenvectors,

    2 log p(r) = sum_i log(alpha / (alpha + beta s_i)) + t log(beta / 2 pi) - beta |r|^2 + beta^2 sum_i c_i^2 / (alpha + beta s_i).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike


class Precisions(NamedTuple):
    """alpha of the weights, beta of the noise."""

    alpha: Array
    beta: Array


def log_evidence(p: Precisions, s: ArrayLike, c: ArrayLike, square: ArrayLike, t: ArrayLike) -> Array:
    """log p(r); s, c are (P,), `square` is |r|^2, t counts observations."""
    s, c = jnp.asarray(s), jnp.asarray(c)
    shrunk = p.alpha + p.beta * s
    fit = p.beta**2 * (c**2 / shrunk).sum() - p.beta * jnp.asarray(square)
    return 0.5 * (jnp.log(p.alpha / shrunk).sum() + jnp.asarray(t) * jnp.log(p.beta / (2 * jnp.pi)) + fit)


def maximize(start: Precisions, s: ArrayLike, c: ArrayLike, square: ArrayLike, t: ArrayLike, *, sweeps: int = 10) -> Precisions:
    """MacKay's fixed point: with gamma = sum_i beta s_i / (alpha + beta s_i) and the posterior mean w,

        alpha <- gamma / |w|^2,   beta <- (t - gamma) / |r - Phi w|^2.

    Both are kept within [1e-8, 1e8], where a degenerate evidence has its maximum at infinity.
    """
    s, c = jnp.maximum(jnp.asarray(s), 0.0), jnp.asarray(c)

    def sweep(_: int, p: Precisions) -> Precisions:
        shrunk = p.alpha + p.beta * s
        known, w = (p.beta * s / shrunk).sum(), p.beta * c / shrunk
        misfit = jnp.asarray(square) - 2 * (w * c).sum() + (s * w**2).sum()
        return Precisions(_within(known / (w @ w)), _within((jnp.asarray(t) - known) / misfit))

    return jax.lax.fori_loop(0, sweeps, sweep, Precisions(*(jnp.asarray(v, s.dtype) for v in start)))


def _within(value: Array) -> Array:
    return jnp.where(jnp.isfinite(value) & (value > 0), jnp.clip(value, 1e-8, 1e8), 1e8)
