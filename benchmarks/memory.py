"""Peak memory of a process that computes both kernels of 10,000 points in float32, beside the size of the kernels: `python -m benchmarks.memory`."""

import resource
import subprocess
import sys

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

import tensorprog as tp
from architectures import ZOO

POINTS, MIB = 10_000, 2.0**20


def measured(sigma_b: float) -> tuple[float, float, float]:
    """MiB: of this process before, of the kernels, and of this process at most."""
    x = np.random.default_rng(0).standard_normal((POINTS, 32)).astype(np.float32)
    tile = tp.tile(ZOO["mlp"](depth=3, sigma_b=sigma_b), dtype="float32")
    jax.block_until_ready(tile(x[:1]))
    before = _peak()
    kernels = jax.block_until_ready(tile(x))
    return before, sum(k.nbytes for k in kernels.values()) / MIB, _peak()


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    if len(sys.argv) > 1:
        print(*measured(float(sys.argv[1])))
        return
    table = Table("relu MLP of depth 3", "before, MiB", "kernels, MiB", "at most, MiB")
    for name, sigma_b in (("without biases", "0"), ("with biases", "0.1")):
        ran = subprocess.run([sys.executable, "-m", "benchmarks.memory", sigma_b], capture_output=True, text=True, check=True)
        table.add_row(name, *(f"{float(number):,.0f}" for number in ran.stdout.split()))
    Console().print(table)


if __name__ == "__main__":
    main()
