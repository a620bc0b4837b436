"""The experiments of the disconnect on a user's network and data: the same measurements, told and not judged."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.finite import sample
from tensorprog.language.program import Network
from tensorprog.study.disconnect import parts as of
from tensorprog.study.disconnect import plots
from tensorprog.study.disconnect.bandit import Problem
from tensorprog.study.disconnect.continual import Tasks, rotated
from tensorprog.study.fit import Floats
from tensorprog.study.frame import Part, Setup

FEWEST, FEW = 8, 16  # points that the study needs; points on which kernels are trained
ARMS, LEAST_ROUNDS, MOST_ENTRIES = 4, 50, 1000  # a player keeps Z, a matrix of all entries
TASKS, ANGLE, LABELS = 3, 0.8, 10


def parts(setup: Setup, network: Network) -> Sequence[Part]:
    """Every experiment of the study.

    Kernels are trained on the first points; functions are learned on half of them and looked at on the others; the bandit pulls the point of the
    largest target among four; continual learning turns the data by rotations, see `classes`.

    Raises:
        InvalidProgram: a network of several outputs or of positions, or data that are not one input array with one target a point.
    """
    x, y = _data(setup, network)
    widths, seeds = ((32, 64, 128), 2) if setup.quick else ((64, 128, 256, 512), 4)
    first, half = {"x": x[:FEW], "y": y[:FEW]}, len(x) // 2
    name, subjects, common = network.name, {network.name: network}, {"widths": widths, "seeds": seeds}
    parted: dict[str, Any] = {"x": x[:half], "y": y[:half], "x_test": x[half:]}
    rounds, epochs = max(LEAST_ROUNDS, len(x) // ARMS), (5, 50) if setup.quick else (5, 50, 500)
    told = setup.subject() | {k: repr(v) for k, v in common.items()}

    def part(what: str, title: str, run: Any, plot: Any, **arguments: Any) -> Part:
        return Part(what, title, partial(run, **arguments), told, plot)

    return [
        part(
            "fluctuation",
            f"the kernel of {name} at initialization",
            of.fluctuation,
            plots.fluctuation,
            subjects=subjects,
            x=x[:1],
            judged=False,
            widths=widths,
            seeds=200,
        ),
        part("drift", f"the kernel of {name} in training", of.drifting, plots.drift, subjects=subjects, **first, margin=None, **common),
        part("natural", f"natural gradient descent of {name}", of.natural, plots.natural, subjects=subjects, **first, judged=False, **common),
        part(
            "infinite",
            f"{name} beside the infinite-width prediction",
            of.infinite,
            plots.infinite,
            network=network,
            **parted,
            margin=None,
            level=0.1,
            **common,
        ),
        part(
            "bandits",
            f"exploration by {name}",
            of.bandits,
            plots.bandits,
            network=network,
            problems=problems(x, y, rounds, seeds),
            width=player_width(network, x),
            judged=False,
        ),
        part(
            "continual",
            f"forgetting of {name}",
            of.continual,
            plots.continual,
            network=network,
            tasks=tasks(x, y),
            widths=widths,
            epochs=epochs,
            seeds=1,
            rises=None,
        ),
    ]


def problems(x: Floats, y: Floats, rounds: int, seeds: int) -> list[Problem]:
    """In every round four of the points are shown, and the reward is the target of the one that is pulled; points come again once all were shown."""

    def one(seed: int) -> Problem:
        rng = np.random.default_rng(seed)
        order = np.concatenate([rng.permutation(len(x)) for _ in range(-(-rounds * ARMS // len(x)))])[: rounds * ARMS]
        return Problem(x[order], y[order].reshape(rounds, ARMS))

    return [one(seed) for seed in range(seeds)]


def player_width(network: Network, x: Floats) -> int:
    """The largest of the widths 32, 16, 8 at which the network has no more entries than a player can keep a square matrix of; else 8."""

    def entries(n: int) -> int:
        like = jax.eval_shape(lambda key: sample(network, key, n, x.shape[-1]), jax.random.key(0))
        return sum(a.size for a in like.values())

    return next((n for n in (32, 16) if entries(n) <= MOST_ENTRIES), 8)


def tasks(x: Floats, y: Floats) -> Tasks:
    """The data three times, turned by growing rotations of every vector; every second point is for testing."""
    label = classes(y)
    return rotated(x[::2], label[::2], x[1::2], label[1::2], tasks=TASKS, angle=ANGLE, seed=0)


def classes(y: Floats) -> np.ndarray:
    """Labels 0, 1, .. of targets with at most ten values; other targets are split at their median."""
    values, label = np.unique(y, return_inverse=True)
    return label if len(values) <= LABELS else (y > np.median(y)).astype(int)


def _data(setup: Setup, network: Network) -> tuple[Floats, Floats]:
    x, y = setup.x, setup.y
    if not isinstance(x, np.ndarray) or y is None or np.shape(y) != (len(x),) or len(x) < FEWEST:
        raise InvalidProgram(f"[disconnect] this study reads one input array and one target a point, for {FEWEST} points or more: give targets (N,).")
    if network.outputs > 1 or network.output_axes:
        raise InvalidProgram(f"[disconnect] {network.name} has several outputs. Read out one number.")
    if np.ptp(y) == 0:
        raise InvalidProgram("[disconnect] all targets are equal: there is nothing to learn. Give other targets.")
    return x, np.asarray(y)
