"""The two-layer linear network as a Tensor Program: its infinite-width limits are limits of the closed form.

A network of any width n moves as its products QQ^T do, which are few numbers (see `flow`). In the unit tensors U (n, d) and v (C, n), for whitened
inputs and the loss (1/2N) |f - y|^2:

| parametrization          | Q                              | clock          | QQ^T(0) for n -> inf    | limit                                |
| ------------------------ | ------------------------------ | -------------- | ----------------------- | ------------------------------------ |
| NTK: f = v U x / sqrt(nd)| [U^T; v] (nd)^(-1/4)           | t / sqrt(nd)   | sqrt(n / d) I, diverges | kernel gradient flow, K = 2 x . x'/d |
| muP: f = v U x / (n sqrt d) | [U^T; v] n^(-1/2) d^(-1/4)  | t / sqrt(d)    | d^(-1/2) I              | singular values by Theorem 5.1       |

From QQ^T(0) = c I with W2 W1 = 0 every mode obeys p + q = sqrt((2c)^2 + 4 s^2) for its two diagonal entries, p - q being conserved; hence
s' = sqrt(lambda^2 + 4 s^2)(s~ - s) with lambda = 2 c: **the muP limit is the aligned lambda-balanced solution with lambda = 2 / sqrt(d), from
s0 = 0**, although no balanced weights of width n > Ni, No exist. The NTK limit is the same formula at lambda -> inf, 1 - e^{-|lambda| t}. At finite
learning rates the muP limit is gradient descent of W1 = c^(1/2) [0; I], W2 = c^(1/2) [I, 0] with d + C hidden units (TP IV, Corollary 6.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from tensorprog.build.inputs import Kind, embedding, readout
from tensorprog.build.network import network
from tensorprog.interpret import finite
from tensorprog.interpret.precision import double
from tensorprog.kernels.dynamics import gradient_flow
from tensorprog.kernels.limit import kernels
from tensorprog.kernels.train import train
from tensorprog.language.program import Network
from tensorprog.study.fit import slope
from tensorprog.study.frame import Check, Found, Run, tidy
from tensorprog.study.linear.balance import Floats, Weights, correlation
from tensorprog.study.linear.flow import descend, integrate_products, stacked
from tensorprog.study.linear.singular import singular_values
from tensorprog.study.linear.tasks import regression

INPUTS, OUTPUTS, POINTS = 4, 2, 12
TIMES = np.array([0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0])


@network
def two_layer(x, outputs: int = 1, kind: Kind = "ntk"):  # pyright: ignore[reportMissingParameterType]
    """f = v U x: kind "ntk" for the NTK parametrization, "moment" for muP."""
    return readout("v", outputs=outputs, kind=kind) @ (embedding("U") @ x)


def products(net: Network, params: finite.Params, n: int) -> tuple[Floats, float]:
    """QQ^T of a finite network in the variables in which gradient flow is symmetric, and the rate of its clock (see the table above)."""
    u, v = (np.asarray(params[name], dtype=np.float64) for name in ("U", "v"))
    d = u.shape[1]
    size = (n * d) ** -0.25 if net.kind == "ntk" else n**-0.5 * d**-0.25
    return stacked(size * u, size * v.reshape(-1, n)), (n * d if net.kind == "ntk" else d) ** -0.5


def feature_limit(sigma: Floats, times: Floats) -> Floats:
    """W2 W1 (T, No, Ni) of the muP limit at times t, in closed form."""
    d = sigma.shape[1]
    u, s, vt = np.linalg.svd(sigma, full_matrices=False)
    return np.einsum("ai,ti,ib->tab", u, singular_values(0.0, s, 2 * d**-0.5, times[:, None] * d**-0.5), vt)


def feature_limit_descent(sigma: Floats, rate: float, steps: int) -> Floats:
    """W2 W1 (steps + 1, No, Ni) of the muP limit of gradient descent, any learning rate: a network of Ni + No hidden units."""
    no, d = sigma.shape
    start = Weights(np.concatenate([np.zeros((no, d)), np.eye(d)]) * d**-0.25, np.concatenate([np.eye(no), np.zeros((no, d))], axis=1) * d**-0.25)
    w1, w2 = descend(start.w1, start.w2, sigma, rate * d**-0.5, steps, 1)
    return w2 @ w1


@double
def kernel_limit(x: Floats, y: Floats, f0: Floats, times: Floats) -> Floats:
    """Outputs (T, N, C) of the NTK limit from f0, by the kernel of the program and kernel gradient flow."""
    k = kernels(two_layer(), x).ntk
    return np.asarray(gradient_flow(k, y, times, f0=f0, reduction="mean").train)


@double
def widths(run: Run, chosen: Sequence[int], seeds: int, slack: float) -> Found:
    """Finite networks against both limits as the width grows, training in continuous time; and network training against the closed system.

    Args:
        slack: how far from -1/2 the fitted exponent may lie; see `study`.
    """
    x, y = regression(INPUTS, OUTPUTS, POINTS, 1.0, run.seed)
    sigma, rows, paths = correlation(x, y), list[dict[str, Any]](), dict[str, Floats]()
    for kind in ("ntk", "moment"):
        net = two_layer(outputs=OUTPUTS, kind=kind)
        for i, n in enumerate(chosen):
            run.tell((i + len(chosen) * (kind == "moment")) / (2 * len(chosen)), f"{kind}, width {n}")
            keys = jax.random.split(jax.random.fold_in(jax.random.key(run.seed), n), seeds)
            starts = [products(net, finite.sample(net, key, n, INPUTS), n) for key in keys]
            path = integrate_products(np.stack([s[0] for s in starts]), sigma, TIMES * starts[0][1], tolerance=1e-8)[..., INPUTS:, :INPUTS]
            errors = _kernel_errors(path, x, y) if kind == "ntk" else _feature_errors(path, sigma)
            rows += [{"kind": kind, "width": n, "seed": j, "error": float(e)} for j, e in enumerate(errors)]
            paths[f"{kind}/{n}"] = path[:, 0]
    table = tidy(rows)
    checks = list[Check]()
    for kind, title in (("ntk", "NTK parametrization, against tp.kernels + gradient flow"), ("moment", "muP, against the closed form")):
        errors = table["error"][table["kind"] == kind].reshape(len(chosen), seeds)
        checks.append(Check("bridge", f"{title}: exponent of the error in the width", slope(tuple(chosen), errors).value, -0.5 - slack, -0.5 + slack))
    checks += [*_training(run.seed, x, y, sigma), *_recursion()]
    limits = {
        "sigma": sigma,
        "time": TIMES,
        "limit/moment": feature_limit(sigma, TIMES),
        "limit/ntk": -np.expm1(-2 / INPUTS * TIMES)[:, None, None] * sigma,
    }
    return Found(table, tuple(checks), {**paths, **limits})


def _kernel_errors(path: Floats, x: Floats, y: Floats) -> Floats:
    """|f - f^K| / |f^K - f_0| of every network, over all times; path is (T, seeds, C, d)."""
    outputs = np.einsum("tsci,ni->tnsc", path, x)
    times, points, seeds, _ = outputs.shape
    side_by_side = outputs.reshape(times, points, -1)  # the kernel moves every column by itself: all networks at once
    truth = kernel_limit(x, np.tile(y, (1, seeds)), side_by_side[0], TIMES).reshape(outputs.shape)
    apart, moved = (np.sqrt((d**2).sum((0, 1, 3))) for d in (outputs - truth, truth - truth[:1]))
    return apart / moved


def _feature_errors(path: Floats, sigma: Floats) -> Floats:
    """|W2 W1 - limit| / |limit| of every network, over all times."""
    truth = feature_limit(sigma, TIMES)[:, None]
    return np.sqrt(((path - truth) ** 2).sum((0, 2, 3)) / (truth**2).sum())


def _training(seed: int, x: Floats, y: Floats, sigma: Floats) -> tuple[Check, ...]:
    """The program trained by gradient descent with a small step, against its closed system: the same network, the same initial tensors."""
    n, rate, steps, checks = 64, 2e-3, 1000, list[Check]()
    for kind in ("ntk", "moment"):
        net = two_layer(outputs=OUTPUTS, kind=kind)
        params = finite.sample(net, jax.random.key(seed), n, INPUTS)
        trained = np.asarray(train(net, params, n, x, y, rate=rate, steps=steps, reduction="mean", record=steps).train)[-1]
        start, clock = products(net, params, n)
        exact = x @ integrate_products(start, sigma, [rate * steps * clock])[-1, INPUTS:, :INPUTS].T
        error = float(np.linalg.norm(trained - exact) / np.linalg.norm(exact))
        checks.append(Check("bridge", f"{kind}: the trained network against its closed system, η = {rate:g}", error, high=2 * rate))
    return tuple(checks)


def _recursion() -> tuple[Check, ...]:
    """TP IV, Corollary 6.2 for xi = y = 1: f_1 = 2 eta, f_2 = 2 (1 + kappa eta)(eta + kappa), kappa = eta (1 - 2 eta); eta -> 0: the closed form."""
    eta = 0.1
    kappa = eta * (1 - 2 * eta)
    found = feature_limit_descent(np.ones((1, 1)), eta, 4)[:, 0, 0]
    known = np.array([0.0, 2 * eta, 2 * (1 + kappa * eta) * (eta + kappa), 0.4979524861, 0.6095535674])
    flow: Callable[[float], float] = lambda r: float(  # noqa: E731
        np.abs(feature_limit_descent(np.ones((1, 1)), r, round(1 / r))[-1] - feature_limit(np.ones((1, 1)), np.array([1.0]))[0]).max()
    )
    return (
        Check("bridge", "muP gradient descent in the limit against TP IV, Corollary 6.2, four steps", float(np.abs(found - known).max()), high=1e-10),
        Check("bridge", "and against the closed form: exponent of the error in η", float(np.log2(flow(1e-2) / flow(5e-3))), 0.95, 1.05),
    )
