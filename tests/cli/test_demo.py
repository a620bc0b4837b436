"""The main job, small: it leaves every result and one page, goes on from where it was interrupted, and keeps what was computed."""

from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from tensorprog.cli import demo as command
from tensorprog.cli import main
from tensorprog.language import text
from tensorprog.study import demo as stages
from tensorprog.study import store
from tensorprog.study.demo import Plan

TINY = Plan((8, 16), 2, (8, 16), 1)
STAGES = {
    "program.tp",
    "forward.svg",
    "backward.svg",
    "kernels.npz",
    "kernels.svg",
    "convergence.npz",
    "convergence.svg",
    "training.npz",
    "training.svg",
}


def stop(*_: object, **__: object) -> NoReturn:
    raise KeyboardInterrupt


def fail(*_: object, **__: object) -> NoReturn:
    raise AssertionError("computed again")


def test_the_demo_is_resumed_where_it_was_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command, "QUICK", TINY)
    tokens = ["demo", "mlp", "--quick", "-o", str(tmp_path)]
    with monkeypatch.context() as interrupted:
        interrupted.setattr(stages, "follow", stop)
        assert main(tokens) == 130
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Convergence in width" in page
    assert ">Training<" not in page

    with monkeypatch.context() as kept:
        kept.setattr(stages, "kernels", fail)
        kept.setattr(stages, "converge", fail)
        assert main(tokens) == 0
    assert {p.name for p in (tmp_path / "mlp").iterdir()} == STAGES
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert ">Training<" in page
    assert "http" not in page  # self-contained
    assert text.parse((tmp_path / "mlp" / "program.tp").read_text()) == text.parse(
        capsys.readouterr().out.split("mlp: a Netsor")[0].split("wrote")[0]
    )


def test_stored_results_are_used_only_for_the_same_question(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    store.save(path, {"x": np.arange(3)}, {"seeds": 3})
    found = store.load(path, {"seeds": 3})
    assert found is not None
    np.testing.assert_array_equal(found["x"], [0, 1, 2])
    assert store.load(path, {"seeds": 4}) is None
    path.write_bytes(path.read_bytes()[:100])
    assert store.load(path, {"seeds": 3}) is None
    assert store.load(tmp_path / "none.npz", {}) is None
