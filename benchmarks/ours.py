"""The workloads in tensorprog."""

import jax
import jax.numpy as jnp
import numpy as np
from worker import Compute, serve
from workloads import ROOT2, Workload

import tensorprog as tp
from architectures import ZOO
from tensorprog.gaussian.problem import Strategy
from tensorprog.kernels.dynamics.trajectory import Blocks
from tensorprog.kernels.empirical import compiled as empirical_kernels
from tensorprog.kernels.tile import tile


def kernel(network: tp.Network, w: Workload, x: np.ndarray) -> Compute:
    """In float32; where the workload is `exact`, by the rules in float64, finer than by default."""
    if w.options.get("exact"):
        fine = tp.kernels(network, x, strategy=Strategy(nodes=241, terms=1024))
        return lambda: {"nngp": fine.nngp, "ntk": fine.ntk}
    both = tile(network, dtype="float32")
    return lambda: jax.block_until_ready(both(x))


def mlp(w: Workload, x: np.ndarray) -> Compute:
    o = w.options
    return kernel(ZOO["mlp"](depth=o["depth"], nonlinearity=phi(w), sigma_w=o["sigma_w"], sigma_b=o["sigma_b"]), w, x)


def phi(w: Workload) -> tp.Nonlinearity:
    """A workload with `nodes` is one without closed form: gelu is then given as a function that nothing is known of."""
    if "nodes" in w.options and w.options["nonlinearity"] == "gelu":
        return tp.nonlinearity("gelu_tanh")
    return tp.nonlinearity(w.options["nonlinearity"])


def resnet(w: Workload, x: np.ndarray) -> Compute:
    o = w.options
    return kernel(ZOO["resnet"](depth=o["depth"], sigma_w=o["sigma_w"], sigma_b=o["sigma_b"]), w, x)


def conv(w: Workload, x: np.ndarray) -> Compute:
    o = w.options
    sizes = {"pixel": x.shape[1]} if x.ndim == 3 else {"height": x.shape[1], "width": x.shape[2]}
    return kernel(ZOO["cnn1d" if x.ndim == 3 else "cnn2d"](depth=o["depth"], sigma_w=o["sigma_w"], sigma_b=o["sigma_b"], **sizes), w, x)


@tp.network(x="token")
def attending(x: tp.Data, blocks: int, token: int = 16) -> tp.Output:
    """Attention with tied queries and keys, whose logits have a limit that is not 0; blocks = 0 is one layer of attention alone."""
    z = tp.embedding("E") @ x

    def attend(y: tp.Value, l: int) -> tp.Value:
        q, u = tp.matrix(f"Q{l}") @ y, tp.matrix(f"V{l}") @ y
        return tp.matrix(f"O{l}") @ tp.attention(q, q, u, over="token")

    for l in range(blocks):
        z = z + attend(tp.layernorm(z), l)
        z = z + tp.matrix(f"W2_{l}") @ tp.relu(tp.matrix(f"W1_{l}", ROOT2) @ tp.layernorm(z))
    z = tp.layernorm(z) if blocks else attend(z, 0)
    return tp.readout("v") @ z.mean("token")


def attention(w: Workload, x: np.ndarray) -> Compute:
    return kernel(attending(blocks=w.options["blocks"], token=x.shape[1]), w, x)


def empirical(network: tp.Network, w: Workload, x: np.ndarray) -> Compute:
    n = w.options["width"]
    params = {name: a.astype(jnp.float32) for name, a in tp.sample(network, jax.random.key(0), n, x.shape[-1]).items()}
    kernels = empirical_kernels(network, n, outputs="full", parts=False)
    return lambda: {"ntk": jax.block_until_ready(kernels(params, x).ntk)}


def empirical_mlp(w: Workload, x: np.ndarray) -> Compute:
    return empirical(ZOO["mlp"](depth=w.options["depth"], outputs=w.options["outputs"]), w, x)


@tp.network(xs="time")
def rnn(xs: tp.Data, time: int = 8) -> tp.Output:
    W, h = tp.matrix("W"), None
    for g in (tp.embedding("U") @ xs).unstack("time"):
        h = tp.tanh(W @ h + g if h is not None else g)
    assert h is not None
    return tp.readout("v") @ h


def empirical_rnn(w: Workload, x: np.ndarray) -> Compute:
    return empirical(rnn(time=x.shape[1]), w, x)


def empirical_transformer(w: Workload, x: np.ndarray) -> Compute:
    return empirical(ZOO["transformer"](token=x.shape[1], depth=1, eps=1e-5), w, x)


def relu_kernels(x1: np.ndarray, x2: np.ndarray | None = None) -> dict[str, np.ndarray]:
    found = tile(ZOO["mlp"](depth=3, sigma_b=0.1), dtype="float32")(x1, x2)
    return {name: np.asarray(k) for name, k in found.items()}


def flow(w: Workload, x: np.ndarray) -> Compute:
    k, y, times = relu_kernels(x)["ntk"], targets(w), np.linspace(0.1, 10.0, w.options["times"])
    return lambda: {"train": jax.block_until_ready(tp.gradient_flow(k, y, times, dtype="float32").train)}


def ensemble(w: Workload, x: np.ndarray) -> Compute:
    n, times = len(x) - 100, np.linspace(0.1, 10.0, w.options["times"])
    k = relu_kernels(x)
    ntk, nngp = (Blocks.split(k[name], n) for name in ("ntk", "nngp"))
    y = targets(w)[:n]

    def compute() -> dict[str, np.ndarray]:
        out = jax.block_until_ready(tp.ensemble_flow(ntk, nngp, y, times, train=False, dtype="float32"))  # as the peer: at test points alone
        return {"mean": out.test_mean, "covariance": out.test_cov}

    return compute


def targets(w: Workload) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((w.points, w.options["outputs"])).astype(np.float32)


FAMILIES = {f.__name__: f for f in (mlp, resnet, conv, attention, empirical_mlp, empirical_rnn, empirical_transformer, flow, ensemble)}

if __name__ == "__main__":
    serve(FAMILIES, {"tensorprog": tp.__version__, "jax": jax.__version__})
