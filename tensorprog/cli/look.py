"""Commands that look at a program: list, check, show, draw."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tensorprog.cli import screen, subject
from tensorprog.errors import InvalidProgram
from tensorprog.language.program import Network

Options = Mapping[str, str]


def architectures() -> None:
    """The zoo, one line an architecture: name, what it is, options with their defaults."""
    t = screen.table("", "architecture", "what", "options")
    for column in t.columns:
        column.justify, column.no_wrap = "left", False
    t.columns[0].no_wrap = True
    for name, architecture in subject.zoo().items():
        options = " ".join(f"--{p.replace('_', '-')} {screen.shown(default)}" for p, (_, default) in subject.parameters(architecture).items())
        t.add_row(name, (architecture.__doc__ or "").strip().split("\n")[0], f"[dim]{options}[/]")
    screen.out.print(t)


def check(name: str, options: Options) -> None:
    """The judgement of `tensorprog.check`, as it prints itself; an invalid program is an error that shows every finding."""
    import tensorprog as tp

    found = subject.load(name, options)
    screen.plain(str(tp.check(found)))


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


def draw(name: str, options: Options, *, output: Path | None, backward: bool, fold: bool, legend: bool) -> None:
    """The picture, in the format that the ending of `output` names."""
    import tensorprog as tp

    found = subject.load(name, options)
    path = output or Path(f"{Path(name).stem}.svg")
    tp.draw(found, path, backward=backward, fold=fold, legend=legend)
    screen.wrote(path)
