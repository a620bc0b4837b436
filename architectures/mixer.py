"""Mixer: an orthogonal matrix M mixes tokens, an MLP mixes channels: y = x + M x, x <- y + W2 phi(W1 y) (Tolstikhin et al. 2021).

Weights over the finitely many tokens would stay random in the limit; here the token mixing is given, the discrete cosine transform (where FNet,
Lee-Thorp et al. 2022, has Fourier's), and the channel mixing is wide and trained.
"""

from __future__ import annotations

from math import cos, pi

import tensorprog as tp


@tp.network(x="token")
def mixer(
    x: tp.Data,
    token: int = 4,
    depth: int = 2,
    nonlinearity: str | tp.Nonlinearity = "gelu",
    ratio: float = 2.0,
    sigma_w: float = 1.0,
    sigma_v: float = 1.0,
) -> tp.Output:
    """A mixer: `depth` blocks of token and channel mixing, then the mean over tokens; `ratio` is the width of the channel MLP over n."""
    phi, ffn = tp.nonlinearity(nonlinearity), tp.width("ffn", ratio) if ratio != 1 else tp.width("n")
    mixing = tp.constant(cosine_transform(token), axes=("token", "source"))
    z = tp.embedding("U", sigma_w) @ x
    for l in range(1, depth + 1):
        y = z + tp.mix(mixing, z.rename(token="source"), axis="source")
        z = y + tp.matrix(f"W2_{l}", sigma_w) @ phi(tp.matrix(f"W1_{l}", sigma_w, rows=ffn) @ y)
    return tp.readout("v", sigma_v) @ z.mean("token")


def cosine_transform(size: int) -> list[list[float]]:
    """The orthogonal discrete cosine transform."""
    return [[((1 if i == 0 else 2) / size) ** 0.5 * cos(pi * i * (2 * j + 1) / (2 * size)) for j in range(size)] for i in range(size)]
