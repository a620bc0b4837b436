"""Training a deep linear residual network in muP, in closed recursion over its kets: an oracle that shares no code with the interpreters (TP VI, 4).

x^l = x^{l-1} + L^-alpha W_t^l x^{l-1},  f = <x^L | v>,  W_t^l = W_0^l - eta L^-alpha sum_{s<t} chi_s |dx_s^l> <x_s^{l-1}|,  U and v frozen.
A ket is a vector of coefficients over hats; hats of one matrix have the covariance of what they multiply, and W_0 |x> has as its dot, for every
hat of W_0^T in x, the coefficient times the ket which that hat multiplies.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray

Ket = NDArray[np.float64]


class Kets:
    """The hats so far, and their Gram matrix."""

    def __init__(self) -> None:
        self.gram = np.zeros((0, 0))
        self.hats: list[tuple[Hashable, Ket]] = []

    def hat(self, of: Hashable, arg: Ket, variance: float) -> Ket:
        n = len(self.hats)
        gram = np.zeros((n + 1, n + 1))
        gram[:n, :n] = self.gram
        for j, (other, earlier) in enumerate(self.hats):
            gram[n, j] = gram[j, n] = self.dot(earlier, arg) if other == of else 0.0
        gram[n, n] = variance
        self.gram = gram
        self.hats.append((of, arg))
        return np.eye(n + 1)[n]

    def full(self, x: Ket) -> Ket:
        return np.pad(x, (0, len(self.hats) - len(x)))

    def dot(self, x: Ket, y: Ket) -> float:
        return float(self.full(x) @ self.gram @ self.full(y))

    def times(self, layer: int, transpose: bool, x: Ket) -> Ket:
        x = self.full(x)
        dots = [(c, y) for c, (of, y) in zip(x, self.hats, strict=True) if of == (layer, not transpose)]
        out = self.full(self.hat((layer, transpose), x, self.dot(x, x)))
        for c, y in dots:
            out = out + c * self.full(y)
        return out


def linear_resnet(depth: int, steps: int, eta: float, xi: float, y: float, alpha: float = 0.5) -> list[float]:
    """f_0 .. f_T on the one training input."""
    k, c = Kets(), depth**-alpha
    u, v = (k.hat(name, np.zeros(0), 1.0) for name in "uv")
    past: list[tuple[float, list[Ket], list[Ket]]] = []
    outputs: list[float] = []
    for _ in range(steps + 1):
        x = [xi * k.full(u)]
        for l in range(depth):
            moved = [(-eta * chi * c * k.dot(xs[l], x[-1]), ds[l + 1]) for chi, xs, ds in past]
            h = k.times(l, False, x[-1])
            x.append(k.full(x[-1]) + c * sum((a * k.full(d) for a, d in moved), k.full(h)))
        outputs.append(k.dot(x[-1], v))
        d = [k.full(v)]
        for l in reversed(range(depth)):
            moved = [(-eta * chi * c * k.dot(ds[l + 1], d[0]), xs[l]) for chi, xs, ds in past]
            h = k.times(l, True, d[0])
            d.insert(0, k.full(d[0]) + c * sum((a * k.full(z) for a, z in moved), k.full(h)))
        past.append((outputs[-1] - y, x, d))
    return outputs
