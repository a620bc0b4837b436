"""Data sets for the command line: the digits that ship with scikit-learn, or the user's .npz, .npy or .csv; arrays (N, *axes, d)."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from tensorprog.errors import InvalidProgram
from tensorprog.language.program import Program

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Data:
    """N inputs with their targets; `x` has shape (N, ..., d), `y` has shape (N,) or (N, outputs)."""

    name: str
    x: Floats
    y: Floats | None = None

    def __getitem__(self, rows: slice | NDArray[np.intp]) -> Data:
        return Data(self.name, self.x[rows], None if self.y is None else self.y[rows])


def load(source: str) -> Data:
    """The data set of that name, or in that file.

    `digits`: 1,797 images of 8 x 8 pixels, each scaled to |x|^2 = d, target the digit. A .npz holds the arrays `x` and, if wanted, `y`; a .npy holds
    x; a .csv holds one input a line, the column that its header calls `y` being the target.

    Raises:
        InvalidProgram: no such file, not a table of numbers, or numbers that are not finite.
    """
    if source == "digits":
        return digits()
    path = Path(source)
    if not path.is_file():
        raise InvalidProgram(f"data: {source}: [data] there is no such file. Give `digits`, or a .npz, .npy or .csv file.")
    try:
        data = _read(path)
    except InvalidProgram:
        raise
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        what = str(error).removesuffix(".")
        raise InvalidProgram(
            f"data: {source}: [data] cannot be read as {path.suffix or 'a table'}: {what}. Write it with numpy.savez(path, x=x, y=y)."
        ) from error
    _require_finite(data)
    return data


def digits() -> Data:
    """scikit-learn's digits in a fixed random order, every image scaled to |x|^2 = d so that <x, x>/d = 1."""
    from sklearn.datasets import load_digits

    raw, label = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(raw))
    x = raw[order].astype(np.float64)
    x *= np.sqrt(x.shape[1]) / np.linalg.norm(x, axis=1, keepdims=True)
    return Data("digits", x, label[order].astype(np.float64))


def two_classes(data: Data, first: float, second: float) -> Data:
    """The inputs of two classes, with targets -1 and +1."""
    if data.y is None:
        raise InvalidProgram(f"data: {data.name}: [data] has no targets. Add the array y.")
    rows = np.flatnonzero((data.y == first) | (data.y == second))
    if len(set(data.y[rows])) < 2:
        raise InvalidProgram(f"data: {data.name}: [data] there are not both classes {first:g} and {second:g}. Choose two that there are.")
    return Data(f"{data.name} {first:g} and {second:g}", data.x[rows], np.where(data.y[rows] == first, -1.0, 1.0))


def labelled(found: Data, classes: str) -> Data:
    """The inputs of two classes, or with `none` all of them with their own targets."""
    if classes == "none":
        if found.y is None:
            raise InvalidProgram(f"data: {found.name}: [data] has no targets. Add the array y.")
        return found
    try:
        one, other = map(float, classes.split(","))
    except ValueError as error:
        raise InvalidProgram(f"--classes takes two of them, 3,8, or none; got {classes!r}.") from error
    return two_classes(found, one, other)


def first(program: Program, source: str, points: int) -> Data:
    """The first inputs of a data set, laid out for the program."""
    if points < 1:
        raise InvalidProgram(f"--points is {points}. Give at least 1.")
    return arrange(load(source)[:points], program)


def arrange(data: Data, program: Program) -> Data:
    """Lay every input out over the axes of the program's data slot: shape (N, *sizes, d).

    Inputs whose own shape fits are kept; others are cut, in order, into pieces of equal length, one a position (8 time steps: the 8 rows of a digit).

    Raises:
        InvalidProgram: an input has fewer entries than there are positions, or the program does not have exactly one data slot.
    """
    if len(program.inputs) != 1:
        slots = ", ".join(i.name for i in program.inputs) or "none"
        raise InvalidProgram(
            f"{program.name}: [data] a data set feeds one data slot, and this program's are: {slots}. Call tensorprog.kernels with a dict."
        )
    sizes = tuple(program.size[a] for a in sorted(program.inputs[0].axes))
    if data.x.ndim == len(sizes) + 2 and data.x.shape[1:-1] == sizes:
        return data
    flat = data.x.reshape(len(data.x), -1)
    d = flat.shape[1] // prod(sizes)
    if d == 0:
        raise InvalidProgram(
            f"data: {data.name}: [data] an input has {flat.shape[1]} numbers for {prod(sizes)} positions {sizes}. Use fewer positions."
        )
    return Data(data.name, flat[:, : d * prod(sizes)].reshape(len(flat), *sizes, d), data.y)


def _read(path: Path) -> Data:
    match path.suffix:
        case ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                if "x" not in arrays:
                    raise InvalidProgram(
                        f"data: {path}: [data] holds {', '.join(arrays) or 'nothing'}, not the array x. Save it with numpy.savez(path, x=x)."
                    )
                return Data(path.stem, _inputs(arrays["x"], path), arrays["y"].astype(np.float64) if "y" in arrays else None)
        case ".npy":
            return Data(path.stem, _inputs(np.load(path, allow_pickle=False), path))
        case ".csv":
            return _read_csv(path)
        case suffix:
            raise InvalidProgram(f"data: {path}: [data] the ending {suffix or '(none)'} is not known. Give a .npz, .npy or .csv file.")


def _read_csv(path: Path) -> Data:
    lines = path.read_text(encoding="utf-8-sig").splitlines()  # a spreadsheet may begin with a byte order mark
    first = lines[0].split(",") if lines else []
    header = [name.strip() for name in first] if any(not _is_number(cell) for cell in first) else []
    rows = lines[1:] if header else lines
    table = np.loadtxt(rows, delimiter=",", ndmin=2) if any(row.strip() for row in rows) else np.zeros((0, len(first)))
    if "y" not in header:
        return Data(path.stem, _inputs(table, path))
    at = header.index("y")
    return Data(path.stem, _inputs(np.delete(table, at, axis=1), path), table[:, at])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _inputs(x: NDArray[np.generic], path: Path) -> Floats:
    if x.ndim < 2 or 0 in x.shape:
        raise InvalidProgram(f"data: {path}: [data] x has shape {x.shape}; wanted (N, ..., d) with no empty axis. One input: shape (1, d).")
    if np.iscomplexobj(x):
        raise InvalidProgram(f"data: {path}: [data] x are complex numbers, and inputs are real. Give real and imaginary parts as features.")
    return x.astype(np.float64)


def _require_finite(data: Data) -> None:
    for name, array in (("x", data.x), ("y", data.y)):
        if array is not None and not np.isfinite(array).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            raise InvalidProgram(f"data: {data.name}: [finite-data] {name}{list(where)} is {array[where]}. Remove or replace that entry.")
    if data.y is not None and len(data.y) != len(data.x):
        raise InvalidProgram(f"data: {data.name}: [data] {len(data.x)} inputs but {len(data.y)} targets. Give one target an input.")
