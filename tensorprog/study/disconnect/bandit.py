"""Contextual bandits by a network and its tangent features: NeuralUCB (Zhou, Li & Gu 2020, arXiv 1911.04462, Algorithm 1).

In round t the arm of the largest f(x) + gamma_t sqrt(g^T Z_t^{-1} g) is pulled, with g = df/dtheta in NTK parametrization (its 1/n is inside),
Z_t = lambda I + sum over the past of g g^T, and the network is trained on what was seen. The rules differ in gamma_t and lambda alone:

    theory(nu, delta, S)   gamma_t = nu sqrt(log det(Z_t / lambda) - 2 log delta) + sqrt(lambda) S  (their eq. 4.3 without its lower-order terms)
    constant(c)            gamma_t = c
    evidence               lambda = alpha / beta, gamma_t = beta^{-1/2}: one posterior standard deviation of the linearized network, whose
                           prior and noise precision maximize the evidence of the rewards so far
    uniform                any arm
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, assert_never

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.finite import Inputs, Params, apply, sample
from tensorprog.kernels.points import Points, count, points_of
from tensorprog.kernels.precision import double
from tensorprog.kernels.train import train
from tensorprog.language.program import Network
from tensorprog.study.disconnect import evidence
from tensorprog.study.disconnect.evidence import Precisions
from tensorprog.study.disconnect.natural import jacobian


@dataclass(frozen=True)
class Theory:
    """The exploration that the regret bound asks for: nu the noise's standard deviation, delta the failure probability, S the norm of the truth."""

    nu: float
    delta: float = 0.05
    norm: float = 1.0
    ridge: float = 1.0


@dataclass(frozen=True)
class Constant:
    """The same exploration in every round."""

    gamma: float
    ridge: float = 1.0


@dataclass(frozen=True)
class Evidence:
    """Exploration and prior by online evidence maximization, anew every so many rounds."""

    every: int = 10


@dataclass(frozen=True)
class Uniform:
    """No learning."""


Exploration = Theory | Constant | Evidence | Uniform


@dataclass(frozen=True, eq=False)
class Problem:
    """In every round a choice between arms.

    Attributes:
        x: what the arms show, (rounds times arms, *positions, d) or one such array an input: the arms of a round stand together.
        mean: expected rewards (rounds, arms).
        noise: standard deviation of the Gaussian noise of a reward.
    """

    x: Inputs
    mean: ArrayLike
    noise: float = 0.1


class Play(NamedTuple):
    """What happened: cumulative regret and the exploration, by round."""

    regret: Array  # (rounds,): sum of the best arm's mean less the pulled one's
    gamma: Array  # (rounds,)
    ridge: Array  # (rounds,)


class _State(NamedTuple):
    params: dict[str, Array]
    seen: Array  # (rounds,): the points that were pulled
    target: Array  # (points,): reward + f_0 where a point was pulled, else 0
    gram: Array  # (P, P): sum of g g^T
    moment: Array  # (P,): sum of g r, with r the reward less what the network linearized at its weights of then says at w = 0
    square: Array  # sum of r^2
    precisions: Precisions


def play(network: Network, n: int, problem: Problem, exploration: Exploration, key: Array, **how: int | float) -> Play:
    """Play the problem once, with a fresh network of width n; see `player`."""
    return player(network, n, exploration, noise=problem.noise, **how)(problem, key)  # pyright: ignore[reportArgumentType]


def player(
    network: Network, n: int, exploration: Exploration, *, noise: float = 0.1, steps: int = 20, batch: int = 64, rate: float = 1.0
) -> Callable[[Problem, Array], Play]:
    """`play` as a function of problem and key that is compiled once and called for many.

    Args:
        noise: standard deviation of the noise of a reward.
        steps: of SGD between rounds, on batches drawn from what was seen.
        rate: of the SGD, in units of one over the mean of the NTK's diagonal.

    Raises:
        InvalidProgram: a network of several outputs, or arms that do not divide the points.
    """
    if network.outputs > 1 or network.output_axes:
        raise InvalidProgram(f"[bandit] {network.name} has several outputs, but a reward is one number. Read out one.")
    one = jax.jit(partial(_play, network, n, noise, exploration, steps, batch, rate))

    @double
    def call(problem: Problem, key: Array) -> Play:
        data, mean = points_of(network, problem.x), jnp.asarray(problem.mean)
        if mean.ndim != 2 or count(data) != mean.size:
            raise InvalidProgram(f"[bandit] {count(data)} points but rewards {mean.shape}. Give rewards (rounds, arms), and a point for each.")
        return one(key, data, mean)

    return call


def _play(
    network: Network, n: int, noise: float, exploration: Exploration, steps: int, batch: int, rate: float, key: Array, data: Points, mean: Array
) -> Play:
    (rounds, arms), dims = mean.shape, {name: a.shape[-1] for name, a in data.items()}
    key, start = jax.random.split(key)
    initial = sample(network, start, n, dims)
    f0 = apply(network, initial, n, data)  # f - f_0 plays: what is not known is 0
    first = _gradients(network, initial, n, _rows(data, jnp.arange(16 * arms) % mean.size))
    eta = rate / (first**2).sum(1).mean()

    def turn(state: _State, now: tuple[Array, Array]) -> tuple[_State, tuple[Array, Array, Array]]:
        t, k = now
        pull, draw, luck = jax.random.split(k, 3)
        rows = t * arms + jnp.arange(arms)
        f, shift = jax.jvp(lambda p: apply(network, p, n, _rows(data, rows)), (state.params,), (_difference(state.params, initial),))
        f, g = f - f0[rows], _gradients(network, state.params, n, _rows(data, rows))
        precisions = _precisions(exploration, t, state)
        gamma, ridge, bonus = _explored(exploration, state.gram, g, precisions)
        arm = jax.random.randint(pull, (), 0, arms) if isinstance(exploration, Uniform) else jnp.argmax(f + gamma * bonus)
        reward = mean[t, arm] + noise * jax.random.normal(luck)
        linearized = reward - f[arm] + shift[arm]
        state = _State(
            state.params,
            state.seen.at[t].set(rows[arm]),
            state.target.at[rows[arm]].set(reward + f0[rows[arm]]),
            state.gram + jnp.outer(g[arm], g[arm]),
            state.moment + g[arm] * linearized,
            state.square + linearized**2,
            precisions,
        )
        if not isinstance(exploration, Uniform):
            drawn = state.seen[jax.random.randint(draw, (steps, batch), 0, t + 1)]
            path = train(network, state.params, n, data, state.target, rate=eta, steps=steps, batches=drawn, reduction="mean", record=(steps,))
            state = state._replace(params=dict(path.params))
        return state, (mean[t].max() - mean[t, arm], gamma, ridge)

    size, one = first.shape[1], jnp.ones(())
    empty = (jnp.zeros((size, size)), jnp.zeros(size), jnp.zeros(()))
    state = _State(initial, jnp.zeros(rounds, int), jnp.zeros(mean.size), *empty, Precisions(one, one))
    _, (regret, gamma, ridge) = jax.lax.scan(turn, state, (jnp.arange(rounds), jax.random.split(key, rounds)))
    return Play(jnp.cumsum(regret), gamma, ridge)


def _explored(exploration: Exploration, gram: Array, g: Array, p: Precisions) -> tuple[Array, Array, Array]:
    """gamma_t, lambda, and sqrt(g^T Z^{-1} g) of every arm."""
    ridge = jnp.asarray(exploration.ridge) if isinstance(exploration, Theory | Constant) else p.alpha / p.beta
    root = jnp.linalg.cholesky(gram + ridge * jnp.eye(len(gram)))
    bonus = jnp.sqrt((jax.scipy.linalg.solve_triangular(root, g.T, lower=True) ** 2).sum(0))
    match exploration:
        case Theory(nu, delta, norm, _):
            log_det = 2 * jnp.log(jnp.diagonal(root)).sum() - len(gram) * jnp.log(ridge)
            return nu * jnp.sqrt(log_det - 2 * jnp.log(delta)) + jnp.sqrt(ridge) * norm, ridge, bonus
        case Constant(gamma, _):
            return jnp.asarray(gamma), ridge, bonus
        case Evidence():
            return p.beta**-0.5, ridge, bonus
        case Uniform():
            return jnp.zeros(()), ridge, bonus
        case _:
            assert_never(exploration)


def _precisions(exploration: Exploration, t: Array, state: _State) -> Precisions:
    """Those that maximize the evidence of what was seen, anew every so many rounds."""
    if not isinstance(exploration, Evidence):
        return state.precisions

    def anew() -> Precisions:
        s, v = jnp.linalg.eigh(state.gram)
        return evidence.maximize(state.precisions, s, v.T @ state.moment, state.square, t)

    return jax.lax.cond((t > 0) & (t % exploration.every == 0), anew, lambda: state.precisions)


def _gradients(network: Network, params: Params, n: int, x: Points) -> Array:
    """g, (points, P)."""
    return jnp.concatenate(list(jacobian(network, params, n, x).values()), axis=1)


def _rows(data: Points, rows: Array) -> dict[str, Array]:
    return {name: a[rows] for name, a in data.items()}


def _difference(a: Params, b: Params) -> dict[str, Array]:
    return {name: a[name] - b[name] for name in a}
