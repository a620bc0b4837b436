"""Siamese network: one body for two inputs, f = v . (g(x1) - g(x2))^2 / sqrt(n) or their product (Bromley et al. 1993)."""

from __future__ import annotations

from typing import Literal

import tensorprog as tp
from architectures.options import biased, positive


@tp.network
def siamese(
    left: tp.Data,
    right: tp.Data,
    depth: int = 2,
    nonlinearity: str | tp.Nonlinearity = "erf",
    compare: Literal["difference", "product"] = "product",
    sigma_w: float = 1.0,
    sigma_b: float = 0.0,
    sigma_v: float = 1.0,
) -> tp.Output:
    """An MLP body, applied to both inputs with the same weights, and a coordinatewise comparison."""
    positive(depth=depth)
    phi = tp.nonlinearity(nonlinearity)

    def body(x: tp.Data) -> tp.Value:
        h = biased(tp.embedding("U", sigma_w) @ x, "b1", sigma_b)
        for l in range(2, depth + 1):
            h = biased(tp.matrix(f"W{l}", sigma_w) @ phi(h), f"b{l}", sigma_b)
        return phi(h)

    a, b = body(left), body(right)
    return tp.readout("v", sigma_v) @ (a * b if compare == "product" else (a - b) ** 2)
