"""The study of scaling laws: `tensorprog study scaling` (Vyas, Bansal & Nakkiran 2022, arXiv 2206.10012)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from tensorprog.errors import InvalidProgram
from tensorprog.language.listing import show
from tensorprog.language.program import Network
from tensorprog.study.frame import Found, Part, Setup, Study
from tensorprog.study.networks import perceptron
from tensorprog.study.scaling import parts as of
from tensorprog.study.scaling import plots
from tensorprog.study.scaling.evolution import Course
from tensorprog.study.scaling.laws import ADAM, PREDICTORS, Plan

EVEN = perceptron(depth=1, sigma_v=0.2)
"""Two layers of ReLU with an output scale of 0.2, which lets features move. Without biases its odd part is linear: it learns even targets."""

BIASED = perceptron(depth=1, sigma_v=0.2, sigma_b=1.0)
"""The same with biases, for targets that have an odd part."""


def parts(setup: Setup) -> Sequence[Part]:
    """The experiments: quick, full, or on a user's network and data."""
    if setup.network is not None:
        return (_own(setup, setup.network),)
    return _quick() if setup.quick else _full()


def _quick() -> Sequence[Part]:
    """Sizes up to 1024 and two seeds.

    Over seeds 0 .. 4 of the study (mean, standard deviation) the gap of the exponents is 0.278 +- 0.022 for wrong signs and 0.151 +- 0.011 for the
    squared error, the total factor of the evolution 3.30 +- 0.31, its late share 0.644 +- 0.027, the kernel distance 0.0043 +- 0.0010. What is asked
    for is three standard deviations below the mean, rounded down.
    """
    training = replace(ADAM, steps=1500)
    xor = Plan((256, 512, 1024), 2, predictors=PREDICTORS[:5], training=training)
    course = Course((0, 100, 400, 1200, 4000), 512)
    return (
        _law("xor", "XOR of 2 among 20 coordinates", xor, of.drawn("xor", 20, xor), of.all_of(of.gap("2.1", "xor, d = 20", 0.2, 0.11))),
        _evolution(course, 2**14, total=2.3, late=0.5, moved=0.001),
    )


def _full() -> Sequence[Part]:
    sizes = (256, 512, 1024, 2048)
    every, basic = Plan(sizes, 3, predictors=PREDICTORS), Plan(sizes, 3)
    small = Plan((128, 256, 512, 1024), 3)
    xor = of.all_of(of.gap("2.1", "xor, d = 20", 0.2, 0.12), of.after_kernels(0.1, 0.5), of.lazy_control(0.05))
    return (
        _law("xor", "XOR of 2 among 20 coordinates", every, of.drawn("xor", 20, every), xor),
        _law("xor30", "XOR of 2 among 30 coordinates", basic, of.drawn("xor", 30, basic), of.gap("2.2", "xor, d = 30", 0.1, 0.1)),
        _evolution(Course(), 2**16, total=3.0, late=0.15, moved=0.02),
        _law("quadratic", "negative control: x1 x2, d = 20", basic, of.drawn("quadratic", 20, basic), of.control(0.1)),
        _law("cubic", "x1 x2 x3, d = 10", basic, of.drawn("cubic", 10, basic), of.none, BIASED),
        _law("staircase", "x1 + x1 x2 + x1 x2 x3, d = 15", basic, of.drawn("staircase", 15, basic), of.none, BIASED),
        _law("digits", "parity of scikit-learn's digits", small, of.parities(small), of.none),
    )


def _own(setup: Setup, network: Network) -> Part:
    """The user's network on the user's data: half for training, a fifth for validation, the rest for test."""
    x, y = setup.x, setup.y
    if not isinstance(x, np.ndarray) or y is None or np.ndim(y) != 1:
        raise InvalidProgram("[scaling] this study reads one input array and one target a point. Give a network of one input, and targets (N,).")
    largest = len(x) // 2
    sizes = tuple(n for n in (largest // 8, largest // 4, largest // 2, largest) if n >= 4)
    if len(sizes) < 2:
        raise InvalidProgram(f"[scaling] {len(x)} points are too few for an exponent. Give at least 16: --points 512.")
    plan = Plan(sizes, 2 if setup.quick else 4, training=replace(ADAM, steps=500 if setup.quick else 3000))
    part = _law("own", f"{network.name} on data of your own", plan, of.shuffled(x, y, plan, len(x) // 5), of.told, network)
    return replace(part, settings={**part.settings, **setup.subject()})


def _law(name: str, title: str, plan: Plan, split: Callable[[int], Any], checks: Callable[..., Any], network: Network = EVEN) -> Part:
    run = partial(of.law, network=network, split=split, plan=plan, checks=checks)
    named = {} if network is EVEN else {"network": show(network)}
    return Part(name, title, run, {"plan": repr(plan), "what": title, **named}, partial(_plot, title))


def _plot(title: str, found: Found) -> Any:
    return plots.laws(found, title)


def _evolution(course: Course, stream: int, **wanted: float) -> Part:
    run = partial(of.evolution, network=BIASED, target="staircase", d=15, course=course, stream=stream, **wanted)
    settings = {"network": show(BIASED), "course": repr(course), "stream": stream, **wanted}
    return Part("evolution", "the empirical NTK along training", run, settings, plots.evolution)


STUDY = Study("scaling", "Data-scaling laws of networks and of their kernels", parts)
