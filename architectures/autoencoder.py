"""Weight-tied autoencoder: f = v . W^T phi(W phi(U x)) / sqrt(n), the decoder is the encoder's transpose (Li & Nguyen 2019).

The simple GIA check fails: W and its transpose meet in the forward pass, so that the limit needs the dots (Yang 2020, TP III).
"""

from __future__ import annotations

import tensorprog as tp


@tp.network
def autoencoder(
    x: tp.Data,
    nonlinearity: str | tp.Nonlinearity = "erf",
    ratio: float = 1.0,
    decode: str | tp.Nonlinearity = "identity",
    sigma_u: float = 1.0,
    sigma_w: float = 1.0,
    sigma_v: float = 1.0,
) -> tp.Output:
    """A tied autoencoder: encode by W, decode by W^T.

    Args:
        ratio: the width of the code over n.
        decode: a nonlinearity after the decoder.
    """
    phi = tp.nonlinearity(nonlinearity)
    code = tp.width("code", ratio) if ratio != 1 else tp.width("n")
    W = tp.matrix("W", sigma_w, rows=code)
    y = W.T @ phi(W @ phi(tp.embedding("U", sigma_u) @ x))
    return tp.readout("v", sigma_v) @ (y if decode == "identity" else tp.nonlinearity(decode)(y))
