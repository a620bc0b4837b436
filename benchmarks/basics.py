"""`make bench`: how long the main computations take, first call (with compilation) and second call."""

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

import tensorprog as tp
from architectures import ZOO
from tensorprog.cli import data
from tensorprog.kernels.limit import compiled

NETWORKS: list[tuple[str, dict[str, Any]]] = [
    ("mlp", {"depth": 3}),
    ("mlp", {"nonlinearity": "tanh"}),
    ("resnet", {"depth": 3}),
    ("rnn", {}),
    ("transformer", {"token": 4}),
]
POINTS = (16, 64)


def seconds(work: Callable[[], Any]) -> float:
    start = perf_counter()
    jax.block_until_ready(jax.tree.leaves(work()))
    return perf_counter() - start


def kernels(network: tp.Network, points: int) -> Callable[[], Any]:
    x = data.arrange(data.digits(), network.program).x[:points]
    evaluate = compiled(network)

    def work() -> Any:
        k = evaluate(x)
        return k.nngp, k.ntk

    return work


def jobs() -> Iterator[tuple[str, Callable[[], Any]]]:
    """The name and the work of every benchmark; a network is built anew each time where building is what is timed."""
    for name, options in NETWORKS:
        title = " ".join([name, *map(str, options.values())])
        yield f"{title}: build and check", lambda a=ZOO[name], o=options: str(tp.check(a(**o)))
        network = ZOO[name](**options)
        yield f"{title}: draw, forward and backward", lambda n=network: tp.draw(n, backward=True).svg
        for points in POINTS:
            yield f"{title}: limiting kernels, {points} x {points}", kernels(network, points)
    net, x = ZOO["mlp"](depth=3), data.digits().x[:16]
    for width in (256, 1024):
        params = tp.sample(net, jax.random.key(0), width, x.shape[1])
        yield f"mlp: empirical kernels, 16 x 16, width {width}", lambda p=params, n=width: tp.empirical_kernels(net, p, n, x).ntk
    k = np.asarray(tp.kernels(net, data.digits().x[:200]).ntk)
    yield "gradient flow, 200 points, 50 times", lambda: tp.gradient_flow(k, np.ones(len(k)), np.linspace(0.0, 1.0, 50)).train


def main() -> None:
    table = Table("benchmark", "first, s", "again, s", title="tensorprog")
    for name, work in jobs():
        table.add_row(name, *(f"{seconds(work):.3f}" for _ in range(2)))
    Console().print(table)


if __name__ == "__main__":
    main()
