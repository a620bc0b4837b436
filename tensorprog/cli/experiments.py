"""Commands that compute: kernel, converge, train."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tensorprog.cli import data, screen, subject
from tensorprog.cli.output import PICTURES, require_ending, save
from tensorprog.cli.ranges import widths_of
from tensorprog.cli.subject import Options
from tensorprog.errors import InvalidProgram
from tensorprog.kernels.limit import Kernels, kernels
from tensorprog.language import text
from tensorprog.language.program import Network
from tensorprog.study import store

if TYPE_CHECKING:
    from tensorprog.study.convergence import Study
    from tensorprog.study.training import Following


def kernel(name: str, options: Options, *, source: str, points: int, output: Path | None) -> None:
    """Both kernels on the first inputs: a corner of each, the share of every parameter, and where the numbers come from."""
    require_ending(output, ".npz")
    network = subject.network(name, options)
    inputs = data.first(network.program, source, points)
    with screen.err.status(f"kernels of {network.name} on {len(inputs.x)} inputs"):
        k = kernels(network, inputs.x)
    for title, matrix in (("NNGP", first_output(k.nngp)), ("NTK", first_output(k.ntk))):
        screen.matrix(f"{title}  {matrix.shape[0]} x {matrix.shape[1]}", matrix.tolist())
    screen.shares(shares(k))
    screen.plain(f"method {k.method}   error at most {float(np.asarray(k.error).max()):.1e}")
    if output is not None:
        save_kernels(k, network, inputs, output)
        screen.wrote(output)


def first_output(kernel: object) -> np.ndarray:
    """(N1, N2): the kernel of the first output position with itself."""
    array = np.asarray(kernel)
    return array.reshape(*array.shape[:2], -1)[:, :, 0]


def shares(k: Kernels) -> dict[str, float]:
    """The fraction of the NTK's trace that each parameter contributes; none where all of it is zero, as at zero inputs."""
    total = float(np.trace(first_output(k.ntk)))
    return {name: float(np.trace(first_output(part))) / total if total else 0.0 for name, part in k.by_parameter.items()}


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
    inputs = data.first(network.program, source, points)
    reached: list[Study] = []
    try:
        with screen.progress(f"converging {network.name}") as progress:
            reached.append(study_of(network, inputs.x, chosen, seeds=seeds, progress=progress, keep=reached.append))
    finally:  # an interruption keeps the widths that are done
        for study in reached[-1:]:
            screen.show(study.table())
            if output is not None and output.suffix == ".npz":
                study.to_npz(output)
                screen.wrote(output)
            else:
                save(study, output)


def train(name: str, options: Options, *, widths: str, seeds: int, source: str, classes: str, points: int, test: int, output: Path | None) -> None:
    """The table of gaps by width; the plot, or the trajectories, into a file."""
    from tensorprog.study.training import follow

    require_ending(output, *PICTURES, ".json")
    chosen = widths_of(widths)
    network = subject.network(name, options)
    found = data.arrange(data.labelled(data.load(source), classes), network.program)
    if points < 1 or test < 1 or points + test > len(found.x):
        raise InvalidProgram(
            f"--points {points} and --test {test}: there are {len(found.x)} inputs. Ask for at least 1 each, and no more than there are."
        )
    first, second = found[:points], found[points : points + test]
    y = first.y
    assert y is not None  # `data.labelled` refuses data without targets
    reached: list[Following] = []
    try:
        with screen.progress(f"training {network.name}") as progress:
            reached.append(follow(network, first.x, y, second.x, chosen, seeds=seeds, dtype="float32", progress=progress, keep=reached.append))
    finally:
        for followed in reached[-1:]:
            screen.show(followed.table())
            save(followed, output)
