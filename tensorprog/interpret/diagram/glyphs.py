"""Sizes and shapes of the notation, in points, as measured in the figures of IIb; text as outlines.

Text is set by matplotlib's mathtext in Computer Modern and kept as outlines, so that SVG, PNG and PDF show the same letters on every machine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

CIRCLE = 6.2  # diameter
SQUARE = 5.4  # side
THICKNESS = 13.9  # of a gate, along the computation
SHORT_TO_LONG = 0.60
PORT = 18.35  # long side of a gate per input: 36.7 for two
LONG_MIN = 25.0
STROKE, EDGE, DASH = 0.645, 0.32, (2.6, 1.9)
BAR = 1.1
PATH_WIDTH, PATH_DISC = 1.9, 3.8
TURN_WIDTH = 2.2

LABEL_SIZE, NOTE_SIZE, GATE_SIZE, TITLE_SIZE = 7.6, 5.4, 7.0, 7.5
GATE_TEXT_MAX, NARROWEST_LETTER = 92.0, 1.4

Point = tuple[float, float]


@dataclass(frozen=True)
class Outline:
    """Letters as a path: `segments` are SVG-style commands (letter, points); the box is (left, bottom, right, top), y upwards."""

    segments: tuple[tuple[str, tuple[Point, ...]], ...]
    box: tuple[float, float, float, float]

    @property
    def width(self) -> float:
        return self.box[2] - self.box[0]

    @property
    def height(self) -> float:
        return self.box[3] - self.box[1]


_MARKUP = re.compile(r"\\[a-zA-Z]+|[{}^_ ]")
_POINTS = {1: ("M", 1), 2: ("L", 1), 3: ("Q", 2), 4: ("C", 3), 79: ("Z", 1)}


@lru_cache(maxsize=4096)
def outline(mathtext: str, size: float = LABEL_SIZE) -> Outline:
    """The outlines of a formula at the given size, its baseline at y = 0."""
    if not mathtext:
        return Outline((), (0.0, 0.0, 0.0, 0.0))
    path = TextPath((0, 0), f"${mathtext}$", size=size, prop=FontProperties(math_fontfamily="cm"))
    vertices, codes = path.vertices, path.codes
    assert codes is not None
    segments: list[tuple[str, tuple[Point, ...]]] = []
    k = 0
    while k < len(codes):
        letter, count = _POINTS[int(codes[k])]
        segments.append((letter, () if letter == "Z" else tuple((round(float(x), 2), round(float(y), 2)) for x, y in vertices[k : k + count])))
        k += count
    points = [p for _, ps in segments for p in ps]  # outlines have points at their extremes, so these bound them
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return Outline(tuple(segments), (min(xs), min(ys), max(xs), max(ys)))


def fits_in_gate(text: str) -> bool:
    """Whether a formula is short enough; setting long ones only to find out takes time."""
    letters = len(_MARKUP.sub("", text))
    return letters * NARROWEST_LETTER <= GATE_TEXT_MAX and outline(text, GATE_SIZE).width <= GATE_TEXT_MAX


def long_side(inputs: float, text: str, outputs: int = 1) -> float:
    """Length of a gate's long side: a port for each input, and room for the text where the gate is already narrower."""
    letters = outline(text, GATE_SIZE)
    narrowest = 1 - (1 - SHORT_TO_LONG) * (0.5 + letters.height / 2 / THICKNESS)
    return round(max(LONG_MIN, PORT * inputs, PORT * outputs / SHORT_TO_LONG if outputs > 1 else 0.0, (letters.width + 2.0) / narrowest), 2)


def trapezoid(centre: Point, long: float, forward: Point) -> tuple[Point, Point, Point, Point]:
    """Corners of a gate: the long side's two, then the short side's; `forward` is the unit vector of the computation."""
    (x, y), (fx, fy) = centre, forward
    t, s = THICKNESS / 2, SHORT_TO_LONG * long / 2
    at = lambda along, across: (x + along * fx - across * fy, y + along * fy + across * fx)  # noqa: E731
    return at(-t, long / 2), at(-t, -long / 2), at(t, -s), at(t, s)
