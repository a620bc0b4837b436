"""The multilayer perceptron that the studies take where the user names no network of their own (Jacot et al. 2018)."""

from __future__ import annotations

import tensorprog as tp


@tp.network
def perceptron(
    x: tp.Data,
    depth: int = 1,
    nonlinearity: str | tp.Nonlinearity = "relu",
    sigma: float = 2**0.5,
    sigma_b: float = 0.0,
    sigma_v: float = 1.0,
    outputs: int = 1,
) -> tp.Output:
    """f = sigma_v v . x^L / sqrt(n) with x^l = phi(sigma W^l x^{l-1} + sigma_b b^l) over `depth` hidden layers."""
    phi = tp.nonlinearity(nonlinearity)
    h = tp.embedding("U", sigma) @ x
    for l in range(1, depth + 1):
        h = h if l == 1 else tp.matrix(f"W{l}", sigma) @ h
        h = phi(h + tp.bias(f"b{l}", sigma_b) if sigma_b else h)
    return tp.readout("v", sigma_v, outputs=outputs) @ h
