"""The shelf with the options that change what is computed: one row a network."""

from typing import Any

from architectures.transformer import NTK4A

CASES: list[tuple[str, dict[str, Any]]] = [
    ("mlp", {}),
    ("mlp", {"depth": 3, "nonlinearity": "erf", "sigma_w": (1.1, 1.2, 1.3), "sigma_b": (0.1, 0.0, 0.3), "ratios": (1.0, 4.0, 0.5), "sigma_v": 0.7}),
    ("mlp", {"outputs": 3, "frozen": ("U", "b2"), "sigma_b": 0.2}),
    ("random_features", {"sigma_b": 0.4}),
    ("resnet", {"sigma_b": 0.1}),
    ("resnet", {"order": "post", "scale": 0.5}),
    ("resnet", {"project": True, "final": False}),
    ("conv_resnet1d", {"sigma_b": 0.3}),
    ("conv_resnet1d", {"order": "post", "scale": 0.5}),
    ("conv_resnet1d", {"project": True, "final": False, "scale": 2**-0.5}),
    ("conv_resnet2d", {"depth": 1}),
    ("cnn1d", {"sigma_b": 0.2}),
    ("cnn1d", {"padding": "valid", "head": "flatten"}),
    ("cnn1d", {"padding": "circular", "dilation": 2, "head": "sum"}),
    ("cnn1d", {"padding": "circular", "kernel": 2}),
    ("cnn1d", {"stride": 2, "sigma_b": 0.2}),
    ("cnn1d", {"pixel": 7, "stride": 3, "kernel": 4, "head": "flatten"}),
    ("cnn1d", {"pool": 2, "head": "flatten"}),
    ("cnn2d", {"sigma_b": 0.2, "head": "flatten"}),
    ("cnn2d", {"stride": 2, "padding": "valid", "kernel": 2, "depth": 1}),
    ("cnn2d", {"pool": 2, "height": 6, "padding": "circular"}),
    ("transformer", {}),
    (
        "transformer",
        {"depth": 2, "heads": 2, "causal": True, "order": "post", "norm": "rms", "position": "learned", "sigma_p": 0.5, "read": "last", "outputs": 3},
    ),
    ("transformer", {"qkv": "tied", "norm": "none", "gated": True, "nonlinearity": "silu", "ratio": 2.0, "read": "first"}),
    ("transformer", {"read": "every", "nonlinearity": "gelu", "ratio": 1.0, "eps": 0.1, "position": "sinusoidal", "sigma_p": 0.7}),
    ("transformer", {**NTK4A, "depth": 2, "sigma_w": 0.9, "sigma_e": 1.2, "sigma_u": 1.2, "sigma_v": 0.8}),
    ("rnn", {"sigma_b": 0.3, "sigma_w": 1.2}),
    ("rnn", {"read": "mean", "depth": 2}),
    ("rnn", {"read": "every", "bidirectional": True, "nonlinearity": "tanh"}),
    ("rnn", {"bidirectional": True, "depth": 2, "sigma_b": 0.2}),
    ("gru", {"sigma_b": 0.3, "time": 3}),
    ("lstm", {"sigma_b": 0.3, "time": 3}),
    ("normalized_mlp", {}),
    ("normalized_mlp", {"norm": "rms", "depth": 3, "sigma_b": 0.2, "eps": 0.1}),
    ("batchnorm_mlp", {"depth": 2}),
    ("batchnorm_mlp", {"batch": 9, "pieces": (5, 4)}),
    ("batchnorm_cnn", {"depth": 2, "eps": 0.1}),
    ("gnn", {"sigma_b": 0.1}),
    ("gnn", {"pool": False, "edges": ((0, 1), (1, 2), (2, 0), (2, 3))}),
    ("gnn", {"node": 5, "edges": ((0, 1), (2, 3), (3, 4)), "pieces": (2, 3)}),
    ("deep_sets", {"sigma_b": 0.1}),
    ("mixer", {}),
    ("densenet", {"sigma_b": 0.1}),
    ("gated", {"depth": 2}),
    ("gated", {"residual": False, "gate": "erf"}),
    ("autoencoder", {}),
    ("autoencoder", {"ratio": 2.0, "decode": "tanh", "sigma_w": 1.3}),
    ("equilibrium", {"steps": 4, "sigma_b": 0.2}),
    ("siamese", {"sigma_b": 0.1}),
    ("siamese", {"compare": "difference"}),
]


def label(case: tuple[str, dict[str, Any]]) -> str:
    name, options = case
    return "-".join([name, *(f"{k}={v}" for k, v in options.items())])
