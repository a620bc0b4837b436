"""Data-scaling laws: test error against the number n of training points, error ~ n^{-beta}, of a network and of the kernels around it.

network            trained, stopped by validation
infinite NTK       the exact limiting kernel
empirical NTK      of the network at initialization
after-kernel       empirical NTK of the network trained on the same n points
after-kernel, N0   of the network trained on N0 points of its own, whatever n
lazy network       the network with its output scaled up, trained by SGD, so that its kernel hardly moves
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.finite import Params
from tensorprog.kernels.empirical import compiled
from tensorprog.kernels.limit import kernels
from tensorprog.language.program import Network
from tensorprog.study.fit import Floats, Slope, slope
from tensorprog.study.frame import Columns, Run, tidy
from tensorprog.study.scaling.data import Split
from tensorprog.study.scaling.predictors import Score, Training, learner, regress

NETWORK, INFINITE, EMPIRICAL, AFTER, AFTER_FIXED, LAZY = PREDICTORS = (
    "network",
    "infinite NTK",
    "empirical NTK",
    "after-kernel",
    "after-kernel, N0",
    "lazy network",
)

ADAM, SGD = Training(), Training(steps=6000, rate=0.5, adam=None, momentum=0.9)


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        width: of the networks.
        fixed: N0.
        louder: factor on the output of the lazy network.
    """

    sizes: tuple[int, ...]
    seeds: int
    width: int = 256
    predictors: tuple[str, ...] = (NETWORK, INFINITE, EMPIRICAL)
    training: Training = ADAM
    fixed: int = 512
    louder: float = 50.0
    lazy: Training = SGD


def measure(network: Network, split: Callable[[int], Split], plan: Plan, run: Run) -> Columns:
    """The tidy table (seed, n, predictor, mse, error, chosen): one row a predictor, size and seed.

    Args:
        split: the data of a seed, with as many training points as the largest size, and N0 more where the fixed after-kernel is asked for.

    Raises:
        InvalidProgram: fewer than two growing sizes, or no such predictor.
    """
    if len(plan.sizes) < 2 or sorted(set(plan.sizes)) != list(plan.sizes) or not set(plan.predictors) <= set(PREDICTORS):
        raise InvalidProgram(f"[scaling] sizes {plan.sizes} must grow, and predictors be among {', '.join(PREDICTORS)}.")
    learn = {n: learner(network, plan.width, plan.training, n) for n in {*plan.sizes, plan.fixed}}
    lazy = {n: learner(louder(network, plan.louder), plan.width, plan.lazy, n) for n in plan.sizes}
    table: list[dict[str, Any]] = []
    for seed in range(plan.seeds):
        run.tell(seed / plan.seeds, f"seed {seed + 1} of {plan.seeds}")
        data = split(run.seed + seed)

        def compute(seed: int = seed, data: Split = data) -> Mapping[str, Any]:
            key = jax.random.fold_in(jax.random.key(run.seed), seed)
            found = list(_one_seed(network, data, plan, learn, lazy, key, lambda f, now: run.tell((seed + f) / plan.seeds, now)))
            return tidy({"n": n, "predictor": name, **s._asdict()} for n, name, s in found)

        kept = run.kept(f"seed{run.seed + seed}", compute)
        table += [{"seed": run.seed + seed, **dict(zip(kept, row, strict=True))} for row in zip(*kept.values(), strict=True)]
    return tidy(table)


def _one_seed(
    network: Network, split: Split, plan: Plan, learn: Mapping[int, Any], lazy: Mapping[int, Any], key: Any, tell: Callable[[float, str], None]
) -> Iterator[tuple[int, str, Score]]:
    largest, asked = plan.sizes[-1], plan.predictors
    mine = replace(split, x=split.x[:largest], y=split.y[:largest])
    empirical = compiled(network, plan.width, outputs="first")

    def kernel_of(params: Params) -> Floats:
        exact = {name: np.asarray(a, dtype=float) for name, a in params.items()}
        return np.asarray(empirical(exact, mine.x, mine.points).ntk)

    fixed: dict[str, Floats] = {}
    if INFINITE in asked:
        tell(0.0, "the infinite NTK")
        fixed[INFINITE] = np.asarray(kernels(network, mine.x, mine.points).ntk)
    if AFTER_FIXED in asked:
        own = replace(split, x=split.x[largest:], y=split.y[largest:])
        fixed[AFTER_FIXED] = kernel_of(learn[plan.fixed](own, jax.random.fold_in(key, 0)).params)
    for i, n in enumerate(plan.sizes):
        tell((i + 1) / (len(plan.sizes) + 1), f"n = {n}")
        learned = learn[n](mine, key)
        if EMPIRICAL in asked and EMPIRICAL not in fixed:
            fixed[EMPIRICAL] = kernel_of(learned.initial)
        for name, kernel in fixed.items():
            yield n, name, regress(kernel, mine, n)
        if NETWORK in asked:
            yield n, NETWORK, learned.score
        if AFTER in asked:
            yield n, AFTER, regress(kernel_of(learned.params), mine, n)
        if LAZY in asked:
            yield n, LAZY, lazy[n](mine, key).score


def louder(network: Network, factor: float) -> Network:
    """The network whose output is `factor` times as large, which moves its features less (Chizat, Oyallon & Bach 2019)."""
    return replace(network, readouts=tuple(replace(r, sigma=factor * r.sigma) for r in network.readouts))


def errors(table: Columns, predictor: str, measure: str) -> tuple[tuple[int, ...], Floats]:
    """The sizes, and the errors (sizes, seeds) of a predictor in the table of `measure`."""
    here = table["predictor"] == predictor
    sizes = tuple(int(n) for n in np.unique(table["n"][here]))
    return sizes, np.stack([table[measure][here & (table["n"] == n)].astype(float) for n in sizes])


def exponent(table: Columns, predictor: str, measure: str) -> Slope:
    """beta of error ~ n^{-beta}, with its bootstrap interval over seeds."""
    fitted = slope(*errors(table, predictor, measure))
    return Slope(-fitted.value, -fitted.high, -fitted.low, fitted.confidence)


def exponents(table: Columns, predictors: Sequence[str]) -> dict[str, dict[str, Slope]]:
    """Exponents by predictor, of "mse" and "error"."""
    return {p: {m: exponent(table, p, m) for m in ("mse", "error")} for p in predictors}
