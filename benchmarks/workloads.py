"""The workloads of the comparison, as data that both programs read: what is computed, on how many points, and how much faster we promise to be."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

ROOT2 = 2**0.5


@dataclass(frozen=True)
class Workload:
    """One row of the table.

    Attributes:
        family: which function of `ours` and `peer` builds it.
        points, shape: the data are `points` draws of N(0, 1)^shape.
        bar: how many times as fast as the peer it has to be.
        options: what the family's function takes.
        runs: turns of each program, of some calls each.
        alone: only ours, since the peer takes minutes for one run.
        title: what the table says.
    """

    title: str
    family: str
    points: int
    bar: float
    options: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = (32,)
    runs: int = 7
    alone: bool = False


def mlp(nonlinearity: str, depth: int, sigma_b: float = 0.1, **more: Any) -> dict[str, Any]:
    return {"nonlinearity": nonlinearity, "depth": depth, "sigma_w": ROOT2, "sigma_b": sigma_b, **more}


def generic(what: str, family: str, positions: int, name: str, points: int) -> Workload:
    """An empirical NTK at width 512 against the peer's implementations for any network."""
    title = f"empirical NTK of {what}, width 512, {positions} {name}, N = {points}"
    return Workload(title, family, points, 5, {"width": 512, "generic": True}, (positions, 32))


WORKLOADS: dict[str, Workload] = {
    "relu-3-1000": Workload("relu MLP with biases, depth 3, N = 1000", "mlp", 1000, 3, mlp("relu", 3)),
    "relu-3-3000": Workload("relu MLP with biases, depth 3, N = 3000", "mlp", 3000, 3, mlp("relu", 3), runs=5),
    "relu-10-3000": Workload("relu MLP with biases, depth 10, N = 3000", "mlp", 3000, 4, mlp("relu", 10), runs=5),
    "free-3-3000": Workload("relu MLP without biases, depth 3, N = 3000", "mlp", 3000, 3, mlp("relu", 3, 0.0), runs=5),
    "free-10-3000": Workload("relu MLP without biases, depth 10, N = 3000", "mlp", 3000, 12, mlp("relu", 10, 0.0), runs=5),
    "free-50-3000": Workload("relu MLP without biases, depth 50, N = 3000", "mlp", 3000, 12, mlp("relu", 50, 0.0), runs=3, alone=True),
    "erf-3-1000": Workload("erf MLP with biases, depth 3, N = 1000", "mlp", 1000, 2, mlp("erf", 3)),
    "gelu-3-500": Workload("exact gelu MLP with biases, depth 3, N = 500", "mlp", 500, 2, mlp("gelu", 3)),
    "gelu-quadrature": Workload("gelu without closed form, depth 3, N = 500", "mlp", 500, 100, mlp("gelu", 3, nodes=25), runs=3),
    "tanh-quadrature": Workload("tanh MLP with biases, depth 3, N = 500", "mlp", 500, 20, mlp("tanh", 3, nodes=25), runs=3),
    "resnet-10": Workload("fully connected ResNet, 10 blocks, N = 1000", "resnet", 1000, 4, mlp("relu", 10)),
    "attention": Workload("attention over 16 tokens, N = 64", "attention", 64, 1, {"blocks": 0}, (16, 32)),
    "transformer": Workload("two Transformer blocks with layernorm, 16 tokens, N = 64", "attention", 64, 2, {"blocks": 2}, (16, 32)),
    "conv-1d": Workload("3 convolutions + global average pooling, length 64, N = 32", "conv", 32, 3, mlp("relu", 3), (64, 32)),
    "conv-2d": Workload("3 convolutions + global average pooling, 8 x 8 x 3, N = 32", "conv", 32, 3, mlp("relu", 3), (8, 8, 3)),
    "empirical-1": Workload("empirical NTK, width 512, depth 3, 1 output, N = 64", "empirical_mlp", 64, 1, {"width": 512, "depth": 3, "outputs": 1}),
    "empirical-10": Workload(
        "empirical NTK, width 512, depth 3, 10 outputs, N = 64", "empirical_mlp", 64, 1, {"width": 512, "depth": 3, "outputs": 10}
    ),
    "empirical-rnn": generic("a weight-tied RNN", "empirical_rnn", 8, "steps", 16),
    "empirical-rnn-64": generic("a weight-tied RNN", "empirical_rnn", 8, "steps", 64),
    "empirical-transformer": generic("a Transformer block", "empirical_transformer", 16, "tokens", 16),
    "empirical-transformer-64": generic("a Transformer block", "empirical_transformer", 16, "tokens", 64),
    "flow": Workload("gradient flow, N = 1000, 10 outputs, 5 times", "flow", 1000, 1, {"outputs": 10, "times": 5}),
    "ensemble": Workload("mean and covariance of gradient flow, N = 1000, 5 times", "ensemble", 1000, 1, {"outputs": 10, "times": 5}),
}


def data(workload: Workload) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((workload.points, *workload.shape)).astype(np.float32)


def as_json(workload: Workload) -> dict[str, Any]:
    return asdict(workload)
