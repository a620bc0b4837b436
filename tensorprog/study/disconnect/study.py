"""The study of the disconnect: `tensorprog study disconnect` (Wenger, Dangel & Kristiadi 2023, arXiv 2310.00137)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from tensorprog.language.listing import show
from tensorprog.language.program import Network
from tensorprog.study.disconnect import own, plots
from tensorprog.study.disconnect import parts as of
from tensorprog.study.disconnect.continual import mixture, rotated
from tensorprog.study.fit import Floats
from tensorprog.study.frame import Found, Part, Setup, Study
from tensorprog.study.networks import perceptron


def parts(setup: Setup) -> Sequence[Part]:
    """The experiments: quick, full, or on a user's network and data."""
    if setup.network is not None:
        return own.parts(setup, setup.network)
    quick = setup.quick
    return [_fluctuation(quick), _drift(quick), *_natural(quick), _bandits(quick), _continual(quick), *_infinite(quick)]


def deep_relu(depths: Sequence[int]) -> dict[str, Network]:
    """ReLU networks by depth."""
    return {f"relu L = {depth}": perceptron(depth=depth) for depth in depths}


def smooth(depths: Sequence[int]) -> dict[str, Network]:
    """tanh networks by depth."""
    return {f"tanh L = {depth}": perceptron(depth=depth, nonlinearity="tanh", sigma=1.0) for depth in depths}


def gaussians(points: int, d: int, seed: int) -> tuple[Floats, Floats]:
    """x ~ N(0, I_d) and targets ~ N(0, 1): no structure to be found."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((points, d)), rng.standard_normal(points)


def wave(points: int) -> tuple[Floats, Floats, Floats]:
    """sin(2.5 t) at a few t in [-1.5, 1.5]: x = (t, 1), y, and the x of a fine grid on [-2, 2]."""
    t, grid = np.linspace(-1.5, 1.5, points), np.linspace(-2.0, 2.0, 81)
    return np.stack([t, np.ones_like(t)], 1), np.sin(2.5 * t), np.stack([grid, np.ones_like(grid)], 1)


def _fluctuation(quick: bool) -> Part:
    x = np.random.default_rng(0).standard_normal((1, 5))
    x *= np.sqrt(5) / np.linalg.norm(x)
    settings = {
        "subjects": deep_relu((1, 4) if quick else (1, 2, 4, 8)),
        "widths": (32, 64) if quick else (16, 32, 64, 128),
        "seeds": 1000 if quick else 2000,
    }
    return _part("fluctuation", "the kernel at initialization by depth / width", of.fluctuation, plots.fluctuation, x=x, judged=True, **settings)


def _drift(quick: bool) -> Part:
    """Exponents between -1 (smooth) and -3/4 (kinks) in the NTK parametrization and 0 in muP, within a margin.

    Over the seeds 0 .. 5 of the study the quick form gives -0.90 +- 0.04, and in muP 0.09 +- 0.04 (mean and standard deviation): widths from 32 on
    are off by 0.1, and three standard deviations are 0.13. The full form has twice the seeds, at widths up to four times as large.
    """
    x, y = gaussians(12, 10, 1)
    settings = {"widths": (32, 64, 128), "seeds": 8, "margin": 0.25} if quick else {"widths": (64, 128, 256, 512), "seeds": 16, "margin": 0.15}
    subjects = smooth((2,)) if quick else smooth((2,)) | deep_relu((2,))
    return _part("drift", "the kernel in training", of.drifting, plots.drift, subjects=subjects, x=x, y=y, **settings)


def _natural(quick: bool) -> list[Part]:
    x, y = gaussians(20, 10, 0)
    title, few = "natural gradient descent and the stability of the Jacobian", {"widths": (32, 128, 512), "seeds": 2}
    shallow = {**few, "subjects": smooth((1,)) | deep_relu((1,))}
    if quick:
        return [_part("natural", title, of.natural, plots.natural, x=x, y=y, **shallow)]
    deep = {**few, "subjects": smooth((4,)) | deep_relu((4,))}
    return [
        _part("natural", title, of.natural, plots.natural, x=x, y=y, **{**shallow, "widths": (32, 128, 512, 2048), "seeds": 5}),
        _part("natural_deep", f"{title}, four layers", of.natural, plots.natural, x=x, y=y, **deep),
    ]


def _bandits(quick: bool) -> Part:
    rounds, seeds, width = (200, 2, 16) if quick else (1000, 3, 32)
    run = partial(
        of.bandits, network=perceptron(depth=1), problems=[of.contextual(rounds, 4, 6, s) for s in range(seeds)], width=width, judged=not quick
    )
    return Part("bandits", "exploration in a contextual bandit", run, {"rounds": rounds, "seeds": seeds, "width": width}, plots.bandits)


def _continual(quick: bool) -> Part:
    tasks = rotated(*mixture(10, 5, 256, 1000, 1.5, 0), tasks=5, angle=0.8, seed=0)
    epochs, seeds = ((5, 50, 200), 1) if quick else ((5, 50, 500), 3)
    widths = (8, 32, 128) if quick else (8, 32, 128, 512)
    run = partial(of.continual, network=perceptron(depth=2), tasks=tasks, widths=widths, epochs=epochs, seeds=seeds, rises=3.0 if quick else 5.0)
    settings = {"widths": widths, "epochs": epochs, "seeds": seeds}
    return Part("continual", "forgetting by width and epochs", run, settings, plots.continual)


def _infinite(quick: bool) -> list[Part]:
    x, y, grid = wave(6)
    title, data = "functions beside the infinite-width prediction", {"x": x, "y": y, "x_test": grid}
    smooth_one, rough = perceptron(depth=1, nonlinearity="tanh", sigma=2.0), perceptron(depth=1)
    if quick:
        few = {"widths": (64, 256, 1024), "seeds": 4, "margin": 0.25, "level": 0.1}
        return [_part("infinite", title, of.infinite, plots.infinite, network=smooth_one, **data, **few)]
    many = {"widths": (64, 128, 256, 512, 1024, 2048), "seeds": 12, "margin": 0.15, "level": 0.1}
    long = {"widths": (64, 256, 1024), "seeds": 8, "margin": 0.5, "level": 0.01}
    return [
        _part("infinite", title, of.infinite, plots.infinite, network=smooth_one, **data, **many),
        _part("infinite_long", f"{title}, ReLU, trained for long", of.infinite, plots.infinite, network=rough, **data, **long),
    ]


def _part(name: str, title: str, run: Callable[..., Found], plot: Callable[[Found], Any], **arguments: Any) -> Part:
    """A part whose settings are the arguments of its function: networks by their text, arrays by their numbers."""

    def plain(value: Any) -> Any:
        match value:
            case Network():
                return show(value)
            case np.ndarray():
                return value.tolist()
            case Mapping():
                return {k: plain(v) for k, v in value.items()}
            case _:
                return value

    return Part(name, title, partial(run, **arguments), {k: plain(v) for k, v in arguments.items()}, plot)


STUDY = Study("disconnect", "Where practice leaves the kernel regime", parts)
