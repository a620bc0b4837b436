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
from typing import Any, NamedTuple, assert_never

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.finite import Inputs, Params, apply, sample
from tensorprog.interpret.precision import double
from tensorprog.kernels.points import Points, count, points_of
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
    inverse: Array  # (P, P): Z^{-1}
    log_det: Array  # log det(Z / lambda)
    moment: Array  # (P,): sum of g r, with r the reward less what the network linearized at its weights of then says at w = 0
    square: Array  # sum of r^2
    precisions: Precisions


class _Training(NamedTuple):
    """SGD between rounds."""

    steps: int
    batch: int
    rate: float


class _Numbers(NamedTuple):
    """gamma_t = nu sqrt(log det(Z_t / lambda) - 2 log delta) + sqrt(lambda) S: the theory's, and with nu = 0 any constant."""

    nu: float
    delta: float
    norm: float
    ridge: float


Player = Callable[[Problem, Exploration, Array], Play]


def play(network: Network, n: int, problem: Problem, exploration: Exploration, key: Array, **how: int | float) -> Play:
    """Play the problem once, with a fresh network of width n; see `player`."""
    return player(network, n, noise=problem.noise, **how)(problem, exploration, key)  # pyright: ignore[reportArgumentType]


def player(network: Network, n: int, *, noise: float = 0.1, steps: int = 20, batch: int = 64, rate: float = 1.0) -> Player:
    """`play` as a function of problem, exploration and key, which is compiled once for all rules whose exploration is a formula.

    Args:
        noise: standard deviation of the noise of a reward.
        steps: of SGD between rounds, on batches drawn from what was seen.
        rate: of the SGD, in units of one over the mean of the NTK's diagonal.

    Raises:
        InvalidProgram: a network of several outputs, or arms that do not divide the points.
    """
    if network.outputs > 1 or network.output_axes:
        raise InvalidProgram(f"[bandit] {network.name} has several outputs, but a reward is one number. Read out one.")
    chance, learned = jax.jit(_by_chance), jax.jit(partial(_play, network, n, noise, _Training(steps, batch, rate)), static_argnums=0)

    @double
    def call(problem: Problem, exploration: Exploration, key: Array) -> Play:
        data, mean = points_of(network, problem.x), jnp.asarray(problem.mean)
        if mean.ndim != 2 or count(data) != mean.size:
            raise InvalidProgram(f"[bandit] {count(data)} points but rewards {mean.shape}. Give rewards (rounds, arms), and a point for each.")
        match exploration:
            case Theory(nu, delta, norm, ridge):
                return learned(None, _Numbers(nu, delta, norm, ridge), key, data, mean)
            case Constant(gamma, ridge):
                return learned(None, _Numbers(0.0, 1.0, gamma / ridge**0.5, ridge), key, data, mean)
            case Evidence():
                return learned(exploration, _Numbers(0.0, 1.0, 0.0, 1.0), key, data, mean)
            case Uniform():
                return chance(key, data, mean)
            case _:
                assert_never(exploration)

    return call


def _by_chance(key: Array, data: Points, mean: Array) -> Play:
    """No network: the arms of the same random numbers."""
    rounds, arms = mean.shape
    keys = jax.random.split(jax.random.split(key)[0], rounds)
    pulled = jax.vmap(lambda k: jax.random.randint(jax.random.split(k, 3)[0], (), 0, arms))(keys)
    lost = mean.max(1) - mean[jnp.arange(rounds), pulled]
    return Play(jnp.cumsum(lost), jnp.zeros(rounds), jnp.ones(rounds))


def _play(
    network: Network, n: int, noise: float, training: _Training, rule: Evidence | None, numbers: _Numbers, key: Array, data: Points, mean: Array
) -> Play:
    (rounds, arms), dims = mean.shape, {name: a.shape[-1] for name, a in data.items()}
    key, start = jax.random.split(key)
    initial = sample(network, start, n, dims)
    f0 = apply(network, initial, n, data)  # f - f_0 plays: what is not known is 0
    first = _gradients(network, initial, n, _rows(data, jnp.arange(16 * arms) % mean.size))
    eta = training.rate / (first**2).sum(1).mean()

    def turn(state: _State, now: tuple[Array, Array]) -> tuple[_State, tuple[Array, Array, Array]]:
        t, k = now
        _, draw, luck = jax.random.split(k, 3)
        rows = t * arms + jnp.arange(arms)
        f, shift = jax.jvp(lambda p: apply(network, p, n, _rows(data, rows)), (state.params,), (_difference(state.params, initial),))
        f, g = f - f0[rows], _gradients(network, state.params, n, _rows(data, rows))
        if rule is not None:
            state = jax.lax.cond((t > 0) & (t % rule.every == 0), partial(_renewed, t), lambda s: s, state)
        gamma, ridge = _explored(rule, numbers, state)
        turned = g @ state.inverse
        square = jnp.maximum((turned * g).sum(1), 0.0)
        arm = jnp.argmax(f + gamma * jnp.sqrt(square))
        reward = mean[t, arm] + noise * jax.random.normal(luck)
        linearized = reward - f[arm] + shift[arm]
        seen, target = state.seen.at[t].set(rows[arm]), state.target.at[rows[arm]].set(reward + f0[rows[arm]])
        drawn = seen[jax.random.randint(draw, (training.steps, training.batch), 0, t + 1)]
        how: dict[str, Any] = {"rate": eta, "steps": training.steps, "batches": drawn, "reduction": "mean", "record": (training.steps,)}
        state = _State(
            dict(train(network, state.params, n, data, target, **how).params),
            seen,
            target,
            state.gram + jnp.outer(g[arm], g[arm]),
            state.inverse - jnp.outer(turned[arm], turned[arm]) / (1.0 + square[arm]),
            state.log_det + jnp.log1p(square[arm]),
            state.moment + g[arm] * linearized,
            state.square + linearized**2,
            state.precisions,
        )
        return state, (mean[t].max() - mean[t, arm], gamma, ridge)

    size, zero, one = first.shape[1], jnp.zeros(()), jnp.ones(())
    design = (jnp.zeros((size, size)), jnp.eye(size) / numbers.ridge, zero)
    state = _State(initial, jnp.zeros(rounds, int), jnp.zeros(mean.size), *design, jnp.zeros(size), zero, Precisions(one, one))
    _, (regret, gamma, ridge) = jax.lax.scan(turn, state, (jnp.arange(rounds), jax.random.split(key, rounds)))
    return Play(jnp.cumsum(regret), gamma, ridge)


def _explored(rule: Evidence | None, numbers: _Numbers, state: _State) -> tuple[Array, Array]:
    """gamma_t and lambda."""
    if rule is not None:
        return state.precisions.beta**-0.5, state.precisions.alpha / state.precisions.beta
    ridge = jnp.asarray(numbers.ridge)
    return numbers.nu * jnp.sqrt(state.log_det - 2 * jnp.log(numbers.delta)) + jnp.sqrt(ridge) * numbers.norm, ridge


def _renewed(t: Array, state: _State) -> _State:
    """With the precisions that maximize the evidence of what was seen, and the inverse for their lambda."""
    s, v = jnp.linalg.eigh(state.gram)
    p = evidence.maximize(state.precisions, s, v.T @ state.moment, state.square, t)
    return state._replace(precisions=p, inverse=(v / (jnp.maximum(s, 0.0) + p.alpha / p.beta)) @ v.T)


def _gradients(network: Network, params: Params, n: int, x: Points) -> Array:
    """g, (points, P)."""
    return jnp.concatenate(list(jacobian(network, params, n, x).values()), axis=1)


def _rows(data: Points, rows: Array) -> dict[str, Array]:
    return {name: a[rows] for name, a in data.items()}


def _difference(a: Params, b: Params) -> dict[str, Array]:
    return {name: a[name] - b[name] for name in a}
