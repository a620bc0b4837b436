"""The diagonal alone is that of the whole kernel, and only what is asked for is computed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tensorprog as tp
from architectures import ZOO
from tensorprog.kernels.exact import compiled

CASES = {
    "closed form": (ZOO["mlp"](depth=2, sigma_b=0.2), (5, 3)),
    "quadrature": (ZOO["mlp"](depth=1, nonlinearity="tanh", sigma_b=0.2), (4, 3)),
    "positions": (ZOO["cnn1d"](pixel=3, depth=1), (3, 3, 2)),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_diagonal_of_the_kernel(name: str) -> None:
    network, shape = CASES[name]
    x = np.random.default_rng(0).normal(size=shape)
    x[1] = 0.0
    whole, found = tp.tile(network).measured(x), tp.tile(network).diagonal(x)
    assert found.method == whole.method
    for kind, k in found.kernels.items():
        np.testing.assert_allclose(k, np.einsum("ii...->i...", whole.kernels[kind]), rtol=1e-12, atol=float(whole.error + found.error))


def test_only_what_is_asked_for_is_computed() -> None:
    """The NNGP of a step is finite where its NTK is not."""
    steps = ZOO["mlp"](depth=1, nonlinearity="sign")
    x = np.eye(3)
    assert set(tp.tile(steps, "nngp").diagonal(x).kernels) == {"nngp"}
    np.testing.assert_allclose(tp.tile(steps, "nngp")(x)["nngp"], tp.tile(steps, "nngp")(x, x.copy())["nngp"])
    with pytest.raises(tp.OutsideTheory, match="ntk is infinite"):
        tp.tile(steps).diagonal(x)
    assert not compiled(steps, ntk=False).symbolic.contributions


def test_no_points_and_bad_points() -> None:
    t = tp.tile(CASES["closed form"][0])
    assert t.diagonal(np.zeros((0, 3))).kernels["ntk"].shape == (0,)
    with pytest.raises(tp.InvalidProgram, match="row 1"):
        t.diagonal(np.array([[1.0], [np.nan]]))


def test_gradients_in_sigmas_constants_and_inputs() -> None:
    """Against central differences, whose error is 1e-5^2: in every sigma^2, in a parameter of the nonlinearity, in the inputs."""

    @tp.network
    def net(x: tp.Data) -> tp.Output:
        h, slope = tp.embedding("U", 1.2) @ x + tp.bias("b", 0.4), tp.scalar("slope")
        return tp.readout("v") @ (tp.relu(h) - slope * tp.relu(-h))

    network, x = net(), jnp.asarray(np.random.default_rng(0).normal(size=(2, 3)))
    sigmas, h = ("U", "b"), 1e-5

    def kernel(logs: jax.Array, slope: jax.Array, a: jax.Array) -> jax.Array:
        variances = dict(zip(sigmas, jnp.exp(logs), strict=True))
        return tp.kernels(network, x.at[0].set(a), variances=variances, scalars={"slope": slope}).ntk[0, 1]

    at = (jnp.log(jnp.array([1.44, 0.16])), jnp.array(0.3), x[0])
    value, slopes = jax.jit(kernel), jax.jit(jax.grad(kernel, (0, 1, 2)))(*at)
    for k, (a, slope) in enumerate(zip(at, slopes, strict=True)):
        moved = [[*at[:k], a + sign * h * e.reshape(a.shape), *at[k + 1 :]] for e in jnp.eye(a.size) for sign in (1, -1)]
        values = np.array([value(*m) for m in moved]).reshape(-1, 2)
        np.testing.assert_allclose(np.ravel(slope), (values[:, 0] - values[:, 1]) / (2 * h), rtol=1e-7, atol=1e-8)
    with pytest.raises(tp.InvalidProgram, match="scalar slope has no value"):
        tp.kernels(network, x)


def test_gradients_of_the_diagonal() -> None:
    """Of one relu layer, K(x, x) = |x|^2 / d: twice x / d for each of nngp and half of the ntk."""
    tile, x = tp.tile(ZOO["mlp"](depth=1), "nngp"), jnp.array([[0.3, -0.4]])
    slope = jax.grad(lambda a: tile.diagonal(a).kernels["nngp"].sum())(x)
    np.testing.assert_allclose(slope, 2 * x / 2 * float(tile.diagonal(x).kernels["nngp"][0]) / float((x**2).mean()), rtol=1e-13)
