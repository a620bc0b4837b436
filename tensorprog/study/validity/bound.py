"""How far rescaled training alpha h(w) gets from its linearization within time T (Boix-Adsera & Littwin 2023, Theorems 1.2 and 1.3).

h: R^p -> R^n with Lip(Dh)-Lipschitz derivative on the ball B(w0, rho); gradient flow on alpha^-2 R(alpha h(w)), R(f) = |f - y|^2 / 2, and on the
same with hbar(w) = h(w0) + Dh(w0)(w - w0). With kappa = (T / alpha) Lip(Dh) sqrt(R0), R0 = R(alpha h(w0)), and T <= alpha^2 rho^2 / R0,

    |alpha h(w(T)) - alpha hbar(wbar(T))| <= min(c kappa, sqrt 8) sqrt(R0),        c = pi / (2 sqrt e) + 1/2 = 1.4527 (the paper: 6),

and for every alpha, T, Lip(Dh), R0 there is an h on which it is at least min(kappa, 1) sqrt(R0) / 5 (see `hard`). Proof, with r = y - alpha h(w),
A = Dh(w), K = A A^T, and a bar for the linearization:

1. F = alpha^-2 R falls at the rate |w'|^2, so the path is no longer than sqrt(T F(0)) = sqrt(T R0) / alpha, which is at most rho.
2. r' = -K r and rbar' = -K_0 rbar, hence r - rbar at T is -int_0^T e^{-K_0 (T-t)} (K_t - K_0) r dt, and
   K_t - K_0 = A_0 (A_t - A_0)^T + (A_t - A_0) A_t^T.
3. First term: |e^{-K_0 u} A_0| <= 1 / sqrt(2 e u), |A_t - A_0| <= Lip(Dh) sqrt(t R0) / alpha, |r| <= sqrt(2 R0) and
   int sqrt(t / (T - t)) dt = pi T / 2 give pi / (2 sqrt e) kappa sqrt(R0).
4. Second term: A_t^T r = alpha w', so it is at most int Lip(Dh) s alpha s' dt = alpha Lip(Dh) s(T)^2 / 2 <= kappa sqrt(R0) / 2, s the path length.
5. And |r - rbar| <= |r| + |rbar| <= 2 sqrt(2 R0) in any case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import e, inf, isnan, pi, sqrt

from tensorprog.errors import InvalidProgram

SHARP = pi / (2 * sqrt(e)) + 0.5
PAPER = 6.0


@dataclass(frozen=True)
class Validity:
    """Bounds of the distance between training and its linearization at time T, in units of outputs (alpha h).

    Attributes:
        kappa: (T / alpha) Lip(Dh) sqrt(R0): small, the approximation is valid; large, there are networks on which it is not.
        displacement: sqrt(T R0) / alpha, a bound of |w(t) - w0| for t <= T.
        applicable: whether T <= alpha^2 rho^2 / R0, so that the path stays where Lip(Dh) holds. If not, the bounds are the trivial sqrt(8 R0).
        bound: min(c kappa, sqrt 8) sqrt(R0), c = 1.4527.
        bound_paper: with the paper's constant 6.
        lower_hard: min(kappa, 1) sqrt(R0) / 5, reached or exceeded by the hard instance with the same alpha, T, Lip(Dh), R0.
        bound_chizat: min(2 T Lip(h)^2, (4 sqrt 2 / 3) sqrt(T) Lip(h)) kappa sqrt(R0), the bound by Lip(h) (Chizat, Oyallon & Bach 2019, with the
            constant that holds for this loss); None without Lip(h), and trivial where T > alpha rho / (Lip(h) sqrt(2 R0)).
        alpha_sufficient: the least alpha for which the theorem gives a distance of at most eps until T; None without eps.
        horizon: the largest T for which it does so at this alpha; None without eps.
    """

    kappa: float
    displacement: float
    applicable: bool
    bound: float
    bound_paper: float
    lower_hard: float
    bound_chizat: float | None
    alpha_sufficient: float | None
    horizon: float | None


def ntk_validity_bound(
    alpha: float, T: float, lip_dh: float, R0: float, rho: float = inf, lip_h: float | None = None, eps: float | None = None
) -> Validity:
    """The bounds above.

    Args:
        alpha: output scale; 1 for a network in the NTK parametrization, whose Lip(Dh) falls as width^(-1/2).
        T: training time of gradient flow on alpha^-2 R.
        lip_dh: Lip(Dh) in operator norm on B(w0, rho).
        R0: R(alpha h(w0)) = |alpha h(w0) - y|^2 / 2.
        rho: radius of the ball on which lip_dh holds.
        lip_h: Lip(h) there, for the bound of Chizat et al.
        eps: a wanted distance, for `alpha_sufficient` and `horizon`.

    Raises:
        InvalidProgram: alpha, T, rho or eps not positive, a negative Lipschitz constant or loss, or NaN.
    """
    _require({"alpha": alpha, "T": T, "rho": rho, "eps": 1.0 if eps is None else eps})
    _require({"lip_dh": lip_dh, "R0": R0, "lip_h": lip_h or 0.0}, zero=True)
    root = sqrt(R0)
    kappa, displacement = T / alpha * lip_dh * root, sqrt(T) * root / alpha
    trivial, applicable = sqrt(8.0) * root, displacement <= rho

    def within(constant: float) -> float:
        return min(constant * kappa * root, trivial) if applicable else trivial

    chizat = sufficient = horizon = None
    if lip_h is not None:
        inside = T * lip_h * sqrt(2.0) * root <= alpha * rho
        chizat = min(min(2 * T * lip_h**2, 4 * sqrt(2.0) / 3 * sqrt(T) * lip_h) * kappa * root, trivial) if inside else trivial
    if eps is not None:
        sufficient = max(SHARP * T * lip_dh * R0 / eps, displacement * alpha / rho)
        steep = SHARP * lip_dh * R0
        horizon = min(eps * alpha / steep if steep else inf, (alpha * rho) ** 2 / R0 if R0 else inf)
    return Validity(kappa, displacement, applicable, within(SHARP), within(PAPER), min(kappa, 1.0) * root / 5, chizat, sufficient, horizon)


def _require(numbers: Mapping[str, float], zero: bool = False) -> None:
    for name, value in numbers.items():
        if isnan(value) or value < 0 or (value == 0 and not zero):
            raise InvalidProgram(f"[validity] {name} is {value}. Give a number {'>= 0' if zero else '> 0'}.")
