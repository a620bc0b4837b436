"""OuterNonlin in all its meanings: T21 of the reference notes, backpropagation, what factorizes, what is refused."""

from functools import partial
from math import pi, sqrt

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

import tensorprog as tp
from tensorprog.language.instr import OuterNonlin
from tensorprog.language.text import parse_expression
from tensorprog.study.fit import slope
from tensorprog.testing.strategies import programs
from tensorprog.transform.separate import separated

ROUNDING = 1e-12  # sums of a few hundred terms of size 1 in another order


@tp.program
def t21() -> tuple[tp.Value, ...]:
    u, v, x = (tp.initial(name) for name in "uvx")
    y = tp.outer(lambda b: tp.sign(u * v[b]) * v[b]).named("y")
    w = tp.outer(lambda b: tp.erf(x * x[b]) * x[b]).named("w")
    return y, w, tp.moment(w * w).named("ww")


@tp.program
def two_widths() -> tuple[tp.Value, ...]:
    """Two widths, two other coordinates, a scalar parameter, what factorizes and what does not."""
    m = tp.width("m", 1.5)
    u, v, z = tp.initial("u"), tp.initial("v", width=m), tp.initial("z", width=m)
    w, s = tp.matrix("W", rows=m), tp.scalar("s", 0.7)
    h = w @ u
    x = tp.outer(lambda b, c: tp.erf(u * v[b] * s) * h[b] * tp.tanh(z[c] * u)).named("x")
    return x, w @ (x + tp.initial("cotangent") * 0.0)


TEXTBOOK = t21()


def exact(psi: str) -> float:
    with jax.enable_x64(True):
        return float(tp.limit(TEXTBOOK).moment(parse_expression(psi)))


@pytest.mark.parametrize(
    ("psi", "value"),
    [
        ("y * sign(u)", sqrt(2 / pi)),
        ("y * y", 2 / pi),
        ("w * w", 0.2892536934829998),  # E (2 x / sqrt(pi (1 + 2 x^2)))^2 by scipy.integrate.quad
        ("tanh(w + x) * x", 0.7139328496393353),  # likewise: a function of w
    ],
)
def test_the_limit_is_t21(psi: str, value: float) -> None:
    assert exact(psi) == pytest.approx(value, abs=1e-10)


def test_particles_agree_with_the_limit() -> None:
    found = tp.particles(TEXTBOOK, samples=2048, replicates=4, key=jax.random.key(0))
    for psi in ("y * sign(u)", "w * w", "tanh(w + x) * x"):
        estimate = found.moment(psi)
        assert estimate.value == pytest.approx(exact(psi), abs=6 * float(estimate.error) + 1e-3)  # 1e-3: the bias, O(1 / 1024 copies)


def test_finite_networks_approach_it_at_the_rate_of_an_average() -> None:
    widths, seeds = (32, 128, 512), 24
    with jax.enable_x64(True):

        @partial(jax.jit, static_argnums=1)
        def ww(key: jax.Array, n: int) -> jax.Array:
            return tp.run(TEXTBOOK, tp.sample(TEXTBOOK, key, n), n)["ww"]

        keys = jax.random.split(jax.random.key(1), seeds)
        errors = np.array([[float(ww(key, n)) for key in keys] for n in widths]) - exact("w * w")
    assert -0.75 < slope(widths, errors).value < -0.25  # n^-1/2; 24 seeds determine the slope to about 0.1


def test_gradients_are_those_of_automatic_differentiation() -> None:
    p, n = two_widths(), 10
    with jax.enable_x64(True):
        bp = tp.backprop(p, cotangents={"x": "cotangent"})
        params = tp.sample(bp.program, jax.random.key(0), n)
        values = jax.jit(lambda params: tp.run(bp.program, params, n, scalars=bp.scalars(n)))(params)

        def f(params: dict[str, jax.Array], s: jax.Array) -> jax.Array:
            return params["cotangent"] @ tp.run(p, {**params, "cotangent": 0.0 * params["cotangent"]}, n, scalars={"s": s})["x"]

        by_params, by_s = jax.jit(jax.grad(f, argnums=(0, 1)))(params, jnp.asarray(0.7))
    for name in ("u", "v", "z"):
        np.testing.assert_allclose(values[bp.adjoint[name]], by_params[name], rtol=0, atol=ROUNDING)
    assert values[bp.adjoint["s"]] == pytest.approx(
        float(by_s) / n, abs=ROUNDING
    )  # dc = df/dc / sqrt(N), and the readout here is sqrt(N) times larger


def test_dots_go_through_it_the_same_by_every_way() -> None:
    """y reads hat(W v): W^T y has a dot. By derivative, by Stein's lemma, sampled; and it is not 0."""

    @tp.program
    def tied() -> tuple[tp.Value, ...]:
        v, w = tp.initial("v"), tp.matrix("W")
        h = w @ v
        y = tp.outer(lambda b: tp.tanh(h * v[b]) * v[b])
        return (tp.moment((w.T @ y) * v).named("c"),)

    with jax.enable_x64(True):
        a, b = (float(tp.limit(tied(), dots=dots).scalar("c")) for dots in ("derivative", "stein"))
    sampled = tp.particles(tied(), samples=2048, replicates=4, key=jax.random.key(0)).scalar("c")
    assert a == pytest.approx(b, abs=1e-8)
    assert sampled.value == pytest.approx(a, abs=6 * float(sampled.error) + 1e-3)
    assert a > 0.1


@settings(max_examples=20, deadline=None)
@given(programs(outer=True, data=False, lines=2))
def test_random_programs_are_printed_read_and_judged(p: tp.Program) -> None:
    assert tp.parse(tp.show(p)) == p
    assert tp.from_json(tp.to_json(p)) == p
    assert tp.check(p).language == "NE-OR-T"
    tp.check(separated(p)).raise_if_invalid()


@pytest.mark.slow  # each example compiles for seconds
@settings(max_examples=10, deadline=None)
@given(programs(outer=True, data=False, lines=1))
def test_random_programs_mean_the_same_when_taken_apart(p: tp.Program) -> None:
    with jax.enable_x64(True):
        params = tp.sample(p, jax.random.key(0), 8)
        whole, parts = tp.run(p, params, 8), tp.run(separated(p), params, 8)
    for name in whole:
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-10, atol=1e-10)


def test_outer_separate_leaves_nothing_of_signs_and_products() -> None:
    """[outer-separate] sums, powers, signs and exponentials of products come apart; erf(u v) does not."""

    @tp.program
    def p() -> tuple[tp.Value, ...]:
        u, v, z = (tp.initial(name) for name in "uvz")
        y = tp.outer(lambda b, c: (u + v[b] * z[c]) ** 2 * tp.exp(u - v[b]) * tp.sign(-2.0 * u * z[c]) / z[c] ** 2)
        return y, tp.outer(lambda b: tp.erf(u * v[b])).named("mixed")

    left = [i.out for i in separated(p()).body if isinstance(i, OuterNonlin)]
    assert left == ["mixed"]


def test_what_has_no_exact_limit_is_refused() -> None:
    @tp.program
    def p() -> tp.Value:
        u = tp.initial("u")
        return tp.outer(lambda b, c: tp.tanh(u * u[b] + u[c])).named("y")

    @tp.program
    def family() -> tp.Value:
        u = tp.initial("u", axes={"t": 2})
        return tp.outer(lambda b: tp.tanh(u * u[b])).named("y")

    for program in (p(), family()):
        with pytest.raises(tp.OutsideTheory, match=r"y: \[outer\].*Sample it: tp\.particles"):
            tp.limit(program).mean("y")


def test_reduction_fuses_what_an_average_reads_but_not_an_average() -> None:
    @tp.program
    def p(after: bool = False) -> tp.Value:
        u, w = tp.initial("u"), tp.matrix("W")
        y = tp.outer(lambda b: tp.erf(u * tp.relu(w @ u)[b])).named("y")
        return tp.tanh(y) if after else w @ y

    assert "erf(u * relu(h1'1))" in tp.show(tp.reduced(p()))
    with pytest.raises(tp.InvalidProgram, match="it reads y, an average over coordinates"):
        tp.reduced(p(after=True))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda u, w: tp.outer(lambda: u), "the function has no parameter"),
        (lambda u, w: tp.outer(lambda b: u), "nothing is read at coordinate 1"),
        (lambda u, w: tp.moment(u[0] * u), "cannot be read at"),
        (lambda u, w: tp.outer(lambda b: tp.tanh((u * u[b]).named("k"))), "'k' reads another coordinate"),
        (lambda u, w: tp.outer(lambda b: (w @ (u * u[b])) * u[b]), "outside of tp.outer"),
        (lambda u, w: tp.outer(lambda b: tp.outer(lambda c: u[c] * u[b]) + u[b]), "another tp.outer around it"),
        (lambda u, w: tp.outer(lambda b: (u * u[b])[b]), "already reads another coordinate"),
        (lambda u, w: tp.outer(lambda b: 1.0), "returns a float"),
    ],
)
def test_mistakes_in_writing_it(wrong: object, message: str) -> None:
    @tp.program
    def p() -> tp.Value:
        return wrong(tp.initial("u"), tp.matrix("W"))

    with pytest.raises(tp.InvalidProgram, match=message):
        p()


def test_its_gate_has_the_bar_at_its_inputs() -> None:
    drawn = tp.draw(TEXTBOOK)
    assert 'glyph="OuterNonlin"' in drawn.dot
    assert "psi=\"erf(x * x'1) * x'1\"" in drawn.dot
