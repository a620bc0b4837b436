"""The shelf: kernels of attention, convolutions and recurrences on 64 inputs, and the time to read deep programs.

    python -m benchmarks.shelf

First is the first call, with compilation; again is the second. Reading is the way from the definition to the symbolic limit and to its trace, in
processor time.
"""

from collections.abc import Callable
from time import perf_counter, process_time
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

import tensorprog as tp
from architectures import ZOO
from tensorprog.kernels.exact import compiled

POINTS, FEATURES, DEPTH = 64, 8, 24
KERNELS: list[tuple[str, str, dict[str, Any]]] = [
    ("Transformer block, 16 tokens", "transformer", {"token": 16}),
    ("convolutions, 8 x 8 pixels", "cnn2d", {"height": 8, "width": 8}),
    ("recurrence, 16 steps, last state", "rnn", {"time": 16}),
    ("recurrence, 16 steps, mean of the states", "rnn", {"time": 16, "read": "mean"}),
]
DEEP = ("mlp", "resnet", "densenet", "cnn1d", "cnn2d", "conv_resnet1d", "conv_resnet2d", "gated", "mixer", "transformer")


def inputs(network: tp.Network, points: int) -> dict[str, np.ndarray]:
    rng, size = np.random.default_rng(0), network.program.size
    return {i.name: rng.standard_normal((points, *(size[a] for a in sorted(i.axes)), FEATURES)) for i in network.program.inputs}


def seconds(work: Callable[[], Any]) -> float:
    start = perf_counter()
    jax.block_until_ready(jax.tree.leaves(work()))
    return perf_counter() - start


def read(name: str) -> float:
    """Seconds of processor time from the definition of a deep network to the trace of its kernels."""
    start = process_time()
    network = ZOO[name](depth=DEPTH)
    x = {key: jax.numpy.asarray(a) for key, a in inputs(network, 2).items()}
    jax.eval_shape(compiled(network).tile, x, x, jax.numpy.eye(2, dtype=bool), {})
    return process_time() - start


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    console = Console()
    table = Table("kernels", "first, s", "again, s", title=f"NNGP and NTK of {POINTS} inputs")
    for title, name, options in KERNELS:
        network = ZOO[name](**options)
        x, evaluate = inputs(network, POINTS), compiled(network)
        table.add_row(title, *(f"{seconds(lambda x=x, e=evaluate: e(x).ntk):.2f}" for _ in range(2)))
    console.print(table)
    table = Table("architecture", "s", title=f"reading a network of depth {DEPTH}")
    for name in DEEP:
        table.add_row(name, f"{read(name):.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
