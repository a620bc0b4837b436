"""Convolutional networks: h^{l+1}_i = sum_t W^{l+1}_t phi(h^l_{i+t}) + b^{l+1}, shared over pixels (Novak et al. 2019; Yang 2020, TP II E.3)."""

from __future__ import annotations

from typing import Literal

import tensorprog as tp
from architectures.options import biased, filters, positive

Padding = Literal["same", "valid", "circular"]
Head = Literal["gap", "flatten", "sum"]


@tp.network(x="pixel")
def cnn1d(
    x: tp.Data,
    pixel: int = 6,
    depth: int = 2,
    nonlinearity: str | tp.Nonlinearity = "relu",
    kernel: int = 3,
    stride: int = 1,
    dilation: int = 1,
    padding: Padding = "same",
    pool: int = 1,
    head: Head = "gap",
    sigma_w: float = 2**0.5,
    sigma_b: float = 0.0,
    sigma_v: float = 1.0,
) -> tp.Output:
    """A 1-D CNN of `depth` convolutions.

    Args:
        kernel, stride, dilation, padding: of every convolution; stride of the first only, so that few pixels last.
        pool: average pooling over windows of this size after the first nonlinearity.
        head: "gap" is global average pooling, "flatten" reads out every pixel with weights of its own, "sum" is global sum pooling.
    """
    return _cnn(x, ("pixel",), depth, nonlinearity, kernel, stride, dilation, padding, pool, head, sigma_w, sigma_b, sigma_v)


@tp.network(x=("height", "width"))
def cnn2d(
    x: tp.Data,
    height: int = 4,
    width: int = 4,
    depth: int = 2,
    nonlinearity: str | tp.Nonlinearity = "relu",
    kernel: int = 3,
    stride: int = 1,
    dilation: int = 1,
    padding: Padding = "same",
    pool: int = 1,
    head: Head = "gap",
    sigma_w: float = 2**0.5,
    sigma_b: float = 0.0,
    sigma_v: float = 1.0,
) -> tp.Output:
    """A 2-D CNN of `depth` convolutions; options as for `cnn1d`."""
    return _cnn(x, ("height", "width"), depth, nonlinearity, kernel, stride, dilation, padding, pool, head, sigma_w, sigma_b, sigma_v)


def _cnn(
    x: tp.Data,
    axes: tuple[str, ...],
    depth: int,
    nonlinearity: str | tp.Nonlinearity,
    kernel: int,
    stride: int,
    dilation: int,
    padding: Padding,
    pool: int,
    head: Head,
    sigma_w: float,
    sigma_b: float,
    sigma_v: float,
) -> tp.Output:
    positive(depth=depth, kernel=kernel, stride=stride, dilation=dilation, pool=pool)
    phi = tp.nonlinearity(nonlinearity)
    activation: tp.Value | None = None  # the first convolution reads the data
    for l in range(1, depth + 1):
        tensor, name, step = (tp.embedding, "U", stride) if l == 1 else (tp.matrix, f"W{l}", 1)
        into = axes if step == 1 and padding != "valid" else tuple(f"{axis.rstrip('0123456789')}{l}" for axis in axes)
        taps = filters(tensor, name, sigma_w, kernel, len(axes))
        h = tp.conv(taps, x if activation is None else activation, axes, into=into, stride=step, dilation=dilation, padding=padding)
        axes, activation = into, phi(biased(h, f"b{l}", sigma_b).named(f"s{l}"))
        if l == 1 and pool > 1:
            activation, axes = _pooled(activation, axes, pool)
    assert activation is not None
    if head == "flatten":
        return tp.readout("v", sigma_v, axes=axes) @ activation
    return tp.readout("v", sigma_v) @ (activation.mean(*axes) if head == "gap" else activation.sum(*axes))


def _pooled(x: tp.Value, axes: tuple[str, ...], pool: int) -> tuple[tp.Value, tuple[str, ...]]:
    """Averages over windows of size `pool` along every axis."""
    into = tuple(f"pooled_{axis}" for axis in axes)
    for axis, new in zip(axes, into, strict=True):
        windows = tp.taps(x.size(axis), pool, stride=pool, padding="valid")
        total = x.gather(axis, windows[0], into=new)
        for window in windows[1:]:
            total = total + x.gather(axis, window, into=new)
        x = total / pool
    return x, into
