"""Limiting kernels of convolutions, attention and Transformers against recorded numbers (tests/oracles/README.md)."""

from pathlib import Path

import numpy as np
import pytest

import tensorprog as tp
from architectures.cnn import cnn1d, cnn2d
from architectures.transformer import NTK4A, transformer

ORACLES = Path(__file__).parents[1] / "oracles"
KERNELS = np.load(ORACLES / "kernels.npz")
REFERENCE = np.load(ORACLES / "architectures.npz")


def assert_recorded(found, name: str, rtol: float = 1e-10) -> None:
    """Both sides are closed forms; the issue asks for 1e-10 relative."""
    np.testing.assert_allclose(found.nngp, KERNELS[f"{name}__nngp"], rtol=rtol)
    np.testing.assert_allclose(found.ntk, KERNELS[f"{name}__ntk"], rtol=rtol)


CONVOLUTIONS = {
    "conv1d_same_gap": {"padding": "same"},
    "conv1d_circular_gap": {"padding": "circular"},
    "conv1d_same_flatten": {"padding": "same", "head": "flatten"},
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_recorded_convolutions(name: str) -> None:
    net = cnn1d(pixel=6, sigma_w=1.3, sigma_b=0.2, **CONVOLUTIONS[name])
    # The recorded diagonal of the flattened network is good to 1e-8 only.
    assert_recorded(tp.kernels(net, KERNELS["xc"]), name, 1e-8 if name == "conv1d_same_flatten" else 1e-10)


def test_recorded_2d_convolution() -> None:
    assert_recorded(tp.kernels(cnn2d(sigma_w=1.3, sigma_b=0.2), KERNELS["xi"]), "conv2d_same_gap")


def test_recorded_one_tap_convolution() -> None:
    net = cnn1d(pixel=3, depth=1, kernel=1, sigma_w=1.3, sigma_b=0.2)
    assert_recorded(tp.kernels(net, KERNELS["xs"]), "conv1d_1x1_gap")


@tp.network(x="token")
def attention(x, weights, embed, position=0.0):
    """One head with tied queries and keys; weights = softmax or the logits themselves; positions enter queries and keys only."""
    y = tp.embedding("E", 1.3) @ x + tp.bias("e", 0.2) if embed else x
    w, V = (tp.matrix("K"), tp.matrix("V", 1.2)) if embed else (tp.embedding("K"), tp.embedding("V", 1.2))
    key = w @ (y + tp.initial("P", variance=position**2, axes={"token": 3}) if position else y)
    logits = 0.9 * 1.1 * tp.moment(key * key.rename(token="source"))
    a = tp.softmax(logits, "source") if weights == "softmax" else logits
    out = tp.matrix("O", 0.8) @ tp.mix(a, (V @ y).rename(token="source"), "source") + tp.bias("o", 0.2)
    return tp.readout("v") @ out.mean("token")


@pytest.mark.parametrize("name", ["attn_lin_softmax_gap", "attn_lin_identity_gap", "attn_lin_softmax_noembed_gap", "attn_lin_softmax_possum_gap"])
def test_recorded_attention(name: str) -> None:
    weights = "softmax" if "softmax" in name else "logits"
    net = attention(token=3, weights=weights, embed="noembed" not in name, position=0.7 if "possum" in name else 0.0)
    assert_recorded(tp.kernels(net, KERNELS["xs"]), name)


@pytest.mark.parametrize("depth", [1, 2])
def test_recorded_transformer(depth: int) -> None:
    w, u, v = REFERENCE[f"tf_A_d{depth}_vw_vu_vv"] ** 0.5
    network = transformer(**{**NTK4A, "token": 4, "depth": depth, "sigma_e": u, "sigma_u": u, "sigma_w": w, "sigma_v": v})
    found = tp.kernels(network, REFERENCE["tf_x"])
    np.testing.assert_allclose(found.nngp, REFERENCE[f"tf_A_d{depth}_nngp"], rtol=1e-10)
    np.testing.assert_allclose(found.ntk, REFERENCE[f"tf_A_d{depth}_ntk"], rtol=1e-10)


@pytest.mark.parametrize("depth", [1, 2])
def test_recorded_features_of_the_transformer(depth: int) -> None:
    """The NNGP of every token, the covariance of x^L over all pairs of tokens of all sequences."""
    network = transformer(**{**NTK4A, "token": 4, "depth": depth, "read": "every"})
    found = tp.kernels(network, REFERENCE["tf_x"]).nngp
    np.testing.assert_allclose(np.asarray(found).swapaxes(1, 2).reshape(12, 12), REFERENCE[f"tf_A_d{depth}_Cx_last"], rtol=1e-10)
