"""Tasks one after another: continual and reversal learning (Domine et al. 2025, arXiv 2409.14623).

Balance is conserved, so that the exact solution starts anew at every change of task. After converging on B, the loss on A is (1/2) |Sigma_A -
Sigma_B|^2 whatever lambda was. Reversal, Sigma -> -Sigma, fails at lambda = 0: the aligned weights lie on the separatrix of a saddle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tensorprog.errors import InvalidProgram
from tensorprog.study.linear.balance import Floats, Weights, whiten
from tensorprog.study.linear.solution import Solution, solve


@dataclass(frozen=True, eq=False)
class Sequel:
    """Training on one task after another.

    Attributes:
        time: (T,), over all tasks.
        active: (T,), the task that is trained on.
        losses: (T, tasks): (1/2) |W2 W1 - Sigma_i|^2 of every task all the time.
        solutions: one a task.
    """

    time: Floats
    active: Floats
    losses: Floats
    solutions: tuple[Solution, ...]

    @property
    def end(self) -> Weights:
        return self.solutions[-1].weights()


def continual(start: Weights, sigmas: Sequence[ArrayLike], durations: Sequence[float], *, points: int = 100, tau: float = 1.0) -> Sequel:
    """Train on each Sigma_i for its duration (finite or infinite), from where the last one ended; balance is kept exactly.

    Raises:
        InvalidProgram: not one duration a task, or none.
    """
    if not len(sigmas) or len(sigmas) != len(durations):
        raise InvalidProgram(f"[tasks] {len(sigmas)} tasks but {len(durations)} durations. Give one of each.")
    targets = [np.asarray(s, dtype=np.float64) for s in sigmas]
    now, clock, times, active, losses, solutions = start, 0.0, list[Floats](), list[Floats](), list[Floats](), list[Solution]()
    for i, (sigma, duration) in enumerate(zip(targets, durations, strict=True)):
        at = np.linspace(0, duration, points) if np.isfinite(duration) else np.array([0.0, np.inf])
        solution = solve(now.w1, now.w2, sigma, at, tau=tau)
        solutions.append(solution)
        times.append(clock + at)
        active.append(np.full(len(at), i))
        losses.append(np.stack([0.5 * ((solution.product - s) ** 2).sum((1, 2)) for s in targets], axis=1))
        now, clock = solution.weights(), clock + duration
    return Sequel(np.concatenate(times), np.concatenate(active), np.concatenate(losses), tuple(solutions))


def semantic() -> tuple[Floats, Floats]:
    """A hierarchy of 8 items: whitened inputs sqrt(8) I (rows), and 8 features +-1 or 0 that tell items apart level by level.

    The root, which all share; one feature that splits them in halves; two that split the halves; four that split the pairs.

    Returns:
        x (8, 8) and y (8, 8). The singular values of Y^T X / N are 1, 1, 0.7071 twice and 0.5 four times.
    """
    splits = [np.kron(np.eye(2**level), np.repeat([[1.0], [-1.0]], 4 >> level, axis=0)) for level in range(3)]
    return 8**0.5 * np.eye(8), np.concatenate([np.ones((8, 1)), *splits], axis=1, dtype=np.float64)


def regression(ni: int, no: int, points: int, scale: float, seed: int) -> tuple[Floats, Floats]:
    """Whitened random inputs (N, Ni) and random targets (N, No) with N(0, scale^2) entries."""
    rng = np.random.default_rng(seed)
    return whiten(rng.standard_normal((points, ni))), scale * rng.standard_normal((points, no))
