"""The hard family collapses on kappa; no map and no network breaks the bound; how errors and bounds depend on scale, time and width."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

from tensorprog.build.functions import tanh
from tensorprog.build.inputs import embedding, readout
from tensorprog.build.network import network
from tensorprog.errors import InvalidProgram
from tensorprog.interpret import finite
from tensorprog.interpret.precision import double
from tensorprog.language.program import Network
from tensorprog.study.fit import slope
from tensorprog.study.frame import Check, Found, Run, Setup, around, tidy
from tensorprog.study.validity.bound import SHARP, ntk_validity_bound
from tensorprog.study.validity.certified import quadratic, reach, two_layer
from tensorprog.study.validity.hard import Floats, HardInstance, hard_instance, hardness, scale_needed
from tensorprog.study.validity.training import Comparison, Lipschitz, Task, centered, descent, flow, integrator, of_network

SETS = ((1.0, 1.0, 1.0, 1.0), (0.5, 3.0, 2.0, 0.7), (20.0, 50.0, 0.3, 4.0))  # alpha, T, Lip(Dh), R0


# The hard family.


def hard_family(run: Run, members: int) -> Found:
    """Its closed form, its collapse on kappa, the scale it needs against time, and the control: a constant too small is refuted."""
    rng, rows = np.random.default_rng(run.seed), list[dict[str, Any]]()
    for alpha, T, lip, R0 in np.exp(rng.uniform(np.log([0.1, 0.1, 0.01, 0.1]), np.log([100.0, 100.0, 10.0, 10.0]), (members, 4))):
        v = ntk_validity_bound(alpha, T, lip, R0)
        error = float(hard_instance(alpha, T, lip, R0).error(T)) / R0**0.5
        rows.append({"alpha": alpha, "T": T, "lip_dh": lip, "R0": R0, "kappa": v.kappa, "error": error, "bound": v.bound / R0**0.5})
    table = tidy(rows)
    kappas = np.geomspace(1e-6, 1e4, 4001)
    g = hardness(kappas)
    horizons = np.geomspace(1, 1e4, 9)
    scales = np.array([scale_needed(T, 1.0, 1.0, 0.1) for T in horizons])
    exponent = float(np.polyfit(np.log(horizons), np.log(scales), 1)[0])
    checks = (
        Check("0.1", "hard instance: closed form against DOP853, 3 sets", max(_integrated(hard_instance(*s)) for s in SETS), high=1e-8),
        Check("0.2", "g(κ) / min(κ, 1), smallest over κ in [1e-6, 1e4]", float((g / np.minimum(kappas, 1)).min()), low=0.2),
        Check("0.2", "g(κ) / (c κ), largest", float((g / (SHARP * kappas)).max()), high=1.0),
        Check(
            "0.2", "collapse: largest |error / √R0 - g(κ)| over the family", float(np.abs(table["error"] - hardness(table["kappa"])).max()), high=1e-9
        ),
        Check("0.3", "α* ∝ T: exponent for T = 1 … 1e4", exponent, 1 - 1e-6, 1 + 1e-6),
        Check("0.3", "α* / T at error 0.1 √R0", float(scales[0]), 5.3347, 5.3349),
        Check("0.6", "control: error / (T Lip(h)² κ √R0) at a² T = 1e-3", _refuted(), low=1.9),
    )
    return Found(table, checks, {"kappa": kappas, "hardness": g, "T": horizons, "alpha": scales})


def _integrated(hard: HardInstance) -> float:
    """The closed form against DOP853 in the parameter w."""

    def velocity(_: float, w: Floats) -> Floats:
        return hard.derivative(w) * (hard.target - hard.alpha * hard.h(w)) / hard.alpha

    at = np.linspace(0, hard.T, 21)
    path = solve_ivp(velocity, (0.0, hard.T), [hard.w0], "DOP853", at, rtol=1e-12, atol=1e-14).y[0]
    return float(np.abs(hard.target - hard.alpha * hard.h(path) - hard.residual(at)).max())


def _refuted() -> float:
    """The ratio of the error to T Lip(h)^2 kappa sqrt(R0), which is not a bound: it tends to 2 for a^2 T -> 0 and alpha -> inf."""
    T, alpha = 1.0, 1e4
    hard = hard_instance(alpha, T, 1.0, 1.0, a=(1e-3 / T) ** 0.5)
    kappa = ntk_validity_bound(alpha, T, 1.0, 1.0).kappa
    reached = float(np.abs(hard.a + hard.lip_dh * T * hard.a * hard.target / alpha))  # Lip(h) = |Dh| where the path ends
    return float(hard.error(T)) / (T * reached**2 * kappa)


# Random quadratic maps.


def quadratic_maps(run: Run, count: int) -> Found:
    """Random quadratic maps R^p -> R^n at kappa from 0.05 to 4.5, all times up to T: the error never exceeds the bound, nor the path its length."""
    rng, rows = np.random.default_rng(run.seed), list[dict[str, Any]]()
    for i in range(count):
        if i % 20 == 0:
            run.tell(i / count, f"map {i} of {count}")
        rows += _one_map(rng, i)
    table = tidy(rows)
    checks = (
        Check("0.4", f"{count} random quadratic maps, all t ≤ T: error / bound", float((table["error"] / table["bound"]).max()), high=1.0),
        Check("0.5", "displacement / (√(t R0) / α)", float((table["moved"] / table["length"]).max()), high=1.0),
    )
    return Found(table, checks)


def _one_map(rng: np.random.Generator, index: int) -> list[dict[str, Any]]:
    n, p = int(rng.integers(1, 6)), int(rng.integers(1, 8))
    slopes, b, y = rng.standard_normal((n, p)) / p**0.5, rng.standard_normal((n, p, p)), rng.standard_normal(n)
    hessians = (b + b.transpose(0, 2, 1)) / 2 * np.exp(rng.uniform(-2, 1))
    lip, R0, T = quadratic(hessians).value, 0.5 * float(y @ y), float(np.exp(rng.uniform(-1, 3)))
    alpha = T * lip * R0**0.5 / np.exp(rng.uniform(np.log(0.05), np.log(4.5)))
    at = np.linspace(0, T, 25)[1:]

    def velocity(_: float, w: Floats) -> Floats:
        bent = hessians @ w
        return (slopes + bent).T @ (y / alpha - slopes @ w - bent @ w / 2)

    path = solve_ivp(velocity, (0.0, T), np.zeros(p), "DOP853", at, rtol=1e-9, atol=1e-12).y.T
    values, vectors = np.linalg.eigh(slopes @ slopes.T)
    linear = np.exp(-at[:, None] * values) * (vectors.T @ y) @ vectors.T
    residual = y - alpha * (path @ slopes.T + 0.5 * np.einsum("ti,nij,tj->tn", path, hessians, path))
    error, moved = np.linalg.norm(residual - linear, axis=1), np.linalg.norm(path, axis=1)
    found = [ntk_validity_bound(alpha, t, lip, R0) for t in at]
    return [
        {
            "map": index,
            "n": n,
            "p": p,
            "time": t,
            "kappa": v.kappa,
            "error": e,
            "bound": v.bound,
            "moved": m,
            "length": v.displacement,
            "root": R0**0.5,
        }
        for t, v, e, m in zip(at, found, error, moved, strict=True)
    ]


# Bounds against time.


def horizons(run: Run) -> Found:
    """A fixed h and growing T: this bound grows like T / alpha, the one by Lip(h) like T^2 / alpha, T^1.5 / alpha in its better form."""
    times = np.geomspace(1e-2, 1e2, 25)
    rows = []
    for T in times:
        alpha, hard = 1e4, hard_instance(1e4, 1.0, 1.0, 1.0)
        v = ntk_validity_bound(alpha, T, 1.0, 1.0, lip_h=hard.a)
        printed = 2 * T * hard.a**2 * v.kappa
        rows.append({"T": T, "error": float(hard.error(T)), "bound": v.bound, "chizat": v.bound_chizat, "printed": printed})
    table = tidy(rows)

    def exponent(name: str) -> float:
        return float(np.polyfit(np.log(times[12:]), np.log(table[name][12:]), 1)[0])

    return Found(
        table,
        (
            Check("horizon", "this bound ∝ T^exponent", exponent("bound"), 1 - 1e-9, 1 + 1e-9),
            Check("horizon", "the bound by Lip(h) in its first form", exponent("printed"), 2 - 1e-9, 2 + 1e-9),
            Check("horizon", "never violated for any T", float((table["error"] / table["bound"]).max()), high=1.0),
        ),
    )


# Networks.


@network
def two_layer_tanh(x):  # pyright: ignore[reportMissingParameterType]
    """f = v . tanh(U x / sqrt(d)) / sqrt(n)."""
    return readout("v") @ tanh(embedding("U") @ x)


POINTS, INPUTS, HORIZON = 8, 5, 2.0


def data(setup: Setup, seed: int) -> tuple[Network, Any, Floats]:
    """The user's network and data, or the study's own: a two-layer tanh network on random points of norm sqrt(d) with targets +-1.

    Raises:
        InvalidProgram: a network without inputs and targets.
    """
    if setup.network is not None:
        if setup.x is None or setup.y is None:
            raise InvalidProgram("[validity] a network of your own is trained on data of your own. Give x and y.")
        return setup.network, setup.x, np.asarray(setup.y)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((POINTS, INPUTS))
    x *= INPUTS**0.5 / np.linalg.norm(x, axis=1, keepdims=True)
    return two_layer_tanh(), x, np.sign(x[:, 0] * x[:, 1])


@double
def networks(run: Run, setup: Setup, widths: Sequence[int], seeds: int, slack: float) -> Found:
    """Networks of growing width in gradient flow beside their linearization, alpha = 1: error, certified (or estimated) and a-posteriori bounds."""
    net, x, y = data(setup, run.seed)
    own, at, rows = setup.network is None, np.linspace(0, HORIZON, 17)[1:], list[dict[str, Any]]()
    for i, n in enumerate(widths):
        for seed in range(seeds):
            run.tell((i + seed / seeds) / len(widths), f"width {n}, seed {seed}")
            params = finite.sample(net, jax.random.fold_in(jax.random.key(run.seed), 1000 * seed + n), n, _dims(net, x))
            task = centered(of_network(net, params, n, x, y))
            c = flow(task, 1.0, at, *integrator(net))
            lipschitz = _certified(c, x, params) if own else c.lipschitz
            rows += _row(c, lipschitz, {"width": n, "seed": seed})
    table = tidy(rows)
    final = table["time"] == at[-1]
    errors, lips = (table[column][final].reshape(len(widths), seeds) for column in ("error", "lipschitz"))
    sure, asked = ("certified", slack) if own else ("estimated", None)  # what rate another network has, no theorem says
    checks = [
        Check("networks", f"error / bound with the {sure} constant, all times", float((table["error"] / table["bound"]).max()), high=1.0),
        Check("networks", "error / a-posteriori bound, all times", float((table["error"] / table["posterior"]).max()), high=1.0),
        Check("networks", "displacement / (√(t R0) / α)", float((table["moved"] / table["length"]).max()), high=1.0),
        Check("0.7", "error at T ∝ width^exponent", slope(tuple(widths), errors).value, *around(-1.0, asked)),
        Check("0.7", "Lip(Dh) seen on the path ∝ width^exponent", slope(tuple(widths), lips).value, *around(-0.5, asked)),
    ]
    return Found(table, tuple(checks))


def _certified(c: Comparison, x: Any, params: finite.Params) -> Lipschitz:
    """On a convex set that contains the path until the last time."""
    T = float(c.time[-1])
    radius = ntk_validity_bound(c.alpha, T, 0.0, c.loss).displacement
    return two_layer(x, params["v"], "tanh", radius, reach(params["v"].size, len(c.linear[0]), T, c.alpha, c.loss))


def _row(c: Comparison, lipschitz: Lipschitz, where: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a time after 0."""
    seen = c.lipschitz.value
    found = zip(c.time[1:], c.bounds(lipschitz), c.bounds(c.lipschitz), strict=True)
    return [
        {
            **where,
            "time": t,
            "kappa": v.kappa,
            "error": c.error[i + 1],
            "bound": v.bound,
            "bound_paper": v.bound_paper,
            "bound_estimated": e.bound,
            "posterior": c.posterior[i + 1],
            "moved": c.moved[i + 1],
            "length": v.displacement,
            "lipschitz": seen,
            "root": c.loss**0.5,
        }
        for i, (t, v, e) in enumerate(found)
    ]


@double
def scales(run: Run, setup: Setup, width: int, alphas: Sequence[float], slack: float) -> Found:
    """One network at growing scale alpha, by gradient flow and by SGD: both errors fall like 1 / alpha. Of a user's network that is only told."""
    net, x, y = data(setup, run.seed)
    params = finite.sample(net, jax.random.key(run.seed), width, _dims(net, x))
    task = centered(of_network(net, params, width, x, y))
    n, rows = len(task.y), list[dict[str, Any]]()
    rate = 0.1 / float(np.linalg.norm(np.asarray(task.jacobian(task.w0)), 2) ** 2)
    steps = int(np.ceil(HORIZON / rate / 8)) * 8
    batches = jax.random.randint(jax.random.key(run.seed + 1), (steps, max(1, n // 2)), 0, n)
    ways: dict[str, Callable[[Task, float], Comparison]] = {
        "gradient flow": lambda t, a: flow(t, a, np.linspace(0, HORIZON, 9)[1:], *integrator(net)),
        "SGD": lambda t, a: descent(t, a, rate, jnp.asarray(batches), steps // 8),
    }
    for i, alpha in enumerate(alphas):
        for how, train in ways.items():
            run.tell(i / len(alphas), f"{how}, alpha = {alpha:g}")
            c = train(task, alpha)
            rows.append({"how": how, "alpha": alpha, "error": float(c.error[-1]), "lipschitz": c.lipschitz.value, "root": c.loss**0.5})
    table = tidy(rows)
    checks = list[Check]()
    for how in ways:
        large = (table["how"] == how) & (table["alpha"] >= 4)
        exponent = float(np.polyfit(np.log(table["alpha"][large]), np.log(table["error"][large]), 1)[0])
        wanted = around(-1.0, slack if setup.network is None else None)
        checks.append(Check("scale", f"{how}: error ∝ α^exponent for α ≥ 4", exponent, *wanted))
    return Found(table, tuple(checks))


def _dims(net: Network, x: Any) -> dict[str, int]:
    return {name: a.shape[-1] for name, a in finite.inputs_of(net.program, x).items()}
