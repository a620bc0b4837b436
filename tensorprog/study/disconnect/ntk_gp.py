"""The same bandit played by the Gaussian process of infinite width: prior covariance NTK / alpha, noise 1 / beta, no network.

With lambda = alpha / beta and the NTK K on what was pulled, the mean is k^T (K + lambda)^{-1} r, and what replaces g^T Z^{-1} g of the network is
(k(x, x) - k^T (K + lambda)^{-1} k) / lambda: the same quantity for features with inner product K (kernelized UCB, Valko et al. 2013).
"""

from __future__ import annotations

from typing import assert_never

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import cholesky, solve_triangular

from tensorprog.interpret.precision import double
from tensorprog.study.disconnect import evidence
from tensorprog.study.disconnect.bandit import Constant, Evidence, Exploration, Play, Theory, Uniform
from tensorprog.study.disconnect.evidence import Precisions
from tensorprog.study.fit import Floats


@double
def play(kernel: ArrayLike, mean: ArrayLike, exploration: Exploration, seed: int, *, noise: float = 0.1) -> Play:
    """Play a problem whose arms have expected rewards `mean` (rounds, arms).

    Args:
        kernel: the NTK of all arms of all rounds with each other, (rounds times arms, same), the arms of a round together.
    """
    k, mean, rng = np.asarray(kernel), np.asarray(mean), np.random.default_rng(seed)
    rounds, arms = mean.shape
    seen, reward = np.zeros(rounds, dtype=int), np.zeros(rounds)
    root, half = np.zeros((rounds, rounds)), np.zeros(rounds)  # root root^T = K + lambda, root half = r
    p, regret, gammas, ridges = Precisions(jnp.ones(()), jnp.ones(())), np.zeros(rounds), np.zeros(rounds), np.zeros(rounds)
    ridge = exploration.ridge if isinstance(exploration, Theory | Constant) else 1.0
    for t in range(rounds):
        if isinstance(exploration, Evidence) and t and t % exploration.every == 0:
            p = _precisions(k[np.ix_(seen[:t], seen[:t])], reward[:t], p)
            ridge = float(p.alpha / p.beta)
            root[:t, :t] = cholesky(k[np.ix_(seen[:t], seen[:t])] + ridge * np.eye(t), lower=True)
            half[:t] = solve_triangular(root[:t, :t], reward[:t], lower=True)
        rows = t * arms + np.arange(arms)
        solved = solve_triangular(root[:t, :t], k[np.ix_(seen[:t], rows)], lower=True) if t else np.zeros((0, arms))
        bonus = np.sqrt(np.maximum(np.diagonal(k)[rows] - (solved**2).sum(0), 0.0) / ridge)
        gamma = _gamma(exploration, 2 * np.log(np.diagonal(root)[:t]).sum() - t * np.log(ridge), p)
        arm = int(rng.integers(arms)) if isinstance(exploration, Uniform) else int(np.argmax(half[:t] @ solved + gamma * bonus))
        seen[t], reward[t] = rows[arm], mean[t, arm] + noise * rng.standard_normal()
        root[t, :t] = solved[:, arm]
        root[t, t] = np.sqrt(max(k[rows[arm], rows[arm]] + ridge - solved[:, arm] @ solved[:, arm], 1e-300))
        half[t] = (reward[t] - root[t, :t] @ half[:t]) / root[t, t]
        regret[t], gammas[t], ridges[t] = mean[t].max() - mean[t, arm], gamma, ridge
    return Play(*(jnp.asarray(a) for a in (np.cumsum(regret), gammas, ridges)))


def _gamma(exploration: Exploration, log_det: float, p: Precisions) -> float:
    """gamma_t, with log det(I + K / lambda) for log det(Z / lambda)."""
    match exploration:
        case Theory(nu, delta, norm, ridge):
            return nu * np.sqrt(log_det - 2 * np.log(delta)) + np.sqrt(ridge) * norm
        case Constant(gamma, _):
            return gamma
        case Evidence():
            return float(p.beta) ** -0.5
        case Uniform():
            return 0.0
        case _:
            assert_never(exploration)


def _precisions(k: Floats, r: Floats, p: Precisions) -> Precisions:
    s, v = np.linalg.eigh(k)
    return evidence.maximize(p, s, np.sqrt(np.maximum(s, 0.0)) * (v.T @ r), r @ r, len(r))
