"""Deep sets: f(X) = v . rho(mean_i psi(x_i)), an encoder for every element, their mean, a decoder; the order is forgotten (Zaheer et al. 2017)."""

from __future__ import annotations

import tensorprog as tp
from architectures.options import biased, positive


@tp.network(x="element")
def deep_sets(
    x: tp.Data,
    element: int = 3,
    encoder: int = 2,
    decoder: int = 1,
    nonlinearity: str | tp.Nonlinearity = "relu",
    sigma_w: float = 2**0.5,
    sigma_b: float = 0.0,
    sigma_v: float = 1.0,
) -> tp.Output:
    """Deep sets: `encoder` layers for every element, the mean over elements, and `decoder` layers for the set."""
    positive(encoder=encoder)
    phi = tp.nonlinearity(nonlinearity)
    h = biased(tp.embedding("U", sigma_w) @ x, "b1", sigma_b)
    for l in range(2, encoder + 1):
        h = biased(tp.matrix(f"W{l}", sigma_w) @ phi(h), f"b{l}", sigma_b)
    s = phi(h).mean("element")
    for l in range(encoder + 1, encoder + decoder + 1):
        s = phi(biased(tp.matrix(f"W{l}", sigma_w) @ s, f"b{l}", sigma_b))
    return tp.readout("v", sigma_v) @ s
