"""`tensorprog mup` and `tensorprog transfer`, asked as a person would."""

import json
from pathlib import Path

import pytest

from tensorprog.cli import main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_table_and_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mup", "mlp", "--base", "256", "--target", "1024", "-o", "table.json"]) == 0
    out = capsys.readouterr().out
    assert "W2" in out
    assert "(x0.25)" in out
    assert json.loads(Path("table.json").read_text())["rows"][0]["class"] == "matrix-like"


@pytest.mark.slow
def test_the_check_names_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["mup", "mlp", "--depth", "1", "--parametrization", "ntp", "--optimizer", "sgd", "--check", "8,64", "-o", "check.png"]
    assert main(command) == 0
    assert "the part of U vanishes with the width" in capsys.readouterr().out
    assert Path("check.png").read_bytes().startswith(b"\x89PNG")


def test_the_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    sweep = ["--widths", "8,16", "--rates", "0.1,1", "--parametrizations", "ntp,mup", "--steps", "2", "--seeds", "1", "--points", "4"]
    assert main(["transfer", "mlp", "--depth", "1", *sweep, "-o", "sweep.json"]) == 0
    assert "best learning rate" in capsys.readouterr().out
    found = json.loads(Path("sweep.json").read_text())
    assert [len(found["losses"]), len(found["losses"][0]), len(found["losses"][0][0])] == [2, 2, 2]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["mup", "mlp", "--base", "256"], "Give both, positive"),
        (["mup", "mlp", "-o", "table.svg"], "saved as .json"),
        (["mup", "mlp", "--parametrization", "pum"], "no parametrization is called 'pum'"),
        (["transfer", "mlp", "--rates", "1,x"], "--rates takes 2^-6:2^4"),
        (["transfer", "mlp", "--rates", "1,0.5"], "rates are positive and grow"),
        (["transfer", "mlp", "--points", "0"], "--points is 0"),
    ],
)
def test_refusals(command: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 2
    assert message in capsys.readouterr().err
