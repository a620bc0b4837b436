"""`tensorprog theorem`: training unrolled in a program beside kernel gradient descent and real networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tensorprog.cli import data, screen, subject
from tensorprog.cli.output import PICTURES, require_ending, save
from tensorprog.cli.ranges import widths_of
from tensorprog.cli.subject import Options
from tensorprog.errors import InvalidProgram


def theorem(
    name: str,
    options: Options,
    *,
    steps: int,
    widths: str,
    seeds: int,
    source: str,
    classes: str,
    points: int,
    probes: int,
    mup: bool,
    output: Path | None,
) -> None:
    """The table of outputs by every way; the plot, or the numbers, into a file."""
    from tensorprog.study.theorem import theorem as run

    require_ending(output, *PICTURES, ".json")
    chosen = widths_of(widths)
    network = subject.network(name, options)
    network = replace(network, kind="moment") if mup else network
    found = data.arrange(data.labelled(data.load(source), classes), network.program)
    if points < 1 or probes < 0 or steps < 1 or points + probes > len(found.x):
        raise InvalidProgram(f"--points {points}, --probes {probes}, --steps {steps}: take at least one point and step of the {len(found.x)} inputs.")
    samples = found[: points + probes]
    assert samples.y is not None  # `data.labelled` refuses data without targets
    with screen.progress(f"unrolling {network.name}") as progress:
        result = run(network, samples.x, samples.y, batches=[list(range(points))] * steps, widths=chosen, seeds=seeds, progress=progress)
    screen.show(result.table(points + probes))
    save(result, output)
