"""DenseNet: every layer reads the concatenation of all layers before it, W [x^1; ..; x^l] = sum_k W_k x^k (Huang et al. 2017).

A concatenation of l vectors of width n is one vector of width l n; W_k then has entries of variance sigma_w^2 / (l n), so sigma_w / sqrt(l) each.
"""

from __future__ import annotations

from functools import reduce
from operator import add

import tensorprog as tp
from architectures.options import biased, positive


@tp.network
def densenet(
    x: tp.Data, depth: int = 3, nonlinearity: str | tp.Nonlinearity = "relu", sigma_w: float = 2**0.5, sigma_b: float = 0.0, sigma_v: float = 1.0
) -> tp.Output:
    """A fully connected DenseNet; the readout sees every layer."""
    positive(depth=depth)
    phi = tp.nonlinearity(nonlinearity)
    layers = [phi(biased(tp.embedding("U", sigma_w) @ x, "b1", sigma_b))]
    for l in range(2, depth + 1):
        parts = [tp.matrix(f"W{l}_{k}", sigma_w / len(layers) ** 0.5) @ y for k, y in enumerate(layers, 1)]
        layers.append(phi(biased(reduce(add, parts), f"b{l}", sigma_b)))
    return reduce(add, [tp.readout(f"v{k}", sigma_v / len(layers) ** 0.5) @ y for k, y in enumerate(layers, 1)])
