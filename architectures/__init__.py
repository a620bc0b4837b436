"""The shelf: one short file an architecture, each a function that builds a network, with its formula and its paper.

ZOO is the table that the command line and the tests run over: every default is small.
"""

from collections.abc import Callable, Mapping

from architectures.autoencoder import autoencoder
from architectures.cnn import cnn1d, cnn2d
from architectures.deep_sets import deep_sets
from architectures.densenet import densenet
from architectures.equilibrium import equilibrium
from architectures.gated import gated
from architectures.gnn import gnn
from architectures.gru import gru
from architectures.lstm import lstm
from architectures.mixer import mixer
from architectures.mlp import mlp
from architectures.normalized_mlp import batchnorm_cnn, batchnorm_mlp, normalized_mlp
from architectures.random_features import random_features
from architectures.resnet import conv_resnet1d, conv_resnet2d, resnet
from architectures.rnn import rnn
from architectures.siamese import siamese
from architectures.transformer import transformer
from tensorprog import Network

ZOO: Mapping[str, Callable[..., Network]] = {
    "mlp": mlp,
    "random_features": random_features,
    "resnet": resnet,
    "conv_resnet1d": conv_resnet1d,
    "conv_resnet2d": conv_resnet2d,
    "cnn1d": cnn1d,
    "cnn2d": cnn2d,
    "transformer": transformer,
    "rnn": rnn,
    "gru": gru,
    "lstm": lstm,
    "normalized_mlp": normalized_mlp,
    "batchnorm_mlp": batchnorm_mlp,
    "batchnorm_cnn": batchnorm_cnn,
    "gnn": gnn,
    "deep_sets": deep_sets,
    "mixer": mixer,
    "densenet": densenet,
    "gated": gated,
    "autoencoder": autoencoder,
    "equilibrium": equilibrium,
    "siamese": siamese,
}
