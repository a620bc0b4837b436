"""The networks on which linearization fails (Boix-Adsera & Littwin 2023, Theorem 1.3): h(w) = a w + b w^2 / 2 on the line.

With w0 = 0, y = sqrt(2 R0), a = T^(-1/2) and b = Lip(Dh), the residual solves a logistic equation r' = -(A - c r) r with c = 2 b / alpha and
A = a^2 + c y, because (a + b w)^2 = a^2 + 2 b h:

    r(t) = A y / (c y + a^2 e^{A t}),      rbar(t) = y e^{-a^2 t},
    |error(T)| / sqrt(R0) = g(kappa) = sqrt 2 [e^-1 - (1 + z) / (z + e^{1 + z})],   z = 2 sqrt 2 kappa:

a function of kappa alone, with g'(0) = 4 e^-2, g(inf) = sqrt 2 / e and g >= 0.409 min(kappa, 1) >= min(kappa, 1) / 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from tensorprog.errors import InvalidProgram
from tensorprog.study.validity.bound import ntk_validity_bound

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HardInstance:
    """h(w) = a w + b w^2 / 2 with everything about its training in closed form; outputs are alpha h."""

    alpha: float
    T: float
    lip_dh: float
    R0: float
    a: float
    w0: float = 0.0

    @property
    def target(self) -> float:
        """y = sqrt(2 R0)."""
        return float(np.sqrt(2 * self.R0))

    def h(self, w: ArrayLike) -> Floats:
        v = np.asarray(w, dtype=np.float64)
        return self.a * v + self.lip_dh * v**2 / 2

    def derivative(self, w: ArrayLike) -> Floats:
        """Dh(w) = a + b w."""
        return self.a + self.lip_dh * np.asarray(w, dtype=np.float64)

    def residual(self, t: ArrayLike) -> Floats:
        """y - alpha h(w(t)), the exponential e^{-A t} taken out so that nothing overflows."""
        c, y, at = 2 * self.lip_dh / self.alpha, self.target, np.asarray(t, dtype=np.float64)
        total = self.a**2 + c * y
        fall = np.exp(-total * at)
        return total * y * fall / (c * y * fall + self.a**2)

    def linear_residual(self, t: ArrayLike) -> Floats:
        """y - alpha hbar(wbar(t))."""
        return self.target * np.exp(-(self.a**2) * np.asarray(t, dtype=np.float64))

    def error(self, t: ArrayLike) -> Floats:
        """|alpha h(w(t)) - alpha hbar(wbar(t))|."""
        return np.abs(self.residual(t) - self.linear_residual(t))


def hard_instance(alpha: float, T: float, lip_dh: float, R0: float, a: float | None = None) -> HardInstance:
    """The hard network for these numbers.

    Args:
        a: Dh(0); the hardest, T^(-1/2), unless given.

    Raises:
        InvalidProgram: numbers that `ntk_validity_bound` refuses too.
    """
    ntk_validity_bound(alpha, T, lip_dh, R0)
    return HardInstance(alpha, T, lip_dh, R0, T**-0.5 if a is None else a)


def hardness(kappa: ArrayLike) -> Floats:
    """g(kappa), the error of the hard instance at T in units of sqrt(R0)."""
    z = 2 * np.sqrt(2.0) * np.asarray(kappa, dtype=np.float64)
    # e^-1 - (1 + z) / (z + e^{1 + z}) = (z e^-1 + e^z - 1 - z) / (z + e^{1 + z}); divided by e^z it neither cancels nor overflows
    fall, small = np.exp(-z), np.minimum(z, 1e-4)
    above = np.where(z > 1e-4, (z / np.e - z) * fall - np.expm1(-z), small / np.e + small**2 / 2 + small**3 / 6)
    return np.sqrt(2.0) * above / np.where(z > 1e-4, z * fall + np.e, small + np.exp(1 + small))


def scale_needed(T: float, lip_dh: float, R0: float, level: float) -> float:
    """alpha*: the least scale at which the hard instance stays within level * sqrt(R0) of its linearization at T.

    Raises:
        InvalidProgram: a level that every scale reaches, sqrt 2 / e = 0.52 or more, or none, 0.
    """
    if not 0 < level < np.sqrt(2) / np.e:
        raise InvalidProgram(f"[validity] level is {level}. The hard instance errs by 0 to 0.52 sqrt(R0): give a level between.")
    distance = lambda logarithm: float(hardness(np.exp(logarithm))) - level  # noqa: E731
    logarithm: Any = brentq(distance, -30.0, 10.0, xtol=1e-15)
    kappa = float(np.exp(logarithm))
    return T * lip_dh * float(np.sqrt(R0)) / kappa
