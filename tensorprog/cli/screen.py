"""What a person sees: the console, tables of numbers, progress bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape as escape
from rich.measure import Measurement
from rich.table import Table

out = Console(highlight=False, emoji=False)
err = Console(stderr=True, highlight=False, emoji=False)
WIDEST = 10_000  # columns: no table is wider


def table(title: str, *columns: str) -> Table:
    """An open table: the first column is text, the others are numbers."""
    t = Table(title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for i, name in enumerate(columns):
        t.add_column(name, justify="left" if i == 0 else "right", no_wrap=True)
    return t


def show(t: Table) -> None:
    """Print a table whole: no word or number is cut off; its lines are longer than those of the terminal, or the 80 of a pipe, where they must be."""
    wide = out.options.update_width(WIDEST)
    for column in t.columns:
        sizes = [Measurement.get(out, wide, cell) for cell in (column.header, *column.cells)]
        column.min_width = max(size.maximum if column.no_wrap else size.minimum for size in sizes)
    least = Measurement.get(out, wide, t).minimum
    if least > out.width:
        t.width = least
    out.print(t, crop=False)


def failure(message: str) -> None:
    """A message on the standard error; one that does not begin with its place (`line 4: ..`) is announced as an error."""
    if not message.startswith("line "):
        err.print("[bold red]error[/] ", end="")
    err.print(message, markup=False, soft_wrap=True)


@contextmanager
def progress(title: str) -> Iterator[Callable[[float, str], None]]:
    """A bar that is told the fraction done and what is under way; on the standard error, so that results can be piped."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(28), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("[dim]{task.fields[now]}[/]"))
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        task = bars.add_task(title, total=1.0, now="")
        yield lambda fraction, now: bars.update(task, completed=fraction, now=now)


@contextmanager
def resumable(path: Path) -> Iterator[None]:
    """A job that keeps in `path` what it has done: when it is interrupted, say so."""
    try:
        yield
    except KeyboardInterrupt:
        if path.exists():
            err.print(f"What is done is kept in {path}: the same command goes on from there.", markup=False, soft_wrap=True)
        raise


class Terminal:
    """The screen of long jobs: bars that come and go, words that stay."""

    def progress(self, title: str) -> AbstractContextManager[Callable[[float, str], None]]:
        return progress(title)

    def say(self, words: object) -> None:
        if isinstance(words, str):
            plain(words)
        else:
            show(words) if isinstance(words, Table) else out.print(words)


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
            return ",".join(":".join(map(shown, v)) if isinstance(v, tuple) else shown(v) for v in value) or "none"
        case None:
            return "none"
        case _:
            return str(getattr(getattr(value, "fn", value), "name", value))


def matrix(title: str, rows: Sequence[Sequence[float]], corner: int = 6) -> None:
    """The upper left corner of a matrix; with powers of ten where its largest entry asks for them."""
    more = ["…"] if len(rows[0]) > corner else []
    largest = max((abs(v) for row in rows[:corner] for v in row[:corner]), default=0.0)
    form = ".4f" if largest == 0 or 0.01 <= largest < 1e6 else ".4e"
    t = table("", "", *(str(j) for j in range(min(corner, len(rows[0])))), *more)
    for i, row in enumerate(rows[:corner]):
        t.add_row(f"[dim]{i}[/]", *(f"{v:{form}}" for v in row[:corner]), *more)
    out.print(f"[bold]{escape(title)}[/]", soft_wrap=True)  # as a title of the table it would be wrapped at the table's width
    show(t)
    out.print()


def shares(fractions: Mapping[str, float]) -> None:
    """How much of the NTK each parameter contributes, as bars."""
    t = table("", "parameter", "share of the NTK", "")
    t.columns[1].justify = "left"
    for name, part in fractions.items():
        t.add_row(name, "█" * round(30 * part) or "▏", f"{100 * part:.1f} %")
    show(t)
    out.print()
