"""What is imported when: the language needs no array library, and asking for help needs no JAX."""

import subprocess
import sys

import pytest

HEAVY = ("jax", "numpy", "scipy", "matplotlib", "sklearn")


def modules_after(code: str) -> set[str]:
    """The modules that a fresh interpreter holds after running `code`."""
    run = subprocess.run([sys.executable, "-c", f"{code}\nimport sys; print('\\n'.join(sys.modules))"], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize("module", ["tensorprog", "tensorprog.language", "tensorprog.language.text", "tensorprog.language.valid", "tensorprog.build"])
def test_the_language_needs_no_array_library(module: str) -> None:
    assert not modules_after(f"import {module}") & set(HEAVY)


def test_help_needs_no_array_library() -> None:
    after = modules_after("from tensorprog.cli import main; main(['--help']); main(['kernel', '--help'])")
    assert "tensorprog.cli.app" in after
    assert not after & set(HEAVY)


def test_help_is_quick() -> None:
    """Below half a second of processor time, at best of three: the first run compiles bytecode, and a busy machine slows the others."""
    code = "import time; from tensorprog.cli.app import app; app.help_print([]); print('seconds', time.process_time())"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    assert min(float(run.stdout.split("seconds")[-1]) for run in runs) < 0.5


@pytest.mark.parametrize("command", ["check", "show", "draw", "kernel", "converge", "train", "demo", "study", "list"])
def test_every_command_has_help(command: str) -> None:
    run = subprocess.run([sys.executable, "-m", "tensorprog.cli", command, "--help"], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("Usage: tensorprog " + command)
