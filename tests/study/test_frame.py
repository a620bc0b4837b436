"""A study keeps what it has done: a rerun reads, an interruption loses one step, another seed or setting computes anew."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.precision import double
from tensorprog.study.frame import Check, Found, Part, Run, Setup, Study, around, rows, run_study, tidy

CALLS: list[str] = []


@pytest.fixture(autouse=True)
def forget() -> None:
    CALLS.clear()


def squares(run: Run) -> Found:
    CALLS.append("squares")
    draw = np.random.default_rng(run.seed).uniform(1, 2, 3)
    run.tell(0.5, "half")
    table = tidy({"n": n, "of": f"n = {n}", "value": float(draw[n] * n**2)} for n in range(3))
    return Found(table, (Check("9.1", "the largest", float(table["value"].max()), 1.0, 8.0),), {"draw": draw})


def steps(run: Run) -> Found:
    kept = [run.kept(f"step{i}", lambda i=i: _step(i)) for i in range(2)]
    if "stop" in CALLS:
        raise KeyboardInterrupt
    return Found(tidy({"i": int(k["i"])} for k in kept))


def _step(i: int) -> dict[str, int]:
    CALLS.append(f"step{i}")
    return {"i": i}


def study(scale: float = 1.0) -> Study:
    def parts(setup: Setup) -> list[Part]:
        return [
            Part("squares", "Squares", squares, {"scale": scale, "quick": setup.quick}, plot=lambda found: Figure()),
            Part("steps", "Steps", steps),
        ]

    return Study("numbers", "Numbers", parts)


def test_a_part_is_computed_once_and_read_as_it_was(tmp_path: Path) -> None:
    first, again = (run_study(study(), tmp_path) for _ in range(2))
    assert CALLS == ["squares", "step0", "step1"]
    for name in ("squares", "steps"):
        for column, values in first[name].table.items():
            np.testing.assert_array_equal(values, again[name].table[column])
    np.testing.assert_array_equal(first["squares"].arrays["draw"], again["squares"].arrays["draw"])
    assert first.checks == again.checks
    assert first.passed
    assert first.done[0].seconds == again.done[0].seconds


@pytest.mark.parametrize("change", ["seed", "setting", "quick"])
def test_another_seed_or_setting_computes_anew(tmp_path: Path, change: str) -> None:
    run_study(study(), tmp_path, only=("squares",))
    run_study(study(2.0 if change == "setting" else 1.0), tmp_path, Setup(change == "quick"), seed=int(change == "seed"), only=("squares",))
    assert CALLS == ["squares", "squares"]


def test_a_decorated_part_depends_on_its_own_code(tmp_path: Path) -> None:
    """Not on that of the decorator, which stands elsewhere."""
    plain, decorated = (Study("s", "S", lambda setup, run=run: [Part("p", "P", run)]) for run in (squares, double(squares)))
    run_study(plain, tmp_path)
    run_study(decorated, tmp_path)
    assert CALLS == ["squares"]


def test_an_interruption_keeps_finished_steps(tmp_path: Path) -> None:
    CALLS.append("stop")
    with pytest.raises(KeyboardInterrupt):
        run_study(study(), tmp_path)
    CALLS.clear()
    run_study(study(), tmp_path)
    assert CALLS == []


def test_results_are_files_that_others_can_read(tmp_path: Path) -> None:
    results = run_study(study(), tmp_path)
    lines = (tmp_path / "squares.csv").read_text().splitlines()
    assert lines[0] == "n,of,value"
    assert lines[1].startswith("0,n = 0,0.0")
    assert rows(results["squares"].table)[2]["of"] == "n = 2"
    assert (tmp_path / "squares.svg").exists()
    text = (tmp_path / "checks.md").read_text()
    assert "| 9.1 | the largest |" in text
    assert "`tensorprog study numbers`" in text


def test_without_a_folder_nothing_is_written_and_a_failing_check_is_told() -> None:
    checks = (Check("1", "a", 2.0, high=1.0), Check("2", "b", 2.0, low=1.0), Check("3", "c", float("nan"), 0.0, 1.0))
    failing = Study("failing", "Failing", lambda setup: [Part("p", "P", lambda run: Found({}, checks))])
    results = run_study(failing)
    assert [c.passed for c in results.checks] == [False, True, False]
    assert [c.wanted for c in results.checks] == ["≤ 1", "≥ 1", "0 … 1"]
    assert not results.passed
    assert results.markdown().count("**fails**") == 2


def test_a_number_without_an_interval_is_told_and_not_judged() -> None:
    check = Check("own", "an exponent", float("nan"), *around(-1.0, None))
    assert check.passed
    assert (check.wanted, check.verdict) == ("", "")
    assert not Check("own", "an exponent", -0.4, *around(-1.0, 0.5)).passed


def test_an_unknown_part_is_named() -> None:
    with pytest.raises(InvalidProgram, match=r"no part cubes\. Its parts are squares, steps"):
        run_study(study(), only=("cubes",))
