"""Residual networks: pre-activation h <- h + s F(phi(h)), post-activation h <- phi(h + s F(h)) (He et al. 2016; Yang & Schoenholz 2017)."""

from __future__ import annotations

from typing import Literal

import tensorprog as tp
from architectures.options import biased, filters, positive

Order = Literal["pre", "post"]


@tp.network
def resnet(
    x: tp.Data,
    depth: int = 3,
    nonlinearity: str | tp.Nonlinearity = "relu",
    order: Order = "pre",
    sigma_w: float = 2**0.5,
    sigma_b: float = 0.0,
    scale: float = 1.0,
    alpha: float = 0.0,
    project: bool = False,
    final: bool = True,
    sigma_v: float = 1.0,
) -> tp.Output:
    """A fully connected ResNet of `depth` blocks with one weight matrix each.

    Args:
        scale, alpha: factor s = scale depth^-alpha of every branch. With alpha = 1/2 the variance stays bounded as the depth grows, and training has
            a limit in depth: Depth-muP (Yang et al. 2023, TP VI); its rates are those of `tp.at_depth`.
        project: a matrix P^l on every shortcut instead of the identity.
        final: apply the nonlinearity before the readout of a pre-activation network.
    """
    phi, s = tp.nonlinearity(nonlinearity), scale * depth**-alpha
    h = biased(tp.embedding("U", sigma_w) @ x, "b0", sigma_b)
    for l in range(1, depth + 1):
        shortcut = tp.matrix(f"P{l}") @ h if project else h
        branch = biased(tp.matrix(f"W{l}", sigma_w) @ (phi(h) if order == "pre" else h), f"b{l}", sigma_b)
        h = shortcut + s * branch if order == "pre" else phi(shortcut + s * branch)
    return tp.readout("v", sigma_v) @ (phi(h) if final and order == "pre" else h)


@tp.network(x="pixel")
def conv_resnet1d(
    x: tp.Data,
    pixel: int = 4,
    depth: int = 2,
    nonlinearity: str | tp.Nonlinearity = "relu",
    order: Order = "pre",
    kernel: int = 3,
    sigma_w: float = 2**0.5,
    sigma_b: float = 0.0,
    scale: float = 1.0,
    project: bool = False,
    final: bool = True,
    sigma_v: float = 1.0,
) -> tp.Output:
    """A 1-D convolutional ResNet with global average pooling; options as for `resnet`, a projection is one matrix for all pixels."""
    return _conv_resnet(x, ("pixel",), depth, nonlinearity, order, kernel, sigma_w, sigma_b, scale, project, final, sigma_v)


@tp.network(x=("height", "width"))
def conv_resnet2d(
    x: tp.Data,
    height: int = 3,
    width: int = 3,
    depth: int = 2,
    nonlinearity: str | tp.Nonlinearity = "relu",
    order: Order = "pre",
    kernel: int = 3,
    sigma_w: float = 2**0.5,
    sigma_b: float = 0.0,
    scale: float = 1.0,
    project: bool = False,
    final: bool = True,
    sigma_v: float = 1.0,
) -> tp.Output:
    """A 2-D convolutional ResNet with global average pooling; options as for `conv_resnet1d`."""
    return _conv_resnet(x, ("height", "width"), depth, nonlinearity, order, kernel, sigma_w, sigma_b, scale, project, final, sigma_v)


def _conv_resnet(
    x: tp.Data,
    axes: tuple[str, ...],
    depth: int,
    nonlinearity: str | tp.Nonlinearity,
    order: Order,
    kernel: int,
    sigma_w: float,
    sigma_b: float,
    scale: float,
    project: bool,
    final: bool,
    sigma_v: float,
) -> tp.Output:
    positive(kernel=kernel)
    phi = tp.nonlinearity(nonlinearity)
    h = biased(tp.conv(filters(tp.embedding, "U", sigma_w, kernel, len(axes)), x, axes), "b0", sigma_b).named("s0")
    for l in range(1, depth + 1):
        taps = filters(tp.matrix, f"W{l}", sigma_w, kernel, len(axes))
        shortcut = tp.matrix(f"P{l}") @ h if project else h
        branch = biased(tp.conv(taps, phi(h) if order == "pre" else h, axes), f"b{l}", sigma_b)
        h = (shortcut + scale * branch).named(f"s{l}")
        h = h if order == "pre" else phi(h)
    return tp.readout("v", sigma_v) @ (phi(h) if final and order == "pre" else h).mean(*axes)
