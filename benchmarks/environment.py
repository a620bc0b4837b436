"""The peer's environment: neural-tangents with the newest set of packages with which all of it works, beside ours, never in it."""

import subprocess
import sys
from pathlib import Path

PACKAGES = ("neural-tangents==0.6.5", "jax==0.4.25", "jaxlib==0.4.25", "tf2jax==0.3.6", "numpy==1.26.4", "scipy==1.13.1")
PLACE = Path(__file__).parent / ".peer"


def peer(place: Path = PLACE) -> Path | None:
    """The Python of the peer's environment, made if need be; None where it cannot be (the reason is printed)."""
    python, ready = place / "bin" / "python", place / ".ready"
    if ready.exists():
        return python
    uv = Path(sys.executable).with_name("uv")
    try:
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", "3.11", place], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *PACKAGES], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"The peer cannot be installed ({error}). Only our own times follow.", file=sys.stderr)
        return None
    ready.touch()
    return python


def translate(python: Path) -> None:
    """Leaves the bytecode of JAX on disk, which not every installer does: else the first call of the program that imports later pays for that."""
    places = "[os.path.dirname(package.__file__) for package in (jax, jaxlib)]"
    subprocess.run([python, "-c", f"import compileall, os, jax, jaxlib\nfor place in {places}: compileall.compile_dir(place, quiet=2)"], check=True)
