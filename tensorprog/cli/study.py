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


@app.command
def validity(*, how: How = How(), own: Own = Own(), **options: OwnOption) -> int:
    """How far training can get from its linearization: bounds, the family that attains them, networks of growing width."""
    return run("validity", how, own, options)


@app.command
def disconnect(*, how: How = How(), own: Own = Own(), **options: OwnOption) -> int:
    """Where practice leaves the kernel regime: depth over width, natural gradient, uncertainty, continual learning."""
    return run("disconnect", how, own, options)


@app.command
def scaling(*, how: How = How(), own: Own = Own(), **options: OwnOption) -> int:
    """How fast test errors fall with data: networks, infinite and empirical kernels, kernels after training."""
    return run("scaling", how, own, options)


@app.command
def linear(*, how: How = How()) -> int:
    """The exact learning dynamics of two-layer linear networks, from lazy to rich, and their infinite-width limits."""
    return run("linear", how, Own(), {})


def run(name: str, how: How, own: Own, options: Mapping[str, str]) -> int:
    """Run a study and tell its checks; 1, the exit code, if one of them fails."""
    from tensorprog.cli import screen
    from tensorprog.study.frame import Study, run_study

    try:
        study: Study = import_module(f"tensorprog.study.{name}.study").STUDY
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith(f"tensorprog.study.{name}"):
            raise
        raise InvalidProgram(f"[study] this version has no study {name}. Install a newer one.") from error
    folder, start = how.output or Path("out/study") / name, perf_counter()
    only = tuple(part for part in how.parts.split(",") if part)
    results = run_study(study, folder, setup(how.quick, own, options), seed=how.seed, only=only, screen=screen.Terminal())
    screen.out.print(results.table())
    screen.plain(f"everything is in {folder.resolve()}   {perf_counter() - start:.0f} s")
    return 0 if results.passed else 1


def setup(quick: bool, own: Own, options: Mapping[str, str]) -> Setup:
    """The user's network on the user's data, if they name them.

    Raises:
        InvalidProgram: data or options without an architecture, or data without targets.
    """
    from tensorprog.cli import data, experiments, subject
    from tensorprog.study.frame import Setup

    if own.architecture is None:
        if own.data is not None or options:
            raise InvalidProgram("[study] data and options belong to an architecture. Name it: --architecture mlp.")
        return Setup(quick)
    network = subject.network(own.architecture, options)
    source = own.data or "digits"
    labelled = experiments.labelled(data.load(source), "3,8" if source == "digits" else "none")
    found = data.arrange(labelled[: own.points], network.program)
    return Setup(quick, network, found.x, found.y)
