"""Commands that compute: kernel, converge, train, demo."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tensorprog.cli import data, screen, subject
from tensorprog.errors import InvalidProgram
from tensorprog.kernels.limit import Kernels, kernels
from tensorprog.language import text
from tensorprog.language.program import Network
from tensorprog.study import store

if TYPE_CHECKING:
    from tensorprog.study.convergence import Study
    from tensorprog.study.training import Following

Options = Mapping[str, str]
PICTURES = (".svg", ".png", ".pdf")


def widths_of(words: str) -> tuple[int, ...]:
    """`64:2048` doubles from 64 while it is at most 2048; `64,100` is a list.

    Raises:
        InvalidProgram: not whole numbers, not positive, or not growing.
    """
    try:
        if ":" in words:
            low, high = map(int, words.split(":"))
            found = [low]
            while low > 0 and found[-1] * 2 <= high:
                found.append(found[-1] * 2)
        else:
            found = [int(w) for w in words.split(",")]
    except ValueError as error:
        raise InvalidProgram(f"--widths takes 64:2048 or 64,128,256, got {words!r}.") from error
    if found[0] < 1 or sorted(set(found)) != found:
        raise InvalidProgram(f"--widths: {words}: widths are positive and grow. Try 64:2048.")
    return tuple(found)


def kernel(name: str, options: Options, *, source: str, points: int, output: Path | None) -> None:
    """Both kernels on the first inputs: a corner of each, the share of every parameter, and where the numbers come from."""
    require_ending(output, ".npz")
    network = subject.network(name, options)
    inputs = inputs_of(network, source, points)
    with screen.err.status(f"kernels of {network.name} on {len(inputs.x)} inputs"):
        k = kernels(network, inputs.x)
    for title, matrix in (("NNGP", first_output(k.nngp)), ("NTK", first_output(k.ntk))):
        screen.matrix(f"{title}  {matrix.shape[0]} x {matrix.shape[1]}", matrix.tolist())
    screen.shares(shares(k))
    screen.plain(f"method {k.method}   error at most {float(np.asarray(k.error).max()):.1e}")
    if output is not None:
        save_kernels(k, network, inputs, output)
        screen.wrote(output)


def inputs_of(network: Network, source: str, points: int) -> data.Data:
    """The first inputs of a data set, laid out for the network."""
    if points < 1:
        raise InvalidProgram(f"--points is {points}. Give at least 1.")
    return data.arrange(data.load(source)[:points], network.program)


def require_ending(output: Path | None, *endings: str) -> None:
    """Said before the work, not after it."""
    if output is not None and output.suffix not in endings:
        raise InvalidProgram(f"{output}: this is saved as {' or '.join(endings)}. Name the file {output.with_suffix(endings[0])}.")


def first_output(kernel: object) -> np.ndarray:
    """(N1, N2): the kernel of the first output position with itself."""
    array = np.asarray(kernel)
    return array.reshape(*array.shape[:2], -1)[:, :, 0]


def shares(k: Kernels) -> dict[str, float]:
    """The fraction of the NTK's trace that each parameter contributes."""
    total = np.trace(first_output(k.ntk))
    return {name: float(np.trace(first_output(part)) / total) for name, part in k.by_parameter.items()}


def save_kernels(k: Kernels, network: Network, inputs: data.Data, path: Path) -> None:
    """An .npz with nngp, ntk, by_parameter/NAME, the inputs x, and `provenance` as JSON text."""
    made = {
        "tensorprog": version("tensorprog"),
        "network": text.show(network),
        "data": inputs.name,
        "method": k.method,
        "error": float(np.asarray(k.error).max()),
    }
    store.save(path, {"nngp": k.nngp, "ntk": k.ntk, "x": inputs.x, **{f"by_parameter/{name}": part for name, part in k.by_parameter.items()}}, made)


def converge(name: str, options: Options, *, widths: str, seeds: int, source: str, points: int, output: Path | None) -> None:
    """The table of errors by width with the fitted slopes; the plot, or the errors themselves, into a file."""
    from tensorprog.study.convergence import converge as study_of

    require_ending(output, *PICTURES, ".npz", ".json")
    chosen = widths_of(widths)
    network = subject.network(name, options)
    inputs = inputs_of(network, source, points)
    reached: list[Study] = []
    try:
        with screen.progress(f"converging {network.name}") as progress:
            reached.append(study_of(network, inputs.x, chosen, seeds=seeds, progress=progress, keep=reached.append))
    finally:  # an interruption keeps the widths that are done
        for study in reached[-1:]:
            screen.out.print(study.table())
            if output is not None:
                save_study(study, output)
                screen.wrote(output)


def save_study(study: Study, path: Path) -> None:
    match path.suffix:
        case ".npz":
            study.to_npz(path)
        case ".json":
            path.write_text(json.dumps(study.to_dict()), encoding="utf-8")
        case _:
            study.plot().savefig(path)


def train(name: str, options: Options, *, widths: str, seeds: int, source: str, classes: str, points: int, test: int, output: Path | None) -> None:
    """The table of gaps by width; the plot, or the trajectories, into a file."""
    from tensorprog.study.training import follow

    require_ending(output, *PICTURES, ".json")
    chosen = widths_of(widths)
    network = subject.network(name, options)
    found = data.arrange(labelled(data.load(source), classes), network.program)
    if points < 1 or test < 1 or points + test > len(found.x):
        raise InvalidProgram(
            f"--points {points} and --test {test}: there are {len(found.x)} inputs. Ask for at least 1 each, and no more than there are."
        )
    first, second = found[:points], found[points : points + test]
    y = first.y
    assert y is not None  # `labelled` refuses data without targets
    reached: list[Following] = []
    try:
        with screen.progress(f"training {network.name}") as progress:
            reached.append(follow(network, first.x, y, second.x, chosen, seeds=seeds, dtype="float32", progress=progress, keep=reached.append))
    finally:
        for followed in reached[-1:]:
            screen.out.print(followed.table())
            if output is not None:
                save_following(followed, output)
                screen.wrote(output)


def save_following(followed: Following, path: Path) -> None:
    if path.suffix == ".json":
        path.write_text(json.dumps(followed.to_dict()), encoding="utf-8")
    else:
        followed.plot().savefig(path)


def labelled(found: data.Data, classes: str) -> data.Data:
    """The inputs of two classes, or with `none` all of them with their own targets."""
    if classes == "none":
        if found.y is None:
            raise InvalidProgram(f"data: {found.name}: [data] has no targets. Add the array y.")
        return found
    try:
        first, second = map(float, classes.split(","))
    except ValueError as error:
        raise InvalidProgram(f"--classes takes two of them, 3,8, or none; got {classes!r}.") from error
    return data.two_classes(found, first, second)
