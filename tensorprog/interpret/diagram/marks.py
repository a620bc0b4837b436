"""Marks on a page: strokes, discs and letters; what the writers of SVG, PNG and PDF draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from tensorprog.interpret.diagram.glyphs import Outline, Point
from tensorprog.interpret.diagram.routes import Segments, bounds
from tensorprog.interpret.diagram.spec import BLACK

WHITE = "#FFFFFF"
Data = tuple[tuple[str, str], ...]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Ink:
    fill: str | None = None
    stroke: str | None = None
    width: float = 0.0
    dash: tuple[float, float] | None = None


@dataclass(frozen=True)
class Stroke:
    """A curve or polygon; `role` and `data` tell what it stands for."""

    segments: Segments
    ink: Ink
    role: str
    data: Data = ()


@dataclass(frozen=True)
class Disc:
    centre: Point
    radius: float
    ink: Ink
    role: str
    data: Data = ()


@dataclass(frozen=True)
class Text:
    """Letters whose box is centred at a point, turned by `quarter` quarter turns to the left; `halo` clears the lines behind."""

    letters: Outline
    centre: Point
    source: str
    role: str
    quarter: int = 0
    colour: str = BLACK
    halo: bool = False
    data: Data = ()


Mark = Stroke | Disc | Text


@dataclass(frozen=True)
class Scene:
    """Marks with y upwards, from back to front, and the box that holds them all."""

    marks: tuple[Mark, ...]
    box: Box
    title: str


def closed(corners: Sequence[Point]) -> Segments:
    """The polygon with these corners."""
    return (("M", (corners[0],)), *(("L", (p,)) for p in corners[1:]), ("Z", ()))


def moved(mark: Mark, dx: float, dy: float) -> Mark:
    return _mapped(mark, lambda p: (p[0] + dx, p[1] + dy))


def upright(mark: Mark) -> Mark:
    """The mark in a drawing turned so that the computation runs upwards; letters stay level."""
    turned = _mapped(mark, lambda p: (-p[1], p[0]))
    return replace(turned, quarter=0) if isinstance(turned, Text) else turned


def _mapped(mark: Mark, to: Callable[[Point], Point]) -> Mark:
    match mark:
        case Stroke(segments=segments):
            return replace(mark, segments=tuple((letter, tuple(to(p) for p in points)) for letter, points in segments))
        case Disc(centre=centre) | Text(centre=centre):
            return replace(mark, centre=to(centre))
        case _:
            assert_never(mark)


def extent(mark: Mark) -> Box:
    """The box of one mark."""
    match mark:
        case Stroke(segments, ink, _, _):
            left, bottom, right, top = bounds([p for _, points in segments for p in points])
            w = ink.width / 2
            return left - w, bottom - w, right + w, top + w
        case Disc((x, y), r, _, _, _):
            return x - r, y - r, x + r, y + r
        case Text(letters, (x, y), _, _, quarter, _, _, _):
            w, h = (letters.height, letters.width) if quarter % 2 else (letters.width, letters.height)
            return x - w / 2, y - h / 2, x + w / 2, y + h / 2
        case _:
            assert_never(mark)


def box_of(marks: Sequence[Mark]) -> Box:
    """The box of all marks."""
    boxes = [extent(mark) for mark in marks] or [(0.0, 0.0, 1.0, 1.0)]
    return min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes)
