"""Tensor Programs: write an architecture once; check it, run it at finite width, take its infinite-width limit, draw it, train it.

    @tp.network
    def mlp(x, depth):
        h = tp.embedding("U") @ x
        for l in range(depth):
            h = tp.matrix(f"W{l}", sigma=2**0.5) @ tp.relu(h)
        return tp.readout("v") @ tp.relu(h)

    net = mlp(depth=3)

Writing a program needs no array library; whatever computes with one is imported when it is first asked for.
"""

from importlib import import_module
from typing import Any

from tensorprog.build.declare import bias, constant, gaussians, initial, matrix, parameter, scalar, width
from tensorprog.build.functions import (
    Function,
    Nonlinearity,
    abrelu,
    cos,
    erf,
    exp,
    gauss,
    gelu,
    gelu_tanh,
    hermite,
    identity,
    leaky_relu,
    mix,
    moment,
    nonlinearity,
    ramp,
    relu,
    sigmoid,
    sign,
    silu,
    sin,
    softmax,
    softplus,
    sqrt,
    stack,
    step,
    tanh,
)
from tensorprog.build.functions import abs_ as abs  # noqa: A004
from tensorprog.build.inputs import Data, Output, embedding, readout
from tensorprog.build.layers import attention, batchnorm, conv, layernorm, rmsnorm, taps
from tensorprog.build.network import network, program
from tensorprog.build.outer import outer
from tensorprog.build.value import Value
from tensorprog.errors import Incomplete, InternalError, InvalidProgram, OutsideTheory, TensorProgramError
from tensorprog.language.expr import Growth
from tensorprog.language.instr import Width
from tensorprog.language.program import Network, Program, Training

__version__ = "0.1.0"

# What computes: name -> where it lives. Imported when first asked for.
LATER = {
    "check": "tensorprog.language.valid:check",
    "show": "tensorprog.language.listing:show",
    "parse": "tensorprog.language.text:parse",
    "to_json": "tensorprog.language.exchange:to_json",
    "from_json": "tensorprog.language.exchange:from_json",
    "paths": "tensorprog.language.graph:paths",
    "backprop": "tensorprog.transform.backprop:backprop",
    "reduced": "tensorprog.transform.reduce:reduced",
    "classify": "tensorprog.transform.parametrization:classify",
    "Parametrization": "tensorprog.transform.parametrization:Parametrization",
    "Exponents": "tensorprog.transform.parametrization:Exponents",
    "NTP": "tensorprog.transform.parametrization:NTP",
    "MUP": "tensorprog.transform.parametrization:MUP",
    "STANDARD": "tensorprog.transform.parametrization:STANDARD",
    "MEAN_FIELD": "tensorprog.transform.parametrization:MEAN_FIELD",
    "FRAMEWORK": "tensorprog.transform.parametrization:FRAMEWORK",
    "up_s": "tensorprog.transform.parametrization:up_s",
    "at_width": "tensorprog.transform.rescale:at_width",
    "at_depth": "tensorprog.transform.rescale:at_depth",
    "mup": "tensorprog.study.mup:mup",
    "coordinate_check": "tensorprog.study.coordinates:coordinate_check",
    "transfer": "tensorprog.study.transfer:transfer",
    "unroll": "tensorprog.transform.unroll:unroll",
    "SGD": "tensorprog.transform.unroll:SGD",
    "sign_sgd": "tensorprog.transform.unroll:sign_sgd",
    "adam": "tensorprog.transform.unroll:adam",
    "rmsprop": "tensorprog.transform.unroll:rmsprop",
    "tangent_operator": "tensorprog.kernels.unrolled:tangent_operator",
    "theorem": "tensorprog.study.theorem:theorem",
    "draw": "tensorprog.interpret.diagram:draw",
    "sample": "tensorprog.interpret.finite:sample",
    "run": "tensorprog.interpret.finite:run",
    "apply": "tensorprog.interpret.finite:apply",
    "limit": "tensorprog.interpret.limit.theorem:limit",
    "particles": "tensorprog.interpret.particles.estimate:particles",
    "Strategy": "tensorprog.gaussian.problem:Strategy",
    "tile": "tensorprog.kernels.tile:tile",
    "empirical_kernels": "tensorprog.kernels.empirical:empirical_kernels",
    "particle_kernels": "tensorprog.kernels.particles:particle_kernels",
    "path_ntk": "tensorprog.kernels.paths:path_ntk",
    "tiled_kernels": "tensorprog.kernels.tiles:tiled_kernels",
    "tiled_matrix": "tensorprog.kernels.tiles:tiled_matrix",
    "open_store": "tensorprog.kernels.tiles:open_store",
    "NNGPRegressor": "tensorprog.kernels.estimators:NNGPRegressor",
    "NTKRegressor": "tensorprog.kernels.estimators:NTKRegressor",
    "NTKClassifier": "tensorprog.kernels.estimators:NTKClassifier",
    "tuned": "tensorprog.kernels.evidence:tuned",
    "solve": "tensorprog.kernels.solve:solve",
    "posterior_at": "tensorprog.kernels.solve:posterior_at",
    "posterior": "tensorprog.kernels.posterior:posterior",
    "gradient_descent": "tensorprog.kernels.dynamics.descent:gradient_descent",
    "gradient_flow": "tensorprog.kernels.dynamics.flow:gradient_flow",
    "ensemble_flow": "tensorprog.kernels.dynamics.flow:ensemble_flow",
    "train": "tensorprog.kernels.train:train",
    "converge": "tensorprog.study.convergence:converge",
    "follow": "tensorprog.study.training:follow",
}

__all__ = [  # noqa: RUF022  # in the order in which one meets them
    "network",
    "program",
    "embedding",
    "readout",
    "matrix",
    "bias",
    "parameter",
    "initial",
    "gaussians",
    "scalar",
    "constant",
    "width",
    "identity",
    "relu",
    "leaky_relu",
    "abrelu",
    "ramp",
    "step",
    "abs",
    "sign",
    "erf",
    "gauss",
    "tanh",
    "sigmoid",
    "softplus",
    "gelu",
    "gelu_tanh",
    "silu",
    "sin",
    "cos",
    "exp",
    "sqrt",
    "hermite",
    "nonlinearity",
    "moment",
    "outer",
    "softmax",
    "mix",
    "stack",
    "layernorm",
    "rmsnorm",
    "batchnorm",
    "attention",
    "conv",
    "taps",
    "Data",
    "Value",
    "Output",
    "Function",
    "Nonlinearity",
    "Network",
    "Program",
    "Training",
    "Width",
    "Growth",
    "TensorProgramError",
    "InvalidProgram",
    "OutsideTheory",
    "Incomplete",
    "InternalError",
]


def __getattr__(name: str) -> Any:
    if name == "kernels":  # the package, which can be called: tp.kernels(net, X)
        return import_module("tensorprog.kernels")
    if name not in LATER:
        raise AttributeError(f"module 'tensorprog' has no attribute {name!r}")
    module, attribute = LATER[name].split(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *LATER, "kernels"})
