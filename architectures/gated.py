"""Products of branches: x^{l+1} = phi(V^l h) * psi(W^l h), a gate times a value (Dauphin et al. 2017; Shazeer 2020)."""

from __future__ import annotations

import tensorprog as tp


@tp.network
def gated(
    x: tp.Data,
    depth: int = 1,
    gate: str | tp.Nonlinearity = "sigmoid",
    nonlinearity: str | tp.Nonlinearity = "relu",
    residual: bool = True,
    sigma_g: float = 1.0,
    sigma_w: float = 2**0.5,
    sigma_v: float = 1.0,
) -> tp.Output:
    """A gated network: h <- h + gate(V h) * phi(W h), or without `residual` h <- gate(V h) * phi(W h)."""
    sigma, phi = tp.nonlinearity(gate), tp.nonlinearity(nonlinearity)
    h = tp.embedding("U") @ x
    for l in range(1, depth + 1):
        product = sigma(tp.matrix(f"V{l}", sigma_g) @ h) * phi(tp.matrix(f"W{l}", sigma_w) @ h)
        h = h + product if residual else product
    return tp.readout("v", sigma_v) @ h
