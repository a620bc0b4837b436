"""Multilayer perceptron: h^1 = U x + b^1,  h^{l+1} = W^{l+1} phi(h^l) + b^{l+1},  f = v . phi(h^L) / sqrt(n) (Lee et al. 2018; Jacot et al. 2018)."""

from __future__ import annotations

import tensorprog as tp
from architectures.options import PerLayer, biased, per_layer


@tp.network
def mlp(
    x: tp.Data,
    depth: int = 2,
    nonlinearity: str | tp.Nonlinearity = "relu",
    sigma_w: PerLayer = 2**0.5,
    sigma_b: PerLayer = 0.0,
    ratios: tuple[float, ...] = (),
    sigma_v: float = 1.0,
    outputs: int = 1,
    frozen: tuple[str, ...] = (),
) -> tp.Output:
    """An MLP with `depth` hidden layers.

    Args:
        sigma_w, sigma_b: standard deviations of weights and biases, for all layers or one a layer; no bias where sigma_b is 0.
        ratios: the width of every hidden layer as a multiple of the base width n; 1 unless given.
        sigma_v, outputs: scale of the readout and number of outputs.
        frozen: names of tensors that are not trained: U, W2, .., WL, b1, .., bL, v.
    """
    phi = tp.nonlinearity(nonlinearity)
    weights, biases = per_layer(sigma_w, depth), per_layer(sigma_b, depth)
    widths = [tp.width("n" if r == 1 else f"n{l}", r) for l, r in enumerate(per_layer(ratios or 1.0, depth), 1)]
    h = tp.embedding("U", weights[0], width=widths[0], train="U" not in frozen) @ x
    h = biased(h, "b1", biases[0], train="b1" not in frozen)
    for l in range(2, depth + 1):
        h = tp.matrix(f"W{l}", weights[l - 1], rows=widths[l - 1], train=f"W{l}" not in frozen) @ phi(h)
        h = biased(h, f"b{l}", biases[l - 1], train=f"b{l}" not in frozen)
    return tp.readout("v", sigma_v, outputs=outputs, train="v" not in frozen) @ phi(h)
