"""Docstrings are plain text with mathematics, Sphinx reads reST: stars and bars become letters, tables and displays stay what they are."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sphinx.application import Sphinx

SECTIONS = ("Args:", "Returns:", "Raises:", "Attributes:", "Yields:", "Note:", "Example:")
BEFORE_NAPOLEON = 400


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", translate, priority=BEFORE_NAPOLEON)
    return {"parallel_read_safe": True}


def translate(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    lines[:] = list(translated(lines))


def translated(lines: list[str]) -> Iterator[str]:
    """Tables of bars become list-tables, indented displays literal blocks, everything else escaped prose."""
    i = 0
    while i < len(lines):
        line = lines[i]
        if line.strip() in SECTIONS and not line.startswith(" "):
            end = next((j for j in range(i + 1, len(lines)) if lines[j].strip() and not lines[j].startswith(" ")), len(lines))
            yield from ["", line, *map(prose, lines[i + 1 : end])]
        elif line.startswith("| "):
            end = next((j for j in range(i, len(lines)) if not lines[j].startswith("|")), len(lines))
            yield from table(lines[i:end])
        elif line.startswith("    "):
            end = next((j for j in range(i, len(lines)) if lines[j].strip() and not lines[j].startswith("  ")), len(lines))
            yield from ["", "::", "", *lines[i:end], ""]
        else:
            end = i + 1
            yield prose(line)
        i = end


def table(rows: list[str]) -> Iterator[str]:
    cells = [[c.strip() for c in re.split(r"(?<!\\)\|", row.strip("|"))] for row in rows]
    columns = len(cells[0])
    yield from ["", ".. list-table::", "   :header-rows: 1", ""]
    for row in (r for r in cells if not set("".join(r)) <= set("-: ")):
        merged = [*row[: columns - 1], " | ".join(row[columns - 1 :])]
        for j, cell in enumerate(merged):
            yield f"   {'* -' if j == 0 else '  -'} {prose(cell)}"
    yield ""


def prose(text: str) -> str:
    """Escape what reStructuredText would take for markup; `code` becomes code."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(f"``{p[1:-1]}``" if p.startswith("`") and len(p) > 2 else re.sub(r"([*|`\\]|_(?=\W|$))", r"\\\1", p) for p in parts)
