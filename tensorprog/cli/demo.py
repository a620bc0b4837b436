"""`tensorprog demo`: which networks, on which images, how much of it, and the report at the end (also when interrupted)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import numpy as np

from tensorprog.cli import data, screen, subject
from tensorprog.language.program import Network
from tensorprog.study.demo import Chapter, Plan, Task, chapters
from tensorprog.study.demo_report import report
from tensorprog.study.report import html

FIRST, SECOND = 3, 8  # the digits that are told apart
PER_DIGIT, PROBES, TRAIN, TEST = 6, 8, 48, 24
OPTIONS: dict[str, dict[str, str]] = {"mlp": {"depth": "3"}, "resnet": {"depth": "3"}, "transformer": {"token": "4"}}
FULL = Plan((64, 128, 256, 512, 1024, 2048), 24, (128, 512, 2048), 3)
HALF = Plan((64, 128, 256, 512), 24, (64, 256, 1024), 2)
SMALL = Plan((32, 64, 128, 256), 24, (32, 128), 2)  # a Transformer of width n has matrices of width 4 n
QUICK = Plan((16, 32, 64), 8, (32, 128), 2)
PLANS = {"mlp": FULL, "transformer": SMALL}


def demo(names: Sequence[str], *, output: Path, quick: bool) -> None:
    """Run the stages for every network and write report.html; what was computed stays, whatever happens."""
    start = perf_counter()
    chosen = names or [name for name in OPTIONS if name in subject.zoo()]
    tasks = [task(subject.network(name, OPTIONS.get(name, {})), QUICK if quick else PLANS.get(name, HALF)) for name in chosen]
    found: dict[int, Chapter] = {}
    try:
        chapters(tasks, output, screen.Terminal(), found.__setitem__)
    finally:
        if found:
            screen.wrote(write(list(found.values()), output, perf_counter() - start))
    screen.plain(f"everything is in {output.resolve()}   {perf_counter() - start:.0f} s")


def task(network: Network, plan: Plan) -> Task:
    """The network's share of the digits: some of every digit for the kernels, two digits for training."""
    everything = data.arrange(data.digits(), network.program)
    labels = everything.y
    assert labels is not None
    some = np.concatenate([np.flatnonzero(labels == digit)[:PER_DIGIT] for digit in range(10)])
    pair = data.two_classes(everything, FIRST, SECOND)
    train, test = pair[:TRAIN], pair[TRAIN : TRAIN + TEST]
    assert train.y is not None
    assert test.y is not None
    return Task(network, plan, everything.x[some], labels[some], everything.x[:PROBES], train.x, train.y, test.x, test.y)


def write(found: Sequence[Chapter], folder: Path, seconds: float) -> Path:
    made = (
        ("made by", f"tensorprog {version('tensorprog')}, JAX {version('jax')}"),
        ("data", f"digits of scikit-learn, 8 x 8 pixels, scaled to |x|^2 = d; training tells {FIRST} from {SECOND}"),
        ("time", f"{seconds:.0f} s"),
    )
    path = folder / "report.html"
    some = data.digits()
    assert some.y is not None
    first = [int(np.flatnonzero(some.y == digit)[0]) for digit in range(10)]
    path.write_text(html(report(found, some.x[first].reshape(-1, 8, 8), some.y[first], made)), encoding="utf-8")
    return path
