"""The exact Master Theorem on the ground truths of Tensor Programs II, III, IIb (T5..T14, T26 of the project's reference notes)."""

import math
from fractions import Fraction

import jax
import numpy as np
import pytest

import tensorprog as tp
from tensorprog.interpret.limit import limit
from tensorprog.language.expr import ONE, Apply, Number, Power, Ref, add, mul
from tensorprog.language.instr import Gaussian, InitVector, MatMul, Matrix, Nonlin, Width
from tensorprog.language.nonlin import fn
from tensorprog.language.program import Program
from tensorprog.language.text import parse
from tensorprog.transform.unfold import member, positions, unfolded


def program(vectors: list[str], sigmas: dict[str, float], *body: MatMul | Nonlin) -> Program:
    return Program(vectors=tuple(InitVector(v, "n") for v in vectors), matrices=tuple(Matrix(m, "n", "n", s) for m, s in sigmas.items()), body=body)


def phi(name: str, x: str, *constants: float) -> Apply:
    return Apply(fn(name, *constants), (Ref(x),))


def close(value, expected: float, tolerance: float = 1e-10) -> None:
    assert float(value) == pytest.approx(expected, rel=tolerance, abs=tolerance)


def test_t5_first_dot() -> None:
    p = program(["v"], {"A": 1.0}, MatMul("y", "A", "v"), MatMul("x", "A", "y", True))
    found = limit(p)
    close(found.product("v", "x"), 1.0, 1e-14)
    close(found.product("x", "x"), 2.0, 1e-14)


@pytest.mark.parametrize(
    ("body", "cross", "square"),
    [
        (phi("erf", "h"), 2 / math.sqrt(3 * math.pi), 0.888972235976),
        (phi("relu", "h"), 0.5, 0.75),
        (phi("step", "h"), 1 / math.sqrt(2 * math.pi), 0.5 + 1 / (2 * math.pi)),
        (Power(Ref("h"), 3.0), 3.0, 24.0),
        (Power(Ref("h"), 2.0), 0.0, 3.0),
    ],
)
def test_t6_matrix_and_its_transpose(body, cross: float, square: float) -> None:
    p = program(["x"], {"W": 1.0}, MatMul("h", "W", "x"), Nonlin("z", body), MatMul("y", "W", "z", True))
    found = limit(p)
    close(found.product("x", "y"), cross)
    close(found.product("y", "y"), square)


def test_t8_semicircle() -> None:
    body: list[MatMul | Nonlin] = []
    for t in range(1, 11):
        body += [MatMul(f"a{t}", "W", f"z{t - 1}"), MatMul(f"b{t}", "W", f"z{t - 1}", True), Nonlin(f"z{t}", add(Ref(f"a{t}"), Ref(f"b{t}")))]
    found = limit(program(["z0"], {"W": math.sqrt(0.5)}, *body))
    for t, moment in enumerate([0, 1, 0, 2, 0, 5, 0, 14, 0, 42], 1):
        close(found.product(f"z{t}", "z0"), moment, 1e-12)


@pytest.mark.parametrize(("rho", "moments"), [(1, [1, 2, 5, 14, 42]), (2, [1, 3, 11, 45, 197])])
def test_t9_marchenko_pastur(rho: int, moments: list[int]) -> None:
    body: list[MatMul] = []
    for k in range(1, 6):
        body += [MatMul(f"u{k}", "A", f"v{k - 1}", True), MatMul(f"v{k}", "A", f"u{k}")]
    p = Program(widths=(Width("n"), Width("m", Fraction(rho))), vectors=(InitVector("v0", "m"),), matrices=(Matrix("A", "m", "n"),), body=tuple(body))
    found = limit(p)
    for k, moment in enumerate(moments, 1):
        close(found.product(f"v{k}", "v0"), moment, 1e-12)


@pytest.mark.parametrize(("q", "mean", "square"), [(0.0, 2.0, 8.0), (1.0, 2.0, 16.0)])
def test_t10_gradient_independence_fails(q: float, mean: float, square: float) -> None:
    p = Program(
        vectors=(InitVector("g", "n", law=Gaussian(0.0, q)),),
        matrices=(Matrix("W2", "n", "n"),),
        body=(
            Nonlin("x1", add(Ref("g"), ONE)),
            MatMul("h2", "W2", "x1"),
            Nonlin("dh2", mul(Number(2.0), Ref("h2"))),
            MatMul("dx1", "W2", "dh2", True),
        ),
    )
    found = limit(p)
    close(found.mean("dx1"), mean, 1e-12)
    close(found.product("dx1", "dx1"), square, 1e-12)
    close(limit(p, dots="drop").mean("dx1"), 0.0, 1e-12)


def test_t12_the_text_does_not_matter() -> None:
    """phi(W (y + z)) and phi(W y + W z) are one law, also with all three products present."""
    apart = (MatMul("a", "W", "y"), MatMul("b", "W", "z"))
    whole = (Nonlin("s", add(Ref("y"), Ref("z"))), MatMul("h", "W", "s"))
    of_sum = (*whole, Nonlin("x", phi("erf", "h")), MatMul("o", "W", "x", True))
    of_parts = (*apart, Nonlin("x", Apply(fn("erf"), (add(Ref("a"), Ref("b")),))), MatMul("o", "W", "x", True))
    all_three = (*whole, *of_parts)
    slope = 2 / math.sqrt(math.pi) / math.sqrt(1 + 2 * 2)  # E erf'(N(0, 2))
    for body in (of_sum, of_parts, all_three):
        found = limit(program(["y", "z"], {"W": 1.0}, *body))
        close(found.product("o", "y"), slope, 1e-13)
        close(found.product("o", "o"), 2 * slope**2 + 2 / math.pi * math.asin(4 / 5), 1e-13)


def test_t26_reuse_without_transpose() -> None:
    found = limit(program(["x0"], {"W": 1.0}, *(MatMul(f"x{k + 1}", "W", f"x{k}") for k in range(5))))
    for k in range(1, 6):
        close(found.product("x0", f"x{k}"), 0.0, 1e-14)
        close(found.product(f"x{k}", f"x{k}"), 1.0, 1e-14)


def test_duplicated_products_are_one_root() -> None:
    """W x computed twice (a singular covariance) passes, and the copies are equal."""
    p = program(
        ["x"], {"W": 1.0}, MatMul("h", "W", "x"), MatMul("k", "W", "x"), Nonlin("d", add(phi("erf", "h"), mul(Number(-1.0), phi("erf", "k"))))
    )
    assert float(limit(p).product("d", "d")) == 0.0


def test_singular_initial_covariance() -> None:
    @tp.program
    def p():
        x, y = tp.gaussians("x", "y", covariance=[[1.0, 1.0], [1.0, 1.0]])
        return tp.relu(x - y).named("z")

    assert float(limit(p()).product("z", "z")) == 0.0


def test_family_members_are_the_vectors_written_out() -> None:
    @tp.program
    def family():
        x = tp.initial("x", axes={"token": 3})
        h = (tp.matrix("W") @ tp.relu(x)).named("h")
        return tp.moment(tp.erf(h.mean("token")) * tp.erf(h.select(token=0))).named("c")

    @tp.program
    def written():
        x = [tp.initial(f"x{t}") for t in range(3)]
        h = [tp.matrix("W") @ tp.relu(v) for v in x]
        return tp.moment(tp.erf((h[0] + h[1] + h[2]) / 3) * tp.erf(h[0])).named("c")

    a, b = float(limit(family()).scalar("c")), float(limit(written()).scalar("c"))
    assert a == pytest.approx(b, rel=1e-14)
    assert np.isfinite(a)
    assert a > 0.05


@pytest.mark.parametrize("name", ["erf", "relu", "step", "tanh", "gelu"])
def test_stein_form_agrees_with_derivatives(name: str) -> None:
    """Both ways to [matmul-dot], with a family, a duplicated direction and a rectangular matrix."""

    @tp.program
    def p():
        W = tp.matrix("W", rows=tp.width("m", 2))
        x = tp.initial("x", axes={"token": 2})
        h = W @ x + W @ tp.erf(x)
        y = W.T @ getattr(tp, name)(h)
        return (W @ y).named("z")

    derivative, stein = limit(p()), limit(p(), dots="stein")
    for v in [i.out for i in p().body if isinstance(i, MatMul)]:
        np.testing.assert_allclose(np.asarray(derivative.gram(v, v)), np.asarray(stein.gram(v, v)), rtol=1e-9, atol=1e-11)


def test_a_function_of_a_sum_with_a_nonlinear_part() -> None:
    """E[x0 e^{-u^2}], u = -0.7 (h1 + x0), x0 = cos(b) + b/2: a linear factor beside a composite. The number is the two-dimensional integral."""

    @tp.program
    def p():
        b = tp.initial("b")
        x0 = tp.cos(b) + 0.5 * b
        h1 = tp.matrix("W") @ b
        return tp.moment(0.5 * x0 * tp.gauss(-0.7 * h1 - 0.7 * x0)).named("c")

    grid = np.linspace(-9, 9, 1201)
    b, h = grid[:, None], grid[None, :]
    x0 = np.cos(b) + 0.5 * b
    density = np.exp(-(b**2 + h**2) / 2) / (2 * np.pi) * (grid[1] - grid[0]) ** 2
    close(limit(p()).scalar("c"), float((0.5 * x0 * np.exp(-0.49 * (h + x0) ** 2) * density).sum()), 1e-10)


def test_padding_under_a_relu_is_zero() -> None:
    """The derivative of relu at a position that is always 0 meets a factor 0, and the answer is 0, not NaN."""

    @tp.program
    def p():
        g = tp.initial("g", axes={"t": 2})
        W = tp.matrix("W", sigma=1.2)
        h = W.T @ g
        x = h * tp.relu(h.shift("t", 1))
        y = x * tp.erf(0.5 * (W @ x).sum("t"))
        return tp.moment(0.5 * y * y.shift("t", 1)).named("c")

    np.testing.assert_array_equal(np.asarray(limit(p()).scalar("c")), [0.0, 0.0])


def test_numbers_have_the_precision_asked_for_whatever_jax_has() -> None:
    """float64 by default, of float32 data too; under somebody's jit the precision is theirs."""
    p = Program(vectors=(InitVector("v", "n"),), matrices=(Matrix("A", "n", "n", 1.3),), body=(Nonlin("x", phi("erf", "v")), MatMul("h", "A", "x")))
    exact = 1.69 * 2 / math.pi * math.asin(2 / 3)
    for x64 in (False, True):
        with jax.enable_x64(x64):
            whole, half = limit(p).estimate(mul(Ref("h"), Ref("h"))), limit(p, dtype="float32").estimate(mul(Ref("h"), Ref("h")))
            theirs = jax.jit(lambda s: limit(p, variances={"A": s}).product("h", "h"))(1.69)
        assert (whole.value.dtype, half.value.dtype, theirs.dtype) == (np.float64, np.float32, np.float64 if x64 else np.float32)
        for found in (whole, half):
            assert abs(float(found.value) - exact) <= float(found.error) < 1e-4
        close(theirs, exact, 1e-6)
    with pytest.raises(tp.InvalidProgram, match=r"\[dtype\] .* float16"):
        limit(p, dtype="float16")


SUMS = """
c := moment(sum[t]((h + a) * (h + b)))
c := moment(sum[t](h + a) * sum[t](h + b))
x := h + a; c := moment(sum[t](x))
x := h + a; c := moment(sum[t](x) * sum[t](x))
x := h + a; c := moment(sum[t](x) * relu(a))
x := h + a; c := moment(sum[t](x) * relu(x))
x := h + a; c := moment(sum[t](x * relu(a)))
x := h + b; c := moment(x * sum[t](x))
x := h + b + w; c := moment(sum[t](x) * sum[s](x))
x := h + w; c := moment(sum[t](x) * sum[s](relu(x)))
x := h + a; y := sum[t](x) + h; c := moment(y * relu(y))
x := h + k; z := sum[t](x); y := B^T z; c := moment(y * a)
x := h + k; z := sum[t](x * relu(k)); y := B^T z; c := moment(y * a)
x := h + a; y := sum[t](x); z := sum[t](y + h); c := moment(z * relu(z))
x := h + w; y := sum[s](sum[t](x)); c := moment(y * relu(y))
x := h + a; y := sum[t](x); m := moment(y); c := moment((y - m) * (y - m))
x := gather[t -> t: 2, -1, 0](h + a); c := moment(sum[t](x) * sum[t](x))
x := relu(sum[t](h + a)) * (h + a); y := A x; c := moment(y * u)
x := (sum[t](h + a))^3 * (h + a); c := moment(x * a)
""".strip().splitlines()


@pytest.mark.parametrize("body", SUMS)
def test_a_sum_counts_what_does_not_depend_on_the_position(body: str) -> None:
    """a, k and means have no position: a sum over t of h_t + a holds a three times. Against the program written out, vector by vector."""
    p = parse(
        "program p\nwidth n\naxis t 3\naxis s 2\nmatrix A : n x n\nmatrix B : n x n\nvector b : n over t ~ N(0.5, 0.5)\n"
        "vector a : n ~ N(0.4, 0.7)\nvector w : n over s ~ N(0.3, 0.4)\nvector u : n over t ~ N(0, 1)\nh := A^T u\nk := B a\n"
        + body.replace("; ", "\n")
        + "\nreturn c"
    )
    assert isinstance(p, Program)
    found = limit(p, jit=False).scalar("c")
    assert found.shape == tuple(p.size[axis] for axis in p.axes_of["c"])
    out = limit(unfolded(p), jit=False)
    for at in positions(p.axes_of["c"], p.size):
        close(found[tuple(at[axis] for axis in p.axes_of["c"])], float(out.scalar(member("c", p.axes_of["c"], at))), 1e-9)


def test_a_law_whose_first_member_is_a_constant() -> None:
    """x = (0.5, 0.5 + z): E x^2 = 0.25 and 1.25; one number cannot replace such a covariance."""
    x = tp.program(lambda: tp.moment(tp.initial("P", 0.5, [[0.0, 0.0], [0.0, 1.0]], axes={"t": 2}) ** 2).named("m"))()
    np.testing.assert_allclose(limit(x).scalar("m"), [0.25, 1.25], rtol=1e-14)
    with pytest.raises(tp.InvalidProgram, match=r"\[variances\] P"):
        limit(x, variances={"P": 2.0})


def test_stein_form_over_uses_that_do_not_covary() -> None:
    """W reads u at two positions, and w, which is independent of u: covariances that are 0 have no positions, and count at each."""
    p = parse(
        "program p\nwidth n\naxis t 2\nmatrix W : n x n\nvector u : n over t ~ N(0, 1)\nvector w : n ~ N(0, 1)\n"
        "h := W u\nk := W w\nz := relu(h + k) * sum[t](h)\ny := W^T z\nc := moment(y * u)\nd := moment(y * w)\nreturn c, d"
    )
    assert isinstance(p, Program)
    one, other = limit(p, dots="stein", jit=False), limit(p, jit=False)
    for name in ("c", "d"):
        np.testing.assert_allclose(one.scalar(name), other.scalar(name), rtol=1e-10)
