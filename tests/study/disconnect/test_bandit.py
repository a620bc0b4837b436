"""Evidence is the density of a Gaussian; the Gaussian process player is exact; players are reproducible and beat chance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from tensorprog.errors import InvalidProgram
from tensorprog.kernels.limit import kernels
from tensorprog.study.disconnect import ntk_gp
from tensorprog.study.disconnect.bandit import Evidence, Problem, Theory, Uniform, play
from tensorprog.study.disconnect.evidence import Precisions, log_evidence, maximize
from tensorprog.study.disconnect.parts import contextual, norm_of_truth
from tensorprog.study.networks import perceptron

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def features() -> tuple:
    """Phi, r, and the spectrum that the evidence reads."""
    phi = RNG.standard_normal((30, 6))
    r = phi @ RNG.standard_normal(6) * 0.7 + 0.2 * RNG.standard_normal(30)
    s, v = np.linalg.eigh(phi.T @ phi)
    return phi, r, s, v.T @ phi.T @ r


def test_evidence_is_the_density_of_the_data() -> None:
    phi, r, s, c = features()
    p = Precisions(jnp.asarray(1.7), jnp.asarray(5.0))
    density = multivariate_normal(np.zeros(30), phi @ phi.T / 1.7 + np.eye(30) / 5.0).logpdf(r)
    np.testing.assert_allclose(log_evidence(p, s, c, r @ r, 30), density, rtol=1e-10)


def test_the_fixed_point_is_a_maximum_of_the_evidence() -> None:
    _, r, s, c = features()
    best = maximize(Precisions(jnp.ones(()), jnp.ones(())), s, c, r @ r, 30, sweeps=200)
    slope = jax.grad(lambda q: log_evidence(Precisions(jnp.exp(q[0]), jnp.exp(q[1])), s, c, r @ r, 30))(jnp.log(jnp.stack(best)))
    np.testing.assert_allclose(slope, 0.0, atol=1e-6)


def test_the_gaussian_process_player_is_exact_inference() -> None:
    """Its regret is that of a player who solves the whole linear system in every round."""
    problem, rule = contextual(25, 3, 4, 0), Theory(0.1)
    k = np.asarray(kernels(perceptron(depth=1), problem.x).ntk)
    played = ntk_gp.play(k, problem.mean, rule, 5)
    mean, rng = np.asarray(problem.mean), np.random.default_rng(5)
    seen, reward, regret = [], [], 0.0
    for t in range(25):
        rows = 3 * t + np.arange(3)
        if seen:
            inverse = np.linalg.inv(k[np.ix_(seen, seen)] + np.eye(t))
            cross = k[np.ix_(rows, seen)]
            f, bonus = cross @ inverse @ reward, np.sqrt(np.diag(k)[rows] - np.einsum("ij,jk,ik->i", cross, inverse, cross))
            gamma = 0.1 * np.sqrt(np.linalg.slogdet(k[np.ix_(seen, seen)] + np.eye(t))[1] - 2 * np.log(0.05)) + 1
        else:
            f, bonus, gamma = np.zeros(3), np.sqrt(np.diag(k)[rows]), 0.1 * np.sqrt(-2 * np.log(0.05)) + 1
        arm = int(np.argmax(f + gamma * bonus))
        regret += mean[t].max() - mean[t, arm]
        seen.append(rows[arm])
        reward.append(mean[t, arm] + 0.1 * rng.standard_normal())
    np.testing.assert_allclose(played.regret[-1], regret, rtol=1e-9)
    np.testing.assert_allclose(played.gamma[-1], gamma, rtol=1e-9)


def test_a_network_learns_which_arm_to_pull() -> None:
    """60 rounds between an arm that pays and one that does not: chance loses 30, and the seed spread of a learner is below 3."""
    rounds = 60
    x = np.tile(np.eye(2) * 2**0.5, (rounds, 1))
    problem = Problem(x, np.tile([1.0, 0.0], (rounds, 1)))
    played = play(perceptron(depth=1), 8, problem, Evidence(5), jax.random.key(0), steps=5, batch=16)
    assert float(played.regret[-1]) < 10
    assert (np.diff(played.regret) >= 0).all()
    assert (np.asarray(played.gamma) > 0).all()


def test_uniform_play_loses_the_mean_gap() -> None:
    problem = contextual(400, 4, 6, 1)
    mean = np.asarray(problem.mean)
    expected = (mean.max(1, keepdims=True) - mean).mean() * 400
    k = np.eye(mean.size)
    assert (
        abs(float(ntk_gp.play(k, mean, Uniform(), 0).regret[-1]) - expected) < 4 * (mean.max(1, keepdims=True) - mean).std() * 20
    )  # 4 standard errors


def test_the_norm_of_the_truth() -> None:
    np.testing.assert_allclose(norm_of_truth(2 * np.eye(3), np.array([1.0, 2.0, 2.0])), 3.0, rtol=1e-6)


def test_what_is_no_bandit_is_refused() -> None:
    with pytest.raises(InvalidProgram, match="several outputs"):
        play(perceptron(depth=1, outputs=2), 8, contextual(5, 2, 3, 0), Uniform(), jax.random.key(0))
    with pytest.raises(InvalidProgram, match="a point for each"):
        play(perceptron(depth=1), 8, Problem(np.ones((5, 3)), np.ones((2, 2))), Uniform(), jax.random.key(0))
