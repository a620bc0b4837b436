"""What a two-layer linear network's weights mean: its NTK at finite width, representations, kernel distance, sensitivity to noise.

NTK(x, x') = W2 W2^T x . x' + I_No x^T W1^T W1 x' (Domine et al. 2025, section 4; it is J J^T exactly). Inputs are rows: x (N, Ni).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tensorprog.errors import InvalidProgram
from tensorprog.study.linear.balance import Family, Floats, Shape, Weights
from tensorprog.study.linear.solution import Solution


def ntk(inner: ArrayLike, outer: ArrayLike, x: ArrayLike) -> Floats:
    """The NTK (.., N, N, No, No) from W1^T W1 (.., Ni, Ni) and W2 W2^T (.., No, No), e.g. `solution.inner` and `solution.outer`.

    Entry [a, b, c, d] belongs to output c at x_a and output d at x_b; see `as_matrix`.
    """
    a, p, r = (np.asarray(v, dtype=np.float64) for v in (x, inner, outer))
    if a.ndim != 2 or p.shape[-1] != a.shape[1]:
        raise InvalidProgram(f"[shape] x has shape {a.shape}; wanted (N, {p.shape[-1]}).")
    features, plain, eye = a @ p @ a.T, a @ a.T, np.eye(r.shape[-1])
    return np.einsum("...ab,cd->...abcd", features, eye) + np.einsum("ab,...cd->...abcd", plain, r)


def as_matrix(kernel: Floats) -> Floats:
    """(.., N, N, No, No) to (.., No N, No N), output-major as in I_No (x) X^T W1^T W1 X + W2 W2^T (x) X^T X."""
    n, no = kernel.shape[-4], kernel.shape[-1]
    return np.moveaxis(kernel, (-2, -1), (-4, -2)).reshape(*kernel.shape[:-4], no * n, no * n)


def kernel_distance(first: ArrayLike, second: ArrayLike) -> Floats:
    """1 - <K, K'> / (|K| |K'|) of matrices or NTKs; leading dimensions broadcast (Fort et al. 2020).

    Formed as |K/|K| - K'/|K'||^2 / 2, which does not cancel where the two are close.
    """
    a, b = (_flat(np.asarray(k, dtype=np.float64)) for k in (first, second))
    unit = [k / np.linalg.norm(k, axis=-1, keepdims=True) for k in (a, b)]
    return 0.5 * ((unit[0] - unit[1]) ** 2).sum(-1)


def distances(solution: Solution, x: ArrayLike | None = None) -> Floats:
    """Kernel distance of NTK(t) from NTK(0), (T,), when the first time is 0; on the identity as inputs unless x (N, Ni) is given."""
    inputs = np.eye(solution.modes.shape.ni) if x is None else np.asarray(x)
    k = ntk(solution.inner, solution.outer, inputs)
    return kernel_distance(k, k[:1])


def _flat(k: Floats) -> Floats:
    """The entries of a matrix, or of an NTK (.., N, N, No, No), in one dimension."""
    entries = 4 if k.ndim >= 4 else 2
    return k.reshape(*k.shape[:-entries], -1)


def input_similarity(solution: Solution, x: ArrayLike) -> Floats:
    """X W1^T W1 X^T, (T, N, N): similarity of the hidden representations of inputs."""
    a = np.asarray(x, dtype=np.float64)
    return a @ solution.inner @ a.T


def output_similarity(solution: Solution, y: ArrayLike) -> Floats:
    """Y (W2 W2^T)^+ Y^T, (T, N, N): similarity of the hidden representations that targets (N, No) ask for."""
    b = np.asarray(y, dtype=np.float64)
    return b @ np.linalg.pinv(solution.outer, rcond=1e-12, hermitian=True) @ b.T


@dataclass(frozen=True)
class Sensitivity:
    """Expected squared change of W2 W1 under noise of variance sigma^2, divided by sigma^2 (leading order)."""

    input: float  # E |W2 W1 xi|^2 = |W2 W1|^2, the same for every lambda once Sigma is learned
    parameter: float  # E |d(W2 W1)|^2 = Ni |W2|^2 + No |W1|^2; square networks: n sum_i sqrt(lambda^2 + 4 s_i^2), least at lambda = 0


def sensitivity(w: Weights) -> Sensitivity:
    """To noise on the inputs, and on all weights; the next order of the latter is sigma^4 Ni Nh No."""
    s = w.shape
    return Sensitivity(float((w.product**2).sum()), float(s.ni * (w.w2**2).sum() + s.no * (w.w1**2).sum()))


@dataclass(frozen=True)
class Phase:
    """Which kind of learning a shape and lambda give (Domine et al. 2025, Figure 5 and Theorem C.6).

    Attributes:
        name: "rich": features and function are learned together; "lazy": the NTK stays; "delayed rich": a fast lazy fit, then slow alignment.
        fit: the slowest rate at which a mode is fitted, 2 S.
        align: the slowest rate at which representations align, 2 (S - |lambda|/2); tends to 2 s~^2 / |lambda|.
    """

    name: str
    fit: float
    align: float


def phase(shape: Shape, lam: float, target: ArrayLike) -> Phase:
    """The phase for singular values s~ of Sigma. Between rich and the others is a crossover; the name changes at |lambda| = 2 max s~.

    Funnels (Ni > No) are lazy for lambda -> +inf and delayed rich for -inf, inverted funnels the other way round, square networks lazy both ways.
    """
    s = np.asarray(target, dtype=np.float64)
    total = np.hypot(s, lam / 2)
    rates = float(2 * total.min()), float(2 * (s**2 / (total + abs(lam) / 2)).min())
    if abs(lam) <= 2 * s.max():
        return Phase("rich", *rates)
    lazy: dict[Family, bool] = {"funnel": lam > 0, "square": True, "inverted funnel": lam < 0}
    return Phase("lazy" if lazy[shape.family] else "delayed rich", *rates)
