"""The acceptance checks of validity: the deterministic parts at their full size, networks in a small form."""

import pytest

from tensorprog.study.frame import Check, Found, Run, Setup, run_study
from tensorprog.study.validity import experiments
from tensorprog.study.validity.study import STUDY

EXACT = ("hard_family", "quadratic_maps", "horizons")


@pytest.fixture(scope="module")
def found() -> dict[str, Found]:
    results = run_study(STUDY, only=EXACT)
    for d in results.done:
        assert d.part.plot is not None
        assert d.part.plot(d.found).axes
    return {d.part.name: d.found for d in results.done}


@pytest.mark.parametrize("number", ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "horizon"])
def test_acceptance(found: dict[str, Found], number: str) -> None:
    mine = [c for f in found.values() for c in f.checks if c.number == number]
    assert mine
    assert not failed(tuple(mine))


def test_networks_stay_below_every_bound() -> None:
    """Two widths and two seeds: the exponents are asked for in the larger forms."""
    f = experiments.networks(Run(0), Setup(), (32, 128), 2, slack=1.0)
    assert not failed(f.checks)
    t = f.table
    # the certified constant is above what the path shows, and the a-posteriori bound, which knows the path, below the a-priori one
    assert (t["bound"] >= t["bound_estimated"]).all()
    assert (t["posterior"] <= t["bound"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_the_quick_form_holds_for_other_seeds(seed: int) -> None:
    results = run_study(STUDY, setup=Setup(quick=True), seed=seed)
    assert results.passed, results.markdown()


def failed(checks: tuple[Check, ...]) -> list[str]:
    return [f"{c.number} {c.claim}: {c.measured:.4g}, wanted {c.wanted}" for c in checks if not c.passed]
