"""Rescaled training alpha h(w) beside its linearization, for any differentiable h: gradient flow and SGD (Boix-Adsera & Littwin 2023, section 1).

w' = alpha^-1 Dh(w)^T r, r = y - alpha h(w); the linearization's residual is rbar(t) = e^{-K_0 t} r_0 with K_0 = Dh(w0) Dh(w0)^T, in closed form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from tensorprog.errors import InvalidProgram
from tensorprog.interpret import finite
from tensorprog.interpret.precision import double
from tensorprog.kernels.tensors import unit_rates
from tensorprog.language.expr import Apply, walk
from tensorprog.language.instr import Moment, Nonlin
from tensorprog.language.program import Network
from tensorprog.study.validity.bound import SHARP, Validity, ntk_validity_bound

Floats = NDArray[np.float64]
Integrator = Literal["DOP853", "RK45"]


@dataclass(frozen=True, eq=False)
class Task:
    """h: R^p -> R^n (all outputs on the training points in one vector), where training begins, and the targets."""

    h: Callable[[Array], Array]
    w0: Floats  # (p,)
    y: Floats  # (n,)

    @cached_property
    def jacobian(self) -> Callable[[ArrayLike], Array]:
        """Dh(w), (n, p)."""
        return jax.jit(jax.jacrev(self.h))

    @cached_property
    def velocity(self) -> Callable[[ArrayLike, float], Array]:
        """w' = alpha^-1 Dh(w)^T (y - alpha h(w))."""

        def move(w: Array, alpha: Array) -> Array:
            f, pull = jax.vjp(self.h, w)
            return pull(jnp.asarray(self.y) / alpha - f)[0]

        return jax.jit(move)

    @cached_property
    def outputs(self) -> Callable[[ArrayLike], Array]:
        return jax.jit(self.h)

    def r0(self, alpha: float) -> Floats:
        """y - alpha h(w0)."""
        return self.y - alpha * np.asarray(self.outputs(self.w0))

    def loss(self, alpha: float) -> float:
        """R0 = R(alpha h(w0))."""
        return 0.5 * float((self.r0(alpha) ** 2).sum())


@dataclass(frozen=True, eq=False)
class Comparison:
    """Training and its linearization at T times.

    Attributes:
        time: (T,), from 0; steps times the learning rate for SGD.
        residual, linear: (T, n), y - alpha h(w) and y - alpha hbar(wbar).
        moved: (T,), |w(t) - w0|.
        turned: (T,), the operator norm |Dh(w(t)) - Dh(w0)|.
    """

    how: Literal["gradient flow", "SGD"]
    alpha: float
    time: Floats
    residual: Floats
    linear: Floats
    moved: Floats
    turned: Floats

    @property
    def error(self) -> Floats:
        """|alpha h(w(t)) - alpha hbar(wbar(t))|, (T,)."""
        return np.linalg.norm(self.residual - self.linear, axis=1)

    @property
    def loss(self) -> float:
        """R0."""
        return 0.5 * float((self.residual[0] ** 2).sum())

    @property
    def lipschitz(self) -> Lipschitz:
        """sup_t |Dh(w(t)) - Dh(w0)| / |w(t) - w0|, what the path has seen of Lip(Dh): an estimate from below."""
        ratios = np.divide(self.turned, self.moved, out=np.zeros_like(self.turned), where=self.moved > 0)
        return Lipschitz(float(ratios.max(initial=0.0)), certified=False, how="largest |Dh(w(t)) - Dh(w0)| / |w(t) - w0| on the path")

    def bounds(self, lipschitz: Lipschitz, rho: float = np.inf) -> list[Validity]:
        """The a-priori bounds at every time but 0."""
        return [ntk_validity_bound(self.alpha, float(t), lipschitz.value, self.loss, rho) for t in self.time if t > 0]

    @property
    def posterior(self) -> Floats:
        """The a-posteriori bound of gradient flow, (T,): steps 2 to 4 of the proof with |Dh(w_t) - Dh(w0)| and R as measured on this run.

            |r - rbar|(t) <= int_0^t delta |r| / sqrt(2 e (t - s)) ds + int_0^t delta alpha |w'| ds,    delta(s) = |Dh(w_s) - Dh(w0)|.

        In every interval between recorded times |r| is at most its value at the left end, and alpha int |w'| at most sqrt(dt (R_left - R_right));
        for delta the larger of its two ends is taken, so the bound holds as far as delta is monotone between recorded times. No Lipschitz constant
        enters.

        Raises:
            InvalidProgram: for SGD, whose loss need not fall.
        """
        if self.how != "gradient flow":
            raise InvalidProgram(f"[validity] the a-posteriori bound is one of gradient flow, and this run is {self.how}. Take `flow`.")
        size = np.linalg.norm(self.residual, axis=1)
        delta = np.maximum(self.turned[1:], self.turned[:-1])
        lost = np.maximum(-np.diff(0.5 * size**2), 0.0)  # rounding may raise a loss that has stopped falling
        along = np.concatenate([[0.0], np.cumsum(delta * np.sqrt(np.diff(self.time) * lost))])
        out = np.zeros(len(self.time))
        for i, t in enumerate(self.time):
            roots = np.sqrt(t - self.time[: i + 1])
            out[i] = np.sqrt(2 / np.e) * float((delta * size[:-1])[:i] @ (roots[:-1] - roots[1:])) + along[i]
        return np.minimum(out, size + np.linalg.norm(self.linear, axis=1))


@dataclass(frozen=True)
class Lipschitz:
    """A Lipschitz constant of Dh: certified (an upper bound that is proved) or estimated (from below, by what was seen)."""

    value: float
    certified: bool
    how: str

    def __str__(self) -> str:
        return f"{self.value:.4g} ({'certified' if self.certified else 'estimated'}: {self.how})"


@double
def of_network(network: Network, params: finite.Params, n: int, x: finite.Inputs, y: ArrayLike) -> Task:
    """A finite network on N points as an h of flat parameters, in coordinates in which its training is plain gradient flow.

    Tensors with a learning-rate factor c enter divided by sqrt(c), frozen ones stay. Outputs are (N, ..) flattened.

    Raises:
        InvalidProgram: targets that are not of the shape of the outputs.
    """
    rates = {name: r for name, r in unit_rates(network, n).items() if r != 0.0}
    data = {name: jnp.asarray(a) for name, a in finite.inputs_of(network.program, x).items()}
    moving = {name: jnp.asarray(params[name], dtype=jnp.float64) / r**0.5 for name, r in rates.items()}
    flat, restore = ravel_pytree(moving)

    def h(w: Array) -> Array:
        tensors: Mapping[str, Array] = restore(w)
        return finite.apply(network, {**params, **{name: rates[name] ** 0.5 * tensors[name] for name in rates}}, n, data).ravel()

    shape = finite.apply(network, params, n, data).shape
    targets = np.asarray(y, dtype=np.float64)
    if targets.shape != shape:
        raise InvalidProgram(f"[shape] y has shape {targets.shape}, but the outputs have {shape}. Give every output its target.")
    return Task(h, np.asarray(flat), targets.ravel())


def integrator(network: Network) -> tuple[float, Integrator]:
    """Tolerance and method for gradient flow of a network: with kinks (ReLU) its velocity jumps, and high orders would take ever smaller steps."""
    used = (e.fn for i in network.program.body if isinstance(i, Nonlin | Moment) for e in walk(i.psi) if isinstance(e, Apply))
    return (1e-5, "RK45") if any(fn.kinks for fn in used) else (1e-8, "DOP853")


@double
def flow(task: Task, alpha: float, times: ArrayLike, tolerance: float = 1e-8, method: Integrator = "DOP853") -> Comparison:
    """Gradient flow beside the linearization, at increasing times (0 is added in front).

    Args:
        tolerance, method: of the integrator. Where the velocity jumps, take those of `integrator(network)`.

    Raises:
        InvalidProgram: alpha <= 0 or times that are not positive and increasing.
    """
    at = _checked(task, alpha, times)

    def velocity(_: float, w: Floats) -> Floats:
        return np.asarray(task.velocity(w, alpha))

    fine = tolerance / max(alpha, 1.0)  # w moves by 1 / alpha, and alpha h is what is compared
    solution = solve_ivp(velocity, (0.0, at[-1]), task.w0, method, at, rtol=fine, atol=1e-2 * fine)
    if not solution.success:
        raise InvalidProgram(f"[ode] {method} gave up: {solution.message} Take a shorter time, or a larger alpha.")
    kernel = _kernel(task)
    values, vectors = np.linalg.eigh(kernel)
    linear = np.exp(-at[:, None] * np.maximum(values, 0.0)) * (vectors.T @ task.r0(alpha)) @ vectors.T
    return _compared("gradient flow", task, alpha, at, solution.y.T, linear)


@double
def descent(task: Task, alpha: float, rate: float, batches: ArrayLike, record: int = 1) -> Comparison:
    """SGD on alpha^-2 R, w -= rate alpha^-1 Dh(w)_B^T (alpha h(w) - y)_B, beside the same steps of the linearization.

    Args:
        batches: (steps, B), the outputs of each step.
        record: compare after every so many steps.
    """
    which = jnp.asarray(batches)
    at = _checked(task, alpha, rate * np.arange(record, len(which) + 1, record))
    steps = which[: record * (len(at) - 1)].reshape(len(at) - 1, record, -1)
    kernel, start = jnp.asarray(_kernel(task)), jnp.asarray(task.r0(alpha))

    def step(state: tuple[Array, Array], b: Array) -> tuple[tuple[Array, Array], None]:
        w, linear = state
        f, pull = jax.vjp(task.h, w)
        chosen = jnp.zeros_like(f).at[b].add(1.0)
        return (w + rate * pull(chosen * (jnp.asarray(task.y) / alpha - f))[0], linear - rate * kernel @ (chosen * linear)), None

    def stretch(state: tuple[Array, Array], bs: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        state, _ = jax.lax.scan(step, state, bs)
        return state, state

    _, (path, linear) = jax.jit(partial(jax.lax.scan, stretch))((jnp.asarray(task.w0), start), steps)
    w = np.concatenate([task.w0[None], np.asarray(path)])
    return _compared("SGD", task, alpha, at, w, np.concatenate([np.asarray(start)[None], np.asarray(linear)]))


@double
def estimated_lipschitz(task: Task, radius: float, samples: int = 16, seed: int = 0) -> Lipschitz:
    """The largest |Dh(w) - Dh(w0)| / |w - w0| over random points of the sphere of this radius: an estimate from below."""
    rng, start = np.random.default_rng(seed), np.asarray(task.jacobian(task.w0))
    best = 0.0
    for _ in range(samples):
        u = rng.standard_normal(len(task.w0))
        j = np.asarray(task.jacobian(task.w0 + radius * u / np.linalg.norm(u)))
        best = max(best, float(np.linalg.norm(j - start, 2)) / radius)
    return Lipschitz(best, certified=False, how=f"{samples} random points at distance {radius:.3g}")


def sufficient_scale(task: Task, T: float, lipschitz: Lipschitz, eps: float) -> float:
    """The least alpha for which the theorem keeps training within eps of its linearization until T, when h(w0) = 0 or alpha h(w0) is small.

    R0 depends on alpha through alpha h(w0): the equation alpha = c T Lip(Dh) R0(alpha) / eps is solved from above.

    Raises:
        InvalidProgram: no scale suffices, because R0 grows as fast as alpha. Subtract h(w0) from the network ("centering").
    """
    scale = SHARP * T * lipschitz.value * task.loss(1.0) / eps or np.finfo(float).tiny
    for _ in range(200):
        wanted = SHARP * T * lipschitz.value * task.loss(scale) / eps
        if wanted <= scale:
            return scale
        scale *= 1.1
    raise InvalidProgram("[validity] R0 grows with alpha as fast as the bound falls: no scale suffices. Subtract the initial outputs: `centered`.")


def centered(task: Task) -> Task:
    """h - h(w0): starts at 0, so that R0 does not depend on alpha."""
    start = task.outputs(task.w0)
    return Task(lambda w: task.h(w) - start, task.w0, task.y)


def _checked(task: Task, alpha: float, times: ArrayLike) -> Floats:
    at = np.concatenate([[0.0], np.atleast_1d(np.asarray(times, dtype=np.float64))])
    if not (np.isfinite(alpha) and alpha > 0):
        raise InvalidProgram(f"[validity] alpha is {alpha}. Give a number > 0.")
    if len(at) < 2 or not np.isfinite(at).all() or (np.diff(at) <= 0).any():
        raise InvalidProgram("[time] training is compared at finite times > 0 in increasing order.")
    return at


def _kernel(task: Task) -> Floats:
    j = np.asarray(task.jacobian(task.w0))
    return j @ j.T


def _compared(how: Literal["gradient flow", "SGD"], task: Task, alpha: float, at: Floats, path: Floats, linear: Floats) -> Comparison:
    start = np.asarray(task.jacobian(task.w0))
    residual = np.stack([task.y - alpha * np.asarray(task.outputs(w)) for w in path])
    turned = np.array([_norm(np.asarray(task.jacobian(w)) - start) for w in path])
    return Comparison(how, alpha, at, residual, linear, np.linalg.norm(path - task.w0, axis=1), turned)


def _norm(a: Floats) -> float:
    """The operator norm of a wide matrix, from its small Gram matrix."""
    return float(np.sqrt(max(np.linalg.eigvalsh(a @ a.T)[-1], 0.0)))
