"""Scene -> SVG, in points, y downwards. Letters are outlines, each formula defined once; `data-` attributes say what a mark stands for."""

from __future__ import annotations

from hashlib import blake2s
from typing import assert_never
from xml.sax.saxutils import escape, quoteattr

from tensorprog.interpret.diagram.glyphs import Outline
from tensorprog.interpret.diagram.marks import Data, Disc, Ink, Mark, Scene, Stroke, Text
from tensorprog.interpret.diagram.routes import Segments

ZOOM = 1.6  # of width and height against the view box: comfortable on a screen


def to_svg(scene: Scene) -> str:
    """The drawing as an SVG document."""
    left, bottom, right, top = scene.box
    width, height = right - left, top - bottom
    formulas: dict[Outline, str] = {}
    for mark in scene.marks:
        if isinstance(mark, Text):
            formulas.setdefault(mark.letters, _id(mark.letters))
    body = [_mark(mark, formulas) for mark in scene.marks]
    defs = [f'<path id="{name}" d="{_d(letters.segments)}"/>' for letters, name in formulas.items()]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(width * ZOOM)}" height="{_n(height * ZOOM)}" '
            f'viewBox="{_n(left)} {_n(-top)} {_n(width)} {_n(height)}" role="img">',
            f"<title>{escape(scene.title)}</title>",
            "<defs>",
            *defs,
            "</defs>",
            f'<rect x="{_n(left)}" y="{_n(-top)}" width="{_n(width)}" height="{_n(height)}" fill="#FFFFFF"/>',
            *body,
            "</svg>",
            "",
        ]
    )


def _id(letters: Outline) -> str:
    """An identifier that says what the letters look like: drawings on one page may share it without harm."""
    return "m" + blake2s(_d(letters.segments).encode(), digest_size=6).hexdigest()


def _mark(mark: Mark, formulas: dict[Outline, str]) -> str:
    match mark:
        case Stroke(segments, ink, role, data):
            meaning = next((v for k, v in data if k == "psi"), "")
            hover = f"<title>{escape(meaning)}</title>" if meaning else ""
            if _is_polygon(segments):
                points = " ".join(f"{_n(x)},{_n(-y)}" for _, ps in segments for x, y in ps)
                return f'<polygon class="{role}" points="{points}"{_ink(ink)}{_data(data)}>{hover}</polygon>'
            return f'<path class="{role}" d="{_d(segments, flip=True)}"{_ink(ink)}{_data(data)}/>'
        case Disc((x, y), r, ink, role, data):
            return f'<circle class="{role}" cx="{_n(x)}" cy="{_n(-y)}" r="{_n(r)}"{_ink(ink)}{_data(data)}/>'
        case Text(letters, (x, y), source, role, quarter, colour, halo, data):
            name = formulas[letters]
            cx, cy = (letters.box[0] + letters.box[2]) / 2, (letters.box[1] + letters.box[3]) / 2
            turn = f" rotate({-90 * quarter})" if quarter else ""
            place = f"translate({_n(x)} {_n(-y)}){turn} scale(1 -1) translate({_n(-cx)} {_n(-cy)})"
            back = f'<use href="#{name}" stroke="#FFFFFF" stroke-width="2.2" stroke-linejoin="round"/>' if halo else ""
            return (
                f'<g class="{role}" aria-label={quoteattr(source)}{_data(data)} transform="{place}">{back}<use href="#{name}" fill="{colour}"/></g>'
            )
        case _:
            assert_never(mark)


def _is_polygon(segments: Segments) -> bool:
    return segments[-1][0] == "Z" and all(letter in "MLZ" for letter, _ in segments)


def _d(segments: Segments, *, flip: bool = False) -> str:
    sign = -1 if flip else 1
    return "".join(letter + " ".join(f"{_n(x)} {_n(sign * y)}" for x, y in points) for letter, points in segments)


def _ink(ink: Ink) -> str:
    out = f' fill="{ink.fill or "none"}"'
    if ink.stroke:
        out += f' stroke="{ink.stroke}" stroke-width="{ink.width}"'
    if ink.dash:
        out += f' stroke-dasharray="{ink.dash[0]} {ink.dash[1]}"'
    return out


def _data(data: Data) -> str:
    return "".join(f" data-{key}={quoteattr(value)}" for key, value in data)


def _n(value: float) -> str:
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
