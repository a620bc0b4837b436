"""Random features: f = v . phi(U x + b) / sqrt(n) with only v trained; its NTK is its NNGP kernel (Rahimi & Recht 2007; Neal 1996)."""

from __future__ import annotations

import tensorprog as tp
from architectures.options import biased


@tp.network
def random_features(
    x: tp.Data, nonlinearity: str | tp.Nonlinearity = "cos", sigma_w: float = 1.0, sigma_b: float = 0.0, sigma_v: float = 1.0
) -> tp.Output:
    """One hidden layer of frozen random features and a trained readout."""
    h = biased(tp.embedding("U", sigma_w, train=False) @ x, "b", sigma_b, train=False)
    return tp.readout("v", sigma_v) @ tp.nonlinearity(nonlinearity)(h)
