"""Lazy, rich and delayed rich (Domine et al. 2025, Figure 5, Theorem C.6); forgetting and reversal; sensitivity to noise."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tensorprog.study.frame import Check, Columns, Found, Run, tidy
from tensorprog.study.linear.balance import Floats, Shape, balanced, correlation
from tensorprog.study.linear.kernel import distances, input_similarity, kernel_distance, sensitivity
from tensorprog.study.linear.solution import solve
from tensorprog.study.linear.tasks import continual, semantic

FAMILIES = (Shape(4, 2, 2), Shape(2, 2, 2), Shape(2, 2, 4))
LAMBDAS = (-20.0, -10.0, -5.0, -2.0, -1.0, 0.0, 1.0, 2.0, 5.0, 10.0, 20.0)
TIMES = np.geomspace(1e-3, 1e4, 57)


def phases(run: Run, seeds: int) -> Found:
    """How far the NTK ends from where it began, by architecture and lambda. Sigma has N(0, 1) entries, X = I, weights scale 1e-2."""
    rows, paths = list[dict[str, Any]](), dict[str, Floats]()
    for i, shape in enumerate(FAMILIES):
        run.tell(i / len(FAMILIES), shape.family)
        for lam in LAMBDAS:
            both = [_path(shape, lam, run.seed + seed) for seed in range(seeds)]
            paths[f"{shape.family}/{lam:g}/distance"] = np.mean([b[0] for b in both], axis=0)
            paths[f"{shape.family}/{lam:g}/loss"] = np.mean([b[1] for b in both], axis=0)
            for seed, (distance, _) in enumerate(both):
                rows.append({"family": shape.family, "lambda": lam, "seed": seed, "distance": distance[-1]})
    table = tidy(rows)
    return Found(table, _phase_checks(table), {**paths, "time": TIMES})


def _path(shape: Shape, lam: float, seed: int) -> tuple[Floats, Floats]:
    """Kernel distance and relative loss at TIMES and at infinity."""
    rng = np.random.default_rng(seed)
    sigma = rng.standard_normal((shape.no, shape.ni))
    start = balanced(shape, lam, scale=1e-2, seed=rng)
    if lam == 0 and solve(start.w1, start.w2, sigma, [0.0]).saddle:
        sigma = sigma * np.r_[-1.0, np.ones(shape.no - 1)][:, None]  # the mirrored task, which has the same law and is learned
    found = solve(start.w1, start.w2, sigma, [0.0, *TIMES, np.inf])
    return distances(found)[1:], found.loss[1:] / found.loss[0]


def _phase_checks(table: Columns) -> tuple[Check, ...]:
    mean = {
        (str(f), float(lam)): float(table["distance"][(table["family"] == f) & (table["lambda"] == lam)].mean())
        for f in np.unique(table["family"])
        for lam in LAMBDAS
    }
    funnel, square, inverted = ([mean[f.family, lam] for lam in LAMBDAS] for f in FAMILIES)
    half = LAMBDAS.index(0.0)
    return (
        Check("3.13", "funnel at λ = 20 is lazy: kernel distance", funnel[-1], high=1e-3),
        Check("3.13", "inverted funnel at λ = -20 is lazy", inverted[0], high=1e-3),
        Check("3.13", "square at |λ| = 20 is lazy", max(square[0], square[-1]), high=1e-3),
        Check("3.13", "funnel at λ = -20 is (delayed) rich", funnel[0], low=0.3),
        Check("3.13", "inverted funnel at λ = 20 is (delayed) rich", inverted[-1], low=0.3),
        Check("3.13", "square moves most at λ =", LAMBDAS[int(np.argmax(square))], -1e-9, 1e-9),
        Check("3.13", "funnel: largest rise of the distance with λ", _largest_rise(funnel), high=0.0),
        Check("3.13", "inverted funnel: largest fall of the distance with λ", _largest_rise(inverted[::-1]), high=0.0),
        Check("3.13", "square: largest rise away from λ = 0", max(_largest_rise(square[half:]), _largest_rise(square[: half + 1][::-1])), high=0.0),
    )


def _largest_rise(values: Sequence[float]) -> float:
    return float(np.diff(values).max())


def sequels(run: Run) -> Found:
    """Two tasks one after the other, and the reversal of one: losses over time for several lambda."""
    shape, rows = Shape(4, 4, 4), list[dict[str, Any]]()
    rng = np.random.default_rng(run.seed)
    first, second = (rng.standard_normal((shape.no, shape.ni)) / 2 for _ in range(2))
    forgotten, reversed_ = list[float](), dict[float, float]()
    for lam in (-5.0, -0.5, 0.0, 0.5, 5.0):
        start = balanced(shape, lam, scale=0.3, seed=run.seed, aligned=first)
        for name, tasks in (("continual", (first, second)), ("reversal", (first, -first))):
            path = continual(start, tasks, (12.0, 60.0), points=241)
            rows += [
                {"experiment": name, "lambda": lam, "time": t, "task": int(a), "loss_first": l[0], "loss_second": l[1]}
                for t, a, l in zip(path.time, path.active, path.losses, strict=True)
            ]
        forgotten.append(_forgotten(shape, lam, first, second, run.seed))
        reversed_[lam] = float(continual(start, (first, -first), (np.inf, np.inf)).losses[-1, 1])
    half = 0.5 * float((first**2).sum())
    checks = (
        Check("3.16", "loss on A after B against |Σ_A - Σ_B|² / 2, five λ", max(forgotten), high=1e-9),
        Check("reversal", "Σ → -Σ is learned for λ ≠ 0: final loss", max(v for lam, v in reversed_.items() if lam), high=1e-9),
        Check("reversal", "and not at λ = 0: final loss / (|Σ|² / 2)", reversed_[0.0] / half, 1 - 1e-9, 1 + 1e-9),
    )
    return Found(tidy(rows), checks)


def _forgotten(shape: Shape, lam: float, first: Floats, second: Floats, seed: int) -> float:
    """How far the loss on A after converging on B is from (1/2) |Sigma_A - Sigma_B|^2, for random weights that learn both."""
    starts = (balanced(shape, lam, scale=0.5, seed=seed + draw) for draw in range(64))
    paths = (continual(start, (first, second), (2.0, np.inf)) for start in starts)
    path = next(p for p in paths if not any(s.saddle for s in p.solutions))
    return abs(float(path.losses[-1, 0]) - 0.5 * float(((first - second) ** 2).sum()))


RICH, LAZY, STRUCTURED = 0.01, -10.0, 10.0


def hierarchy(run: Run) -> Found:
    """The semantic task, rich and lazy: how far each mode is learned in time, and how similar the hidden layer finds the items.

    With a large second layer (lambda = 10) the NTK stays, but the small first layer is structured all the same: W1^T W1 -> V S^2 V^T / lambda.
    """
    x, y = semantic()
    sigma = correlation(x, y)
    u, s, vt = np.linalg.svd(sigma)
    rows, arrays, half, turned = list[dict[str, Any]](), dict[str, Floats](), dict[float, Floats](), dict[float, float]()
    for lam in (RICH, LAZY, STRUCTURED):
        start = balanced(Shape(8, 8, 8), lam, scale=1e-2, seed=run.seed)
        at = np.linspace(0, 30 if lam == RICH else 2, 161)
        found = solve(start.w1, start.w2, sigma, at)
        learned = np.diagonal(u.T @ found.product @ vt.T, axis1=1, axis2=2) / s
        rows += [{"lambda": lam, "time": t, "mode": i, "learned": v} for t, row in zip(at, learned, strict=True) for i, v in enumerate(row)]
        ends = solve(start.w1, start.w2, sigma, [0.0, 10.0, np.inf])
        arrays[f"{lam:g}/similarity"], turned[lam] = input_similarity(ends, x), float(distances(ends)[-1])
        half[lam] = at[np.argmax(learned > 0.5, axis=0)]
    levels = [half[RICH][a:b] for a, b in ((0, 2), (2, 4), (4, 8))]
    gap = min(float(later.min() - earlier.max()) for earlier, later in pairwise(levels))
    like = {lam: _correlation(arrays[f"{lam:g}/similarity"][-1], y @ y.T) for lam in (RICH, STRUCTURED)}
    checks = (
        Check("hierarchy", "rich: levels are learned one after the other, smallest gap of half-times", gap, low=0.0),
        Check("hierarchy", "lazy: all at once, spread of half-times / their mean", float(np.ptp(half[LAZY]) / half[LAZY].mean()), high=0.5),
        Check("hierarchy", "rich: similarity of items follows that of their targets, correlation", like[RICH], low=0.9),
        Check("hierarchy", "lazy: how far similarities turn", float(kernel_distance(*arrays[f"{LAZY:g}/similarity"][[0, -1]])), high=0.01),
        Check("hierarchy", "λ = ±10: how far the NTK turns", max(turned[LAZY], turned[STRUCTURED]), high=0.01),
        Check("hierarchy", "λ = 10: similarities are structured all the same, correlation", like[STRUCTURED], low=0.9),
    )
    return Found(tidy(rows), checks, arrays)


def _correlation(a: Floats, b: Floats) -> float:
    """Between the entries off the diagonal."""
    off = ~np.eye(len(a), dtype=bool)
    return float(np.corrcoef(a[off], b[off])[0, 1])


def noise(run: Run, draws: int) -> Found:
    """Sensitivity of converged networks to noise on inputs and on weights, against lambda; the second by sampling too."""
    shape, size, rows = Shape(4, 4, 4), 1e-2, list[dict[str, Any]]()
    rng = np.random.default_rng(run.seed)
    sigma = rng.standard_normal((shape.no, shape.ni)) / 2
    s = np.linalg.svd(sigma, compute_uv=False)
    for lam in (-5.0, -2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 5.0):
        start = balanced(shape, lam, seed=run.seed)
        w = solve(start.w1, start.w2, sigma, [np.inf]).weights()
        found = sensitivity(w)
        e1, e2 = size * rng.standard_normal((draws, *w.w1.shape)), size * rng.standard_normal((draws, *w.w2.shape))
        moved = (((w.w2 + e2) @ (w.w1 + e1) - w.product) ** 2).sum((1, 2)) / size**2
        law = float(shape.no * np.hypot(lam, 2 * s).sum())
        row = {"lambda": lam, "input": found.input, "parameter": found.parameter, "law": law}
        rows.append({**row, "sampled": float(moved.mean()), "standard_error": float(moved.std() / draws**0.5)})
    table = tidy(rows)
    pulls = np.abs(table["sampled"] - table["parameter"] - size**2 * shape.ni * shape.nh * shape.no) / table["standard_error"]
    checks = (
        Check("noise", "parameter noise against n Σ √(λ² + 4 s²), relative", float(np.abs(table["parameter"] / table["law"] - 1).max()), high=1e-9),
        Check("noise", "and against sampling, in standard errors", float(pulls.max()), high=4.5),
        Check("noise", "input noise depends on Σ only: spread over λ", float(np.ptp(table["input"])), high=1e-9),
    )
    return Found(table, checks)
