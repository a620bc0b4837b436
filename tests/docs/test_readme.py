"""Every word of the README that can run, runs."""

import re
import shlex
from pathlib import Path

import pytest

from tensorprog.cli import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for language, block in BLOCKS if not language for line in block.splitlines() if line.startswith("tensorprog ")]
QUICK = {
    "converge": ["--widths", "16:64", "--seeds", "4", "--points", "3"],
    "train": ["--widths", "32:64", "--seeds", "1", "--points", "8", "--test", "4"],
}


def test_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for language, block in BLOCKS:
        if language == "python":
            exec(block, names)
    assert Path("gated.svg").read_text(encoding="utf-8").count("<svg") == 1


@pytest.mark.parametrize("command", [c for c in COMMANDS if "my_program" not in c])
def test_commands_run(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As written, but for the widths of the long ones."""
    monkeypatch.chdir(tmp_path)
    tokens = shlex.split(command)[1:]
    if tokens[0] in QUICK:
        tokens = [*(t for t in tokens if t != "--widths" and ":" not in t), *QUICK[tokens[0]]]
    assert main(tokens) == 0


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in map("".join, re.findall(r"^make (\w+)|`make (\w+)`", README, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_links_exist() -> None:
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / target).exists(), target
