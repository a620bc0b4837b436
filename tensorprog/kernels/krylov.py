"""Kernel regression without the kernel: conjugate gradients, gradient flow by Lanczos, gradient descent; a step is one product with K.

K is an array or a `TiledMatrix`. How many steps it takes is governed by the eigenvalues of K, of which a pivoted Cholesky factor takes the largest
away (Harbrecht, Peters & Schneider 2012; Gardner et al. 2018, arXiv 1809.11165).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, eigh_tridiagonal
from scipy.sparse.linalg import LinearOperator, cg

from tensorprog.errors import InvalidProgram

Floats = NDArray[np.floating]
Progress = Callable[[float, str], None]


class Symmetric(Protocol):
    """What is asked of a kernel matrix."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def diagonal(self) -> Floats: ...

    def __matmul__(self, v: Floats, /) -> Floats: ...


class Root(NamedTuple):
    """K ~ root root^T of low rank, and the trace that is left out."""

    root: Floats  # (N, rank)
    left: float


class Solved(NamedTuple):
    """Dual coefficients a, as y in shape; `error` relative, of the residual or of a, as the function says; `steps` products with K."""

    dual: Floats
    error: float
    steps: int


def pivoted_cholesky(k: Symmetric, rank: int, *, tolerance: float = 1e-12) -> Root:
    """The partial Cholesky factor with greedy pivots: it reads the diagonal and at most `rank` columns of K.

    It ends where the trace that is left is below `tolerance` times the trace.

    Raises:
        InvalidProgram: a negative diagonal: K is no kernel.
    """
    rest = np.array(k.diagonal(), dtype=np.float64)
    if (rest < 0).any():
        at = int(rest.argmin())
        raise InvalidProgram(f"[positive] the kernel's diagonal entry {at} is {rest[at]:.3g}. A kernel has no negative ones: compute it in float64.")
    total, root = rest.sum(), np.zeros((len(rest), min(rank, len(rest))))
    for m in range(root.shape[1]):
        pivot = int(rest.argmax())
        if rest.sum() <= tolerance * total:
            return Root(root[:, :m], float(rest.sum()))
        root[:, m] = (_column(k, pivot) - root[:, :m] @ root[pivot, :m]) / np.sqrt(rest[pivot])
        rest = np.maximum(rest - root[:, m] ** 2, 0.0)
        rest[pivot] = 0.0
    return Root(root, float(rest.sum()))


def _column(k: Symmetric, point: int) -> Floats:
    read = getattr(k, "column", None)
    return np.asarray(k)[:, point] if read is None else read(point)


def preconditioner(found: Root, ridge: float) -> Callable[[Floats], Floats]:
    """v -> (L L^T + s)^-1 v by Woodbury's identity, s the ridge and the mean of what L L^T leaves of the diagonal."""
    root, size = found.root, float((found.root**2).sum()) + found.left
    shift = ridge + max(found.left / max(len(root), 1), np.finfo(float).eps * size, np.finfo(float).tiny)
    inner = cho_factor(shift * np.eye(root.shape[1]) + root.T @ root)
    return lambda v: (v - root @ cho_solve(inner, root.T @ v, check_finite=False)) / shift


def conjugate_gradients(
    k: Symmetric, y: Floats, ridge: float = 0.0, *, rank: int = 100, tolerance: float = 1e-10, steps: int = 1000, progress: Progress | None = None
) -> Solved:
    """(K + ridge) a = y for all columns of y together, so that a step reads K once however many there are; `error` is |y - (K + ridge) a| / |y|.

    Args:
        rank: of the preconditioner; 0: none.
        tolerance: of the error.
        steps: the most products with K.

    Raises:
        InvalidProgram: the tolerance is not reached; the message says what was, and what helps.
    """
    n, columns = len(y), int(np.prod(y.shape[1:]))
    flat = y.reshape(n, columns).astype(np.float64)
    scale = np.where((norms := np.linalg.norm(flat, axis=0)) > 0, norms, 1.0)
    precondition = preconditioner(pivoted_cholesky(k, rank), ridge) if rank else lambda v: v
    used = 0

    def product(v: Floats) -> Floats:
        v = v.reshape(n, columns)
        return (k @ v + ridge * v).ravel()

    def report(_: Floats) -> None:
        nonlocal used
        used += 1
        if progress is not None:
            progress(used / steps, f"step {used} of at most {steps}")

    a, m = (_operator(n * columns, f) for f in (product, lambda v: precondition(v.reshape(n, columns)).ravel()))
    with np.errstate(divide="ignore", invalid="ignore"):  # where y leaves the range of K: the error tells
        found, _ = cg(a, (flat / scale).ravel(), rtol=tolerance / max(columns, 1) ** 0.5, atol=0.0, maxiter=steps, M=m, callback=report)
    left = (flat / scale).ravel() - product(found)
    error = float(np.linalg.norm(left.reshape(n, columns), axis=0).max(initial=0.0))
    if not error <= 10 * tolerance:
        raise InvalidProgram(
            f"[solve] conjugate gradients reached an error of {error:.1e} in {used} steps; wanted {tolerance:.0e}. Take a larger ridge (it is "
            f"{ridge:.3g}), a preconditioner of higher rank (it is {rank}), more steps, or the tolerance that the data deserve."
        )
    return Solved((found.reshape(n, columns) * scale).reshape(y.shape), error, used)


def _operator(size: int, product: Callable[[Floats], Floats]) -> LinearOperator:
    return LinearOperator((size, size), matvec=product, dtype=np.dtype(float))  # pyright: ignore[reportCallIssue]


def lanczos_flow(k: Symmetric, y: Floats, time: float, ridge: float = 0.0, *, tolerance: float = 1e-10, steps: int = 300) -> Solved:
    """a_t = (1 - exp(-S t)) S^-1 y, S = K + ridge: gradient flow to a time t by Lanczos, orthogonalized in full; `error` is that of a.

    The function of the tridiagonal matrix is compared with that of five steps before. `steps` vectors as large as y are held.

    Raises:
        InvalidProgram: the tolerance is not reached.
    """
    flat = y.reshape(len(y), int(np.prod(y.shape[1:]))).astype(np.float64)
    norms = np.linalg.norm(flat, axis=0)
    basis = [flat / np.where(norms > 0, norms, 1.0)]
    alpha: list[Floats] = []
    beta: list[Floats] = []
    before, error = np.zeros((0, flat.shape[1])), np.inf
    floor = np.finfo(float).eps * float(k.diagonal().sum())
    for m in range(1, min(steps, len(y)) + 1):
        w = k @ basis[-1] + ridge * basis[-1]
        alpha.append((w * basis[-1]).sum(0))
        for _ in range(2):  # twice is enough
            for v in basis:
                w = w - v * (v * w).sum(0)
        beta.append(np.linalg.norm(w, axis=0))
        if m % 5 == 0 or m == min(steps, len(y)) or (beta[-1] <= floor).all():
            now = np.stack([_flow_of(np.array(alpha)[:, c], np.array(beta)[:-1, c], time, floor) for c in range(flat.shape[1])], axis=1)
            change = now - np.pad(before, ((0, m - len(before)), (0, 0)))
            size = np.linalg.norm(now, axis=0)
            error = 0.0 if m == len(y) else float((np.linalg.norm(change, axis=0) / np.where(size > 0, size, 1.0)).max(initial=0.0))
            if error <= tolerance or (beta[-1] <= floor).all():
                dual = np.einsum("mnc,mc->nc", np.array(basis), now) * norms
                return Solved(dual.reshape(y.shape), error, m)
            before = now
        basis.append(w / np.where(beta[-1] > floor, beta[-1], np.inf))
    raise InvalidProgram(f"[solve] Lanczos reached an error of {error:.1e} in {steps} steps; wanted {tolerance:.0e}. Take more steps, or a ridge.")


def _flow_of(alpha: Floats, beta: Floats, time: float, floor: float) -> Floats:
    """(1 - exp(-T t)) T^-1 e_1 for the symmetric tridiagonal T; 0 on what counts as null."""
    values, vectors = eigh_tridiagonal(alpha, beta)
    alive = values > floor
    s = np.where(alive, values, 1.0)
    g = np.where(alive, (1.0 if np.isinf(time) else -np.expm1(-s * time)) / s, 0.0)
    return vectors @ (g * vectors[0])


def descend(k: Symmetric, y: Floats, *, rate: float, steps: int, momentum: float = 0.0, progress: Progress | None = None) -> Solved:
    """Gradient descent on (1/2) |f - y|^2 from f = 0 over all points: a_{t+1} = a_t - rate q_{t+1}, q_{t+1} = momentum q_t + K a_t - y.

    The recursion of `gradient_descent`, with one product a step. `error` is |y - K a| / |y| at the end: how far from the targets training got.
    """
    a = q = np.zeros_like(y, dtype=np.float64)
    rest = np.asarray(y, np.float64)
    for t in range(steps):
        q = momentum * q - rest
        a = a - rate * q
        rest = y - k @ a
        if progress is not None:
            progress((t + 1) / steps, f"step {t + 1} of {steps}")
    return Solved(a, float(np.linalg.norm(rest) / max(np.linalg.norm(y), np.finfo(float).tiny)), steps)
