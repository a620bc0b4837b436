"""Randomized quasi-Monte Carlo: a scrambled Sobol net under random digital shifts (Owen 1998); the replicates give the standard error."""

from __future__ import annotations

import warnings
from functools import lru_cache
from math import prod

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.scipy.special import ndtri

from tensorprog.gaussian.integrand import coordinates, evaluate
from tensorprog.gaussian.law import Law
from tensorprog.gaussian.problem import Estimate, Strategy
from tensorprog.gaussian.product import Product
from tensorprog.gaussian.psd import root

BITS = 32


@lru_cache(maxsize=16)
def net(dimension: int, points: int) -> np.ndarray:
    """A scrambled Sobol net in [0, 1)^dimension by its binary digits: unsigned integers of 32 bits, shape (points, dimension)."""
    from scipy.stats import qmc  # which takes longer to import than JAX

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the number of points is no power of two
        return (qmc.Sobol(dimension, scramble=True, bits=BITS, rng=np.random.default_rng(0)).random(points) * 2.0**BITS).astype(np.uint32)


def normals(digits: Array, dtype: jnp.dtype) -> Array:
    """Phi^{-1} of the midpoints of the cells of the unit interval."""
    uniform = (digits.astype(dtype) + 0.5) * 2.0**-BITS
    return ndtri(jnp.minimum(uniform, 1 - jnp.finfo(dtype).epsneg))


def sampling(product: Product, u: Law, strategy: Strategy) -> Estimate:
    """The mean over replicates of the mean over a net; error: its standard error.

    u = m + C^(1/2) z with z = Phi^{-1}(net xor shift), the shift drawn once a replicate. Memory: samples are taken in chunks.
    """
    inside, powers = coordinates(product)
    order = [*inside, *powers]
    means = [u.mean(i) for i in order]
    entries = [[jnp.asarray(u.cov(i, j), dtype=float) for j in order] for i in order]
    batch = np.broadcast_shapes(*(jnp.shape(x) for x in means), *(x.shape for row in entries for x in row))
    cov = jnp.stack([jnp.stack([jnp.broadcast_to(x, batch) for x in row], -1) for row in entries], -2)
    factor = root(cov)
    chunk = max(1, min(strategy.samples, strategy.points // max(prod(batch) * len(order), 1)))
    chunks = -(-strategy.samples // chunk)
    blocks = jnp.asarray(net(len(order), chunks * chunk).reshape(chunks, chunk, len(order)))

    def replicate(shift: Array) -> Array:
        def add(total: Array, block: Array) -> tuple[Array, None]:
            x = factor @ normals(block ^ shift, cov.dtype).T
            values = evaluate(product, {i: jnp.asarray(means[at])[..., None] + x[..., at, :] for at, i in enumerate(order)}, batch)
            return total + values.sum(-1), None

        if chunks == 1:
            return add(jnp.zeros(()), blocks[0])[0] / chunk
        zero = jnp.zeros(jax.eval_shape(lambda b: add(jnp.zeros(()), b)[0], blocks[0]).shape, cov.dtype)
        return lax.scan(jax.checkpoint(add), zero, blocks)[0] / (chunks * chunk)

    key = jax.random.PRNGKey(0) if strategy.key is None else strategy.key
    means_of = lax.map(replicate, jax.random.bits(key, (strategy.replicates, len(order)), jnp.uint32))
    error = means_of.std(0, ddof=1) / np.sqrt(strategy.replicates)
    return Estimate(means_of.mean(0), "sampling", lax.stop_gradient(error))
