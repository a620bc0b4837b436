"""The frame of a study: named parts, each a tidy table, the checks it passes or fails, and a picture; kept on disk, so that a rerun goes on.

A study runs in two forms. The full form makes every measurement at the sizes and tolerances it is judged by; the quick form shows the same
picture in about a minute, with looser tolerances that the study states and justifies. A folder holds, for every part that is done,

    PART.csv   the tidy table: one row a measurement        PART.npz   table, arrays, checks, seconds, and the provenance they depend on
    PART.svg   the picture                                  checks.md  all checks so far, with machine, versions and command
"""

from __future__ import annotations

import csv
import inspect
import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tensorprog.errors import InvalidProgram
from tensorprog.language.listing import show
from tensorprog.language.program import Network
from tensorprog.study import store

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

Columns = Mapping[str, NDArray[Any]]
Progress = Callable[[float, str], None]


class Screen(Protocol):
    """Where a person follows the work."""

    def progress(self, title: str) -> AbstractContextManager[Progress]: ...
    def say(self, words: object) -> None: ...


class Silent:
    """Nobody looks."""

    def progress(self, title: str) -> AbstractContextManager[Progress]:
        return nullcontext(lambda fraction, now: None)

    def say(self, words: object) -> None:
        pass


SILENT = Silent()


@dataclass(frozen=True)
class Check:
    """A measured number and the interval [low, high] in which it must lie; `number` is its place in the list of acceptance checks.

    Without an interval it is told and not judged: what no theorem says of a network of the user's own.
    """

    number: str
    claim: str
    measured: float
    low: float = -np.inf
    high: float = np.inf

    @property
    def judged(self) -> bool:
        return self.low > -np.inf or self.high < np.inf

    @property
    def passed(self) -> bool:
        return not self.judged or bool(self.low <= self.measured <= self.high)

    @property
    def verdict(self) -> str:
        return "" if not self.judged else "holds" if self.passed else "fails"

    @property
    def wanted(self) -> str:
        if not self.judged:
            return ""
        if self.low == -np.inf:
            return f"≤ {self.high:.4g}"
        if self.high == np.inf:
            return f"≥ {self.low:.4g}"
        middle, slack = (self.low + self.high) / 2, (self.high - self.low) / 2
        return f"{middle:.4g} ± {slack:.1g}" if slack < 1e-3 * abs(middle) else f"{self.low:.4g} … {self.high:.4g}"


def around(middle: float, slack: float | None) -> tuple[float, float]:
    """The interval of a check that a number is within `slack` of `middle`; all numbers without a slack."""
    return (-np.inf, np.inf) if slack is None else (middle - slack, middle + slack)


@dataclass(frozen=True)
class Found:
    """What a part found: a tidy table (columns of equal length), its checks, and arrays that a picture needs beside them."""

    table: Columns
    checks: tuple[Check, ...] = ()
    arrays: Columns = field(default_factory=dict[str, NDArray[Any]])


@dataclass(frozen=True)
class Run:
    """What a running part is given: its random seed, a way to tell how far it is, and a way to keep steps of long work."""

    seed: int
    tell: Progress = lambda fraction, now: None
    folder: Path | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def kept(self, step: str, compute: Callable[[], Mapping[str, ArrayLike]]) -> Columns:
        """The arrays of a step, computed once: an interrupted part goes on after its last finished step."""
        if self.folder is None:
            return {k: np.asarray(v) for k, v in compute().items()}
        return store.kept(self.folder / f"{step}.npz", {**self.provenance, "step": step}, compute)


@dataclass(frozen=True)
class Part:
    """One experiment. `settings` is all that its result depends on, beside the seed and the code."""

    name: str
    title: str
    run: Callable[[Run], Found]
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    plot: Callable[[Found], Figure] | None = None


@dataclass(frozen=True, eq=False)
class Setup:
    """How a study is asked for: its quick or its full form, and instead of its own network and data those of a user.

    `x` is (N, *positions, d) or one such array an input, `y` is (N,) or (N, outputs).
    """

    quick: bool = False
    network: Network | None = None
    x: Any = None
    y: NDArray[Any] | None = None

    def subject(self) -> dict[str, str]:
        """The user's network and data, as a part of `Part.settings`; empty for the study's own."""
        arrays = {**(self.x if isinstance(self.x, Mapping) else {"x": self.x}), "y": self.y}
        digests = {k: sha256(np.ascontiguousarray(a).tobytes()).hexdigest()[:16] for k, a in arrays.items() if a is not None}
        return digests | ({} if self.network is None else {"network": show(self.network)})


@dataclass(frozen=True)
class Study:
    """A named study: its parts for a given setup."""

    name: str
    title: str
    parts: Callable[[Setup], Sequence[Part]]


@dataclass(frozen=True)
class Done:
    """A part with what it found and how long that took (when it was computed, not when it was read again)."""

    part: Part
    found: Found
    seconds: float


@dataclass(frozen=True)
class Results:
    """The parts that are done."""

    study: Study
    quick: bool
    seed: int
    done: tuple[Done, ...] = ()

    def __getitem__(self, part: str) -> Found:
        return next(d.found for d in self.done if d.part.name == part)

    def plot(self, part: str) -> Figure:
        """The picture of a part that has one."""
        done = next(d for d in self.done if d.part.name == part)
        assert done.part.plot is not None
        return done.part.plot(done.found)

    @property
    def checks(self) -> tuple[Check, ...]:
        return tuple(c for d in self.done for c in d.found.checks)

    @property
    def passed(self) -> bool:
        return all(c.passed for c in self.checks)

    def table(self) -> Table:
        """All checks, for a terminal."""
        from rich.table import Table

        out = Table(title=self.study.title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for name in ("check", "what", "measured", "wanted", ""):
            out.add_column(name, justify="right" if name == "measured" else "left", header_style="dim")
        for c in self.checks:
            out.add_row(c.number, c.claim, _number(c.measured), c.wanted, f"[{'green' if c.passed else 'bold red'}]{c.verdict}[/]")
        return out

    def markdown(self) -> str:
        """All checks as a Markdown table, and below it where and how they were measured."""
        head = ["| check | what | measured | wanted | |", "|---|---|---:|---|---|"]
        cells = [(c.number, _escaped(c.claim), _number(c.measured), c.wanted, c.verdict.replace("fails", "**fails**")) for c in self.checks]
        rows = [f"| {' | '.join(row)} |" for row in cells]
        return "\n".join([*head, *rows, "", *(f"{line}  " for line in self.made())]) + "\n"

    def made(self) -> list[str]:
        """The command, its time, the machine, the versions and the date."""
        command = f"`tensorprog study {self.study.name}{' --quick' if self.quick else ''}{f' --seed {self.seed}' if self.seed else ''}`"
        seconds = ", ".join(f"{d.part.name} {d.seconds:.0f} s" for d in self.done)
        return [f"{command}: {sum(d.seconds for d in self.done):.0f} s ({seconds})", f"{machine()}; {date.today().isoformat()}"]


def run_study(
    study: Study, folder: Path | None = None, setup: Setup = Setup(), *, seed: int = 0, only: Sequence[str] = (), screen: Screen = SILENT
) -> Results:
    """Run the parts of a study in order. A part that the folder holds already, from the same code, settings and seed, is read, not run.

    Args:
        folder: where results go; None: nowhere.
        only: names of parts; all unless given.

    Raises:
        InvalidProgram: no part has such a name.
    """
    parts = list(study.parts(setup))
    unknown = set(only) - {p.name for p in parts}
    if unknown:
        raise InvalidProgram(f"[study] {study.name} has no part {', '.join(sorted(unknown))}. Its parts are {', '.join(p.name for p in parts)}.")
    results = Results(study, setup.quick, seed)
    for part in [p for p in parts if not only or p.name in only]:
        with screen.progress(f"{study.name}: {part.title}") as tell, _compiling_quickly(setup.quick):
            done = _done(study, part, seed, folder, tell)
        results = Results(study, setup.quick, seed, (*results.done, done))
        failed = [c.number for c in done.found.checks if not c.passed]
        screen.say(f"{part.name}: {part.title}   {done.seconds:.0f} s" + (f"   FAILS {', '.join(failed)}" if failed else ""))
        if folder is not None:
            (folder / "checks.md").write_text(results.markdown(), encoding="utf-8")
    return results


def tidy(rows: Iterable[Mapping[str, Any]]) -> Columns:
    """Columns from rows of one shape: one row a measurement, one column a variable."""
    listed = list(rows)
    return {name: np.asarray([r[name] for r in listed]) for name in (listed[0] if listed else {})}


def rows(columns: Columns) -> list[dict[str, Any]]:
    """The rows of a tidy table."""
    return [dict(zip(columns, row, strict=True)) for row in zip(*(c.tolist() for c in columns.values()), strict=True)]


def machine() -> str:
    """The processor, the cores, Python and the libraries that computed."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("tensorprog", "jax", "numpy", "scipy"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores of {_processor()}, {platform.system()}; Python {platform.python_version()}, {libraries}"


# One part.


@contextmanager
def _compiling_quickly(quick: bool) -> Iterator[None]:
    """A quick form compiles much and runs it once: without XLA's costly optimizations that takes half the time."""
    import jax

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", before or quick)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


def _done(study: Study, part: Part, seed: int, folder: Path | None, tell: Progress) -> Done:
    provenance = _provenance(study, part, seed)
    if folder is None:
        return _timed(part, Run(seed, tell, None, provenance))
    path = folder / f"{part.name}.npz"
    saved = store.load(path, provenance)
    done = _timed(part, Run(seed, tell, folder / part.name, provenance)) if saved is None else _read(part, saved)
    if saved is None:
        store.save(path, _written(done), provenance)
    _write_csv(folder / f"{part.name}.csv", done.found.table)
    if part.plot is not None:
        part.plot(done.found).savefig(folder / f"{part.name}.svg")
    return done


def _timed(part: Part, run: Run) -> Done:
    start = perf_counter()
    return Done(part, part.run(run), perf_counter() - start)


def _provenance(study: Study, part: Part, seed: int) -> dict[str, Any]:
    """What a kept result depends on; of the code, the folder in which the part is written."""
    function = part.run
    while isinstance(function, partial):
        function = function.func
    folder = Path(inspect.getfile(inspect.unwrap(function))).parent
    source = "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py")))
    versions = {name: version(name) for name in ("tensorprog", "jax", "numpy", "scipy")}
    settings = {k: v if isinstance(v, str | int | float | bool) else repr(v) for k, v in part.settings.items()}
    return {
        "study": study.name,
        "part": part.name,
        "seed": seed,
        "settings": settings,
        "source": sha256(source.encode()).hexdigest()[:16],
        "versions": versions,
    }


def _written(done: Done) -> dict[str, ArrayLike]:
    table = {f"table/{k}": v for k, v in done.found.table.items()}
    arrays = {f"arrays/{k}": v for k, v in done.found.arrays.items()}
    return {**table, **arrays, "checks": json.dumps([asdict(c) for c in done.found.checks]), "seconds": done.seconds}


def _read(part: Part, saved: Columns) -> Done:
    def under(prefix: str) -> dict[str, NDArray[Any]]:
        return {k.removeprefix(prefix): v for k, v in saved.items() if k.startswith(prefix)}

    checks = tuple(Check(**c) for c in json.loads(str(saved["checks"])))
    return Done(part, Found(under("table/"), checks, under("arrays/")), float(saved["seconds"]))


def _write_csv(path: Path, table: Columns) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(zip(*(c.tolist() for c in table.values()), strict=True))


def _escaped(claim: str) -> str:
    """A bar would end the cell."""
    return claim.replace("|", "\\|")


def _number(value: float) -> str:
    return f"{value:.4g}" if 1e-3 <= abs(value) < 1e5 or value == 0 else f"{value:.1e}"


def _processor() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0] if names else platform.processor() or platform.machine()
