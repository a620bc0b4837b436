"""Long short-term memory: c <- f c + i g, s <- o tanh(c), where i, f, o = sigmoid(W s + U x + b), g = tanh(W s + U x + b), each with its own W, U, b.

Hochreiter & Schmidhuber 1997; Gers et al. 2000 (forget gate).
"""

from __future__ import annotations

import tensorprog as tp
from architectures.options import biased


@tp.network(xs="time")
def lstm(xs: tp.Data, time: int = 2, sigma_w: float = 1.0, sigma_u: float = 1.0, sigma_b: float = 0.0, sigma_v: float = 1.0) -> tp.Output:
    """An LSTM over `time` steps, from cell and state 0, read out at its last state."""

    def drive(gate: str, x: tp.Data, state: tp.Value | None) -> tp.Value:
        h = tp.embedding(f"U{gate}", sigma_u) @ x
        h = h if state is None else tp.matrix(f"W{gate}", sigma_w) @ state + h
        return biased(h, f"b{gate}", sigma_b)

    s: tp.Value | None = None
    c: tp.Value | None = None
    for x in xs.unstack("time"):
        new = tp.sigmoid(drive("i", x, s)) * tp.tanh(drive("g", x, s))
        c = new if c is None else tp.sigmoid(drive("f", x, s)) * c + new
        s = tp.sigmoid(drive("o", x, s)) * tp.tanh(c)
    if s is None:
        raise tp.InvalidProgram("[lstm] no time step. Give time >= 1.")
    return tp.readout("v", sigma_v) @ s
