"""Recurrent network: s^t = phi(W s^{t-1} + U x^t + b), the same W, U, b at every step, s^0 absent (Elman 1990; Yang 2020, TP II E.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import tensorprog as tp
from architectures.options import biased, positive

States = Literal["last", "every", "mean"]


@tp.network(xs="time")
def rnn(
    xs: tp.Data,
    time: int = 3,
    depth: int = 1,
    nonlinearity: str | tp.Nonlinearity = "erf",
    bidirectional: bool = False,
    read: States = "last",
    sigma_w: float = 1.0,
    sigma_u: float = 1.0,
    sigma_b: float = 0.0,
    sigma_v: float = 1.0,
) -> tp.Output:
    """An Elman RNN over `time` steps.

    Args:
        depth: number of stacked recurrent layers; a layer above the first reads the states of the layer below through a matrix U^l.
        bidirectional: a second chain, with weights of its own, runs from the end; the readout sees both, v . s + v' . s'.
        read: the last state, the mean of all states, or every state (one output a step).
    """
    positive(depth=depth)
    phi = tp.nonlinearity(nonlinearity)

    def chain(mark: str, steps: Sequence[tp.Data]) -> list[tp.Value]:
        below: list[tp.Value] = [tp.embedding(f"U{mark}", sigma_u) @ x for x in steps]
        states: list[tp.Value] = []
        for l in range(1, depth + 1):
            layer = "" if depth == 1 else str(l)
            if l > 1:
                below = [tp.matrix(f"U{layer}{mark}", sigma_u) @ s for s in states]
            states = []
            for u in below:
                h = u if not states else tp.matrix(f"W{layer}{mark}", sigma_w) @ states[-1] + u
                states.append(phi(biased(h, f"b{layer}{mark}", sigma_b)))
        return states

    steps = xs.unstack("time")
    out = tp.readout("v", sigma_v) @ _read(chain("", steps), read)
    if bidirectional:
        backward = chain("_back", steps[::-1])
        out = out + tp.readout("v_back", sigma_v) @ _read(backward[::-1] if read == "every" else backward, read)
    return out


def _read(states: list[tp.Value], read: States) -> tp.Value:
    match read:
        case "last":
            return states[-1]
        case "mean":
            return sum(states[1:], states[0]) / len(states)
        case "every":
            return tp.stack(states, "time")
