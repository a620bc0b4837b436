"""`tensorprog study`: what it prints and keeps, a user's own network, and how it refuses."""

from pathlib import Path

import numpy as np
import pytest

from tensorprog.cli import main
from tensorprog.study.frame import Check, Found, Part, Study


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_part_is_run_told_and_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "linear", "--quick", "--parts", "noise,one_mode"]) == 0
    out = capsys.readouterr().out
    assert "3.7" in out
    assert "holds" in out
    assert {p.name for p in Path("out/study/linear").iterdir()} == {
        "checks.md",
        *(f"{part}.{ending}" for part in ("noise", "one_mode") for ending in ("csv", "npz", "svg")),
    }
    before = Path("out/study/linear/noise.npz").stat().st_mtime_ns
    assert main(["study", "linear", "--quick", "--parts", "noise"]) == 0
    assert Path("out/study/linear/noise.npz").stat().st_mtime_ns == before


def test_a_failing_check_is_the_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = Part("p", "P", lambda run: Found({}, (Check("1", "two is at most one", 2.0, high=1.0),)))
    monkeypatch.setattr("tensorprog.study.linear.study.STUDY", Study("linear", "Failing", lambda setup: [wrong]))
    assert main(["study", "linear", "-o", "f"]) == 1
    assert "fails" in capsys.readouterr().out


@pytest.mark.slow
def test_a_network_and_data_of_ones_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    np.savez("mine.npz", x=rng.standard_normal((6, 4)), y=rng.standard_normal(6))
    mine = ["--architecture", "mlp", "--data", "mine.npz", "--nonlinearity", "tanh"]
    assert main(["study", "validity", "--quick", "--parts", "scales", "-o", "v", *mine]) == 0
    assert "SGD" in capsys.readouterr().out
    assert Path("v/scales.csv").read_text().startswith("how,alpha,error,lipschitz,root")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["study", "linear", "--parts", "cubes"], "no part cubes"),
        (["study", "validity", "--data", "digits"], "Name it: --architecture mlp"),
        (["study", "validity", "--architecture", "nothing"], "nothing"),
        (["study", "disconnect", "--architecture", "mlp", "--points", "0"], "--points 0: ask for at least 1"),
        (["study", "disconnect", "--architecture", "mlp", "--points", "4"], "8 points or more"),
        (["study", "scaling", "--architecture", "mlp", "--points", "8"], "too few for an exponent"),
        (["study", "linear", "--whiten"], "Name them: --data mine.npz"),
        (["study", "linear", "--data", "digits"], "or --whiten"),
    ],
)
def test_what_has_no_meaning_is_named(command: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 2
    assert message in " ".join(capsys.readouterr().err.split())
