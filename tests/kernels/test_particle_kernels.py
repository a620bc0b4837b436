"""Sampled kernels reach the recorded ones, and agree with the exact engine on what every parameter contributes."""

from math import asin, pi, sqrt

import jax
import numpy as np
import pytest

from tensorprog.errors import OutsideTheory
from tensorprog.interpret.particles import Dots
from tensorprog.kernels.limit import kernels
from tensorprog.kernels.particles import particle_kernels
from tensorprog.language.expr import Apply, Ref
from tensorprog.language.instr import Embedding, InitVector, Input, MatMul, Matrix, Nonlin
from tensorprog.language.nonlin import fn
from tensorprog.language.program import Network, Program, Readout, Training
from tests.finite_networks import NETWORKS, mup

KEY = jax.random.key(7)
SIZE = {"samples": 16384, "replicates": 16}


def erf(name: str) -> Apply:
    return Apply(fn("erf"), (Ref(name),))


def two_layers(*, tied: bool) -> Network:
    """f = v^T erf(W erf(U xi)) / sqrt(n), or tied: v^T W^T erf(W erf(U xi)) / sqrt(n)."""
    end = (MatMul("y", "W", "x", transpose=True),) if tied else ()
    body = (Nonlin("z", erf("g")), MatMul("h", "W", "z"), Nonlin("x", erf("h")), *end)
    program = Program(inputs=(Input("xi"),), matrices=(Matrix("W", "n", "n"),), vectors=(InitVector("g", "n", law=Embedding("U", "xi")),), body=body)
    return Network(program, (Readout("v", "y" if tied else "x", "n"),), training={"v": Training(0.0)} if not tied else {})


def test_t14_every_parameter_and_every_pair() -> None:
    xi = np.array([[1.0], [0.5]])
    k = particle_kernels(two_layers(tied=False), xi, key=KEY, **SIZE)
    w, u = np.array([[0.3498662005, 0.2582861390]]), np.array([[0.4288310033, 0.2812479533]])
    assert k.error < 0.01 * 0.4115
    np.testing.assert_allclose(k.by_parameter["W"][:1], w, atol=4 * k.error)
    np.testing.assert_allclose(k.by_parameter["U"][:1], u, atol=4 * k.error)
    np.testing.assert_allclose(k.ntk, [[0.7786972038, 0.5395340923], [0.5395340923, 0.4115129083]], atol=4 * k.error)


def test_blocks_of_the_kernel_are_the_kernel_between_two_sets() -> None:
    xi = np.array([[1.0], [0.5]])
    both = particle_kernels(two_layers(tied=False), xi, xi[:1], key=KEY, samples=16384)
    assert both.ntk.shape == (2, 1)
    np.testing.assert_allclose(both.ntk[:, 0], [0.7786972038, 0.5395340923], atol=4 * both.error)


@pytest.mark.parametrize("dots", ["stein", "derivative", "drop"])
def test_the_tied_network_needs_its_dots(dots: Dots) -> None:
    """y = W^T erf(h) = hat + s z and dz = W^T (erf'(h) W v) = hat + s v, with s = E erf'(h): one more s^2 in each second moment."""
    q = 2 / pi * asin(2 / 3)  # E z^2 = E h^2
    second, slopes = 2 / pi * asin(2 * q / (1 + 2 * q)), 4 / (pi * sqrt(1 + 4 * q))  # E erf(h)^2, E erf'(h)^2
    dot = 0.0 if dots == "drop" else 4 / (pi * (1 + 2 * q))  # s^2
    k = particle_kernels(two_layers(tied=True), np.ones((1, 1)), key=KEY, dots=dots, **SIZE)
    truth = {"W": slopes * q + second, "U": 4 / (pi * sqrt(5)) * (slopes + dot), "v": second + q * dot}
    assert k.error < 0.01 * sum(truth.values())
    for parameter, contribution in truth.items():
        np.testing.assert_allclose(k.by_parameter[parameter], contribution, atol=5 * k.error, err_msg=parameter)


@pytest.mark.parametrize("name", ["mlp", "rnn"])
def test_two_ways_to_a_kernel_agree(name: str) -> None:
    """A tensor in its own convention, a bias at its own rate; weights shared over time."""
    network = NETWORKS[name]()
    rng = np.random.default_rng(0)
    data = {i.name: rng.standard_normal((2, *(network.program.size[a] for a in sorted(i.axes)), 3)) for i in network.program.inputs}
    sampled, exact = particle_kernels(network, data, key=KEY, samples=16384, replicates=8), kernels(network, data)
    assert sampled.error < 0.01 * np.abs(exact.ntk).max()
    np.testing.assert_allclose(sampled.nngp, exact.nngp, atol=5 * sampled.error)  # of the largest standard error; 8 replicates: Student, 7
    for parameter, contribution in exact.by_parameter.items():
        np.testing.assert_allclose(sampled.by_parameter[parameter], contribution, atol=5 * sampled.error, err_msg=parameter)


def test_a_moment_readout_has_no_kernel() -> None:
    with pytest.raises(OutsideTheory, match="kind 'ntk'"):
        particle_kernels(mup(), np.ones((1, 3)), key=KEY)
