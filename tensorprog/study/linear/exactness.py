"""Is the closed form right, and where do its printed forms lose their digits? Against DOP853 and against gradient descent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

import numpy as np

from tensorprog.study.frame import Check, Found, Run, tidy
from tensorprog.study.linear.balance import Floats, Shape, Weights, balanced, correlation, lecun
from tensorprog.study.linear.flow import descend, integrate, stacked
from tensorprog.study.linear.kernel import as_matrix, ntk
from tensorprog.study.linear.singular import gamma, singular_values
from tensorprog.study.linear.solution import Form, limit, modes, solve, stable
from tensorprog.study.linear.tasks import regression, semantic

LAMBDAS = (-5.0, -2.0, 0.0, 2.0, 5.0)
SQUARE_OR_NOT = (Shape(5, 5, 5), Shape(3, 2, 2), Shape(2, 2, 3), Shape(7, 3, 3), Shape(3, 3, 7))
HIERARCHY = Shape(8, 8, 8)
MORE_HIDDEN = ((Shape(2, 3, 4), 2.0), (Shape(2, 4, 5), 5.0), (Shape(3, 4, 6), 0.5), (Shape(4, 3, 2), -2.0), (Shape(5, 4, 2), -5.0))
FEWER_HIDDEN = ((Shape(4, 2, 3), 2.0), (Shape(5, 3, 5), -1.0))
NAIVE_HOLDS = 9.0  # S_max t up to which the printed forms keep nine digits
EARLY, LATE = 6.0, 60.0
AT = np.array([0.0, 0.3, 1.0, 2.0, 3.0, 4.5, EARLY, 10.0, 20.0, LATE])


def task(shape: Shape, seed: int) -> Floats:
    """Sigma of the hierarchy, or Gaussian with entries of variance 1 / sqrt(Ni No)."""
    if shape == HIERARCHY:
        return correlation(*semantic())
    return np.random.default_rng(seed).standard_normal((shape.no, shape.ni)) / (shape.ni * shape.no) ** 0.25


def closed_form(run: Run) -> Found:
    """Every shape and lambda against DOP853: the three forms early, the stable one late; limits, kernels, balance, negative controls."""
    rows = list[dict[str, Any]]()
    pairs = [*product((*SQUARE_OR_NOT, HIERARCHY), LAMBDAS), *MORE_HIDDEN, *FEWER_HIDDEN]
    for i, (shape, lam) in enumerate(pairs):
        run.tell(i / len(pairs), f"{shape.ni} x {shape.nh} x {shape.no}, lambda = {lam:g}")
        rows += _compare(shape, lam, run.seed + i)
    table = tidy(rows)
    early, late = table["time"] <= EARLY, table["time"] == LATE
    full = np.array([s <= min(a, b) for a, s, b in zip(table["ni"], table["nh"], table["no"], strict=True)])
    of = {form: table["form"] == form for form in ("stable", "za", "riccati")}
    worst = lambda mask: float(np.nanmax(table["error"][mask]))  # noqa: E731
    small = early & (table["exponent"] <= NAIVE_HOLDS)
    checks = (
        Check("3.1", "stable form against DOP853, t ≤ 6", worst(of["stable"] & early & full), high=1e-9),
        Check("3.1", "form of Theorem 4.3 where max S t ≤ 9", worst(of["za"] & small & full), high=1e-8),
        Check("3.1", "Riccati form where max S t ≤ 9", worst(of["riccati"] & small & full), high=1e-8),
        Check("3.2", "stable form at t = 60", worst(of["stable"] & late & full), high=1e-9),
        Check("3.4", "more hidden units than modes, sign of λ forced", worst(of["stable"] & ~full), high=1e-9),
        *further(run.seed),
    )
    return Found(table, checks)


def _compare(shape: Shape, lam: float, seed: int) -> Iterable[dict[str, Any]]:
    start, sigma = balanced(shape, lam, seed=seed), task(shape, seed)
    truth = stacked(*integrate(start, sigma, AT))
    forms: tuple[Form, ...] = ("stable", "za") if lam == 0 and shape.ni != shape.no else ("stable", "za", "riccati")
    for form in forms:
        found = solve(start.w1, start.w2, sigma, AT, form=form)
        for t, error in zip(AT, np.abs(found.qq - truth).max((1, 2)), strict=True):
            if form == "stable" and found.saddle and t > EARLY:
                continue  # rounding takes the integrated weights off the saddle by then
            size = {"ni": shape.ni, "nh": shape.nh, "no": shape.no, "lambda": lam, "form": form}
            yield {**size, "time": t, "exponent": float(found.modes.s.max() * t), "condition": found.condition, "error": error}


def further(seed: int) -> tuple[Check, ...]:
    """Limits, kernels, balance, restarts, and two controls that must fail."""
    rng = np.random.default_rng(seed)
    return (
        Check("3.3", "long times against the limit t = ∞", max(limit_error(s, lam, seed) for s in SQUARE_OR_NOT for lam in LAMBDAS), high=1e-12),
        Check("3.5", "NTK formula against J Jᵀ of integrated weights", max(kernel_error(s, 2.0, seed) for s in SQUARE_OR_NOT[:4]), high=1e-8),
        Check("3.6", "balance at the start", max(balanced(s, lam, seed=rng).defect for s in SQUARE_OR_NOT for lam in LAMBDAS), high=1e-12),
        Check("3.6", "drift of the balance under the flow", max(drift(s, lam, seed) for s in SQUARE_OR_NOT for lam in (-2.0, 2.0)), high=1e-10),
        Check("3.10", "restart at t = 1.3", max(restart_error(s, lam, seed) for s in SQUARE_OR_NOT for lam in LAMBDAS), high=1e-12),
        Check("3.11", "control: λ of the wrong sign in F", wrong_sign(seed), low=0.1),
        Check("3.12", "imbalance ε: error is linear in ε (exponent)", imbalance_exponent(seed), 0.8, 1.3),
    )


def limit_error(shape: Shape, lam: float, seed: int) -> float:
    """The solution after max(2000, 40 / (S - |lambda|/2)) against t = inf, and that against the formulas for the limit."""
    start, sigma = balanced(shape, lam, seed=seed), task(shape, seed)
    s = np.linalg.svd(sigma, compute_uv=False)
    slow = (s**2 / (np.hypot(s, lam / 2) + abs(lam) / 2)).min()
    found = solve(start.w1, start.w2, sigma, [max(2000.0, 40 / slow), np.inf])
    if found.saddle:
        return float(np.abs(found.qq[0] - found.qq[1]).max())
    inner, outer = limit(shape, lam, sigma)
    exact = np.block([[inner, sigma.T], [sigma, outer]])
    return float(np.abs(found.qq - exact).max())


def kernel_error(shape: Shape, lam: float, seed: int) -> float:
    """The NTK from the closed form against J J^T of the integrated weights."""
    start, sigma = balanced(shape, lam, seed=seed), task(shape, seed)
    x = np.random.default_rng(seed).standard_normal((4, shape.ni))
    w1, w2 = (w[-1] for w in integrate(start, sigma, [1.5]))
    found = solve(start.w1, start.w2, sigma, [1.5])
    return float(np.abs(as_matrix(ntk(found.inner[0], found.outer[0], x)) - jacobian_kernel(w1, w2, x)).max())


def jacobian_kernel(w1: Floats, w2: Floats, x: Floats) -> Floats:
    """J J^T, output-major, from derivatives entry by entry: df_c/dW1[h, i] = W2[c, h] x_i, df_c/dW2[d, h] = delta_cd (W1 x)_h."""
    no, n = len(w2), len(x)
    first = np.einsum("ch,ai->cahi", w2, x).reshape(no * n, -1)
    second = np.einsum("cd,ah->cadh", np.eye(no), x @ w1.T).reshape(no * n, -1)
    j = np.concatenate([first, second], axis=1)
    return j @ j.T


def drift(shape: Shape, lam: float, seed: int) -> float:
    """How far gradient flow leaves its balance."""
    start = balanced(shape, lam, seed=seed)
    w1, w2 = (w[-1] for w in integrate(start, task(shape, seed), [6.0]))
    return float(np.abs(Weights(w1, w2).imbalance - start.imbalance).max())


def restart_error(shape: Shape, lam: float, seed: int) -> float:
    """Solving to 3 against solving to 1.3 and on from there."""
    start, sigma = balanced(shape, lam, seed=seed), task(shape, seed)
    whole = solve(start.w1, start.w2, sigma, [1.3, 3.0])
    middle = whole.weights(0)
    return float(np.abs(solve(middle.w1, middle.w2, sigma, [1.7]).qq[0] - whole.qq[1]).max())


def wrong_sign(seed: int) -> float:
    """The error of the closed form with -lambda in F."""
    shape = Shape(3, 3, 3)
    start, sigma = balanced(shape, 2.0, seed=seed), task(shape, seed)
    q = stable(modes(start, sigma, -2.0), 1.0)
    return float(np.abs(q @ q.T - stacked(*integrate(start, sigma, [1.0]))[0]).max())


def imbalance_exponent(seed: int, sizes: Sequence[float] = (0.1, 0.03, 0.01, 0.003, 0.001)) -> float:
    """The exponent of the error in the size of a perturbation of balanced weights."""
    shape = Shape(3, 2, 2)
    start, sigma = balanced(shape, 2.0, seed=seed), task(shape, seed)
    noise, errors = np.random.default_rng(seed).standard_normal(start.w1.shape), list[float]()
    for size in sizes:
        w = Weights(start.w1 + size * noise, start.w2)
        truth = stacked(*integrate(w, sigma, [1.0, 2.0]))
        errors.append(float(np.abs(solve(w.w1, w.w2, sigma, [1.0, 2.0], tolerance=np.inf).qq - truth).max()))
    return float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])


def one_mode(run: Run) -> Found:
    """gamma(t) against DOP853 for lambda from 0 to 50, and against its two limits."""
    starts, target, rows = (0.05, 0.4, 1.7), 1.0, list[dict[str, Any]]()
    for lam, s0 in product((0.0, 1e-6, -2.0, 2.0, -5.0, 5.0, 50.0), starts):
        at = np.linspace(0, 12, 49) / np.hypot(2 * target, lam)
        found, truth = singular_values(s0, target, lam, at), _integrated(lam, s0, target, at)
        rows += [
            {"lambda": lam, "start": s0, "time": t, "value": v, "gamma": g, "error": e}
            for t, v, g, e in zip(at, found, gamma(s0, target, lam, at), np.abs(found - truth), strict=True)
        ]
    at = np.linspace(0, 6, 49)
    sigmoid = target * np.exp(2 * at) / (np.expm1(2 * at) + target / 0.05)
    short, table = np.linspace(0, 0.02, 50), tidy(rows)
    lazy = gamma(0.05, 0.5, 1000.0, short) + np.expm1(-1000 * short)  # corrections are (s~ / lambda)^2
    checks = (
        Check("3.7", "γ(t) against DOP853, |λ| ≤ 50", float(table["error"].max()), high=1e-8),
        Check("3.7", "λ = 10⁻⁷ against the sigmoid", float(np.abs(singular_values(0.05, target, 1e-7, at) - sigmoid).max()), high=1e-9),
        Check("3.7", "λ = 1000 against 1 - exp(-|λ| t)", float(np.abs(lazy).max()), high=1e-7),
    )
    return Found(table, checks)


def _integrated(lam: float, s0: float, target: float, at: Floats) -> Floats:
    from scipy.integrate import solve_ivp

    velocity = lambda _, s: np.hypot(lam, 2 * s) * (target - s)  # noqa: E731
    return solve_ivp(velocity, (0.0, at[-1]), [s0], "DOP853", at, rtol=1e-12, atol=1e-14).y[0]


PUBLISHED = Shape(3, 2, 2)  # Domine et al. 2025: Ni = 3, Nh = 2, No = 2, ten points, targets of scale 10, learning rate 2e-4
RATE, STEPS, POINTS, SCALE = 2e-4, 20000, 10, 10.0
RECORDED = RATE * (STEPS // 80) * np.arange(81)
DESCENT_LAMBDAS = (-5.0, -2.0, 0.001, 2.0, 5.0)


def descent(run: Run, seeds: int) -> Found:
    """Gradient descent with the published settings, and its distance from gradient flow as the learning rate falls."""
    sigmas = np.stack([correlation(*regression(PUBLISHED.ni, PUBLISHED.no, POINTS, SCALE, run.seed + i)) for i in range(seeds)])
    rows, paths = list[dict[str, Any]](), {"time": RECORDED, "sigma": sigmas[0]}
    for lam in (*DESCENT_LAMBDAS, 0.0):
        run.tell(len(rows) / (len(DESCENT_LAMBDAS) + 1) / (seeds * 81), f"lambda = {lam:g}")
        starts = [published_start(lam, run.seed + i) for i in range(seeds)]
        w1, w2 = descend(np.stack([s.w1 for s in starts]), np.stack([s.w2 for s in starts]), sigmas, RATE, STEPS, STEPS // 80)
        for i, start in enumerate(starts):
            rows += _followed(start, sigmas[i], w1[:, i], w2[:, i], lam, i)
        paths |= {f"{lam:g}/descent": stacked(w1[:, 0], w2[:, 0]), f"{lam:g}/exact": solve(starts[0].w1, starts[0].w2, sigmas[0], RECORDED).qq}
    table = tidy(rows)
    zero = table["lambda"] == 0
    checks = (
        Check("3.8", "published settings, λ ≠ 0: relative error of QQᵀ", float(table["error"][~zero].max()), high=5e-3),
        Check("3.8", "λ = 0, initial variance 1e-5", float(table["error"][zero].max()), high=3e-2),
        Check("3.8", "λ ≠ 0: error of the loss, relative to its start", float(table["loss_error"][~zero].max()), high=1e-3),
        Check("3.8", "λ = 0: error of the loss, relative to its start", float(table["loss_error"][zero].max()), high=5e-3),
        Check("3.9", "error / learning rate: spread over 4e-3 … 5e-4", _proportional(run.seed), high=0.05),
    )
    return Found(table, checks, paths)


def published_start(lam: float, seed: int) -> Weights:
    return balanced(PUBLISHED, lam, scale=1e-5**0.25 if lam == 0 else 1.0, seed=seed)


def _followed(start: Weights, sigma: Floats, w1: Floats, w2: Floats, lam: float, seed: int) -> Iterable[dict[str, Any]]:
    exact, found = solve(start.w1, start.w2, sigma, RECORDED), stacked(w1, w2)
    loss = 0.5 * ((w2 @ w1 - sigma) ** 2).sum((1, 2))
    error = np.linalg.norm(found - exact.qq, axis=(1, 2)) / np.linalg.norm(exact.qq, axis=(1, 2))
    for t, e, a, b in zip(RECORDED, error, loss, exact.loss, strict=True):
        yield {"lambda": lam, "seed": seed, "time": t, "loss": a, "exact_loss": b, "error": e, "loss_error": abs(a - b) / exact.loss[0]}


def _proportional(seed: int) -> float:
    """The relative spread of error / learning rate over learning rates that halve."""
    sigma, start, end = task(PUBLISHED, seed), balanced(PUBLISHED, 2.0, seed=seed), 2.0
    exact, slopes = solve(start.w1, start.w2, sigma, [end]).qq[0], list[float]()
    for rate in (4e-3, 2e-3, 1e-3, 5e-4):
        steps = round(end / rate)
        w1, w2 = descend(start.w1, start.w2, sigma, rate, steps, steps)
        slopes.append(float(np.linalg.norm(stacked(w1[-1], w2[-1]) - exact)) / rate)
    return (max(slopes) - min(slopes)) / max(slopes)


def random_balance(run: Run, seeds: int) -> Found:
    """How nearly balanced LeCun's random initialization is: |W2^T W2 - W1 W1^T - lambda I| / |lambda I|, lambda = No / Nh - 1, as Ni = No grow."""
    nh, rows = 2, list[dict[str, Any]]()
    for n in (16, 32, 64, 128, 256, 512, 1024):
        for i in range(seeds):
            w = lecun(Shape(n, nh, n), run.seed + 1000 * n + i)
            lam = n / nh - 1
            off = np.linalg.norm(w.imbalance - lam * np.eye(nh)) / (lam * nh**0.5)
            rows.append({"n": n, "seed": i, "lambda": lam, "measured": w.lam, "deviation": float(off)})
    table = tidy(rows)
    n, mean = np.unique(table["n"]), np.array([np.sqrt((table["deviation"][table["n"] == m] ** 2).mean()) for m in np.unique(table["n"])])
    exponent = float(np.polyfit(np.log(n), np.log(mean), 1)[0])
    return Found(table, (Check("balance", "LeCun: deviation from balance falls as N^exponent", exponent, -0.65, -0.4),), {"n": n, "rms": mean})
