"""The study of linear networks: its parts in quick and in full form."""

from __future__ import annotations

from functools import partial

from tensorprog.errors import InvalidProgram
from tensorprog.study.frame import Part, Setup, Study
from tensorprog.study.linear import bridge, exactness, figures, own, regimes


def parts(setup: Setup) -> tuple[Part, ...]:
    """Quick and full form differ in the number of seeds and widths; deterministic checks are the same.

    The exponent of the bridge's quick form (4 widths, 32 seeds) has a standard deviation of 0.04 over seeds 0 .. 5 of the study, hence 0.15 for
    -1/2; the full form (7 widths to 4096, 64 seeds) is asked for 0.06.
    """
    if setup.network is not None:
        raise InvalidProgram("[linear] this study is of two-layer linear networks. Give data of your own, and no architecture.")
    if setup.x is not None:
        if setup.y is None:
            raise InvalidProgram("[linear] a task has inputs and targets. Give y, (N,) or (N, No).")
        run = partial(own.task, x=setup.x, y=setup.y)
        return (Part("own", "a task of your own, by balance", run, setup.subject(), figures.own),)
    quick = setup.quick
    seeds, tasks = (2 if quick else 5), (5 if quick else 20)
    widths = (64, 128, 256, 512) if quick else (64, 128, 256, 512, 1024, 2048, 4096)
    networks, slack = (32, 0.15) if quick else (64, 0.06)
    return (
        Part("closed_form", "closed forms against integration", exactness.closed_form, {}, figures.closed_form),
        Part("one_mode", "singular values of aligned networks", exactness.one_mode, {}, figures.one_mode),
        Part("descent", "gradient descent with the published settings", partial(exactness.descent, seeds=seeds), {"seeds": seeds}, figures.descent),
        Part(
            "random_balance", "balance of random initialization", partial(exactness.random_balance, seeds=50), {"seeds": 50}, figures.random_balance
        ),
        Part("phases", "lazy, rich and delayed rich", partial(regimes.phases, seeds=tasks), {"seeds": tasks}, figures.phases),
        Part("sequels", "continual and reversal learning", regimes.sequels, {}, figures.sequels),
        Part("hierarchy", "the semantic task", regimes.hierarchy, {}, figures.hierarchy),
        Part("noise", "sensitivity to noise", partial(regimes.noise, draws=4000), {"draws": 4000}, figures.noise),
        Part(
            "bridge",
            "infinite width",
            partial(bridge.widths, chosen=widths, seeds=networks, slack=slack),
            {"widths": widths, "seeds": networks, "slack": slack},
            figures.bridge,
        ),
    )


STUDY = Study("linear", "Exact learning dynamics of two-layer linear networks", parts)
