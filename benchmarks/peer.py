"""The workloads in neural-tangents 0.6.5, run by the Python of its own environment."""

import functools

import jax
import jax.numpy as jnp
import neural_tangents as nt
import numpy as np
from neural_tangents import stax
from worker import Compute, serve, timed
from workloads import Workload

ROOT2 = 2**0.5
PHI = {"relu": stax.Relu, "erf": stax.Erf, "gelu": stax.Gelu}
SMOOTH = {"gelu": jax.nn.gelu, "tanh": jnp.tanh}


def kernel(layers, x: np.ndarray) -> Compute:
    _, _, kernel_fn = stax.serial(*layers)
    both = jax.jit(functools.partial(kernel_fn, get=("nngp", "ntk")))
    points = jnp.asarray(x)

    def compute():
        k = both(points)
        return {"nngp": k.nngp.block_until_ready(), "ntk": k.ntk.block_until_ready()}

    return compute


def nonlinearity(options):
    name = options["nonlinearity"]
    return stax.ElementwiseNumerical(SMOOTH[name], deg=options["nodes"]) if "nodes" in options else PHI[name]()


def dense(options):
    return stax.Dense(512, W_std=options["sigma_w"], b_std=options["sigma_b"] or None)


def readout():
    return stax.Dense(1, W_std=1.0)


def mlp(w: Workload, x: np.ndarray) -> Compute:
    layers = [layer for _ in range(w.options["depth"]) for layer in (dense(w.options), nonlinearity(w.options))]
    return kernel([*layers, readout()], x)


def resnet(w: Workload, x: np.ndarray) -> Compute:
    def block():
        branch = stax.serial(nonlinearity(w.options), dense(w.options))
        return stax.serial(stax.FanOut(2), stax.parallel(branch, stax.Identity()), stax.FanInSum())

    return kernel([dense(w.options), *(block() for _ in range(w.options["depth"])), nonlinearity(w.options), readout()], x)


def conv(w: Workload, x: np.ndarray) -> Compute:
    o, rank = w.options, x.ndim - 2
    spec = None if rank == 2 else ("NHC", "HIO", "NHC")
    layers = []
    for _ in range(o["depth"]):
        layers += [stax.Conv(512, (3,) * rank, padding="SAME", W_std=o["sigma_w"], b_std=o["sigma_b"], dimension_numbers=spec), stax.Relu()]
    pool = stax.GlobalAvgPool(channel_axis=-1, batch_axis=0)
    return kernel([*layers, pool, readout()], x)


def attention(w: Workload, x: np.ndarray) -> Compute:
    def attend():
        return stax.GlobalSelfAttention(
            512, 512, 512, 1, linear_scaling=True, W_key_std=1.0, W_value_std=1.0, W_query_std=1.0, W_out_std=1.0, b_std=None
        )

    def residual(*layers):
        return stax.serial(stax.FanOut(2), stax.parallel(stax.serial(*layers), stax.Identity()), stax.FanInSum())

    def block():
        forward = residual(stax.LayerNorm(), stax.Dense(512, W_std=ROOT2), stax.Relu(), stax.Dense(512))
        return stax.serial(residual(stax.LayerNorm(), attend()), forward)

    blocks = w.options["blocks"]
    body = [stax.Dense(512), *(block() for _ in range(blocks)), stax.LayerNorm()] if blocks else [stax.Dense(512), attend()]
    return kernel([*body, stax.GlobalAvgPool(), readout()], x)


def empirical(w: Workload, apply, params, x: np.ndarray) -> Compute:
    """The fastest of the peer's implementations, found on the first call; `generic` leaves out structured derivatives."""
    points = jnp.asarray(x)

    def run(ntk) -> None:
        ntk(points, None, params).block_until_ready()

    best, shortest = None, np.inf
    every = nt.NtkImplementation
    structured = () if w.options.get("generic") else (every.STRUCTURED_DERIVATIVES,)
    for implementation in (every.JACOBIAN_CONTRACTION, every.NTK_VECTOR_PRODUCTS, *structured):
        ntk = jax.jit(nt.empirical_ntk_fn(apply, trace_axes=(), vmap_axes=0, implementation=implementation))
        run(ntk)
        seconds = min(timed(functools.partial(run, ntk)))
        if seconds < shortest:
            best, shortest = ntk, seconds

    return lambda: {"ntk": best(points, None, params).block_until_ready()}


def empirical_mlp(w: Workload, x: np.ndarray) -> Compute:
    o = w.options
    layers = [layer for _ in range(o["depth"]) for layer in (stax.Dense(o["width"], W_std=ROOT2), stax.Relu())]
    init, apply, _ = stax.serial(*layers, stax.Dense(o["outputs"], W_std=1.0))
    return empirical(w, apply, init(jax.random.PRNGKey(0), x.shape)[1], x)


def empirical_rnn(w: Workload, x: np.ndarray) -> Compute:
    n, d = w.options["width"], x.shape[-1]
    keys = jax.random.split(jax.random.PRNGKey(0), 3)
    params = {"W": jax.random.normal(keys[0], (n, n)), "U": jax.random.normal(keys[1], (n, d)), "v": jax.random.normal(keys[2], (n,))}

    def apply(p, xs):
        def one(sequence):
            h = jnp.zeros(n)
            for x_t in sequence:
                h = jnp.tanh(p["W"] @ h / n**0.5 + p["U"] @ x_t / d**0.5)
            return (p["v"] @ h / n**0.5)[None]

        return jax.vmap(one)(xs)

    return empirical(w, apply, params, x)


def empirical_transformer(w: Workload, x: np.ndarray) -> Compute:
    n, d = w.options["width"], x.shape[-1]
    shapes = {"E": (n, d), "Q": (n, n), "K": (n, n), "V": (n, n), "O": (n, n), "W1": (4 * n, n), "W2": (n, 4 * n), "v": (1, n)}
    keys = jax.random.split(jax.random.PRNGKey(0), len(shapes))
    params = {name: jax.random.normal(key, shape) for key, (name, shape) in zip(keys, shapes.items())}

    def norm(z):
        z = z - z.mean(-1, keepdims=True)
        return z / jnp.sqrt((z * z).mean(-1, keepdims=True) + 1e-5)

    def apply(p, xs):
        def times(name, z):
            return z @ p[name].T / p[name].shape[1] ** 0.5

        def one(tokens):
            z = times("E", tokens)
            y = norm(z)
            weights = jax.nn.softmax(times("Q", y) @ times("K", y).T / n, axis=-1)
            z = z + times("O", weights @ times("V", y))
            z = z + times("W2", jax.nn.relu(times("W1", norm(z))))
            return times("v", norm(z).mean(0))

        return jax.vmap(one)(xs)

    return empirical(w, apply, params, x)


def relu_kernels(x: np.ndarray):
    layers = [layer for _ in range(3) for layer in (stax.Dense(512, W_std=ROOT2, b_std=0.1), stax.Relu())]
    return stax.serial(*layers, readout())[2]


def flow(w: Workload, x: np.ndarray) -> Compute:
    k, y, times = relu_kernels(x)(x, get="ntk"), targets(w), clock(w)
    predict = nt.predict.gradient_descent_mse

    def compute():
        return {"train": predict(k, y)(times, jnp.zeros_like(y)).block_until_ready()}

    return compute


def ensemble(w: Workload, x: np.ndarray) -> Compute:
    train, kernel_fn, y, times = jnp.asarray(x[:-100]), relu_kernels(x), targets(w)[:-100], clock(w)
    test = jnp.asarray(x[-100:])
    k = {
        "train": kernel_fn(train, get=("nngp", "ntk")),
        "cross": kernel_fn(test, train, get=("nngp", "ntk")),
        "test": kernel_fn(test, get=("nngp", "ntk")),
    }

    def fixed(x1, x2=None, get=("nngp", "ntk"), **_):
        found = k["train" if x1.shape == train.shape else "test" if x2 is None else "cross"]
        return found if isinstance(get, tuple) else getattr(found, get)

    def compute():
        out = nt.predict.gradient_descent_mse_ensemble(fixed, train, y)(t=times, x_test=test, get="ntk", compute_cov=True)
        return {"mean": out.mean.block_until_ready(), "covariance": out.covariance.block_until_ready()}

    return compute


def targets(w: Workload):
    return jnp.asarray(np.random.default_rng(1).standard_normal((w.points, w.options["outputs"])), jnp.float32)


def clock(w: Workload):
    return jnp.linspace(0.1, 10.0, w.options["times"])


FAMILIES = {f.__name__: f for f in (mlp, resnet, conv, attention, empirical_mlp, empirical_rnn, empirical_transformer, flow, ensemble)}

if __name__ == "__main__":
    serve(FAMILIES, {"neural-tangents": nt.__version__, "jax": jax.__version__})
