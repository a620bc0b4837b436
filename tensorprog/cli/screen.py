"""What a person sees: the console, tables of numbers, progress bars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def table(title: str, *columns: str) -> Table:
    """An open table: the first column is text, the others are numbers."""
    t = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for i, name in enumerate(columns):
        t.add_column(name, justify="left" if i == 0 else "right", no_wrap=True)
    return t


def failure(message: str) -> None:
    """One message a line, the word `error` before it, on the standard error."""
    err.print("[bold red]error[/] ", end="")
    err.print(message, markup=False, soft_wrap=True)


@contextmanager
def progress(transient: bool = True) -> Iterator[Progress]:
    """A progress bar with counts and times, on the standard error so that results can be piped."""
    columns = (TextColumn("{task.description}"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("[dim]left[/]"), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=transient) as bar:
        yield bar


def plain(text: str) -> None:
    """Text as it is: no markup, no wrapping."""
    out.print(text, markup=False, soft_wrap=True)


def wrote(path: Path) -> None:
    """Say where a result went."""
    out.print(f"[green]wrote[/] {path}", soft_wrap=True)


def shown(value: object) -> str:
    """A default value, as one types it."""
    match value:
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.4g}"
        case tuple() | list():
            return ",".join(map(shown, value)) or "none"
        case None:
            return "none"
        case _:
            return str(getattr(getattr(value, "fn", value), "name", value))


def matrix(title: str, rows: Sequence[Sequence[float]], corner: int = 6) -> None:
    """The upper left corner of a matrix."""
    more = ["…"] if len(rows[0]) > corner else []
    t = table(title, "", *(str(j) for j in range(min(corner, len(rows[0])))), *more)
    for i, row in enumerate(rows[:corner]):
        t.add_row(f"[dim]{i}[/]", *(f"{v:.4f}" for v in row[:corner]), *more)
    out.print(t, "")


def shares(fractions: Mapping[str, float]) -> None:
    """How much of the NTK each parameter contributes, as bars."""
    t = table("share of the NTK by parameter", "", "", "")
    t.columns[1].justify = "left"
    for name, part in fractions.items():
        t.add_row(name, "█" * round(40 * part) or "▏", f"{100 * part:.1f} %")
    out.print(t, "")
