"""Commands about width: mup (the table and the coordinate check), transfer (learning rates across widths)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tensorprog.cli import data, screen, subject
from tensorprog.cli.output import PICTURES, require_ending, save
from tensorprog.cli.ranges import rates_of, widths_of
from tensorprog.cli.subject import Options
from tensorprog.errors import InvalidProgram
from tensorprog.language.program import Network
from tensorprog.transform.parametrization import named

if TYPE_CHECKING:
    from tensorprog.study.mup import Optimizer
    from tensorprog.study.transfer import Transfer


def mup(
    name: str,
    options: Options,
    *,
    optimizer: Optimizer,
    base: int | None,
    target: int | None,
    parametrization: str,
    check: str | None,
    output: Path | None,
) -> None:
    """The table of exponents; with widths to check at, the sizes that real networks have there, and which tensor is not right."""
    from tensorprog.study.coordinates import coordinate_check
    from tensorprog.study.mup import mup as table_of

    require_ending(output, *(PICTURES if check is not None else ()), ".json")
    chosen = named(parametrization)
    network = subject.network(name, options)
    table = table_of(network, optimizer, base=base, target=target, parametrization=chosen)
    screen.show(table.table())
    if check is None:
        if output is not None:
            output.write_text(json.dumps(table.to_dict()), encoding="utf-8")
            screen.wrote(output)
        return
    widths, (x, y) = widths_of(check), _points(network, 8)
    rate = 0.2 if optimizer == "sgd" else 0.03
    with screen.progress(f"training {network.name}") as progress:
        found = coordinate_check(network, x, y, widths, parametrization=chosen, optimizer=optimizer, rate=rate, progress=progress)
    screen.show(found.table())
    screen.plain(str(found))
    save(found, output)


def transfer(
    name: str,
    options: Options,
    *,
    optimizer: Optimizer,
    widths: str,
    rates: str,
    parametrizations: str,
    steps: int,
    seeds: int,
    points: int,
    limit: bool,
    output: Path | None,
) -> None:
    """The best learning rate by width in each parametrization; the plot, or the losses, into a file."""
    from tensorprog.study.transfer import transfer as study_of

    require_ending(output, *PICTURES, ".json")
    chosen, grid, several = widths_of(widths), rates_of(rates), [named(p.strip()) for p in parametrizations.split(",")]
    network = subject.network(name, options)
    x, y = _points(network, points)
    if limit and (optimizer != "sgd" or output is None or output.suffix == ".json"):
        raise InvalidProgram("--limit draws the limit of SGD into a plot. Give --output with the name of a picture, and --optimizer sgd.")
    reached: list[Transfer] = []
    try:
        with screen.progress(f"training {network.name}") as progress:
            study_of(
                network, x, y, chosen, rates=grid, parametrizations=several, optimizer=optimizer, steps=steps, seeds=seeds,
                progress=progress, keep=reached.append,
            )  # fmt: skip
    finally:  # an interruption keeps the widths that are done
        for study in reached[-1:]:
            screen.show(study.table())
            save(study, output)
    if limit and output is not None:
        _with_limit(reached[-1], network, x, y, steps, output)


def _with_limit(study: Transfer, network: Network, x: data.Floats, y: data.Floats, steps: int, output: Path) -> None:
    """The plot again, with the limit's own curves."""
    from tensorprog.study.transfer_limit import limit_curve

    curves: dict[str, tuple[data.Floats, data.Floats]] = {}
    for name in study.parametrizations:
        if name in ("ntp", "mup"):
            with screen.progress(f"{network.name}, the limit of {name}") as progress:
                found = limit_curve(network, x, y, study.widths[0], list(study.rates), parametrization=name, steps=steps, tell=progress)
            curves[name] = found.rates, found.losses
    study.plot(curves).savefig(output)
    screen.wrote(output)


def _points(network: Network, count: int) -> tuple[data.Floats, data.Floats]:
    """Digits 3 and 8, with targets -1 and 1."""
    found = data.arrange(data.labelled(data.load("digits"), "3,8"), network.program)
    if not 1 <= count <= len(found.x):
        raise InvalidProgram(f"--points is {count}. Give 1 to {len(found.x)}.")
    assert found.y is not None  # two classes have targets
    return found.x[:count], found.y[:count]
