"""Commands that look at a program: list, check, show, draw."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING

from tensorprog.cli import screen, subject
from tensorprog.cli.subject import Options
from tensorprog.errors import InvalidProgram
from tensorprog.language.program import Network, Program

if TYPE_CHECKING:
    from tensorprog.transform.unroll import Unrolled


def architectures() -> None:
    """The zoo, one line an architecture."""
    t = screen.table("", "architecture", "what it is")
    t.columns[1].justify, t.columns[1].no_wrap = "left", False
    for name, architecture in subject.zoo().items():
        t.add_row(name, f"[dim]{screen.escape(first_line(architecture.__doc__))}[/]")
    screen.show(t)
    screen.out.print("\n[dim]tensorprog list NAME shows the options of one.[/]")


def architecture(name: str) -> None:
    """One architecture: its formula and paper, and its options."""
    function = subject.find(name)
    screen.plain(f"{first_line(inspect.getmodule(function).__doc__)}\n\n{inspect.getdoc(function)}\n")
    t = screen.table("", "option", "default", "type")
    t.columns[1].justify = t.columns[2].justify = "left"
    for option, (kind, default) in subject.parameters(function).items():
        t.add_row(f"--{option.replace('_', '-')}", screen.shown(default), f"[dim]{screen.escape(subject.spelled(kind))}[/]")
    screen.show(t)


def first_line(doc: str | None) -> str:
    return (doc or "").strip().split("\n")[0].replace("`", "")


def check(name: str, options: Options) -> None:
    """The judgement of `tensorprog.check`, as it prints itself; an invalid program is an error that shows every finding."""
    from tensorprog.language import valid

    found = subject.source(name, options)
    report = valid.check(found.program, found.lines or None)
    report.raise_if_invalid()
    screen.plain(str(report))


def show(name: str, options: Options, *, backward: bool, json: bool, output: Path | None) -> None:
    """The listing, or the exchange form, to the screen or to a file."""
    from tensorprog.language import exchange, text

    found = subject.load(name, options)
    if backward:
        from tensorprog.transform.backprop import backprop

        if not isinstance(found, Network):
            raise InvalidProgram(f"{name}: a program without a readout has no backward pass. Make it a network: add a `readout` line.")
        found = backprop(found).program
    words = exchange.to_json(found) if json else text.show(found)
    if output is None:
        screen.plain(words.rstrip("\n"))
    else:
        output.write_text(words, encoding="utf-8")
        screen.wrote(output)


def draw(name: str, options: Options, *, output: Path | None, backward: bool, unfold: bool, legend: bool, training: int) -> None:
    """The picture, in the format that the ending of `output` names."""
    from tensorprog.interpret.diagram import draw as diagram

    found = subject.load(name, options)
    path = output or Path(f"{Path(name).stem}.svg")
    if training:
        trained(name, found, training).draw(str(path), unfold=unfold, **({"legend": legend} if unfold else {}))
    else:
        diagram(found, backward=backward, unfold=unfold, legend=legend, file=path)
    screen.wrote(path)


def trained(name: str, found: Network | Program, steps: int) -> Unrolled:
    """So many steps of SGD, each on a sample of its own, and a probe."""
    from tensorprog.transform.unroll import unroll

    if not isinstance(found, Network):
        raise InvalidProgram(f"{name}: a program without a readout cannot be trained. Make it a network: add a `readout` line.")
    if steps < 1:
        raise InvalidProgram(f"--training {steps}: training has at least one step. Give 1 or more.")
    return unroll(found, steps + 1, batches=range(steps))
