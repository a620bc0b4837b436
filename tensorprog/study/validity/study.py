"""The study of validity: its parts in quick and in full form."""

from __future__ import annotations

from functools import partial

from tensorprog.study.frame import Part, Setup, Study
from tensorprog.study.validity import experiments, figures

ALPHAS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


def parts(setup: Setup) -> tuple[Part, ...]:
    """Quick and full form differ in widths and seeds; what is deterministic is checked at the full tolerance in both.

    The exponent of the error in the quick form has mean -0.89 and standard deviation 0.12 over seeds 0 .. 4 of the study, hence 0.35 for -1.
    """
    quick = setup.quick
    widths, seeds, slack = ((64, 128, 256, 512), 4, 0.35) if quick else ((128, 256, 512, 1024, 2048, 4096), 8, 0.15)
    maps, width, subject = (100 if quick else 300), (256 if quick else 1024), setup.subject()
    if setup.network is not None:  # which may be deep, and is told and not judged
        widths, seeds, width = ((32, 64, 128), 2, 128) if quick else ((64, 128, 256, 512), 4, 512)
    on_networks = {"widths": widths, "seeds": seeds, "slack": slack}
    on_scales = {"width": width, "alphas": ALPHAS, "slack": 0.1}
    return (
        Part(
            "hard_family", "the family that attains the bound", partial(experiments.hard_family, members=400), {"members": 400}, figures.hard_family
        ),
        Part("quadratic_maps", "random quadratic maps", partial(experiments.quadratic_maps, count=maps), {"count": maps}, figures.quadratic_maps),
        Part("horizons", "bounds against time", experiments.horizons, {}, figures.horizons),
        Part("networks", "networks by width", partial(experiments.networks, setup=setup, **on_networks), on_networks | subject, figures.networks),
        Part("scales", "one network by scale", partial(experiments.scales, setup=setup, **on_scales), on_scales | subject, figures.scales),
    )


STUDY = Study("validity", "When the NTK approximation is valid", parts)
