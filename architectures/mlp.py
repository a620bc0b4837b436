"""Multilayer perceptron: h^1 = U x + b^1,  h^{l+1} = W^{l+1} phi(h^l) + b^{l+1},  f = v . phi(h^L) / sqrt(n) (Jacot et al. 2018; Lee et al. 2018)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import tensorprog as tp


@tp.network
def mlp(
    x: tp.Data, depth: int = 2, nonlinearity: tp.Nonlinearity = tp.relu, sigma_w: float | Sequence[float] = 2**0.5,
    sigma_b: float | Sequence[float] = 0.0, ratios: Sequence[float] | None = None, sigma_v: float = 1.0, outputs: int = 1,
    frozen: Collection[str] = (),
) -> tp.Output:
    """An MLP with `depth` hidden layers.

    Args:
        nonlinearity: any function of a vector.
        sigma_w, sigma_b: standard deviations of weights and biases, one for all layers or one a layer; no biases where sigma_b is 0.
        ratios: the width of every hidden layer as a multiple of the base width n; 1 unless given.
        sigma_v, outputs: scale and number of the readout's copies.
        frozen: names of tensors that are not trained: U, W2, .., WL, b1, .., bL, v.
    """
    weights, biases = per_layer(sigma_w, depth), per_layer(sigma_b, depth)
    widths = [tp.width("n")] * depth if ratios is None else [tp.width("n") if r == 1 else tp.width(f"n{l}", r) for l, r in enumerate(ratios, 1)]
    activation: tp.Value | None = None
    for l, (sw, sb, width) in enumerate(zip(weights, biases, widths, strict=True), 1):
        if activation is None:
            h = tp.embedding("U", sw, width=width, train="U" not in frozen) @ x
        else:
            h = tp.matrix(f"W{l}", sw, rows=width, train=f"W{l}" not in frozen) @ activation
        if sb:
            h = h + tp.bias(f"b{l}", sb, width=width, train=f"b{l}" not in frozen)
        activation = nonlinearity(h)
    if activation is None:
        raise tp.InvalidProgram("[mlp] depth is 0: there is no hidden layer to read out. Give depth >= 1.")
    return tp.readout("v", sigma_v, outputs=outputs, train="v" not in frozen) @ activation


def per_layer(value: float | Sequence[float], depth: int) -> list[float]:
    """One number for all layers, or one a layer."""
    return [float(v) for v in value] if isinstance(value, Sequence) else [float(value)] * depth
