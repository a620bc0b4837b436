"""Data sets read from files and laid out over the axes of a program."""

from pathlib import Path

import numpy as np
import pytest

from tensorprog.cli import data
from tensorprog.errors import InvalidProgram
from tensorprog.language.instr import Axis, Input
from tensorprog.language.program import Program


def over(**sizes: int) -> Program:
    return Program("p", axes=tuple(Axis(k, v) for k, v in sizes.items()), inputs=(Input("xi", tuple(sizes)),))


def test_digits_are_real_and_on_the_sphere() -> None:
    d = data.load("digits")
    assert d.x.shape == (1797, 64)
    np.testing.assert_allclose((d.x**2).mean(axis=1), 1.0, rtol=1e-14)
    assert d.y is not None
    assert set(d.y) == set(range(10))


def test_two_classes() -> None:
    d = data.two_classes(data.load("digits"), 3, 8)
    assert d.y is not None
    assert set(d.y) == {-1.0, 1.0}
    assert len(d.x) == len(d.y) == 183 + 174


@pytest.mark.parametrize("ending", ["npz", "npy", "csv"])
def test_files(ending: str, tmp_path: Path) -> None:
    x, y = np.arange(6.0).reshape(3, 2), np.array([1.0, -1.0, 1.0])
    path = tmp_path / f"d.{ending}"
    match ending:
        case "npz":
            np.savez(path, x=x, y=y)
        case "npy":
            np.save(path, x)
        case _:
            path.write_text("a,b,y\n" + "\n".join(f"{p},{q},{t}" for (p, q), t in zip(x, y, strict=True)))
    d = data.load(str(path))
    np.testing.assert_array_equal(d.x, x)
    if ending != "npy":
        np.testing.assert_array_equal(d.y, y)


def test_a_spreadsheet_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("y,a\n1,2\n3,4\n", encoding="utf-8-sig")
    d = data.load(str(path))
    np.testing.assert_array_equal(d.x, [[2.0], [4.0]])
    np.testing.assert_array_equal(d.y, [1.0, 3.0])


@pytest.mark.parametrize("words", ["", "a,b,y\n", "a,b,y\n\n"])
def test_a_table_without_rows_is_refused(words: str, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(words)
    with pytest.raises(InvalidProgram, match="with no empty axis"):
        data.load(str(tmp_path / "d.csv"))


def test_complex_inputs_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.ones((2, 3)) + 1j)
    with pytest.raises(InvalidProgram, match="complex numbers"):
        data.load(str(tmp_path / "d.npy"))


def test_inputs_are_cut_along_the_axes() -> None:
    d = data.load("digits")
    rows = data.arrange(d, over(time=8))
    assert rows.x.shape == (1797, 8, 8)
    np.testing.assert_array_equal(rows.x[5, 2], d.x[5, 16:24])
    assert data.arrange(rows, over(time=8)) is rows
    assert data.arrange(d, over(time=3)).x.shape == (1797, 3, 21)
    with pytest.raises(InvalidProgram, match="64 numbers for 65 positions"):
        data.arrange(d, over(time=65))


def test_a_program_with_two_slots_is_refused() -> None:
    with pytest.raises(InvalidProgram, match="feeds one data slot, and this program's are: a, b"):
        data.arrange(data.load("digits"), Program("p", inputs=(Input("a"), Input("b"))))
