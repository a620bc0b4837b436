"""Tabulated kernels: K(xi, xi') = (q q')^(m/2) sum_n T_n(t(theta)) sum_r sign_nr v_nr(s) v_nr(s'), with s = log q and theta the angle of a pair.

For a kernel that is homogeneous in its inputs, and for inputs of equal norm, v is a number: K is a series in the angle, whatever the depth of
the network. Elsewhere the products are few, since kernels vary little with the norms, the higher coefficients least (`series`). Every
table is checked against the exact kernel at random points.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import ceil, floor, log, pi

import numpy as np

from tensorprog.kernels.tables.chebyshev import ANGLES, Angle, coefficients, length, points, vandermonde
from tensorprog.kernels.tables.cosine import Middle, middles
from tensorprog.kernels.tables.pairs import Pairs
from tensorprog.kernels.tables.series import Series, decomposed

TERMS = (32, 64)  # points in the angle that are tried
SIZES = (8, 16, 24)  # points in log q that are tried
STEP = log(2.0) / 2  # a domain in log q is widened to multiples of it, so that tables serve later data
NOISE = 2.5e-13  # rounding in the coefficients of deep kernels, near equal directions
MOST = 512  # products beyond which closed forms cost less
WIDEST = 12.0  # in log q; beyond, polynomials are no way


@dataclass(frozen=True)
class Domain:
    """lower <= log q <= upper; `degree` is m, where the kernel is homogeneous (the domain is then a point)."""

    lower: float
    upper: float
    degree: float | None = None

    @property
    def point(self) -> bool:
        return self.lower == self.upper

    def at(self, s: np.ndarray) -> np.ndarray:
        """log q brought to [-1, 1]."""
        return np.zeros_like(s) if self.point else (2 * s - self.lower - self.upper) / (self.upper - self.lower)

    def s(self, x: np.ndarray) -> np.ndarray:
        return (self.lower + self.upper + x * (self.upper - self.lower)) / 2


@dataclass(frozen=True)
class Table:
    """Coefficients of one network on one domain, in float64.

    Attributes:
        series: of every output, in t(theta).
        diagonal: (outputs, size), the Chebyshev coefficients of K(xi, xi) in log q.
        error: the largest |K - table| / sqrt(K(xi, xi) K(xi', xi')) of every output at random points, with the error of the exact kernel there.
        method: how the tabulated numbers were found.
        middles: the same kernels for blocks of pairs far from equal and opposite directions, by radius.
    """

    outputs: tuple[str, ...]
    domain: Domain
    angle: Angle
    series: tuple[Series, ...]
    diagonal: np.ndarray = field(repr=False)
    error: np.ndarray
    method: str
    middles: tuple[Middle, ...] = ()

    def scale(self, q: np.ndarray) -> np.ndarray:
        """q^(m/2), (N,), or (1,) where the kernel is not homogeneous."""
        return q ** (self.domain.degree / 2) if self.domain.degree else np.ones(1)

    def norms(self, q: np.ndarray) -> np.ndarray:
        """T_0 .. T_{size-1} of log q, (N, size), or (1, 1) in a domain that is a point."""
        size = self.diagonal.shape[1]
        return np.ones((1, 1)) if size == 1 else vandermonde(self.domain.at(np.log(q)), size)

    def own(self, q: np.ndarray, norms: np.ndarray) -> np.ndarray:
        """K(xi, xi), (outputs, N); norms are those of q."""
        found = self.scale(q) ** 2 * np.einsum("ok,nk->on", self.diagonal, norms)
        return np.broadcast_to(found, (len(found), len(q)))

    def values(self, q1: np.ndarray, q2: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """K at pairs, (outputs, P), in float64: the definition, for checks."""
        return self._sum(self.series, q1, q2, self.angle.t(theta))

    def middle(self, m: Middle, q1: np.ndarray, q2: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """The same by one of the series in the cosine."""
        return self._sum(m.series, q1, q2, np.cos(theta) / m.radius)

    def _sum(self, series: tuple[Series, ...], q1: np.ndarray, q2: np.ndarray, x: np.ndarray) -> np.ndarray:
        left, right = self.norms(q1), self.norms(q2)
        found = [one.sum(left @ one.functions, right @ one.functions, vandermonde(x, len(one.ranks))) for one in series]
        return self.scale(q1) * self.scale(q2) * np.stack(found)


def domain_of(q: np.ndarray, degree: float | None) -> Domain | None:
    """The domain that serves these q = <x, x>/d; None where no table can: a kernel that is not homogeneous, and zeros or very different norms."""
    if not len(q):
        return None
    if degree is not None:
        return Domain(0.0, 0.0, degree) if degree > 0 or (q > 0).all() else None
    if not (q > 0).all():
        return None
    lower, upper = float(np.log(q.min())), float(np.log(q.max()))
    if upper - lower < 1e-14:
        return Domain(lower, lower)
    wide = Domain(STEP * floor(lower / STEP), STEP * ceil(upper / STEP))
    return wide if wide.upper - wide.lower <= WIDEST else None


def tabulate(pairs: Pairs, domain: Domain, tolerance: float) -> Table | None:
    """A table whose error is at most `tolerance`, up to a small factor, or None where no trial reaches it.

    Series that start at angle 0 are tried first. A kernel with biases varies near equal directions as a cone does, sqrt(theta^2 + b (s - s')^2):
    then the series starts at a positive angle, and the few pairs below it are left to the exact kernel.
    """
    for angle, terms in _angles(pairs, domain, max(tolerance / 8, NOISE)):
        table = _at_angle(pairs, domain, angle, terms, tolerance)
        if table is not None:
            return table
    return None


def _at_angle(pairs: Pairs, domain: Domain, angle: Angle, terms: int, tolerance: float) -> Table | None:
    for size in (1,) if domain.point else SIZES:
        s = domain.s(points(size))
        found = pairs.grid(np.exp(s), angle.theta(points(terms)))
        c = coefficients(found.kernels, 3)
        if size > 1 and length(coefficients(coefficients(_unit(c), 1), 2), 1, tolerance / 8) >= size:
            continue
        own = coefficients(pairs.own(np.exp(s)).kernels, 1)
        if not (np.isfinite(c).all() and np.isfinite(own).all()):
            return None
        series = tuple(decomposed(one, tolerance / 2) for one in c)
        if found.exact and max(len(one.signs) for one in series) > MOST:
            return None
        method = " and ".join(sorted(found.methods))
        table = Table(pairs.outputs, domain, angle, series, own, np.zeros(len(own)), method, middles(c, angle, tolerance))
        return _checked(table, pairs, found.exact, tolerance)
    return None


def _unit(values: np.ndarray) -> np.ndarray:
    """Every output in units of its largest number."""
    size = np.abs(values).max((1, 2, 3), keepdims=True)
    return values / np.where(size > 0, size, 1.0)


def _angles(pairs: Pairs, domain: Domain, tolerance: float) -> list[tuple[Angle, int]]:
    """For every start of the series the variable in which the kernel between the ends of the domain needs fewest terms, and their number."""
    s = np.unique([domain.lower, domain.upper])
    open_angles = [a for a in ANGLES if a.start == 0 or len(s) > 1]
    best: dict[float, tuple[int, Angle]] = {}
    for n in TERMS:
        angles = [a for a in open_angles if a.start not in best]
        if not angles:
            break
        theta = np.stack([a.theta(points(n)) for a in angles])
        values = _unit(pairs.grid(np.exp(s), theta.ravel()).kernels).reshape(len(pairs.outputs), len(s), len(s), len(angles), n)
        if not np.isfinite(values).all():
            break
        for k, a in enumerate(angles):
            terms = length(coefficients(values[:, :, :, k], 3), 3, tolerance)
            if terms <= 0.9 * n:
                best[a.start] = min(best.get(a.start, (terms, a)), (terms, a), key=lambda found: found[0])
    return [(angle, terms + 2) for _, (terms, angle) in sorted(best.items())]


def _checked(table: Table, pairs: Pairs, exact: bool, tolerance: float) -> Table | None:
    """The table with its error at random norms and angles, some of them near the ends; None where it is too large."""
    rng = np.random.default_rng(0)
    q = np.exp(table.domain.s(rng.uniform(-1, 1, 1 if table.domain.point else 8)))
    start, small = table.angle.start, 10.0 ** rng.uniform(-3, 0, 8)
    theta = np.concatenate([rng.uniform(start, pi, 16), start + small, pi - small])
    truth = pairs.grid(q, theta).kernels
    coarse = truth if exact else pairs.coarse(q, theta).kernels
    own = pairs.own(q).kernels
    size = np.sqrt(np.abs(own[:, :, None] * own[:, None, :]))[..., None]
    i, j, k = (a.ravel() for a in np.meshgrid(np.arange(len(q)), np.arange(len(q)), np.arange(len(theta)), indexing="ij"))
    off = np.abs(truth - table.values(q[i], q[j], theta[k]).reshape(truth.shape))
    for m in table.middles:
        served = np.abs(np.cos(theta)) <= m.radius
        off = np.maximum(off, np.where(served, np.abs(truth - table.middle(m, q[i], q[j], theta[k]).reshape(truth.shape)), 0.0))
    # Twice the largest difference, since random points may miss the worst one.
    error = ((2 * off + np.abs(truth - coarse)) / size).max((1, 2, 3)) + 4 * np.finfo(float).eps
    alone = np.abs(table.own(q, table.norms(q)) - own).max(1) / np.abs(own).max(1)
    if (error + alone > 8 * tolerance).any():
        return None
    rounding = np.abs(truth - pairs.grid(q, theta, pairs.rounding).kernels)
    return replace(table, error=error + alone + (rounding / size).max((1, 2, 3)))
