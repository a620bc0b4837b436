"""The experiments of the study of scaling laws with their acceptance checks (Vyas, Bansal & Nakkiran 2022)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from tensorprog.language.program import Network
from tensorprog.study.fit import Slope
from tensorprog.study.frame import Check, Columns, Found, Run
from tensorprog.study.scaling.data import Split, Target, digits, real, synthetic
from tensorprog.study.scaling.evolution import Course, evolve
from tensorprog.study.scaling.laws import AFTER, AFTER_FIXED, EMPIRICAL, INFINITE, LAZY, NETWORK, Plan, exponents, measure

VALIDATION, TEST = 1000, 2000

Exponents = Mapping[str, Mapping[str, Slope]]


def law(run: Run, *, network: Network, split: Callable[[int], Split], plan: Plan, checks: Callable[[Columns, Exponents], tuple[Check, ...]]) -> Found:
    """Measure, fit, check."""
    table = measure(network, split, plan, run)
    fitted = exponents(table, plan.predictors)
    arrays = {f"{p}/{m}": np.array(by[m][:3]) for p, by in fitted.items() for m in by}
    return Found(table, checks(table, fitted), arrays)


def drawn(target: Target, d: int, plan: Plan) -> Callable[[int], Split]:
    """Fresh data of a seed, with N0 points more than the largest size."""
    return partial(synthetic, target, d, plan.sizes[-1] + plan.fixed, VALIDATION, TEST)


def shuffled(x: np.ndarray, y: np.ndarray, plan: Plan, validation: int) -> Callable[[int], Split]:
    """The same data in the order of a seed."""
    return partial(real, x, y, plan.sizes[-1], validation)


def parities(plan: Plan) -> Callable[[int], Split]:
    """The digits that ship with scikit-learn: even or odd."""
    return shuffled(*digits(), plan, 300)


def gap(number: str, name: str, error: float, mse: float) -> Callable[[Columns, Exponents], tuple[Check, ...]]:
    """The network's exponents exceed the larger of the two initial kernels' by so much."""

    def checks(table: Columns, fitted: Exponents) -> tuple[Check, ...]:
        def over(m: str) -> float:
            return fitted[NETWORK][m].value - max(fitted[INFINITE][m].value, fitted[EMPIRICAL][m].value)

        return (
            Check(f"{number} error", f"{name}: exponent of the network less the larger of the initial kernels', sign errors", over("error"), error),
            Check(f"{number} mse", f"{name}: the same of the squared error", over("mse"), mse),
        )

    return checks


def all_of(*several: Callable[[Columns, Exponents], tuple[Check, ...]]) -> Callable[[Columns, Exponents], tuple[Check, ...]]:
    return lambda table, fitted: tuple(c for checks in several for c in checks(table, fitted))


def after_kernels(near: float, share: float) -> Callable[[Columns, Exponents], tuple[Check, ...]]:
    """The after-kernel of the same n scales like the network; the one of fixed N0 does not."""

    def checks(table: Columns, fitted: Exponents) -> tuple[Check, ...]:
        net, after, fixed = (fitted[p] for p in (NETWORK, AFTER, AFTER_FIXED))
        apart = abs(net["mse"].value - after["mse"].value)
        return (
            Check("2.4", "after-kernel of the same n: its mse exponent differs from the network's by", apart, high=near),
            *(Check(f"2.5 {m}", f"after-kernel of N0: its {m} exponent over the network's", fixed[m].value / net[m].value, high=share) for m in net),
        )

    return checks


def lazy_control(near: float) -> Callable[[Columns, Exponents], tuple[Check, ...]]:
    """A lazy network scales like its own initial kernel."""

    def checks(table: Columns, fitted: Exponents) -> tuple[Check, ...]:
        lazy, kernel = fitted[LAZY], fitted[EMPIRICAL]
        return tuple(
            Check(f"2.8 {m}", f"lazy network: its {m} exponent differs from the initial kernel's by", abs(lazy[m].value - kernel[m].value), high=near)
            for m in lazy
        )

    return checks


def control(far: float) -> Callable[[Columns, Exponents], tuple[Check, ...]]:
    """A target of degree two does not separate the network from the infinite kernel."""

    def checks(table: Columns, fitted: Exponents) -> tuple[Check, ...]:
        over = fitted[NETWORK]["mse"].value - fitted[INFINITE]["mse"].value
        return (Check("2.3", "negative control, x1 x2: mse exponent of the network less the infinite kernel's", over, high=far),)

    return checks


def none(table: Columns, fitted: Exponents) -> tuple[Check, ...]:
    return ()


def told(table: Columns, fitted: Exponents) -> tuple[Check, ...]:
    """The exponents with their intervals, not judged."""
    words = {"error": "wrong signs", "mse": "squared error"}
    return tuple(
        Check("own", f"{p}: exponent of {words[m]}, {s.confidence:.0%} interval {s.low:.2f} … {s.high:.2f}", s.value)
        for p, by in fitted.items()
        for m, s in by.items()
    )


def evolution(run: Run, *, network: Network, target: Target, d: int, course: Course, stream: int, total: float, late: float, moved: float) -> Found:
    """The kernel along one training, on a stream that is visited many times but is never the data that the kernels are regressed on."""
    seen = synthetic(target, d, stream, 1, 1, run.seed + 1000)
    fresh = synthetic(target, d, course.points, VALIDATION, TEST, run.seed)
    table = evolve(network, seen, fresh, course, run.seed)
    mse, time = table["kernel mse"], table["time"]
    decade = int(np.searchsorted(time, time[-1] / 10 * 0.999))
    return Found(
        table,
        (
            Check("2.6 total", "squared error of regression with K_t falls from start to end by the factor", mse[0] / mse[-1], total),
            Check("2.6 late", f"and still falls after step {time[decade]:.0f}, by the share", 1.0 - mse[-1] / mse[decade], late),
            Check("2.7", f"1 - cos(K_t, K_0) from step {time[2]:.0f} on is at least", table["kernel distance"][2:].min(), moved),
        ),
    )
