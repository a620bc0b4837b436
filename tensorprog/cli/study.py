"""`tensorprog study`: the studies of when the infinite-width picture holds, by name; nothing is imported before one of them runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from tensorprog.errors import InvalidProgram

if TYPE_CHECKING:
    from tensorprog.study.frame import Setup

app = App(name="study", help="Measure when the infinite-width picture holds, and see where it breaks.", help_format="plaintext")

OwnOption = Annotated[str, Parameter(help="An option of the architecture itself, such as `--depth 3`.")]


@Parameter(name="*")
@dataclass(frozen=True)
class How:
    """How a study runs.

    Attributes:
        quick: Small sizes and looser tolerances: about a minute on two cores.
        seed: Of all randomness; the same seed gives the same result.
        parts: Only these parts, separated by commas.
        output: The folder for tables, pictures and checks; what it holds already is not computed again [default: out/study/NAME].
    """

    quick: Annotated[bool, Parameter(negative=())] = False
    seed: int = 0
    parts: str = ""
    output: Annotated[Path | None, Parameter(alias="-o")] = None


@Parameter(name="*")
@dataclass(frozen=True)
class Own:
    """A network and data of the user's own, where the study does not take its own.

    Attributes:
        architecture: A name, or a program file, instead of the study's own network.
        data: `digits` (3 against 8), or a .npz, .npy or .csv file with targets.
        points: The first so many inputs of the data.
    """

    architecture: str | None = None
    data: str | None = None
    points: int = 16


@Parameter(name="*")
@dataclass(frozen=True)
class OwnTask:
    """Data of the user's own for networks that are linear.

    Attributes:
        data: A .npz or .csv file with targets: its exact training, instead of the study's own tasks.
        points: The first so many inputs of the data; all unless given.
        whiten: Turn and stretch the inputs until X^T X / N = I, which the closed form needs.
    """

    data: str | None = None
    points: int | None = None
    whiten: Annotated[bool, Parameter(negative=())] = False


@app.command
def validity(*, how: How = How(), own: Own = Own(), **options: OwnOption) -> int:
    """How far training can get from its linearization: bounds, the family that attains them, networks of growing width."""
    return run("validity", how, setup(how.quick, own, options))


@app.command
def disconnect(*, how: How = How(), own: Own = Own(), **options: OwnOption) -> int:
    """Where practice leaves the kernel regime: depth over width, natural gradient, uncertainty, continual learning."""
    return run("disconnect", how, setup(how.quick, own, options))


@app.command
def scaling(*, how: How = How(), own: Own = Own(), **options: OwnOption) -> int:
    """How fast test errors fall with data: networks, infinite and empirical kernels, kernels after training."""
    return run("scaling", how, setup(how.quick, own, options))


@app.command
def linear(*, how: How = How(), own: OwnTask = OwnTask()) -> int:
    """The exact learning dynamics of two-layer linear networks, from lazy to rich, and their infinite-width limits."""
    return run("linear", how, task(how.quick, own))


def run(name: str, how: How, chosen: Setup) -> int:
    """Run a study and tell its checks; 1, the exit code, if one of them fails."""
    from tensorprog.cli import screen
    from tensorprog.study.frame import Study, run_study

    study: Study = import_module(f"tensorprog.study.{name}.study").STUDY
    folder, start = how.output or Path("out/study") / name, perf_counter()
    only = tuple(part for part in how.parts.split(",") if part)
    with screen.resumable(folder):
        results = run_study(study, folder, chosen, seed=how.seed, only=only, screen=screen.Terminal())
    screen.show(results.table())
    screen.plain(f"everything is in {folder.resolve()}   {perf_counter() - start:.0f} s")
    return 0 if results.passed else 1


def setup(quick: bool, own: Own, options: Mapping[str, str]) -> Setup:
    """The user's network on the user's data, if they name them.

    Raises:
        InvalidProgram: data or options without an architecture, or data without targets.
    """
    from tensorprog.cli import data, subject
    from tensorprog.study.frame import Setup

    if own.architecture is None:
        if own.data is not None or options:
            raise InvalidProgram("[study] data and options belong to an architecture. Name it: --architecture mlp.")
        return Setup(quick)
    network = subject.network(own.architecture, options)
    source = own.data or "digits"
    chosen = data.labelled(data.load(source), "3,8" if source == "digits" else "none")
    found = data.arrange(chosen[: _first(own.points)], network.program)
    return Setup(quick, network, found.x, found.y)


def task(quick: bool, own: OwnTask) -> Setup:
    """The user's inputs, one vector each, and their targets.

    Raises:
        InvalidProgram: no data but something to be done with them, or inputs that do not span their space and are to be whitened.
    """
    from tensorprog.cli import data
    from tensorprog.study.frame import Setup

    if own.data is None:
        if own.whiten or own.points is not None:
            raise InvalidProgram("[study] --whiten and --points say what is done with data. Name them: --data mine.npz.")
        return Setup(quick)
    from tensorprog.study.linear.balance import whiten

    found = data.labelled(data.load(own.data), "none")[: None if own.points is None else _first(own.points)]
    x = found.x.reshape(len(found.x), -1)
    return Setup(quick, None, whiten(x) if own.whiten else x, found.y)


def _first(points: int) -> int:
    if points < 1:
        raise InvalidProgram(f"--points {points}: ask for at least 1.")
    return points
