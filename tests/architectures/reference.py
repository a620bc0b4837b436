"""Forward passes of the shelf's architectures in plain JAX, independent of tensorprog: what a finite run has to equal.

`p` holds unit-variance tensors; `dense` puts the NTK parametrization's factor sigma / sqrt(fan_in). Data has shape (batch, positions.., d).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft
import scipy.linalg
from jax import Array

Params = dict[str, Array]
relu, sigmoid, tanh = jax.nn.relu, jax.nn.sigmoid, jnp.tanh
FUNCTIONS = {
    "relu": relu,
    "erf": jax.scipy.special.erf,
    "tanh": tanh,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "cos": jnp.cos,
    "silu": jax.nn.silu,
    "identity": lambda x: x,
    "sigmoid": sigmoid,
}


def dense(p: Params, name: str, x: Array, sigma: float = 1.0) -> Array:
    return sigma / np.sqrt(p[name].shape[1]) * x @ p[name].T


def read(p: Params, x: Array, name: str = "v", sigma: float = 1.0) -> Array:
    """v of shape (1, n)."""
    return sigma / np.sqrt(p[name].shape[-1]) * x @ p[name][0]


def affine(p: Params, l: int | str, x: Array, sw: float, sb: float, first: str = "U") -> Array:
    h = dense(p, first if l == 1 else f"W{l}", x, sw)
    return h + sb * p[f"b{l}"] if sb else h


def mlp(p, x, *, depth=2, nonlinearity="relu", sigma_w=2**0.5, sigma_b=0.0, sigma_v=1.0, outputs=1, ratios=(), frozen=()):
    phi = FUNCTIONS[nonlinearity]
    sw = sigma_w if isinstance(sigma_w, tuple) else (sigma_w,) * depth
    sb = sigma_b if isinstance(sigma_b, tuple) else (sigma_b,) * depth
    for l in range(1, depth + 1):
        x = phi(affine(p, l, x, sw[l - 1], sb[l - 1]))
    f = sigma_v / np.sqrt(x.shape[-1]) * x @ p["v"].T
    return f[..., 0] if outputs == 1 else f


def random_features(p, x, *, nonlinearity="cos", sigma_w=1.0, sigma_b=0.0, sigma_v=1.0):
    h = dense(p, "U", x, sigma_w) + (sigma_b * p["b"] if sigma_b else 0.0)
    return read(p, FUNCTIONS[nonlinearity](h), sigma=sigma_v)


def resnet(p, x, *, depth=3, nonlinearity="relu", order="pre", sigma_w=2**0.5, sigma_b=0.0, scale=1.0, project=False, final=True, sigma_v=1.0):
    phi = FUNCTIONS[nonlinearity]
    h = dense(p, "U", x, sigma_w) + (sigma_b * p["b0"] if sigma_b else 0.0)
    for l in range(1, depth + 1):
        branch = dense(p, f"W{l}", phi(h) if order == "pre" else h, sigma_w) + (sigma_b * p[f"b{l}"] if sigma_b else 0.0)
        h = (dense(p, f"P{l}", h) if project else h) + scale * branch
        h = phi(h) if order == "post" else h
    return read(p, phi(h) if final and order == "pre" else h, sigma=sigma_v)


def convolution(p: Params, letter: str, x: Array, sigma: float, *, kernel=3, stride=1, dilation=1, padding="same") -> Array:
    """XLA's own convolution; x of shape (batch, positions.., channels), the tap tensors stacked to a kernel."""
    dims = x.ndim - 2
    taps = np.ndindex(*(kernel,) * dims)
    stacked = jnp.stack([p["_".join([letter, *map(str, t)])] for t in taps]).reshape(*(kernel,) * dims, *p[f"{letter}{'_0' * dims}"].shape)
    weights = jnp.moveaxis(stacked, -1, -2)  # (taps.., in, out)
    if padding == "circular":
        reach = (kernel - 1) * dilation
        sizes = x.shape[1:-1]
        pads = [max((-(-s // stride) - 1) * stride + reach + 1 - s, 0) for s in sizes]
        x = jnp.pad(x, [(0, 0), *((q // 2, q - q // 2) for q in pads), (0, 0)], mode="wrap")
    spatial = "HW"[:dims]
    numbers = (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C")
    out = jax.lax.conv_general_dilated(
        x, weights, (stride,) * dims, "SAME" if padding == "same" else "VALID", rhs_dilation=(dilation,) * dims, dimension_numbers=numbers
    )
    return sigma / np.sqrt(kernel**dims * x.shape[-1]) * out


def cnn(
    p,
    x,
    *,
    depth=2,
    nonlinearity="relu",
    kernel=3,
    stride=1,
    dilation=1,
    padding="same",
    pool=1,
    head="gap",
    sigma_w=2**0.5,
    sigma_b=0.0,
    sigma_v=1.0,
):
    phi, dims = FUNCTIONS[nonlinearity], x.ndim - 2
    for l in range(1, depth + 1):
        x = convolution(p, "U" if l == 1 else f"W{l}", x, sigma_w, kernel=kernel, stride=stride if l == 1 else 1, dilation=dilation, padding=padding)
        x = phi(x + (sigma_b * p[f"b{l}"] if sigma_b else 0.0))
        if l == 1 and pool > 1:
            window = (1, *(pool,) * dims, 1)
            x = jax.lax.reduce_window(x, 0.0, jax.lax.add, window, window, "VALID") / pool**dims
    over = tuple(range(1, 1 + dims))
    if head == "flatten":
        return sigma_v / np.sqrt(np.prod(x.shape[1:])) * jnp.sum(x * p["v"][0], axis=(*over, -1))
    return read(p, x.mean(over) if head == "gap" else x.sum(over), sigma=sigma_v)


def cnn1d(p, x, *, pixel=6, **options):
    return cnn(p, x, **options)


def cnn2d(p, x, *, height=4, width=4, **options):
    return cnn(p, x, **options)


def conv_resnet(
    p, x, *, depth=2, nonlinearity="relu", order="pre", kernel=3, sigma_w=2**0.5, sigma_b=0.0, scale=1.0, project=False, final=True, sigma_v=1.0
):
    phi = FUNCTIONS[nonlinearity]
    h = convolution(p, "U", x, sigma_w, kernel=kernel) + (sigma_b * p["b0"] if sigma_b else 0.0)
    for l in range(1, depth + 1):
        branch = convolution(p, f"W{l}", phi(h) if order == "pre" else h, sigma_w, kernel=kernel) + (sigma_b * p[f"b{l}"] if sigma_b else 0.0)
        h = (dense(p, f"P{l}", h) if project else h) + scale * branch
        h = phi(h) if order == "post" else h
    return read(p, (phi(h) if final and order == "pre" else h).mean(tuple(range(1, x.ndim - 1))), sigma=sigma_v)


def conv_resnet1d(p, x, *, pixel=4, **options):
    return conv_resnet(p, x, **options)


def conv_resnet2d(p, x, *, height=3, width=3, **options):
    return conv_resnet(p, x, **options)


def standardized(x: Array, axis=-1, eps: float = 0.0) -> Array:
    return (x - x.mean(axis, keepdims=True)) / jnp.sqrt(x.var(axis, keepdims=True) + eps)


def rms(x: Array, eps: float = 0.0) -> Array:
    return x / jnp.sqrt((x**2).mean(-1, keepdims=True) + eps)


def transformer(
    p,
    x,
    *,
    token=3,
    depth=1,
    heads=1,
    causal=False,
    norm="layer",
    order="pre",
    qkv="separate",
    nonlinearity="relu",
    gated=False,
    ratio=4.0,
    position="none",
    sigma_p=1.0,
    read="mean",
    outputs=1,
    sigma_e=1.0,
    sigma_qk=1.0,
    sigma_u=1.0,
    sigma_o=1.0,
    sigma_w=2**0.5,
    sigma_v=1.0,
    eps=0.0,
    convention="unit",
):
    phi = FUNCTIONS[nonlinearity]
    normalize: dict[str, Callable[[Array], Array]] = {"layer": lambda z: standardized(z, eps=eps), "rms": lambda z: rms(z, eps), "none": lambda z: z}
    pre = normalize[norm] if order == "pre" else normalize["none"]
    post = normalize[norm] if order == "post" else normalize["none"]
    z = dense(p, "E", x, sigma_e)
    if position == "learned":
        z = z + sigma_p * p["P"]
    if position == "sinusoidal":
        angles = np.arange(token)[:, None] / 10000 ** (np.arange(8) / 8)
        codes = np.concatenate([np.sin(angles), np.cos(angles)], 1) / np.sqrt(8)
        z = z + sigma_p * jnp.asarray(scipy.linalg.sqrtm(codes @ codes.T)) @ p["P"]  # the symmetric root, as tensorprog.interpret.initial
    for l in range(1, depth + 1):
        if qkv == "stream" and l > 1:
            z = dense(p, f"U{l}", z, sigma_u)
        y, total = pre(z), 0.0
        for h in range(heads):
            m = f"{l}" if heads == 1 else f"{l}_{h}"
            u = y if qkv == "stream" else dense(p, f"V{m}", y, sigma_u)
            q, k = (u, u) if qkv in ("tied", "stream") else (dense(p, f"Q{m}", y, sigma_qk), dense(p, f"K{m}", y, sigma_qk))
            logits = jnp.einsum("...ia,...ja->...ij", q, k) / q.shape[-1]
            if causal:
                logits = jnp.where(jnp.tril(jnp.ones((token, token), bool)), logits, -jnp.inf)
            mixed = jax.nn.softmax(logits, -1) @ u
            total += mixed if qkv == "stream" else dense(p, f"O{m}", mixed, sigma_o / np.sqrt(heads))
        z = post(z + total)
        y = pre(z)
        inner = phi(dense(p, f"W1_{l}", y, sigma_w))
        if gated:
            inner = inner * dense(p, f"W3_{l}", y, sigma_w)
        z = post(z + dense(p, f"W2_{l}", inner, sigma_w))
    z = pre(z)
    z = {"mean": lambda: z.mean(-2), "first": lambda: z[..., 0, :], "last": lambda: z[..., -1, :], "every": lambda: z}[read]()
    f = sigma_v / np.sqrt(z.shape[-1]) * jnp.einsum("b...a,oa->bo...", z, p["v"])
    return f[:, 0] if outputs == 1 else f


def rnn(p, xs, *, time=3, depth=1, nonlinearity="erf", bidirectional=False, read="last", sigma_w=1.0, sigma_u=1.0, sigma_b=0.0, sigma_v=1.0):
    phi = FUNCTIONS[nonlinearity]

    def chain(mark: str, inputs: Array) -> Array:
        """inputs (time, batch, d) -> states (time, batch, n) of the top layer."""
        for l in range(1, depth + 1):
            layer, s, states = "" if depth == 1 else str(l), None, []
            for x in inputs:
                h = dense(p, f"U{mark}" if l == 1 else f"U{layer}{mark}", x, sigma_u)
                h = h if s is None else h + dense(p, f"W{layer}{mark}", s, sigma_w)
                s = phi(h + (sigma_b * p[f"b{layer}{mark}"] if sigma_b else 0.0))
                states.append(s)
            inputs = jnp.stack(states)
        return inputs

    def out(states: Array, v: str) -> Array:
        seen = {"last": lambda: states[-1], "mean": lambda: states.mean(0), "every": lambda: jnp.moveaxis(states, 0, -2)}[read]()
        return sigma_v / np.sqrt(p[v].shape[-1]) * seen @ p[v][0]

    forward = jnp.moveaxis(xs, -2, 0)
    f = out(chain("", forward), "v")
    if bidirectional:
        states = chain("_back", forward[::-1])
        f = f + out(states[::-1] if read == "every" else states, "v_back")
    return f


def gates(p: Params, gate: str, x: Array, s: Array | None, sw: float, su: float, sb: float) -> Array:
    h = dense(p, f"U{gate}", x, su) + (sb * p[f"b{gate}"] if sb else 0.0)
    return h if s is None else h + dense(p, f"W{gate}", s, sw)


def gru(p, xs, *, time=2, sigma_w=1.0, sigma_u=1.0, sigma_b=0.0, sigma_v=1.0):
    s = jnp.zeros((xs.shape[0], p["v"].shape[-1]))
    for x in jnp.moveaxis(xs, -2, 0):
        z, r = (sigmoid(gates(p, g, x, s, sigma_w, sigma_u, sigma_b)) if f"W{g}" in p else None for g in "zr")
        r = 0.0 if r is None else r
        s = (1 - z) * s + z * tanh(gates(p, "c", x, r * s, sigma_w, sigma_u, sigma_b))
    return read(p, s, sigma=sigma_v)


def lstm(p, xs, *, time=2, sigma_w=1.0, sigma_u=1.0, sigma_b=0.0, sigma_v=1.0):
    s = c = jnp.zeros((xs.shape[0], p["v"].shape[-1]))
    for x in jnp.moveaxis(xs, -2, 0):
        i, f, o, g = (gates(p, name, x, s, sigma_w, sigma_u, sigma_b) for name in "ifog")
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        s = sigmoid(o) * tanh(c)
    return read(p, s, sigma=sigma_v)


def normalized_mlp(p, x, *, depth=2, norm="layer", nonlinearity="relu", sigma_w=2**0.5, sigma_b=0.0, eps=0.0, sigma_v=1.0):
    normalize = standardized if norm == "layer" else rms
    for l in range(1, depth + 1):
        x = FUNCTIONS[nonlinearity](normalize(affine(p, l, x, sigma_w, sigma_b), eps=eps))
    return read(p, x, sigma=sigma_v)


def batchnorm_mlp(p, x, *, batch=4, pieces=(), depth=1, nonlinearity="relu", sigma_w=1.0, eps=0.0, sigma_v=1.0):
    def normalized(h: Array) -> Array:
        parts = jnp.split(h, np.cumsum(pieces)[:-1], axis=-2) if pieces else [h]
        return jnp.concatenate([standardized(part, -2, eps) for part in parts], -2)

    for l in range(1, depth + 1):
        x = FUNCTIONS[nonlinearity](normalized(affine(p, l, x, sigma_w, 0.0)))
    return read(p, x, sigma=sigma_v)


def batchnorm_cnn(p, x, *, batch=3, pixel=3, depth=1, nonlinearity="relu", kernel=3, sigma_w=1.0, eps=0.0, sigma_v=1.0):
    lead = x.shape[0]
    for l in range(1, depth + 1):
        x = x.reshape(-1, pixel, x.shape[-1])
        x = convolution(p, "U" if l == 1 else f"W{l}", x, sigma_w, kernel=kernel).reshape(lead, batch, pixel, -1)
        x = FUNCTIONS[nonlinearity](standardized(x, (1, 2), eps))
    return read(p, x.mean(2), sigma=sigma_v)


def gnn(
    p, x, *, node=4, edges=((0, 1), (1, 2), (2, 3)), depth=2, nonlinearity="relu", pool=True, pieces=(), sigma_w=2**0.5, sigma_b=0.0, sigma_v=1.0
):
    a = np.eye(node)
    for i, j in edges:
        a[i, j] = a[j, i] = 1.0
    a = np.diag(a.sum(0) ** -0.5) @ a @ np.diag(a.sum(0) ** -0.5)
    for l in range(1, depth + 1):
        x = a @ dense(p, "U" if l == 1 else f"W{l}", x, sigma_w)
        x = FUNCTIONS[nonlinearity](x + (sigma_b * p[f"b{l}"] if sigma_b else 0.0))
    if pieces:
        x = jnp.stack([part.mean(-2) for part in jnp.split(x, np.cumsum(pieces)[:-1], axis=-2)], -2)
        return read(p, x, sigma=sigma_v)
    return read(p, x.mean(-2) if pool else x, sigma=sigma_v)


def deep_sets(p, x, *, element=3, encoder=2, decoder=1, nonlinearity="relu", sigma_w=2**0.5, sigma_b=0.0, sigma_v=1.0):
    for l in range(1, encoder + decoder + 1):
        x = x.mean(-2) if l == encoder + 1 else x
        x = FUNCTIONS[nonlinearity](affine(p, l, x, sigma_w, sigma_b))
    return read(p, x if decoder else x.mean(-2), sigma=sigma_v)


def mixer(p, x, *, token=4, depth=2, nonlinearity="gelu", ratio=2.0, sigma_w=1.0, sigma_v=1.0):
    dct = jnp.asarray(scipy.fft.dct(np.eye(token), axis=0, norm="ortho"))
    z = dense(p, "U", x, sigma_w)
    for l in range(1, depth + 1):
        y = z + dct @ z
        z = y + dense(p, f"W2_{l}", FUNCTIONS[nonlinearity](dense(p, f"W1_{l}", y, sigma_w)), sigma_w)
    return read(p, z.mean(-2), sigma=sigma_v)


def densenet(p, x, *, depth=3, nonlinearity="relu", sigma_w=2**0.5, sigma_b=0.0, sigma_v=1.0):
    """Concatenation as one would write it: one wide vector, one wide matrix."""
    phi = FUNCTIONS[nonlinearity]
    seen = phi(affine(p, 1, x, sigma_w, sigma_b))
    for l in range(2, depth + 1):
        wide = jnp.concatenate([p[f"W{l}_{k}"] for k in range(1, l)], axis=1)
        h = sigma_w / np.sqrt(wide.shape[1]) * seen @ wide.T + (sigma_b * p[f"b{l}"] if sigma_b else 0.0)
        seen = jnp.concatenate([seen, phi(h)], axis=-1)
    v = jnp.concatenate([p[f"v{k}"][0] for k in range(1, depth + 1)])
    return sigma_v / np.sqrt(v.size) * seen @ v


def gated(p, x, *, depth=1, gate="sigmoid", nonlinearity="relu", residual=True, sigma_g=1.0, sigma_w=2**0.5, sigma_v=1.0):
    h = dense(p, "U", x)
    for l in range(1, depth + 1):
        product = FUNCTIONS[gate](dense(p, f"V{l}", h, sigma_g)) * FUNCTIONS[nonlinearity](dense(p, f"W{l}", h, sigma_w))
        h = h + product if residual else product
    return read(p, h, sigma=sigma_v)


def autoencoder(p, x, *, nonlinearity="erf", ratio=1.0, decode="identity", sigma_u=1.0, sigma_w=1.0, sigma_v=1.0):
    phi = FUNCTIONS[nonlinearity]
    w = sigma_w / np.sqrt(p["W"].shape[1]) * p["W"]  # (code, n): the variance is sigma^2 / n in both directions
    return read(p, FUNCTIONS[decode](phi(phi(dense(p, "U", x, sigma_u)) @ w.T) @ w), sigma=sigma_v)


def equilibrium(p, x, *, steps=3, nonlinearity="erf", sigma_w=0.5, sigma_u=1.0, sigma_b=0.0, sigma_v=1.0):
    drive = dense(p, "U", x, sigma_u) + (sigma_b * p["b"] if sigma_b else 0.0)
    z = jnp.zeros_like(drive)
    for _ in range(steps):
        z = FUNCTIONS[nonlinearity]((dense(p, "W", z, sigma_w) if "W" in p else 0.0) + drive)
    return read(p, z, sigma=sigma_v)


def siamese(p, left, right, *, depth=2, nonlinearity="erf", compare="product", sigma_w=1.0, sigma_b=0.0, sigma_v=1.0):
    a, b = left, right
    for l in range(1, depth + 1):
        a, b = (FUNCTIONS[nonlinearity](affine(p, l, x, sigma_w, sigma_b)) for x in (a, b))
    return read(p, a * b if compare == "product" else (a - b) ** 2, sigma=sigma_v)
