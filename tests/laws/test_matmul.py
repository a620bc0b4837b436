"""The two parts of a product with a random matrix, Z^{Wx} = hat + dot, each by its rule on the smallest program that shows it."""

import numpy as np
import pytest

import tensorprog as tp

HEAD = "program p\nwidth n\nwidth m = 3 n\nmatrix W : m x n, sigma 0.7\nvector a : n ~ N(0, 2)\nvector b : m ~ N(0, 5)\n"


def scalar(*lines: str) -> float:
    program = tp.parse(HEAD + "\n".join(lines) + "\nreturn c\n")
    assert isinstance(program, tp.Program)
    return float(np.asarray(tp.limit(program).scalar("c")).item())


def test_matmul_hat() -> None:
    """[matmul-hat]: E (Wx)(Wy) = sigma^2 E x y, here with y = x^3 and E a^4 = 3 * 2^2."""
    assert scalar("y := a^3", "g := W a", "h := W y", "c := moment(g * h)") == pytest.approx(0.7**2 * 12, rel=1e-12)


def test_matmul_hat_of_the_transpose() -> None:
    """[matmul-hat]: E (W^T y)^2 = sigma^2 (m/n) E y^2, W of size m x n."""
    assert scalar("g := W^T b", "c := moment(g^2)") == pytest.approx(0.7**2 * 3 * 5, rel=1e-12)


def test_matmul_dot() -> None:
    """[matmul-dot]: W W^T b = hat + sigma^2 b E dx/dx, so its average product with b is sigma^2 E b^2."""
    assert scalar("x := W^T b", "h := W x", "c := moment(b * h)") == pytest.approx(0.7**2 * 5, rel=1e-12)


def test_matmul_dot_of_the_transpose() -> None:
    """[matmul-dot]: W^T W a has the dot sigma^2 (m/n) a."""
    assert scalar("x := W a", "h := W^T x", "c := moment(a * h)") == pytest.approx(0.7**2 * 3 * 2, rel=1e-12)
