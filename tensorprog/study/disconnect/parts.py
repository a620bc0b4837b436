"""The experiments of the disconnect with their acceptance checks (Wenger, Dangel & Kristiadi 2023)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from tensorprog.interpret.finite import Inputs, sample
from tensorprog.interpret.precision import double
from tensorprog.kernels.limit import kernels
from tensorprog.kernels.points import points_of
from tensorprog.language.program import Network
from tensorprog.study.convergence import depth as depth_of
from tensorprog.study.disconnect import bandit, ntk_gp
from tensorprog.study.disconnect.bandit import Constant, Evidence, Exploration, Problem, Theory, Uniform
from tensorprog.study.disconnect.continual import Tasks, learner
from tensorprog.study.disconnect.fluctuation import drift, ntk_of_one_point, spread
from tensorprog.study.disconnect.infinite import functions, in_mup
from tensorprog.study.disconnect.natural import Descent, NaturalPath, gradient_descent_beside, natural_gradient_descent
from tensorprog.study.fit import slope
from tensorprog.study.frame import Check, Columns, Found, Run, around, tidy

Subjects = Mapping[str, Network]


def fluctuation(run: Run, *, subjects: Subjects, x: Inputs, widths: Sequence[int], seeds: int, judged: bool) -> Found:
    """K(x, x) at initialization: mean and Var / mean^2 by depth L and width m."""
    rows: list[dict[str, Any]] = []
    for i, (name, network) in enumerate(subjects.items()):
        for n in widths:
            run.tell((i + n / (widths[-1] + 1)) / len(subjects), f"{name}, width {n}")
            depth = depth_of(network.program)
            s = spread(ntk_of_one_point(network, x, n, seeds, jax.random.fold_in(jax.random.key(run.seed), n)))
            rows.append({"network": name, "depth": depth, "width": n, "depth/width": depth / n, **s._asdict()})
    table = tidy(rows)
    if not judged:
        claim = "Var / mean² of K(x, x) at width"
        return Found(table, tuple(Check("1.1", f"{claim} {n}", v) for n, v in zip(table["width"].tolist(), table["variance"].tolist(), strict=True)))
    ratio, thin, square = table["variance"] / table["depth/width"], table["depth/width"] <= 1 / 8, table["depth/width"] == 1 / 2
    off = np.abs(table["mean"] / (table["depth"] + 1) - 1)[thin].max()
    claim = "(Var / mean²) / (L / m) of K(x, x) for L / m ≤ 1/8"
    checks = [
        Check("1.1 least", f"{claim}, least", ratio[thin].min(), 2.5, 5.0),
        Check("1.1 most", f"{claim}, most", ratio[thin].max(), 2.5, 5.0),
        Check("1.1 mean", "mean of K(x, x) / (L + 1) differs from 1 for L / m ≤ 1/8 by", off, high=0.05),
    ]
    if square.any():
        checks.append(Check("1.1 deep", "the same ratio at L / m = 1/2", ratio[square].max(), 8.0))
    return Found(table, tuple(checks))


def drifting(run: Run, *, subjects: Subjects, x: Inputs, y: ArrayLike, widths: Sequence[int], seeds: int, margin: float | None) -> Found:
    """|K_T - K_0| / |K_0| in training, by width: every network in the NTK parametrization and in muP. Without a margin exponents are told only."""
    rows: list[dict[str, Any]] = []
    checks: list[Check] = []
    for i, (name, network) in enumerate(subjects.items()):
        for j, (parametrization, net) in enumerate(parametrized(network).items()):
            done, share = (2 * i + j) / (2 * len(subjects)), 1 / (2 * len(subjects))
            tell = partial(_tell_share, run, done, share)
            found = drift(net, x, y, widths, seeds, jax.random.key(run.seed), tell=tell)
            rows += [
                {"network": name, "parametrization": parametrization, "width": n, "seed": s, "drift": float(v)}
                for n, row in zip(widths, found, strict=True)
                for s, v in enumerate(row)
            ]
            wanted = around(0.0, margin)
            if parametrization == "NTK" and margin is not None:
                wanted = (-1.0 - margin, -0.75 + margin)  # smooth; with kinks
            claim = f"{name}, {parametrization}: exponent in the width of the kernel's drift"
            checks.append(Check("1.1 drift", claim, slope(tuple(widths), found).value, *wanted))
    return Found(tidy(rows), tuple(checks))


def parametrized(network: Network) -> dict[str, Network]:
    """The network in both parametrizations."""
    return {"NTK": replace(network, kind="ntk"), "muP": in_mup(network)}


@double
def natural(
    run: Run, *, subjects: Subjects, x: Inputs, y: ArrayLike, widths: Sequence[int], seeds: int, steps: int = 15, judged: bool = True
) -> Found:
    """C' and lambda_min by width; natural gradient descent and gradient descent beside what theory says of them."""
    rows: list[dict[str, Any]] = []
    arrays: dict[str, Any] = {}
    for i, (name, network) in enumerate(subjects.items()):
        for n in widths:
            run.tell((i + n / (widths[-1] + 1)) / len(subjects), f"{name}, width {n}")
            keys = jax.random.split(jax.random.fold_in(jax.random.key(run.seed), n), seeds)
            walked, beside = jax.jit(partial(jax.lax.map, partial(_descents, network, n, x, y, steps)))(keys)
            first = 3 * walked.change[:, 1] / np.sqrt(walked.lambda_min)
            losses = {"ngd": walked.loss, "gd": beside.loss, "gd linearized": beside.linearized, "gd bound": beside.bound}
            ratios = {k: np.asarray(v / v[:, :1]) for k, v in losses.items()}
            arrays |= {f"{name}/{k}": v[0] for k, v in ratios.items()}  # of the widest network, at last
            rows += [
                {"network": name, "width": n, "seed": s, "constant": float(first[s]), "lambda_min": float(walked.lambda_min[s])}
                | {k: float(v[s, -1]) for k, v in ratios.items()}
                for s in range(seeds)
            ]
    table = tidy(rows)
    checks = _natural_checks(table, tuple(subjects), tuple(widths), steps)
    return Found(table, checks if judged else tuple(Check(c.number, c.claim, c.measured) for c in checks), arrays)


def _descents(network: Network, n: int, x: Inputs, y: ArrayLike, steps: int, key: Array) -> tuple[NaturalPath, Descent]:
    params = sample(network, key, n, {name: a.shape[-1] for name, a in points_of(network, x).items()})
    path = natural_gradient_descent(network, params, n, x, y, rate=0.5, steps=steps)
    return path, gradient_descent_beside(network, params, n, x, y, steps=steps)


def _natural_checks(table: Columns, names: Sequence[str], widths: tuple[int, ...], steps: int) -> tuple[Check, ...]:
    checks: list[Check] = []
    for name in names:
        here = table["network"] == name
        constant = np.stack([table["constant"][here & (table["width"] == n)] for n in widths])
        excess = float(np.median(table["ngd"][here]) * 4.0**steps)
        checks += [
            Check("1.2 slope", f"{name}: exponent of C' in the width", slope(widths, constant).value, -0.7, -0.3),
            Check("1.2 C'", f"{name}: least C' at any width (theory needs C' < 1/2)", float(constant.min()), 0.5),
            Check("1.3", f"{name}: natural gradient descent, median of loss ratio / (1/4)^{steps}", excess, 0.2, 20.0),
        ]
    return (*checks, Check("1.2 rank", "least lambda_min of the empirical NTK", float(table["lambda_min"].min()), 1e-12))


CONSTANTS = (0.0, 0.01, 0.1, 0.3)


def explorations(noise: float, norm: float) -> dict[str, Exploration]:
    """The rules that are compared; `norm` is the S that the theorem asks for."""
    constant = {f"γ = {c:g}": Constant(c) for c in CONSTANTS}
    return {"uniform": Uniform(), "theory": Theory(noise, norm=norm), "theory, S = 1": Theory(noise), **constant, "evidence": Evidence()}


def contextual(rounds: int, arms: int, d: int, seed: int) -> Problem:
    """A context c on the unit sphere, the same for all arms, and rewards cos(3 a_k . c) of hidden unit vectors a_k; an arm shows (c, e_k)."""
    rng = np.random.default_rng(seed)
    c, a = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (rng.standard_normal((rounds, d)), rng.standard_normal((arms, d))))
    x = np.concatenate([np.repeat(c, arms, 0), np.tile(np.eye(arms), (rounds, 1))], axis=1)
    return Problem(x * np.sqrt(x.shape[1] / 2), np.cos(3 * c @ a.T))


def norm_of_truth(kernel: ArrayLike, mean: ArrayLike, points: int = 2000) -> float:
    """sqrt(2 h^T H^{-1} h), the S of Zhou, Li & Gu 2020, Theorem 4.5, on the first so many points: it only grows with more."""
    h, k = np.asarray(mean).ravel()[:points], np.asarray(kernel)[:points, :points]
    return float(np.sqrt(2 * h @ np.linalg.solve(k + 1e-10 * np.trace(k) / len(k) * np.eye(len(k)), h)))


@double
def bandits(run: Run, *, network: Network, problems: Sequence[Problem], width: int, judged: bool) -> Found:
    """Regret by rule of exploration, of the network and of its Gaussian process at infinite width."""
    rows: list[dict[str, Any]] = []
    arrays: dict[str, list[Any]] = {}
    kernel = [np.asarray(kernels(network, points_of(network, p.x)).ntk) for p in problems]
    norm = [norm_of_truth(k, p.mean) for k, p in zip(kernel, problems, strict=True)]
    rules = explorations(problems[0].noise, float(np.mean(norm)))
    play = bandit.player(network, width, noise=problems[0].noise)
    for i, (name, rule) in enumerate(rules.items()):
        run.tell(i / len(rules), f"exploration: {name}")
        for seed, problem in enumerate(problems):

            def compute(seed: int = seed, problem: Problem = problem, rule: Exploration = rule) -> dict[str, Any]:
                played = {"network": play(problem, rule, jax.random.key(run.seed + seed))}
                played["NTK-GP"] = ntk_gp.play(kernel[seed], problem.mean, rule, run.seed + seed, noise=problem.noise)
                return {f"{who}/{k}": v for who, p in played.items() for k, v in p._asdict().items()}

            played = run.kept(f"rule{i}-{seed}", compute)
            for who in ("network", "NTK-GP"):
                regret = played[f"{who}/regret"]
                late = regret[-1] - regret[len(regret) // 2]
                row = {"player": who, "exploration": name, "seed": seed, "regret": float(regret[-1]), "second half": float(late)}
                rows.append(row | {"gamma": float(played[f"{who}/gamma"].mean()), "S": norm[seed]})
                arrays.setdefault(f"{who}/{name}", []).append(regret)
    table = tidy(rows)
    return Found(table, _regrets(table, tuple(rules), judged), {k: np.mean(v, axis=0) for k, v in arrays.items()})


def _regrets(table: Columns, rules: Sequence[str], judged: bool) -> tuple[Check, ...]:
    def mean(name: str) -> float:
        return float(table["regret"][(table["player"] == "network") & (table["exploration"] == name)].mean())

    if not judged:
        return tuple(Check("1.4", f"regret of {name} over that of uniform play", mean(name) / mean("uniform")) for name in rules if name != "uniform")
    best = min(mean(f"γ = {c:g}") for c in CONSTANTS)
    learned = max(mean(n) for n in np.unique(table["exploration"]) if n != "uniform")
    return (
        Check("1.4 constant", "regret of the theory's exploration over that of the best constant", mean("theory") / best, 1.08),
        Check("1.4 evidence", "regret of the theory's exploration over that of evidence maximization", mean("theory") / mean("evidence"), 1.2),
        Check("1.4 uniform", "largest regret of a learner over that of uniform play", learned / mean("uniform"), high=0.9),
    )


def continual(
    run: Run, *, network: Network, tasks: Tasks, widths: Sequence[int], epochs: Sequence[int], seeds: int, rises: float | None, falls: float = 0.3
) -> Found:
    """Forgetting by width and epochs a task."""
    rows: list[dict[str, Any]] = []
    for i, n in enumerate(widths):
        for e in epochs:
            run.tell(i / len(widths), f"width {n}, {e} epochs a task")
            learn = learner(network, n, int(tasks.y.max()) + 1, epochs=e, batch=min(32, tasks.y.shape[1]))
            for seed in range(seeds):

                def compute(learn: Any = learn, seed: int = seed) -> dict[str, Any]:
                    return learn(tasks, jax.random.key(run.seed + seed))._asdict()

                kept = run.kept(f"width{n}-epochs{e}-{seed}", compute)
                a = kept["test"]
                forgetting, learning = (a.max(0) - a[-1])[:-1].mean(), np.diagonal(a).mean()
                row = {"width": n, "epochs": e, "seed": seed, "forgetting": float(forgetting), "learning": float(learning)}
                rows.append(row | {"average": float(a[-1].mean()), "trained": float(kept["trained"].mean())})
    table = tidy(rows)

    def mean(n: int, e: int) -> float:
        return float(table["forgetting"][(table["width"] == n) & (table["epochs"] == e)].mean())

    if rises is None:
        claim, ends = (
            "forgetting after {} epochs a task, width {}",
            sorted({(n, e) for n in (widths[0], widths[-1]) for e in (epochs[0], epochs[-1])}),
        )
        return Found(table, tuple(Check("1.5", claim.format(e, n), mean(n, e)) for n, e in ends))

    few, many, wide, narrow = epochs[0], epochs[-1], widths[-1], widths[1]
    return Found(
        table,
        (
            Check("1.5 epochs", f"forgetting after {many} epochs over that after {few}, width {wide}", mean(wide, many) / mean(wide, few), rises),
            Check(
                "1.5 width",
                f"share of the forgetting after {many} epochs that width {wide} saves over width {narrow}",
                1 - mean(wide, many) / mean(narrow, many),
                high=falls,
            ),
        ),
    )


def infinite(
    run: Run, *, network: Network, x: Inputs, y: ArrayLike, x_test: Inputs, widths: Sequence[int], seeds: int, margin: float | None, level: float
) -> Found:
    """Trained networks beside the infinite-width prediction, in the NTK parametrization and in muP. Without a margin exponents are told only."""
    rows: list[dict[str, Any]] = []
    arrays: dict[str, Any] = {"x": np.asarray(x), "y": np.asarray(y), "x_test": np.asarray(x_test)}
    checks: list[Check] = []
    for j, (name, net) in enumerate(parametrized(network).items()):
        tell = partial(_tell_share, run, j / 2, 1 / 2)
        found = functions(net, x, y, x_test, widths, seeds, jax.random.key(run.seed), level=level, tell=tell)
        for n, f in found.items():
            arrays |= {f"{name}/{n}/network": f.network, f"{name}/{n}/kernel": f.kernel}
            rows += [
                {"parametrization": name, "width": n, "seed": s, "distance": float(d), "loss": float(l)}
                for s, (d, l) in enumerate(zip(f.distance, f.loss, strict=True))
            ]
        distance = np.stack([f.distance for f in found.values()])
        wanted = around(-0.5 if name == "NTK" else 0.0, margin)
        claim = "exponent in the width of the distance to the infinite-width prediction"
        checks.append(Check("1.6", f"{name}: {claim}", slope(tuple(widths), distance).value, *wanted))
    return Found(tidy(rows), tuple(checks), arrays)


def _tell_share(run: Run, done: float, share: float, fraction: float, now: str) -> None:
    run.tell(done + share * fraction, now)
