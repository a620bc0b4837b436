"""A report as data, and its rendering as one self-contained HTML page: no script, no outside file, printable."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import assert_never


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    words: str


@dataclass(frozen=True)
class Listing:
    """Text whose layout counts: a program."""

    text: str
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A drawing, as SVG text; `wide` lets it use the full width of the page."""

    svg: str
    caption: str
    wide: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells under a head; the first column is text, the others are numbers."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclass(frozen=True)
class Facts:
    """A few numbers that matter, with their names."""

    pairs: tuple[tuple[str, str], ...]


Block = Text | Listing | Picture | Table | Facts


@dataclass(frozen=True)
class Section:
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Part:
    """Sections under one heading; what stands before the first of them."""

    title: str
    blocks: tuple[Block, ...] = ()
    sections: tuple[Section, ...] = ()


@dataclass(frozen=True)
class Report:
    title: str
    lead: str
    parts: tuple[Part, ...]
    provenance: tuple[tuple[str, str], ...] = ()


def html(report: Report) -> str:
    """The report as one HTML page."""
    style = files("tensorprog.study").joinpath("report.css").read_text(encoding="utf-8")
    contents = "".join(_contents(i, part) for i, part in enumerate(report.parts, 1))
    body = "".join(_part(i, part) for i, part in enumerate(report.parts, 1))
    made = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in report.provenance)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{escape(report.title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f'<header><h1>{escape(report.title)}</h1><p class="lead">{escape(report.lead)}</p></header>\n<nav><ul>{contents}</ul></nav>\n'
        f"{body}<footer><dl>{made}</dl></footer>\n</main>\n</body>\n</html>\n"
    )


def _contents(i: int, part: Part) -> str:
    below = "".join(f' <a href="#p{i}s{j}">{escape(s.title)}</a>' for j, s in enumerate(part.sections, 1))
    return f'<li><a href="#p{i}"><b>{escape(part.title)}</b></a>{below}</li>'


def _part(i: int, part: Part) -> str:
    below = "".join(
        f'<section id="p{i}s{j}">\n<h3>{escape(s.title)}</h3>\n{"".join(map(_block, s.blocks))}</section>\n' for j, s in enumerate(part.sections, 1)
    )
    return f'<article id="p{i}">\n<h2>{escape(part.title)}</h2>\n{"".join(map(_block, part.blocks))}{below}</article>\n'


def _block(block: Block) -> str:
    match block:
        case Text(words):
            return f"<p>{escape(words)}</p>\n"
        case Listing(text, caption):
            return f"<figure><pre>{escape(text)}</pre>{_caption(caption)}</figure>\n"
        case Picture(svg, caption, wide):
            source = b64encode(svg.encode()).decode()
            kind = ' class="wide"' if wide else ""
            return f'<figure{kind}><img src="data:image/svg+xml;base64,{source}" alt="{escape(caption, quote=True)}"/>{_caption(caption)}</figure>\n'
        case Table(head, rows, caption):
            body = "".join(_row("td", r) for r in rows)
            return f"<figure><table><thead>{_row('th', head)}</thead><tbody>{body}</tbody></table>{_caption(caption)}</figure>\n"
        case Facts(pairs):
            return f'<dl class="facts">{"".join(_fact(*p) for p in pairs)}</dl>\n'
        case _:
            assert_never(block)


def _row(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(c)}</{tag}>' for c in cells)}</tr>"


def _caption(text: str) -> str:
    return f"<figcaption>{escape(text)}</figcaption>" if text else ""


def _fact(name: str, value: str) -> str:
    return f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
