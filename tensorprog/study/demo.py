"""The main job, end to end on real data: program, picture, limiting kernels, convergence in width, training beside kernel gradient descent.

Every stage leaves its result in the folder as soon as it has it; a second run goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tensorprog.interpret.diagram import draw
from tensorprog.kernels.limit import Kernels, kernels
from tensorprog.language.listing import show
from tensorprog.language.program import Network
from tensorprog.language.valid import Report, check
from tensorprog.study import plots, store
from tensorprog.study.convergence import Curve, Study, converge
from tensorprog.study.frame import Screen
from tensorprog.study.training import Following, Run, follow

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """How much is done for one network."""

    widths: tuple[int, ...]
    seeds: int
    training_widths: tuple[int, ...]
    training_seeds: int


@dataclass(frozen=True, eq=False)
class Task:
    """One network, its data laid out over its axes, and the plan."""

    network: Network
    plan: Plan
    x: Floats  # for the kernels, sorted by label
    labels: Floats
    x_probe: Floats  # for the convergence
    x_train: Floats
    y_train: Floats
    x_test: Floats
    y_test: Floats


@dataclass(frozen=True, eq=False)
class Chapter:
    """What was found of one network; None: not computed (yet)."""

    task: Task
    report: Report
    listing: str
    forward: str  # SVG
    backward: str
    kernels: Kernels | None = None
    study: Study | None = None
    following: Following | None = None


def chapters(tasks: Sequence[Task], folder: Path, screen: Screen, keep: Callable[[int, Chapter], None]) -> None:
    """Go through the stages of every task; `keep` gets a task's chapter anew after every stage, so that an interruption loses one stage at most."""
    for i, task in enumerate(tasks):
        home = folder / task.network.name
        home.mkdir(parents=True, exist_ok=True)
        chapter = program(task, home, screen)
        keep(i, chapter)
        for stage in (limits, convergence, training):
            chapter = stage(chapter, home, screen)
            keep(i, chapter)


def program(task: Task, home: Path, screen: Screen) -> Chapter:
    """The program with the checker's report, and its pictures."""
    network = task.network
    report = check(network)
    report.raise_if_invalid()
    listing = show(network)
    (home / "program.tp").write_text(listing, encoding="utf-8")
    forward, backward = (draw(network, backward=back).svg for back in (False, True))
    (home / "forward.svg").write_text(forward, encoding="utf-8")
    (home / "backward.svg").write_text(backward, encoding="utf-8")
    screen.say(f"\n{listing}\n{report}\n")
    return Chapter(task, report, listing, forward, backward)


def limits(chapter: Chapter, home: Path, screen: Screen) -> Chapter:
    """NNGP and NTK on real images, and what every parameter contributes."""
    task = chapter.task

    def compute() -> Mapping[str, Any]:
        k = kernels(task.network, task.x)
        parts = {f"by_parameter/{name}": part for name, part in k.by_parameter.items()}
        return {"nngp": k.nngp, "ntk": k.ntk, "error": k.error, "method": k.method, **parts}

    with screen.progress(f"{task.network.name}: kernels on {len(task.x)} images"):
        a = store.kept(home / "kernels.npz", _provenance(chapter, x=task.x), compute)
    parts = {name.removeprefix("by_parameter/"): part for name, part in a.items() if name.startswith("by_parameter/")}
    found = Kernels(nngp=a["nngp"], ntk=a["ntk"], by_parameter=parts, method=str(a["method"]), error=a["error"])  # pyright: ignore[reportArgumentType]
    plots.kernels({"NNGP": found.nngp, "NTK": found.ntk}, task.labels.astype(int).tolist()).savefig(home / "kernels.svg")
    shares = ", ".join(f"{name} {np.trace(part) / np.trace(found.ntk):.0%}" for name, part in parts.items())
    screen.say(f"NTK by parameter: {shares}   ({found.method}, error {np.max(a['error']):.0e})\n")
    return replace(chapter, kernels=found)


def convergence(chapter: Chapter, home: Path, screen: Screen) -> Chapter:
    """How fast the kernels of finite networks approach the limits."""
    task, plan = chapter.task, chapter.task.plan
    name = task.network.name

    def compute() -> Mapping[str, Any]:
        with screen.progress(f"{name}: widths {plan.widths[0]} to {plan.widths[-1]}") as progress:
            study = converge(task.network, task.x_probe, plan.widths, seeds=plan.seeds, progress=progress)
        return {c.quantity: c.errors for c in study.curves} | {"limit_error": [c.limit_error for c in study.curves], "method": study.curves[0].method}

    settings = {"widths": plan.widths, "seeds": plan.seeds}
    a = store.kept(home / "convergence.npz", _provenance(chapter, x=task.x_probe, **settings), compute)
    curves = tuple(Curve(q, plan.widths, a[q], float(e), str(a["method"])) for q, e in zip(("nngp", "ntk"), a["limit_error"], strict=True))
    study = Study(name, curves)
    study.plot().savefig(home / "convergence.svg")
    screen.say(study.table())
    return replace(chapter, study=study)


def training(chapter: Chapter, home: Path, screen: Screen) -> Chapter:
    """Finite networks by gradient descent beside kernel gradient descent, each from its own f_0."""
    task, plan = chapter.task, chapter.task.plan
    name, paths = task.network.name, ("loss", "kernel_loss", "test", "kernel_test", "stop")

    def compute() -> Mapping[str, Any]:
        with screen.progress(f"{name}: training") as progress:
            f = follow(
                task.network,
                task.x_train,
                task.y_train,
                task.x_test,
                plan.training_widths,
                seeds=plan.training_seeds,
                dtype="float32",
                progress=progress,
            )
        return {p: np.stack([np.asarray(getattr(r, p)) for r in f.runs]) for p in paths} | {"rate": f.rate, "level": f.level, "of": f.loss}

    settings = {"widths": plan.training_widths, "seeds": plan.training_seeds}
    data = {"x": task.x_train, "y": task.y_train, "x_test": task.x_test}
    a = store.kept(home / "training.npz", _provenance(chapter, **data, **settings), compute)
    runs = tuple(
        Run(n, a["loss"][i], a["kernel_loss"][i], a["test"][i], a["kernel_test"][i], tuple(int(t) for t in a["stop"][i]))
        for i, n in enumerate(plan.training_widths)
    )
    following = Following(name, runs, float(a["rate"]), float(a["level"]), str(a["of"]), task.y_train)
    following.plot().savefig(home / "training.svg")
    screen.say(following.table())
    return replace(chapter, following=following)


def _provenance(chapter: Chapter, **settings: Any) -> dict[str, Any]:
    """What a stored result depends on: the network, the data by their digest, the settings."""
    digests = {k: sha256(v.tobytes()).hexdigest() if isinstance(v, np.ndarray) else v for k, v in settings.items()}
    return {"network": chapter.listing, **digests}
