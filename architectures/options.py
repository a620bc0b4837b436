"""Options that architectures share: one number for all layers or one a layer, and which tensors are trained."""

from __future__ import annotations

import tensorprog as tp

PerLayer = float | tuple[float, ...]


def per_layer(value: PerLayer, depth: int) -> tuple[float, ...]:
    """`value` for every one of `depth` layers.

    Raises:
        tp.InvalidProgram: another number of values than layers, or no layer at all.
    """
    values = value if isinstance(value, tuple) else (float(value),) * depth
    if depth < 1 or len(values) != depth:
        raise tp.InvalidProgram(f"[layers] {len(values)} values for a depth of {depth}. Give one value, or one for each of at least one layer.")
    return values


def biased(h: tp.Value, name: str, sigma: float, *, train: bool = True) -> tp.Value:
    """h + b; no bias at all where its sigma is 0."""
    return h + tp.bias(name, sigma, width=h.width, train=train) if sigma and h.width else h
