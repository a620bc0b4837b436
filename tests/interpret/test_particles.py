"""The sampled Master Theorem reaches the ground truths: within 4 of its own standard errors, and these are small."""

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from math import pi, sqrt
from typing import Any

import jax
import numpy as np
import pytest
from jax.typing import ArrayLike

from architectures import ZOO
from tensorprog.errors import InvalidProgram, OutsideTheory
from tensorprog.gaussian.problem import Estimate
from tensorprog.interpret.particles import Particles, estimate, particles
from tensorprog.interpret.particles.construction import Construction
from tensorprog.kernels.unrolled import particle_outputs
from tensorprog.language.expr import Apply, Expr, Ref, add, mul, number, power
from tensorprog.language.instr import (
    Axis,
    Covariance,
    Embedding,
    Gaussian,
    InitScalar,
    InitVector,
    Input,
    Instr,
    MatMul,
    Matrix,
    Moment,
    Nonlin,
    Width,
)
from tensorprog.language.nonlin import fn
from tensorprog.language.program import Program
from tensorprog.transform.unroll import SGD, unroll

KEY = jax.random.key(20)
SIZE = {"samples": 16384, "replicates": 16}  # 16 replicates: a Student variable with 15 degrees of freedom exceeds 4 once in 850


def square_program(*body: Instr, vectors: tuple[str, ...] = ("v",), matrices: tuple[Matrix, ...] = (Matrix("A", "n", "n"),)) -> Program:
    return Program(vectors=tuple(InitVector(v, "n") for v in vectors), matrices=matrices, body=body)


def product(*names: str) -> Expr:
    return mul(*(Ref(name) for name in names))


def agrees(estimate: Estimate, truth: ArrayLike) -> bool:
    return bool(np.all(np.abs(estimate.value - np.asarray(truth)) <= 4 * estimate.error + 1e-12))


def assert_matches(estimate: Estimate, truth: float) -> None:
    """Within 4 standard errors, these below 1% of the truth (0.01 where it is 0)."""
    assert estimate.error < (0.01 * abs(truth) if truth else 0.01)
    assert agrees(estimate, truth), f"{estimate.value} +- {estimate.error}, wanted {truth}"


def phi_of(name: str, h: Expr) -> Expr:
    return {"cube": lambda: power(h, 3), "square": lambda: power(h, 2)}.get(name, lambda: Apply(fn(name), (h,)))()


def test_t5_first_dot() -> None:
    p = square_program(MatMul("y", "A", "v"), MatMul("x", "A", "y", transpose=True))
    got = particles(p, key=KEY, **SIZE)
    assert_matches(got.moment(product("v", "x")), 1.0)
    assert_matches(got.moment(product("x", "x")), 2.0)


@pytest.mark.parametrize(
    ("phi", "cross", "second"),
    [
        ("erf", 2 / sqrt(3 * pi), 0.888972235976),
        ("relu", 0.5, 0.75),
        ("step", 1 / sqrt(2 * pi), 0.5 + 1 / (2 * pi)),  # needs Stein
        ("cube", 3.0, 24.0),
        ("square", 0.0, 3.0),
    ],
)
def test_t6_tied_pair(phi: str, cross: float, second: float) -> None:
    p = square_program(MatMul("h", "A", "v"), Nonlin("x", phi_of(phi, Ref("h"))), MatMul("y", "A", "x", transpose=True))
    got = particles(p, key=KEY, **SIZE)
    assert_matches(got.moment(product("v", "y")), cross)
    assert_matches(got.moment(product("y", "y")), second)


def semicircle(steps: int) -> Program:
    body: list[Instr] = []
    for t in range(steps):
        body += [MatMul(f"a{t}", "A", f"z{t}"), MatMul(f"b{t}", "A", f"z{t}", transpose=True), Nonlin(f"z{t + 1}", add(Ref(f"a{t}"), Ref(f"b{t}")))]
    return square_program(*body, vectors=("z0",), matrices=(Matrix("A", "n", "n", sqrt(0.5)),))


def test_t8_semicircle() -> None:
    got = particles(semicircle(10), key=KEY, **SIZE)
    for t, truth in enumerate([0, 1, 0, 2, 0, 5, 0, 14, 0, 42], 1):
        assert_matches(got.moment(product("z0", f"z{t}")), truth)


@pytest.mark.parametrize(("rho", "truths"), [(1, [1, 2, 5, 14, 42]), (2, [1, 3, 11, 45, 197])])
def test_t9_marchenko_pastur(rho: int, truths: list[int]) -> None:
    body: list[Instr] = []
    for k in range(len(truths)):
        body += [MatMul(f"u{k}", "A", f"v{k}", transpose=True), MatMul(f"v{k + 1}", "A", f"u{k}")]
    widths = (Width("n"), Width("m", Fraction(rho)))
    p = Program(widths=widths, vectors=(InitVector("v0", "m"),), matrices=(Matrix("A", "m", "n"),), body=tuple(body))
    got = particles(p, key=KEY, **SIZE)
    for k, truth in enumerate(truths, 1):
        assert_matches(got.moment(product("v0", f"v{k}")), truth)


@pytest.mark.parametrize(("q", "mean", "second"), [(0.0, 2.0, 8.0), (1.0, 2.0, 16.0)])
def test_t10_gradient_independence_fails(q: float, mean: float, second: float) -> None:
    p = Program(
        inputs=(Input("xi"),),
        vectors=(InitVector("g", "n", law=Embedding("U", "xi")),),
        matrices=(Matrix("W", "n", "n"),),
        body=(Nonlin("x", add(Ref("g"), number(1))), MatMul("h", "W", "x"), Nonlin("dh", mul(number(2), Ref("h"))), MatMul("dx", "W", "dh", True)),
    )
    got = particles(p, key=KEY, inputs={"xi": np.full(3, sqrt(q))}, **SIZE)
    assert_matches(got.moment(Ref("dx")), mean)
    assert_matches(got.moment(product("dx", "dx")), second)
    independent = particles(p, key=KEY, inputs={"xi": np.full(3, sqrt(q))}, **SIZE, dots="drop")
    assert_matches(independent.moment(Ref("dx")), 0.0)


def sum_then_product(together: bool) -> tuple[Instr, ...]:
    if together:
        return Nonlin("s", add(Ref("y"), Ref("z"))), MatMul("h", "A", "s")
    return MatMul("a", "A", "y"), MatMul("b", "A", "z"), Nonlin("h", add(Ref("a"), Ref("b")))


@pytest.mark.parametrize("together", [True, False])
def test_t12_law_is_independent_of_the_text(together: bool) -> None:
    body = (*sum_then_product(together), Nonlin("x", Apply(fn("erf"), (Ref("h"),))), MatMul("w", "A", "x", True))
    got = particles(square_program(*body, vectors=("y", "z")), key=KEY, **SIZE)
    slope = 2 / sqrt(5 * pi)  # E erf'(N(0, 2)): the dot is slope (Z^y + Z^z)
    assert_matches(got.moment(product("w", "y")), slope)
    assert_matches(got.moment(product("w", "z")), slope)


def test_t12_three_products_are_a_singular_covariance() -> None:
    body = (
        MatMul("a", "A", "y"), MatMul("b", "A", "z"), Nonlin("s", add(Ref("y"), Ref("z"))), MatMul("c", "A", "s"),
        Nonlin("x", Apply(fn("erf"), (add(Ref("a"), Ref("b")),))), MatMul("w", "A", "x", True),
    )  # fmt: skip
    got = particles(square_program(*body, vectors=("y", "z")), key=KEY, **SIZE)
    c = got.replicates[0]
    assert len(c.forms["c"].dims) == 2  # no new root
    assert_matches(got.moment(power(add(Ref("a"), Ref("b"), mul(number(-1), Ref("c"))), 2)), 0.0)
    assert_matches(got.moment(product("w", "y")), 2 / sqrt(5 * pi))


def test_t26_without_transpose_all_is_hat() -> None:
    p = square_program(*(MatMul(f"x{k + 1}", "A", f"x{k}" if k else "v") for k in range(5)))
    got = particles(p, key=KEY, **SIZE)
    assert all(not c.dots for c in got.replicates)
    for k in range(1, 6):
        assert_matches(got.moment(product("v", f"x{k}")), 0.0)
        assert_matches(got.moment(product(f"x{k}", f"x{k}")), 1.0)


@pytest.mark.parametrize("phi", ["erf", "tanh", "cube"])
def test_stein_and_derivative_dots_agree(phi: str) -> None:
    body = (
        MatMul("h", "A", "v"), Nonlin("x", phi_of(phi, Ref("h"))), MatMul("y", "A", "x", True),
        Nonlin("z", phi_of("erf", Ref("y"))), MatMul("u", "A", "z"),
    )  # fmt: skip
    p = square_program(*body)
    stein, derivative = particles(p, key=KEY, **SIZE), particles(p, key=jax.random.key(21), dots="derivative", **SIZE)
    for pair in (("v", "y"), ("y", "y"), ("u", "x"), ("u", "u")):
        a, b = stein.moment(product(*pair)), derivative.moment(product(*pair))
        assert abs(a.value - b.value) < 4 * np.hypot(a.error, b.error)
        assert max(a.error / abs(a.value), b.error / abs(b.value)) < 0.01


def test_adjunction_with_a_width_ratio() -> None:
    """m E Z^y Z^{W x} = n E Z^{W^T y} Z^x, with dots on both sides (Yang 2020, Lemma L.3)."""
    body = (
        MatMul("h", "W", "x"), Nonlin("y", Apply(fn("relu"), (add(Ref("h"), Ref("b")),))), MatMul("g", "W", "y", True),
        Nonlin("z", Apply(fn("tanh"), (add(Ref("g"), Ref("x")),))), MatMul("k", "W", "z"),
    )  # fmt: skip
    widths = (Width("n"), Width("m", Fraction(3, 2)))
    p = Program(widths=widths, vectors=(InitVector("x", "n"), InitVector("b", "m")), matrices=(Matrix("W", "m", "n", 1.3),), body=body)
    got = particles(p, key=KEY, **SIZE)
    left, right = got.moment(product("y", "k")), got.moment(product("g", "z"))
    assert abs(1.5 * left.value - right.value) < 4 * np.hypot(1.5 * left.error, right.error)
    assert left.error < 0.01 * left.value


def test_families_and_data_points_are_jointly_gaussian() -> None:
    """One use of W on a family over tokens and data points: E h h' = sigma^2 E x x' over all pairs, equal data points included."""
    p = Program(
        axes=(Axis("token", 2),), inputs=(Input("xi", ("token",)),),
        vectors=(InitVector("g", "n", ("token",), Embedding("U", "xi", 1.5)), InitVector("b", "n", law=Gaussian(0.5, 0.25))),
        matrices=(Matrix("W", "n", "n", 2.0),),
        body=(Nonlin("x", add(Ref("g"), Ref("b"))), MatMul("h", "W", "x"), Moment("c", product("h", "h"))),
    )  # fmt: skip
    xi = np.array(jax.random.normal(KEY, (3, 2, 5)))
    xi[2] = xi[0]
    got = particles(p, key=KEY, inputs={"xi": xi}, samples=16384, replicates=16)
    gram = 2.25 * np.einsum("atd,bsd->atbs", xi, xi) / 5 + 0.25 + 0.25
    assert agrees(got.gram("x"), gram)
    assert agrees(got.gram("h"), 4 * gram)
    assert (got.gram("h").error < 0.02 * np.abs(4 * gram).max()).all()
    assert agrees(got.covariance("x"), gram - 0.25)
    assert agrees(got.scalar("c"), 4 * np.einsum("atat->at", gram))
    assert got.scalar("c").value.shape == (3, 2)


def test_stated_covariances_may_be_singular() -> None:
    p = Program(
        axes=(Axis("t", 2),), vectors=(InitVector("a", "n", ("t",)), InitVector("b", "n"), InitVector("u", "n", law=Gaussian(0.0, 2.0))),
        covariances=(Covariance("a", "a", (1, 1, 1, 1)), Covariance("a", "b", (1, 1))),
        body=(Nonlin("x", add(Ref("a"), Ref("b"), Ref("u"))),),
    )  # fmt: skip
    got = particles(p, key=KEY, samples=1024)
    assert len(got.replicates[0].forms["a"].dims) == 1
    assert agrees(got.gram("a", "b"), np.ones(2))
    assert agrees(got.gram("x"), np.full((2, 2), 6.0))


def test_chunks_change_memory_and_nothing_else() -> None:
    p = semicircle(3)
    whole, chunked = particles(p, key=KEY, samples=4096), particles(p, key=KEY, samples=4096, chunk=512)
    for t in range(1, 4):
        np.testing.assert_allclose(whole.moment(product("z0", f"z{t}")).value, chunked.moment(product("z0", f"z{t}")).value, rtol=1e-9, atol=1e-12)
    assert not chunked.replicates[0].kept


def test_samples_are_forgotten_after_their_last_reader_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training in muP: what the lines so far have multiplied is kept, all else is not, and no number depends on it."""
    net = replace(ZOO["mlp"](depth=3, nonlinearity="tanh"), kind="moment")
    u = unroll(net, 2, steps=3, optimizer=SGD(0.2))

    def outputs() -> np.ndarray:
        x = np.array([[1.0, 0.5], [-0.3, 1.0]])
        return np.asarray(particle_outputs(u, x, np.array([1.0, -1.0]), key=KEY, samples=1024, replicates=2).value)

    whole, held, fill = outputs(), [0], Construction.fill

    def counted(c: Construction, names: Iterable[str], roots: Any, values: dict[str, jax.Array]) -> dict[str, jax.Array]:
        held[0] = max(held[0], len(values))
        return fill(c, names, roots, values)

    monkeypatch.setattr(Construction, "fill", counted)
    everything = outputs()
    most, held[0] = held[0], 0
    monkeypatch.setattr(estimate, "MEMORY", 10**6)  # too little for all, enough for what is read again
    np.testing.assert_allclose(outputs(), whole, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(everything, whole)
    assert held[0] < 0.6 * most, (held, most)


def test_sobol_roots_beat_independent_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    def error(got: Particles) -> float:
        return float(got.moment(product("v", "y")).error)

    body = (MatMul("h", "A", "v"), Nonlin("x", Apply(fn("tanh"), (Ref("h"),))), MatMul("y", "A", "x", True))
    sobol = error(particles(square_program(*body), key=KEY, **SIZE))
    monkeypatch.setattr("tensorprog.interpret.particles.roots.SOBOL", 0)
    assert sobol < 0.2 * error(particles(square_program(*body), key=KEY, **SIZE))


def test_the_standard_error_is_honest() -> None:
    """Over 40 keys, the deviations in units of the standard error have variance 7/5 (Student, 7 degrees of freedom), here within 0.7 .. 2.8."""
    p = semicircle(2)
    runs = [particles(p, key=k, samples=512) for k in jax.random.split(KEY, 40)]
    estimates = [r.moment(product("z2", "z2")) for r in runs]
    z = [(e.value - 2.0) / e.error for e in estimates]  # E (z_2)^2 = E z_4 z_0 = 2, the semicircle's fourth moment
    assert 0.7 < np.mean(np.square(z)) < 2.8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"samples": 1000}, "powers of two"),
        ({"samples": 2}, "do not resolve"),
        ({"replicates": 1}, "at least 2"),
        ({"inputs": {}}, "Missing: \\['xi'\\]"),
        ({"inputs": {"xi": np.ones((2, 3)), "eta": np.ones(3)}}, "unknown: \\['eta'\\]"),
        ({"inputs": {"xi": np.ones(3)}}, "has shape"),
        ({"inputs": {"xi": np.array([[1.0, np.nan], [0.0, 0.0]])}}, "NaN"),
        ({"scalars": {}}, "has no value"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    p = Program(
        axes=(Axis("t", 2),), inputs=(Input("xi", ("t",)),), scalars=(InitScalar("c"),),
        vectors=(InitVector("g", "n", ("t",), Embedding("U", "xi")),),
    )  # fmt: skip
    good = {"samples": 64, "replicates": 2, "inputs": {"xi": np.ones((2, 3))}, "scalars": {"c": 1.0}, "key": KEY}
    with pytest.raises(InvalidProgram, match=message):
        particles(p, **(good | arguments))


def test_jumps_are_refused_where_samples_cannot_see_them() -> None:
    p = square_program(MatMul("h", "A", "v"), Nonlin("x", Apply(fn("step"), (Ref("h"),))))
    with pytest.raises(OutsideTheory, match=r"line 2: x: .* Use dots=\"stein\""):
        particles(p, key=KEY, samples=64, dots="derivative")
    p = square_program(Nonlin("x", Apply(fn("delta"), (Ref("v"),))))
    with pytest.raises(OutsideTheory, match="line 1: x"):
        particles(p, key=KEY, samples=64)


def test_unknown_names_are_refused_with_a_list() -> None:
    got = particles(square_program(Moment("c", product("v", "v"))), key=KEY, samples=64)
    for ask in (lambda: got.scalar("v"), lambda: got.moment(Ref("w")), lambda: got.gram("c")):
        with pytest.raises(InvalidProgram, match="It has"):
            ask()
