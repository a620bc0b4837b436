"""Lambda-balanced weights (Domine et al. 2025, arXiv 2409.14623, Definition of A2 and Algorithm 1): W2^T W2 - W1 W1^T = lambda I.

The network is f(x) = W2 W1 x with W1 (Nh, Ni) and W2 (No, Nh). lambda > 0 says that the second layer is the larger one. Gradient flow conserves
the balance. Which lambda exist depends on the shape: if Nh > Ni, some hidden direction is not reached by W1, so lambda >= 0; if Nh > No, some is
not read by W2, so lambda <= 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tensorprog.errors import InvalidProgram

Floats = NDArray[np.float64]
Seed = int | np.random.Generator
Family = Literal["funnel", "square", "inverted funnel"]


@dataclass(frozen=True)
class Shape:
    """Numbers of inputs, hidden units and outputs."""

    ni: int
    nh: int
    no: int

    @property
    def modes(self) -> int:
        """How many singular values W2 W1 can have."""
        return min(self.ni, self.nh, self.no)

    @property
    def family(self) -> Family:
        if self.ni == self.no:
            return "square"
        return "funnel" if self.ni > self.no else "inverted funnel"


@dataclass(frozen=True, eq=False)
class Weights:
    """W1 (Nh, Ni) and W2 (No, Nh)."""

    w1: Floats
    w2: Floats

    @property
    def shape(self) -> Shape:
        return Shape(self.w1.shape[1], self.w1.shape[0], self.w2.shape[0])

    @property
    def product(self) -> Floats:
        """W2 W1, (No, Ni)."""
        return self.w2 @ self.w1

    @property
    def size(self) -> float:
        """|W1|^2 + |W2|^2, the scale against which a balance is measured."""
        return float((self.w1**2).sum() + (self.w2**2).sum())

    @property
    def imbalance(self) -> Floats:
        """W2^T W2 - W1 W1^T, (Nh, Nh)."""
        return self.w2.T @ self.w2 - self.w1 @ self.w1.T

    @property
    def lam(self) -> float:
        """The nearest lambda, tr(W2^T W2 - W1 W1^T) / Nh; 0 where only rounding is left."""
        lam = float(np.trace(self.imbalance)) / self.shape.nh
        return lam if abs(lam) > 64 * np.finfo(float).eps * self.size else 0.0

    @property
    def defect(self) -> float:
        """The largest entry of W2^T W2 - W1 W1^T - lambda I."""
        return float(np.abs(self.imbalance - self.lam * np.eye(self.shape.nh)).max())


def weights(w1: ArrayLike, w2: ArrayLike) -> Weights:
    """Checked weights.

    Raises:
        InvalidProgram: not two finite matrices whose product exists.
    """
    a, b = np.asarray(w1, dtype=np.float64), np.asarray(w2, dtype=np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1] or 0 in a.shape + b.shape:
        raise InvalidProgram(f"[shape] W1 has shape {a.shape} and W2 has {b.shape}; wanted (Nh, Ni) and (No, Nh).")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InvalidProgram("[finite-data] a weight is NaN or infinite. Find where it comes from.")
    return Weights(a, b)


def require_possible(shape: Shape, lam: float) -> None:
    """Raises InvalidProgram where no weights of this shape have this balance."""
    ni, nh, no = shape.ni, shape.nh, shape.no
    if min(ni, nh, no) < 1 or not np.isfinite(lam):
        raise InvalidProgram(f"[balance] shape {(ni, nh, no)} with lambda = {lam}: wanted positive sizes and a finite lambda.")
    for found, side, layer, sign in ((nh > ni and lam < 0, ni, "W1", ">="), (nh > no and lam > 0, no, "W2", "<=")):
        if found:
            raise InvalidProgram(
                f"[balance] no weights of shape (Ni, Nh, No) = {(ni, nh, no)} have W2^T W2 - W1 W1^T = {lam:g} I: {nh} hidden units but {layer} "
                f"has rank {side} at most, so lambda {sign} 0. Change the sign of lambda, or take at most {side} hidden units."
            )


def balanced(shape: Shape, lam: float, *, scale: float = 1.0, seed: Seed = 0, aligned: ArrayLike | None = None) -> Weights:
    """Algorithm 1, "Get lambda-balanced": random weights with W2^T W2 - W1 W1^T = lambda I exactly.

    The singular values s of the product of two Gaussian matrices with N(0, scale^2) entries are split into those of the layers,
    s2^2, s1^2 = (sqrt(lambda^2 + 4 s^2) +- lambda) / 2, and rotated by a random orthogonal matrix in the hidden layer. Hidden units beyond
    min(Ni, No) take sqrt(|lambda|) in the layer that can hold it.

    Args:
        aligned: Sigma (No, Ni): its singular vectors are taken instead of those of the product ("aligned" or task-dependent initialization).

    Raises:
        InvalidProgram: the shape forbids this lambda, or `aligned` has another shape.
    """
    require_possible(shape, lam)
    rng = np.random.default_rng(seed)
    product = scale**2 * rng.standard_normal((shape.no, shape.nh)) @ rng.standard_normal((shape.nh, shape.ni))
    u, s, vt = np.linalg.svd(product)
    if aligned is not None:
        target = np.asarray(aligned, dtype=np.float64)
        if target.shape != product.shape:
            raise InvalidProgram(f"[shape] aligned has shape {target.shape}; wanted (No, Ni) = {product.shape}.")
        u, _, vt = np.linalg.svd(target)
    return split(u, s[: shape.modes], vt, shape, lam, orthogonal(rng, shape.nh))


def split(u: Floats, s: Floats, vt: Floats, shape: Shape, lam: float, rotation: Floats) -> Weights:
    """The balanced weights whose product is U s V^T, in the hidden basis `rotation`."""
    s1, s2 = layers(s, lam)
    d1, d2 = np.zeros((shape.nh, shape.ni)), np.zeros((shape.no, shape.nh))
    diagonal = np.arange(len(s))
    d1[diagonal, diagonal], d2[diagonal, diagonal] = s1, s2
    rest = np.arange(len(s), shape.nh)
    if lam > 0:
        d2[rest, rest] = np.sqrt(lam)
    elif lam < 0:
        d1[rest, rest] = np.sqrt(-lam)
    return Weights(rotation @ d1 @ vt, u @ d2 @ rotation.T)


def layers(s: Floats, lam: float) -> tuple[Floats, Floats]:
    """(s1, s2) with s1 s2 = s and s2^2 - s1^2 = lambda; the smaller one from the larger, which loses no digits."""
    large = np.sqrt((np.hypot(lam, 2 * s) + abs(lam)) / 2)
    small = np.divide(s, large, out=np.zeros_like(large), where=large > 0)
    return (small, large) if lam >= 0 else (large, small)


def orthogonal(rng: np.random.Generator, n: int) -> Floats:
    """A uniformly random orthogonal matrix."""
    q, r = np.linalg.qr(rng.standard_normal((n, n)))
    return q * np.sign(np.diagonal(r))


def random_weights(shape: Shape, scale1: float, scale2: float, seed: Seed = 0) -> Weights:
    """Independent N(0, scale1^2) and N(0, scale2^2) entries; E[W2^T W2 - W1 W1^T] = (No scale2^2 - Ni scale1^2) I."""
    rng = np.random.default_rng(seed)
    return Weights(scale1 * rng.standard_normal((shape.nh, shape.ni)), scale2 * rng.standard_normal((shape.no, shape.nh)))


def lecun(shape: Shape, seed: Seed = 0) -> Weights:
    """LeCun's initialization, entries of variance 1 / fan-in: lambda -> No / Nh - 1 as Ni and No grow at fixed Nh."""
    return random_weights(shape, shape.ni**-0.5, shape.nh**-0.5, seed)


def whitened(x: ArrayLike, tolerance: float = 1e-6) -> Floats:
    """The inputs (N, Ni), if they are whitened: X^T X / N = I (assumption A1).

    Raises:
        InvalidProgram: they are not.
    """
    a = np.asarray(x, dtype=np.float64)
    if a.ndim != 2 or not np.isfinite(a).all():
        raise InvalidProgram(f"[shape] x has shape {a.shape}; wanted finite inputs (N, Ni).")
    off = float(np.abs(a.T @ a / len(a) - np.eye(a.shape[1])).max())
    if off > tolerance:
        raise InvalidProgram(
            f"[whitened] X^T X / N differs from the identity by {off:.2g}; the closed form holds for whitened inputs only. "
            "Multiply by its inverse root: whiten(x), or --whiten; more than Ni inputs of full rank are needed."
        )
    return a


def whiten(x: ArrayLike) -> Floats:
    """x (X^T X / N)^(-1/2), (N, Ni).

    Raises:
        InvalidProgram: the inputs do not span their space.
    """
    a = np.asarray(x, dtype=np.float64)
    values, vectors = np.linalg.eigh(a.T @ a / len(a))
    if values[0] <= 1e-12 * values[-1]:
        raise InvalidProgram(
            f"[whitened] {len(a)} inputs of dimension {a.shape[1]} span a smaller space and cannot be whitened. Add inputs, or project."
        )
    return a @ (vectors / np.sqrt(values)) @ vectors.T


def correlation(x: ArrayLike, y: ArrayLike) -> Floats:
    """Sigma = Y^T X / N, (No, Ni), of whitened inputs (N, Ni) and targets (N, No): all that the dynamics sees of a task.

    Raises:
        InvalidProgram: the inputs are not whitened, or there is not one target an input.
    """
    a, b = whitened(x), np.asarray(y, dtype=np.float64)
    if b.ndim != 2 or len(b) != len(a):
        raise InvalidProgram(f"[shape] y has shape {b.shape}; wanted (N, No) with N = {len(a)}.")
    return b.T @ a / len(a)
