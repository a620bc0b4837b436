"""Two known slips in print: our numbers are the corrected ones, finite networks side with them, and the slip is far away.

- Yang 2020, TP II, App. E.2, average pooling of the RNN: the printed backward recursion lets the gradient enter at the last step alone, keeps the
  last state's readout term and has no 1 / T^2. The gradient of a mean over steps enters at every step.
- The code NTK4A, Transformer: between blocks the gradient's covariance is multiplied by vu^2 where the chain rule has vu; equal only for vu = 1.
"""

from pathlib import Path

import jax
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import block_diag
from scipy.special import softmax

import tensorprog as tp
from architectures.transformer import NTK4A, transformer
from tensorprog.kernels.empirical import compiled

REFERENCE = np.load(Path(__file__).parents[1] / "oracles" / "architectures.npz")
Floats = NDArray[np.float64]


def simulated(network: tp.Network, x: Floats, width: int, seeds: int) -> Floats:
    """The empirical NTK, mean over seeds."""
    kernels, dimension = compiled(network, width), x.shape[-1]
    return np.mean([kernels(tp.sample(network, jax.random.key(seed), width, dimension), x).ntk for seed in range(seeds)], axis=0)


def assert_sides_with(truth: Floats, slip: Floats, found: Floats) -> None:
    """Finite networks are within some percent of the truth (bias of order 1/n and few seeds), and five times nearer to it than to the slip."""
    near, far = (np.linalg.norm(found - k) / np.linalg.norm(truth) for k in (truth, slip))
    assert near < 0.05
    assert far > 5 * near, (near, far)


# The RNN.


@tp.network(xs="time")
def pooled_rnn(xs, w, u, b, v):
    """An erf RNN read out at the mean of its states; variances and training as in TP II."""
    W, U, bias = tp.matrix("W", w**0.5, convention="sigma"), tp.embedding("U", u**0.5, convention="sigma"), tp.bias("b", b**0.5, convention="sigma")
    states: list[tp.Value] = []
    for x in xs.unstack("time"):
        h = U @ x + bias
        states.append(tp.erf(W @ states[-1] + h if states else h))
    return tp.readout("v", v**0.5, convention="sigma") @ (sum(states[1:], states[0]) / len(states))


def pooled_by_hand(x: Floats, w: float, u: float, b: float, v: float, *, printed: bool) -> Floats:
    """The kernel of `pooled_rnn` by the recursion of TP II, App. E.2, corrected or as printed; x of shape (N, T, d)."""
    steps, inner = x.shape[1], np.einsum("aid,bjd->ijab", x, x) / x.shape[2]
    states, slopes, before = np.zeros_like(inner), np.zeros_like(inner), np.zeros((steps + 1, steps + 1, *inner.shape[2:]))
    h = np.zeros_like(inner)
    for i, j in sorted(np.ndindex(steps, steps), key=lambda ij: (max(ij), ij[0] != ij[1])):  # variances first
        h[i, j] = w * before[i, j] + u * inner[i, j] + b
        p, q = np.diagonal(h[i, i])[:, None], np.diagonal(h[j, j])
        states[i, j] = before[i + 1, j + 1] = 2 / np.pi * np.arcsin(2 * h[i, j] / np.sqrt((1 + 2 * p) * (1 + 2 * q)))
        slopes[i, j] = 4 / np.pi / np.sqrt((1 + 2 * p) * (1 + 2 * q) - 4 * h[i, j] ** 2)
    back = np.zeros_like(before)
    for i, j in np.ndindex(steps, steps):
        i, j = steps - 1 - i, steps - 1 - j
        enters = i == j == steps - 1 if printed else True
        carried = w * slopes[i + 1, j + 1] * back[i + 1, j + 1] if max(i, j) < steps - 1 else 0.0
        back[i, j] = v * enters + carried
    body = (slopes * back[:-1, :-1] * (before[:-1, :-1] + inner + 1)).sum((0, 1))
    return states[-1, -1] + body if printed else (states.sum((0, 1)) + body) / steps**2


def test_average_pooling_of_the_rnn() -> None:
    x, variances = REFERENCE["rnn_x"], REFERENCE["rnn_A_varw_varu_varb_varv"]
    network = pooled_rnn(time=x.shape[1], **dict(zip("wubv", variances, strict=True)))
    ours = np.asarray(tp.kernels(network, x).ntk)
    np.testing.assert_allclose(ours, REFERENCE["rnn_A_avgpool_ntk"], rtol=1e-12)
    np.testing.assert_allclose(ours, pooled_by_hand(x, *variances, printed=False), rtol=1e-12)
    assert_sides_with(ours, pooled_by_hand(x, *variances, printed=True), simulated(network, x, 256, 16))


# The Transformer.


def transformer_by_hand(x: Floats, depth: int, vw: float, vu: float, vv: float, power: int) -> Floats:
    """The kernel of `transformer(**NTK4A)`; between blocks the gradient is multiplied by vu ** power. x of shape (N, T, d)."""
    n, tokens, d = x.shape
    flat = x.reshape(n * tokens, d)
    cx, forward = flat @ flat.T / d, []
    for _ in range(depth):
        ck = vu * cx
        blocks = [softmax(ck[k : k + tokens, k : k + tokens], axis=1) for k in range(0, n * tokens, tokens)]
        mix = np.eye(n * tokens) + block_diag(*blocks)
        cy = mix @ ck @ mix.T
        cz = correlation(cy)
        ramp, step = arccos(vw * cz)
        forward.append((cx, mix, cy, cz, ramp, step))
        cx = correlation(vw * ramp + cz)
    total, dx = cx / tokens**2, np.full_like(cx, vv / tokens**2)
    for before, mix, cy, cz, ramp, step in reversed(forward):
        dh = dx / scales(vw * ramp + cz)
        dg = vw * dh * step
        dk = mix.T @ ((vw * dg + dh) / scales(cy)) @ mix
        total = total + dk * before + dg * cz + dh * ramp
        dx = vu**power * dk
    return total.reshape(n, tokens, n, tokens).sum((1, 3))


def scales(c: Floats) -> Floats:
    return np.sqrt(np.outer(np.diag(c), np.diag(c)))


def correlation(c: Floats) -> Floats:
    return c / scales(c)


def arccos(c: Floats) -> tuple[Floats, Floats]:
    """E relu relu and E step step."""
    rho = np.clip(correlation(c), -1, 1)
    angle = np.pi - np.arccos(rho)
    return (np.sqrt(1 - rho**2) + angle * rho) * scales(c) / (2 * np.pi), angle / (2 * np.pi)


def test_the_gradient_between_blocks_of_a_transformer() -> None:
    x, (vw, vu, vv) = REFERENCE["tf_x"][:2], (0.8, 1.5, 0.7)
    sigmas = {"sigma_e": vu**0.5, "sigma_u": vu**0.5, "sigma_w": vw**0.5, "sigma_v": vv**0.5}
    network = transformer(**{**NTK4A, **sigmas, "token": 4, "depth": 2})
    ours = np.asarray(tp.kernels(network, x).ntk)
    np.testing.assert_allclose(ours, transformer_by_hand(x, 2, vw, vu, vv, power=1), rtol=1e-7)  # arccos near 1 loses half of the digits
    assert_sides_with(ours, transformer_by_hand(x, 2, vw, vu, vv, power=2), simulated(network, x, 256, 16))


@pytest.mark.parametrize("depth", [1, 2])
def test_at_unit_variances_the_notebook_is_right(depth: int) -> None:
    """Both factors are 1 there; the notebook's numbers carry its own small constants."""
    found = transformer_by_hand(REFERENCE["tf_x"], depth, 1.0, 1.0, 1.0, power=2)
    np.testing.assert_allclose(found, REFERENCE[f"tf_A_d{depth}_ntk_notebook"], rtol=2e-5)
