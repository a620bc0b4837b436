"""Feature learning by particles: time and peak memory of training inside the program, and their growth with the steps.

    python -m benchmarks.particles            # 5, 10, 20 and 40 steps, each in a process of its own
    python -m benchmarks.particles 20         # one of them

A tanh MLP of three layers in muP, 2 x 65,536 coordinates, four samples trained on one at a time and four probes: all eight outputs at every step.
"""

import json
import resource
import subprocess
import sys
from dataclasses import replace
from time import perf_counter

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

import tensorprog as tp
from architectures import ZOO
from tensorprog.kernels.unrolled import particle_outputs

STEPS = (5, 10, 20, 40)
TRAINED, PROBES = 4, 4
COORDINATES, REPLICATES = 2**16, 2


def measure(steps: int) -> dict[str, float]:
    """Seconds from the network to f_0 .. f_T, lines of the program, peak memory of this process in GiB, last outputs' largest error."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(TRAINED + PROBES, 3))
    y = np.concatenate([np.resize([1.0, -1.0], TRAINED), np.zeros(PROBES)])
    network = replace(ZOO["mlp"](depth=3, nonlinearity="tanh", sigma_v=1.0), kind="moment")
    start = perf_counter()
    u = tp.unroll(network, TRAINED + PROBES, batches=[[t % TRAINED] for t in range(steps)], optimizer=tp.SGD(0.2))
    found = particle_outputs(u, x, y, key=jax.random.key(0), samples=COORDINATES, replicates=REPLICATES)
    error = float(np.asarray(found.error)[-1].max())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"steps": steps, "lines": len(u.program.body), "seconds": perf_counter() - start, "gib": peak, "error": error}


def apart(steps: int) -> dict[str, float]:
    """`measure` in a process of its own: memory is that of this training alone."""
    answer = subprocess.run([sys.executable, "-m", "benchmarks.particles", "--json", str(steps)], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(answer.stdout)


def main() -> None:
    match sys.argv[1:]:
        case ["--json", steps]:
            print(json.dumps(measure(int(steps))))
            return
        case some:
            wanted = [int(s) for s in some] or STEPS
    table = Table("steps", "lines", "s", "s a further step", "peak, GiB", "error of f_T at most", title=f"{REPLICATES} x {COORDINATES:,} coordinates")
    before, spent = 0, 0.0
    for steps in wanted:
        m = apart(steps)
        further = (m["seconds"] - spent) / (steps - before)
        table.add_row(str(steps), str(m["lines"]), f"{m['seconds']:.1f}", f"{further:.2f}", f"{m['gib']:.2f}", f"{m['error']:.1e}")
        before, spent = steps, m["seconds"]
    Console().print(table)


if __name__ == "__main__":
    main()
