"""Least absolute deviations under difference constraints, as a linear program: the core of both steps of the layout (Gansner et al. 1993)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

from tensorprog.errors import InternalError


@dataclass(frozen=True)
class Difference:
    """`high` - `low` wants to be `wish`, at a cost of `weight` per unit, and must be `at_least` where that is given."""

    low: str
    high: str
    wish: float
    weight: float
    at_least: float | None = None


def least_absolute(names: Sequence[str], wants: Sequence[Difference]) -> dict[str, float]:
    """min sum weight |x_high - x_low - wish| subject to x_high - x_low >= at_least; each x also leans to 0, so that the optimum is unique.

    Raises:
        InternalError: the constraints contradict each other (a cycle).
    """
    index = {name: k for k, name in enumerate(names)}
    n, m = len(names), len(wants)
    if n == 0:
        return {}
    rows: list[int] = []
    cols: list[int] = []
    values: list[float] = []
    bounds: list[float] = []

    def constraint(low: int, high: int, sign: float, slack: int | None, bound: float) -> None:
        """sign (x_high - x_low) - t_slack <= bound."""
        entries = [(high, sign), (low, -sign)] + ([(n + slack, -1.0)] if slack is not None else [])
        rows.extend([len(bounds)] * len(entries))
        cols.extend(c for c, _ in entries)
        values.extend(v for _, v in entries)
        bounds.append(bound)

    for k, want in enumerate(wants):
        low, high = index[want.low], index[want.high]
        constraint(low, high, 1.0, k, want.wish)
        constraint(low, high, -1.0, k, -want.wish)
        if want.at_least is not None:
            constraint(low, high, -1.0, None, -want.at_least)
    cost = np.concatenate([np.full(n, 1e-5) * (1 + np.arange(n) / n), [want.weight for want in wants]])
    matrix = coo_array((values, (rows, cols)), shape=(len(bounds), n + m)).tocsr()
    solution = linprog(cost, A_ub=matrix, b_ub=bounds, bounds=[(0, 1e5)] * n + [(0, None)] * m, method="highs")
    if not solution.success:
        raise InternalError(f"the drawing's constraints contradict each other: {solution.message}")
    return {name: round(float(solution.x[k]), 3) for name, k in index.items()}


def centred(solution: Mapping[str, float], wants: Sequence[Difference], rounds: int = 6) -> dict[str, float]:
    """The same optimum with each x in the middle of the interval over which the cost does not change."""
    x = dict(solution)
    pulls: dict[str, list[tuple[str, float, float]]] = {name: [] for name in x}
    limits: dict[str, list[tuple[str, float, bool]]] = {name: [] for name in x}
    for want in wants:
        if want.at_least is None:
            pulls[want.high].append((want.low, want.wish, want.weight))
            pulls[want.low].append((want.high, -want.wish, want.weight))
        else:
            limits[want.high].append((want.low, want.at_least, True))
            limits[want.low].append((want.high, -want.at_least, False))
    for _ in range(rounds):
        for name in x:
            low, high = _median([(x[other] + wish, weight) for other, wish, weight in pulls[name]])
            low = max([low, *(x[other] + bound for other, bound, below in limits[name] if below)])
            high = min([high, *(x[other] + bound for other, bound, below in limits[name] if not below)])
            if high - low > 1e-6:
                x[name] = round((low + high) / 2, 3)
    return x


def _median(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The interval of weighted medians."""
    if not points:
        return 0.0, 0.0
    half, below = sum(w for _, w in points) / 2, 0.0
    ordered = sorted(points)
    for k, (value, weight) in enumerate(ordered):
        below += weight
        if below > half + 1e-9:
            return value, value
        if below > half - 1e-9:
            return value, ordered[min(k + 1, len(ordered) - 1)][0]
    return ordered[-1][0], ordered[-1][0]
