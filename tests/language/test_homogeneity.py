"""The degree of homogeneity that is read off a program, against finite networks and limits."""

import numpy as np
import pytest

import tensorprog as tp
from tensorprog.language.homogeneity import degree


@tp.network
def net(x, phi=tp.relu, bias=0.0, normalize=None, residual=False):
    h = tp.embedding("U") @ x
    h = h + tp.bias("b", bias) if bias else h
    h = normalize(h) if normalize else h
    g = tp.matrix("W") @ phi(h)
    return tp.readout("v") @ (h + g if residual else g)


CASES = {
    "relu": (net(), 1),
    "leaky": (net(phi=tp.leaky_relu(0.2)), 1),
    "square of relu": (net(phi=tp.ramp(2)), 2),
    "step": (net(phi=tp.step), 0),
    "product": (net(phi=lambda h: h * tp.abs(h)), 2),
    "residual": (net(residual=True), 1),
    "residual of unequal degrees": (net(phi=tp.ramp(2), residual=True), None),
    "bias": (net(bias=0.1), None),
    "layernorm": (net(normalize=tp.layernorm), 0),
    "layernorm and any function": (net(normalize=tp.layernorm, phi=tp.tanh), 0),
    "layernorm with eps": (net(normalize=lambda h: tp.layernorm(h, 0.1)), None),
    "erf": (net(phi=tp.erf), None),
}


@pytest.mark.parametrize("name", CASES)
def test_degree(name: str) -> None:
    network, expected = CASES[name]
    assert degree(network) == expected


@pytest.mark.parametrize("name", ["relu", "square of relu", "residual", "layernorm"])
def test_kernels_scale(name: str) -> None:
    """K(a x, b x') = (a b)^m K(x, x')."""
    network, m = CASES[name]
    x = np.random.default_rng(0).standard_normal((3, 4))
    a = np.array([2.0, 0.5, 3.0])
    k, scaled = tp.kernels(network, x), tp.kernels(network, x * a[:, None])
    np.testing.assert_allclose(scaled.ntk, np.asarray(k.ntk) * np.outer(a, a) ** m, rtol=1e-12)
