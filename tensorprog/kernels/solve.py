"""Kernel regression by a factor of K or against its tiles: (K + ridge) a = y, the flow, the posterior (Rasmussen & Williams 2006, Alg. 2.1)."""

from __future__ import annotations

from math import prod
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from tensorprog.errors import InvalidProgram
from tensorprog.kernels.dynamics import gradient_flow
from tensorprog.kernels.dynamics.trajectory import finite
from tensorprog.kernels.krylov import Solved, conjugate_gradients, lanczos_flow
from tensorprog.kernels.tiles.matrix import TiledMatrix

Floats = NDArray[np.floating]
Method = Literal["cholesky", "conjugate gradients"]
ROUNDING = 16  # units in the last place by which entries of a kernel may be off
ROWS = 256  # that are compared with their columns at a time
UNSOLVED = 0.1  # of the targets: what is left of them beyond which a factor has solved nothing


class Factor(NamedTuple):
    """lower lower^T = K + ridge + jitter."""

    lower: Floats
    jitter: float

    def solve(self, y: Floats) -> Floats:
        """(K + ridge + jitter)^-1 y."""
        return solve_triangular(self.lower, solve_triangular(self.lower, y, lower=True), lower=True, trans=1)


def factor(kernel: ArrayLike | TiledMatrix, ridge: float = 0.0) -> Factor:
    """The Cholesky factor of K + ridge.

    Jitter policy: none where the factorization succeeds. Else eps times the mean of the diagonal, then ten times as much, and so on up to ROUNDING N
    times: entries that are off by ROUNDING units in the last place move no eigenvalue further. eps is that of K's own numbers, float32 or float64.

    Raises:
        InvalidProgram: K + ridge has negative eigenvalues that rounding does not explain, or entries that are not finite.
    """
    k = np.asarray(kernel)
    unit = float(np.finfo(k.dtype if np.issubdtype(k.dtype, np.floating) else float).eps)
    k = k.astype(np.float64)
    if not np.isfinite(k).all():
        raise InvalidProgram("[finite-data] the kernel has entries that are not finite. Find the input that they come from, and repair or drop it.")
    mean, diagonal = float(np.diagonal(k).mean()) if len(k) else 0.0, np.arange(len(k))
    most = ROUNDING * max(len(k), 1)
    for jitter in (0.0, *(unit * mean * np.minimum(10.0 ** np.arange(np.ceil(np.log10(most)) + 1), most))):
        shifted = k.copy()
        shifted[diagonal, diagonal] += ridge + jitter
        try:
            return Factor(cholesky(shifted, lower=True, overwrite_a=True, check_finite=False), float(jitter))
        except LinAlgError:
            continue
    least = float(np.linalg.eigvalsh(k)[0]) + ridge
    raise InvalidProgram(
        f"[positive] K + ridge is not positive semidefinite: its least eigenvalue is {least:.3g}, more than rounding explains "
        f"({unit * mean * most:.1g}). Compute the kernel in float64, remove duplicates, or add a ridge."
    )


def solve(
    kernel: ArrayLike | TiledMatrix,
    y: ArrayLike,
    *,
    ridge: float = 0.0,
    time: float = np.inf,
    method: Method | None = None,
    rank: int = 100,
    tolerance: float = 1e-10,
    steps: int = 1000,
) -> Solved:
    """The dual coefficients of kernel gradient flow: a_t = (1 - exp(-S t)) S^-1 y with S = K + ridge; f_t(x) = K(x, train) a_t.

    t = inf is kernel ridge regression, and with the NNGP the mean of the Gaussian process. With conjugate gradients K is never held: each step is a
    product with its tiles (finite t: Lanczos).

    Args:
        kernel: K(train, train), an array or a `TiledMatrix` (`open_store(..).matrix("ntk")`, `tiled_matrix`).
        y: (N,) or (N, k).
        method: "cholesky" (finite t: eigenvectors), or "conjugate gradients"; None: the second for a TiledMatrix.
        rank, tolerance, steps: of the iteration.

    Raises:
        InvalidProgram: shapes that do not fit, numbers that are not finite, a kernel that is not symmetric or positive semidefinite, targets that it
            does not reach (equal points with different ones and no ridge), a tolerance that is not reached.
    """
    target = np.asarray(y, np.float64)
    shape = kernel.shape if isinstance(kernel, TiledMatrix) else np.shape(kernel)
    if len(shape) != 2 or shape[0] != shape[1] or target.shape[:1] != shape[:1]:
        raise InvalidProgram(f"[shape] the kernel has shape {shape} and y {target.shape}; wanted (N, N) and (N,) or (N, k).")
    if not 0 <= ridge < np.inf or not time >= 0:
        raise InvalidProgram(f"[ridge] the ridge is {ridge} and the time {time}. Give numbers >= 0, the ridge finite.")
    if rank < 0:
        raise InvalidProgram(f"[rank] the preconditioner has rank {rank}. Give a whole number >= 0, 0 for none.")
    if method not in (None, *get_args(Method)):
        raise InvalidProgram(f"[method] there is no method {method!r}. Take {' or '.join(map(repr, get_args(Method)))}.")
    finite("y", target)
    if not isinstance(kernel, TiledMatrix):
        _require_symmetric(kernel)
    if not target.size:
        return Solved(np.zeros_like(target), 0.0, 0)
    if method == "conjugate gradients" or (method is None and isinstance(kernel, TiledMatrix)):
        k = kernel if isinstance(kernel, TiledMatrix) else np.asarray(kernel, np.float64)
        if np.isinf(time):
            return conjugate_gradients(k, target, ridge, rank=rank, tolerance=tolerance, steps=steps)
        return lanczos_flow(k, target, time, ridge, tolerance=tolerance, steps=steps)
    if np.isinf(time):
        return _solved(factor(kernel, ridge), target)
    return Solved(np.asarray(gradient_flow(np.asarray(kernel), target, np.array([time]), ridge=ridge).dual[0]), 0.0, 0)


def _require_symmetric(kernel: ArrayLike) -> None:
    k = np.asarray(kernel)
    k = k if np.issubdtype(k.dtype, np.floating) else k.astype(np.float64)
    finite("kernel", k)
    skew = max((float(np.abs(k[i : i + ROWS] - k.T[i : i + ROWS]).max(initial=0.0)) for i in range(0, len(k), ROWS)), default=0.0)
    if skew > 1e-5 * max(k.max(initial=0.0), -k.min(initial=0.0)):
        raise InvalidProgram(f"[symmetric] the kernel differs from its transpose by {skew:.3g}. K(train, train) is wanted, not K(test, train).")


def _solved(found: Factor, y: Floats) -> Solved:
    """By a factor, with what it leaves of y, |y - (K + ridge) a| / |y|."""
    dual = found.solve(y)
    left = y - found.lower @ (found.lower.T @ dual) + found.jitter * dual
    size = np.linalg.norm(y, axis=0)
    error = float((np.linalg.norm(left, axis=0) / np.where(size > 0, size, 1.0)).max(initial=0.0))
    if not error <= UNSOLVED:
        raise InvalidProgram(
            f"[solve] the kernel does not reach the targets: {error:.1g} of them is left. Equal points with different targets, or points too close "
            "for rounding, have no interpolation: add a ridge, or take a finite time."
        )
    return Solved(dual, error, 0)


class At(NamedTuple):
    """Mean, (M,) or (M, k), and variance, (M,), of f at test points."""

    mean: Floats
    variance: Floats


def posterior_at(
    train: ArrayLike | TiledMatrix,
    cross: ArrayLike | TiledMatrix,
    test_variance: ArrayLike,
    y: ArrayLike,
    *,
    noise: float,
    method: Method | None = None,
    rank: int = 100,
    tolerance: float = 1e-8,
    steps: int = 1000,
) -> At:
    """The Gaussian process posterior at M points: mean = K* S^-1 y, variance = k** - diag(K* S^-1 K*^T), S = K + noise.

    One solution for the targets and all test points together: by a Cholesky factor, or against tiles, where K is read once a step for all of them.

    Args:
        train: K(train, train), (N, N). cross: K(test, train), (M, N). test_variance: K(x, x) at the test points, (M,).
    """
    across, target = np.asarray(cross, np.float64), np.asarray(y, np.float64)
    if across.ndim != 2 or np.shape(test_variance) != across.shape[:1] or across.shape[1:] != target.shape[:1]:
        raise InvalidProgram(
            f"[shape] cross {across.shape}, test_variance {np.shape(test_variance)}, y {target.shape}: wanted (M, N), (M,), (N, ..)."
        )
    flat = target.reshape(len(target), prod(target.shape[1:]))
    both = solve(train, np.concatenate([flat, across.T], axis=1), ridge=noise, method=method, rank=rank, tolerance=tolerance, steps=steps).dual
    weights, gain = both[:, : flat.shape[1]], both[:, flat.shape[1] :]
    return At((across @ weights).reshape(len(across), *target.shape[1:]), np.asarray(test_variance) - np.einsum("mn,nm->m", across, gain))
