"""The acceptance checks of linear networks: every part of the study, at the full tolerances where nothing is random."""

import pytest

from tensorprog.study.frame import Check, Found, Part, Run, Setup, run_study
from tensorprog.study.linear.study import STUDY

EXACT = ("closed_form", "one_mode", "descent", "random_balance", "phases", "sequels", "hierarchy", "noise")
NUMBERS = (*(f"3.{i}" for i in (*range(1, 14), 16)), "balance", "reversal", "hierarchy", "noise")


@pytest.fixture(scope="module")
def found() -> dict[str, tuple[Part, Found]]:
    """All parts but the bridge, with the seeds of the quick form."""
    return {d.part.name: (d.part, d.found) for d in run_study(STUDY, setup=Setup(quick=True), only=EXACT).done}


@pytest.fixture(scope="module")
def checks(found: dict[str, tuple[Part, Found]]) -> tuple[Check, ...]:
    return tuple(c for _, f in found.values() for c in f.checks)


@pytest.mark.parametrize("number", NUMBERS)
def test_acceptance(checks: tuple[Check, ...], number: str) -> None:
    mine = [c for c in checks if c.number == number]
    assert mine
    failed = [f"{c.claim}: {c.measured:.4g}, wanted {c.wanted}" for c in mine if not c.passed]
    assert not failed, "; ".join(failed)


def test_every_check_is_listed(checks: tuple[Check, ...]) -> None:
    assert {c.number for c in checks} == set(NUMBERS)


def test_every_part_is_drawn(found: dict[str, tuple[Part, Found]]) -> None:
    for part, f in found.values():
        assert part.plot is not None
        assert part.plot(f).axes


def test_the_printed_forms_fail_where_the_stable_one_does_not(found: dict[str, tuple[Part, Found]]) -> None:
    t = found["closed_form"][1].table
    late = t["exponent"] > 50
    assert (t["error"][late & (t["form"] == "stable")] < 1e-9).all()
    assert not (t["error"][late & (t["form"] == "za")] < 1e-9).all()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_quick_form_holds_for_other_seeds(seed: int) -> None:
    results = run_study(STUDY, setup=Setup(quick=True), seed=seed)
    assert results.passed, results.markdown()


def test_the_same_seed_gives_the_same_numbers() -> None:
    part = next(p for p in STUDY.parts(Setup(quick=True)) if p.name == "noise")
    first, again = part.run(Run(3)), part.run(Run(3))
    assert all((first.table[c] == again.table[c]).all() for c in first.table)
