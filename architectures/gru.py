"""Gated recurrent unit: z = sigmoid(Wz s + Uz x + bz), r = sigmoid(Wr s + Ur x + br), c = tanh(Wc (r s) + Uc x + bc), s <- (1 - z) s + z c.

Cho et al. 2014; as a tensor program in Yang 2019, TP I.
"""

from __future__ import annotations

import tensorprog as tp
from architectures.options import biased


@tp.network(xs="time")
def gru(xs: tp.Data, time: int = 2, sigma_w: float = 1.0, sigma_u: float = 1.0, sigma_b: float = 0.0, sigma_v: float = 1.0) -> tp.Output:
    """A GRU over `time` steps, from the state 0, read out at its last state."""

    def drive(gate: str, x: tp.Data, state: tp.Value | None) -> tp.Value:
        h = tp.embedding(f"U{gate}", sigma_u) @ x
        h = h if state is None else tp.matrix(f"W{gate}", sigma_w) @ state + h
        return biased(h, f"b{gate}", sigma_b)

    s: tp.Value | None = None
    for x in xs.unstack("time"):
        z = tp.sigmoid(drive("z", x, s))
        if s is None:
            s = z * tp.tanh(drive("c", x, None))
        else:
            r = tp.sigmoid(drive("r", x, s))
            s = (1 - z) * s + z * tp.tanh(drive("c", x, r * s))
    if s is None:
        raise tp.InvalidProgram("[gru] no time step. Give time >= 1.")
    return tp.readout("v", sigma_v) @ s
