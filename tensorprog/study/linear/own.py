"""A task of the user's own: its training in closed form for several balances, beside gradient descent, and how far the NTK turns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tensorprog.errors import InvalidProgram
from tensorprog.study.frame import Check, Columns, Found, Run, tidy
from tensorprog.study.linear.balance import Floats, Shape, balanced, correlation
from tensorprog.study.linear.flow import descend, stacked
from tensorprog.study.linear.kernel import distances, phase
from tensorprog.study.linear.solution import solve

LAMBDAS = (-10.0, -1.0, 0.0, 1.0, 10.0)  # in units of the largest singular value of Sigma
START = 0.01  # size of the entries of W2 W1 at the start, in that unit
STEP, STEPS, RECORDED = 2e-3, 20000, 400  # learning rate in units of one over the largest exponent


def task(run: Run, *, x: ArrayLike, y: ArrayLike) -> Found:
    """Loss and kernel distance in time, with as many hidden units as Sigma = Y^T X / N has singular values, and gradient descent beside them.

    Args:
        x: whitened inputs (N, Ni).
        y: targets (N,) or (N, No).

    Raises:
        InvalidProgram: inputs that are not whitened, targets that do not fit, or none that are correlated with the inputs.
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    sigma = correlation(a, b[:, None] if b.ndim == 1 else b)
    unit = float(np.linalg.norm(sigma, 2))
    if unit == 0.0:
        raise InvalidProgram("[linear] Y^T X / N is 0: a linear network has nothing to learn from these data. Give other targets.")
    table = tidy(_rows(sigma, unit, run.seed))
    smooth = ~table["saddle"]
    worst = float(np.nanmax(table["error"][smooth])) if smooth.any() else 0.0
    return Found(
        table,
        (
            # of first order in the learning rate: with the published settings 1e-3 leaves at most 7e-3 of QQ^T (check 3.8)
            Check("own", "gradient descent against the closed form: relative error of QQᵀ", worst, high=3e-2),
            *(Check("own", f"λ = {lam:.3g} ({name}): final kernel distance", far) for lam, name, far in _ends(table)),
        ),
    )


def _rows(sigma: Floats, unit: float, seed: int) -> Iterator[dict[str, Any]]:
    """One row a balance and time. The kernel distance on whitened inputs is that on the identity: <X M X^T, X M' X^T> = N^2 <M, M'>."""
    (no, ni), lams = sigma.shape, unit * np.array(LAMBDAS)
    shape, s = Shape(ni, min(ni, no), no), np.linalg.svd(sigma, compute_uv=False)
    starts = [balanced(shape, lam, scale=(START * unit) ** 0.5, seed=seed) for lam in lams]
    rates = STEP / np.hypot(unit, lams / 2)
    w1, w2 = (np.stack(w) for w in zip(*((start.w1, start.w2) for start in starts), strict=True))
    v1, v2 = descend(w1, w2, sigma, rates[:, None, None], STEPS, STEPS // RECORDED)
    looked = np.unique(np.geomspace(1, RECORDED, 50).round().astype(int))
    for i, (lam, start) in enumerate(zip(lams, starts, strict=True)):
        time = rates[i] * (STEPS // RECORDED) * looked
        later = np.append(time[-1] * np.geomspace(1, 1e3, 25)[1:], np.inf)
        exact, found = solve(start.w1, start.w2, sigma, [0.0, *time, *later]), stacked(v1[looked, i], v2[looked, i])
        beside = exact.qq[1 : 1 + len(time)]
        error = np.linalg.norm(found - beside, axis=(1, 2)) / np.linalg.norm(beside, axis=(1, 2))
        descent = 0.5 * ((v2[looked, i] @ v1[looked, i] - sigma) ** 2).sum((1, 2)) / exact.loss[0]
        same = {"lambda": lam, "phase": "saddle" if exact.saddle else phase(shape, lam, s).name, "saddle": exact.saddle}
        unknown = [np.nan] * len(later)
        columns = (exact.time, exact.loss / exact.loss[0], [1.0, *descent, *unknown], [0.0, *error, *unknown], distances(exact))
        for t, loss, stepped, e, far in zip(*columns, strict=True):
            yield {**same, "time": t, "loss": loss, "descent": stepped, "error": e, "distance": far}


def _ends(table: Columns) -> list[tuple[float, str, float]]:
    end = np.isinf(table["time"])
    return list(zip(table["lambda"][end].tolist(), table["phase"][end].tolist(), table["distance"][end].tolist(), strict=True))
