"""SignSGD as a program of the language NE-OR-T (Yang & Littwin 2023, TP IVb): T22, and with a hidden matrix, whose update is an OuterNonlin.

One step w -= eta n^-c sign(grad) in the NTK parametrization, from -sign(chi), chi = L'(f_0); in carry form, theta = n^-1/2. The limit is
-eta sign(chi) K_sign with the neural tangent operator of Def. 2.4.4: K_sign = sum over layers of E|dh| E|x|.
"""

from math import pi, sqrt

import jax
import jax.numpy as jnp
import pytest

import tensorprog as tp

ETA = 0.7
MEAN_RELU = 1 / sqrt(2 * pi)  # E relu(z)
T22 = sqrt(2 / pi)
WITH_MATRIX = MEAN_RELU * (sqrt(0.5) + MEAN_RELU + sqrt(0.5))  # E|dh1|, with dx1 ~ N(0, 1/2); E|dh2| E|x1|; E|x2|, with h2 ~ N(0, 1/2)


def quotient(x: tp.Value, dx: tp.Value, theta: tp.Value) -> tp.Value:
    return (tp.relu(x + theta * dx) - tp.relu(x)) / theta


@tp.program
def one_hidden() -> tp.Value:
    """f = v . relu(u) / sqrt(n), xi = 1; f_1 - f_0 for sign(chi) = 1."""
    theta, u, v = tp.scalar("theta", 1, -0.5), tp.initial("u"), tp.initial("v")
    x, dh = tp.relu(u), v * tp.step(u)
    moved, of_v = quotient(u, -ETA * tp.sign(dh), theta), -ETA * tp.sign(x)
    return tp.moment(v * moved + of_v * x + theta * of_v * moved).named("change")


@tp.program
def with_matrix() -> tp.Value:
    """f = v . relu(W relu(u)) / sqrt(n)."""
    theta, u, v, w = tp.scalar("theta", 1, -0.5), tp.initial("u"), tp.initial("v"), tp.matrix("W")
    x1 = tp.relu(u)
    h2 = w @ x1
    x2, dh2 = tp.relu(h2), v * tp.step(h2)
    dh1 = (w.T @ dh2) * tp.step(u)
    y1 = quotient(u, -ETA * tp.sign(dh1), theta)
    x1_then = x1 + theta * y1
    of_w = tp.outer(lambda b: tp.sign(dh2 * x1[b]) * x1_then[b])
    y2, of_v = quotient(h2, w @ y1 - ETA * of_w, theta), -ETA * tp.sign(x2)
    return tp.moment(v * y2 + of_v * x2 + theta * of_v * y2).named("change")


PROGRAMS = [(one_hidden(), T22), (with_matrix(), WITH_MATRIX)]
both = pytest.mark.parametrize(("program", "kernel"), PROGRAMS, ids=["T22", "hidden matrix"])


@both
def test_the_limit_is_the_neural_tangent_operator(program: tp.Program, kernel: float) -> None:
    with jax.enable_x64(True):
        assert float(tp.limit(program).scalar("change")) == pytest.approx(-ETA * kernel, abs=1e-10)


@both
def test_particles_agree(program: tp.Program, kernel: float) -> None:
    found = tp.particles(program, samples=8192, replicates=4, key=jax.random.key(0)).scalar("change")
    assert float(found.value) == pytest.approx(
        -ETA * kernel, abs=6 * float(found.error) + 2e-3
    )  # 2e-3: bias of 8192 samples of a discontinuous function


@both
def test_the_finite_program_is_signsgd(program: tp.Program, kernel: float) -> None:
    """One step on the tensors themselves, gradients by automatic differentiation: to rounding."""
    n = 200

    def f(t: dict[str, jax.Array]) -> jax.Array:
        x = jax.nn.relu(t["u"])
        x = jax.nn.relu(t["W"] @ x / sqrt(n)) if "W" in t else x
        return t["v"] @ x / sqrt(n)

    with jax.enable_x64(True):
        tensors = tp.sample(program, jax.random.key(1), n)
        power = {"u": 0.5, "v": 0.5, "W": 1.0}  # c of the NTK parametrization: vectors 1/2, matrices 1
        then = {k: t - ETA * n ** -power[k] * jnp.sign(g) for (k, t), g in zip(tensors.items(), jax.grad(f)(tensors).values(), strict=True)}
        change = float(tp.run(program, tensors, n)["change"])
        assert change == pytest.approx(float(f(then) - f(tensors)), rel=1e-9)
    assert change == pytest.approx(-ETA * kernel, abs=0.3)  # a few n^-1/2


def test_the_matrix_is_moved_by_an_outer_nonlin() -> None:
    assert tp.check(with_matrix()).language == "NE-OR-T"
