"""Transformer: z <- z + sum_heads O softmax(q . k / n) u,  z <- z + W2 phi(W1 z), with normalization (Vaswani et al. 2017; Yang 2020, TP II App. D).

The logits are scaled by 1 / n, under which the attention weights converge to softmax E[Z^q Z^k] (Yang & Hu 2021); scaled by 1 / sqrt(n) they stay
random, and no tensor program for a finite number of heads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial, reduce
from math import cos, sin
from operator import add
from typing import Any, Literal

import tensorprog as tp
from architectures.options import positive

Norm = Literal["layer", "rms", "none"]
Order = Literal["pre", "post"]
Position = Literal["none", "learned", "sinusoidal"]
Projection = Literal["separate", "tied", "stream"]
Convention = Literal["unit", "sigma"]
Matrices = Callable[..., Any]  # tp.matrix, in one convention
Head = Literal["mean", "first", "last", "every"]

NTK4A: Mapping[str, Any] = {"qkv": "stream", "order": "post", "ratio": 1.0, "sigma_w": 1.0, "convention": "sigma"}
"""The Transformer of Yang 2020 (TP II, E.5) and its code NTK4A, as options: k = U x, z = LN(k + A k), x <- LN(z + W2 relu(W1 z))."""

FORBIDDEN = -1e30  # added to a logit, it makes the weight 0


@tp.network(x="token")
def transformer(
    x: tp.Data,
    token: int = 3,
    depth: int = 1,
    heads: int = 1,
    causal: bool = False,
    norm: Norm = "layer",
    order: Order = "pre",
    qkv: Projection = "separate",
    nonlinearity: str | tp.Nonlinearity = "relu",
    gated: bool = False,
    ratio: float = 4.0,
    position: Position = "none",
    read: Head = "mean",
    outputs: int = 1,
    sigma_e: float = 1.0,
    sigma_p: float = 1.0,
    sigma_qk: float = 1.0,
    sigma_u: float = 1.0,
    sigma_o: float = 1.0,
    sigma_w: float = 2**0.5,
    sigma_v: float = 1.0,
    eps: float = 0.0,
    convention: Convention = "unit",
) -> tp.Output:
    """A Transformer encoder, or with `causal` a decoder.

    Args:
        heads: number of heads, each of width n; its output matrix has variance sigma_o^2 / (heads n), as one matrix of the concatenation.
        norm, order: normalization before each branch ("pre", and once more at the end) or after each sum ("post"), without gain and bias.
        qkv: "tied" uses one matrix for queries, keys and values. With "stream" the tokens are all three themselves, and there is no output matrix:
            a matrix U^l of scale sigma_u goes ahead of every block; the first block's is the embedding.
        gated: the gated feed-forward layer W2 (phi(W1 z) * W3 z) of SwiGLU (Shazeer 2020).
        ratio: width of the feed-forward layer over n.
        position, sigma_p: positional embeddings, added to the token embeddings: "learned" is a trained vector of scale sigma_p for every position,
            "sinusoidal" the embedding of the fixed encoding of Vaswani et al., normalized, in 16 dimensions.
        read: the mean of all tokens, the first, the last, or every token (one output a token); `outputs` is the size of the vocabulary.
        convention: what is trained, see `tp.Training`.

    Raises:
        tp.InvalidProgram: no head, or several heads that would all be the same.
    """
    positive(heads=heads)
    if qkv == "stream" and heads > 1:
        raise tp.InvalidProgram(f"[option] {heads} heads without matrices of their own are one head. Give heads=1, or another qkv than 'stream'.")
    matrix = partial(tp.matrix, convention=convention)
    phi, normalize = tp.nonlinearity(nonlinearity), _normalization(norm, eps)
    z = tp.embedding("E", sigma_e, convention=convention) @ x
    if position != "none":
        z = z + _position(position, token, sigma_p, convention)
    mask = tp.constant([[0.0 if j <= i else FORBIDDEN for j in range(token)] for i in range(token)], axes=("token", "source")) if causal else None
    for l in range(1, depth + 1):
        if qkv == "stream" and l > 1:
            z = matrix(f"U{l}", sigma_u) @ z
        y = normalize(z) if order == "pre" else z
        z = z + _heads(matrix, y, l, heads, qkv, mask, sigma_qk, sigma_u, sigma_o)
        z = normalize(z) if order == "post" else z
        y = normalize(z) if order == "pre" else z
        z = z + _feed_forward(matrix, y, l, phi, ratio, gated, sigma_w)
        z = normalize(z) if order == "post" else z
    z = normalize(z) if order == "pre" else z
    return tp.readout("v", sigma_v, outputs=outputs, convention=convention) @ _read(z, read)


def _position(kind: Position, tokens: int, sigma: float, convention: Convention) -> tp.Value:
    if kind == "learned":
        return tp.bias("P", sigma, axes={"token": tokens}, convention=convention)
    codes = [[f(i / 10000 ** (k / 8)) / 8**0.5 for k in range(8) for f in (sin, cos)] for i in range(tokens)]
    covariance = [[sigma**2 * sum(a * b for a, b in zip(p, q, strict=True)) for q in codes] for p in codes]
    return tp.initial("P", variance=covariance, axes={"token": tokens})


def _heads(
    matrix: Matrices, y: tp.Value, l: int, heads: int, qkv: Projection, mask: tp.Value | None, sigma_qk: float, sigma_u: float, sigma_o: float
) -> tp.Value:
    """sum over heads of O_h sum_j a_ij u_j; of the tokens themselves without matrices."""
    if qkv == "stream":
        return tp.attention(y, y, y, over="token", mask=mask)
    outs: list[tp.Value] = []
    for h in range(heads):
        mark = f"{l}" if heads == 1 else f"{l}_{h}"
        u = matrix(f"V{mark}", sigma_u) @ y
        q, k = (u, u) if qkv == "tied" else (matrix(f"Q{mark}", sigma_qk) @ y, matrix(f"K{mark}", sigma_qk) @ y)
        outs.append(matrix(f"O{mark}", sigma_o / heads**0.5) @ tp.attention(q, k, u, over="token", mask=mask))
    return reduce(add, outs)


def _feed_forward(matrix: Matrices, y: tp.Value, l: int, phi: tp.Nonlinearity, ratio: float, gated: bool, sigma_w: float) -> tp.Value:
    ffn = tp.width("ffn", ratio) if ratio != 1 else tp.width("n")
    inner = phi(matrix(f"W1_{l}", sigma_w, rows=ffn) @ y)
    if gated:
        inner = inner * (matrix(f"W3_{l}", sigma_w, rows=ffn) @ y)
    return matrix(f"W2_{l}", sigma_w) @ inner


def _normalization(norm: Norm, eps: float) -> Callable[[tp.Value], tp.Value]:
    match norm:
        case "layer":
            return lambda z: tp.layernorm(z, eps)
        case "rms":
            return lambda z: tp.rmsnorm(z, eps)
        case "none":
            return lambda z: z


def _read(z: tp.Value, read: Head) -> tp.Value:
    match read:
        case "mean":
            return z.mean("token")
        case "first":
            return z.select(token=0)
        case "last":
            return z.select(token=-1)
        case "every":
            return z
