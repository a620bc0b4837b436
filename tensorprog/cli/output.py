"""The file that a command writes: a plot, or the numbers behind it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tensorprog.cli import screen
from tensorprog.errors import InvalidProgram

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES = (".svg", ".png", ".pdf")


class Result(Protocol):
    """What a study found."""

    def plot(self) -> Figure: ...
    def to_dict(self) -> dict[str, Any]: ...


def require_ending(output: Path | None, *endings: str) -> None:
    """Said before the work, not after it."""
    if output is not None and output.suffix not in endings:
        raise InvalidProgram(f"{output}: this is saved as {' or '.join(endings)}. Name the file {output.with_suffix(endings[0])}.")


def save(found: Result, path: Path | None) -> None:
    """The numbers (.json) or the plot, where a file is asked for."""
    if path is None:
        return
    if path.suffix == ".json":
        path.write_text(json.dumps(found.to_dict()), encoding="utf-8")
    else:
        found.plot().savefig(path)
    screen.wrote(path)
