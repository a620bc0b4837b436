"""Deep equilibrium-style network: z^{k+1} = phi(W z^k + U x + b), the same W for a fixed number of steps (Bai et al. 2019; Feng & Kolter 2020)."""

from __future__ import annotations

import tensorprog as tp
from architectures.options import biased, positive


@tp.network
def equilibrium(
    x: tp.Data,
    steps: int = 3,
    nonlinearity: str | tp.Nonlinearity = "erf",
    sigma_w: float = 0.5,
    sigma_u: float = 1.0,
    sigma_b: float = 0.0,
    sigma_v: float = 1.0,
) -> tp.Output:
    """The state after `steps` tied steps from 0; with sigma_w small they approach a fixed point."""
    positive(steps=steps)
    phi, W = tp.nonlinearity(nonlinearity), tp.matrix("W", sigma_w)
    drive = biased(tp.embedding("U", sigma_u) @ x, "b", sigma_b)
    z = phi(drive)
    for _ in range(steps - 1):
        z = phi(W @ z + drive)
    return tp.readout("v", sigma_v) @ z
