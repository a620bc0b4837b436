"""MLP with normalization: x^l = phi(norm(W^l x^{l-1} + b^l)), norm = layernorm, RMSnorm or batchnorm.

Ba et al. 2016; Zhang & Sennrich 2019; Ioffe & Szegedy 2015. The limits: Yang 2020, TP II, App. D and E.4. In the limit layernorm divides by the
standard deviation of one coordinate; batchnorm is a nonlinearity of the whole batch, so that a batch is one input with an axis "batch".
"""

from __future__ import annotations

from typing import Literal

import tensorprog as tp
from architectures.options import biased, filters, positive, split


@tp.network
def normalized_mlp(
    x: tp.Data,
    depth: int = 2,
    norm: Literal["layer", "rms"] = "layer",
    nonlinearity: str | tp.Nonlinearity = "relu",
    sigma_w: float = 2**0.5,
    sigma_b: float = 0.0,
    eps: float = 0.0,
    sigma_v: float = 1.0,
) -> tp.Output:
    """An MLP with layernorm or RMSnorm, without gain and bias, before every nonlinearity."""
    positive(depth=depth)
    phi = tp.nonlinearity(nonlinearity)
    normalize = tp.layernorm if norm == "layer" else tp.rmsnorm
    h = biased(tp.embedding("U", sigma_w) @ x, "b1", sigma_b)
    for l in range(2, depth + 1):
        h = biased(tp.matrix(f"W{l}", sigma_w) @ phi(normalize(h, eps)), f"b{l}", sigma_b)
    return tp.readout("v", sigma_v) @ phi(normalize(h, eps))


@tp.network(x="batch")
def batchnorm_mlp(
    x: tp.Data,
    batch: int = 4,
    pieces: tuple[int, ...] = (),
    depth: int = 1,
    nonlinearity: str | tp.Nonlinearity = "relu",
    sigma_w: float = 1.0,
    eps: float = 0.0,
    sigma_v: float = 1.0,
) -> tp.Output:
    """An MLP with batchnorm before every nonlinearity; one output for every element of the batch.

    Args:
        batch: number of elements.
        pieces: the sizes of several batches, which follow each other; each is normalized by itself, and the kernel is also that across batches.
    """
    positive(depth=depth)
    phi = tp.nonlinearity(nonlinearity)
    h = tp.embedding("U", sigma_w) @ x
    for l in range(2, depth + 1):
        h = tp.matrix(f"W{l}", sigma_w) @ _activation(h, phi, batch, pieces, eps)
    return tp.readout("v", sigma_v) @ _activation(h, phi, batch, pieces, eps)


def _activation(h: tp.Value, phi: tp.Nonlinearity, batch: int, pieces: tuple[int, ...], eps: float) -> tp.Value:
    """phi after batchnorm, every piece by itself: gathered, normalized, and put back in its place."""
    if not pieces:
        return phi(tp.batchnorm(h, "batch", eps=eps))
    whole, start = list[tp.Value](), 0
    for k, size in enumerate(split(batch, pieces)):
        part = phi(tp.batchnorm(h.gather("batch", range(start, start + size), into=f"piece{k}"), f"piece{k}", eps=eps))
        whole.append(part.gather(f"piece{k}", [i - start if start <= i < start + size else -1 for i in range(batch)], into="batch"))
        start += size
    return sum(whole[1:], whole[0])


@tp.network(x=("batch", "pixel"))
def batchnorm_cnn(
    x: tp.Data,
    batch: int = 3,
    pixel: int = 3,
    depth: int = 1,
    nonlinearity: str | tp.Nonlinearity = "relu",
    kernel: int = 3,
    sigma_w: float = 1.0,
    eps: float = 0.0,
    sigma_v: float = 1.0,
) -> tp.Output:
    """A 1-D CNN with batchnorm over batch and pixels, then global average pooling; one output for every element of the batch."""
    positive(depth=depth, kernel=kernel)
    phi = tp.nonlinearity(nonlinearity)
    h = tp.conv(filters(tp.embedding, "U", sigma_w, kernel, 1), x, ("pixel",))
    for l in range(2, depth + 1):
        h = tp.conv(filters(tp.matrix, f"W{l}", sigma_w, kernel, 1), phi(tp.batchnorm(h, "batch", "pixel", eps=eps)), ("pixel",))
    return tp.readout("v", sigma_v) @ phi(tp.batchnorm(h, "batch", "pixel", eps=eps)).mean("pixel")
