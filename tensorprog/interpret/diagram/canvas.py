"""Scene -> PNG and PDF, drawn by matplotlib from the same marks as the SVG."""

from __future__ import annotations

from io import BytesIO
from typing import Literal, assert_never

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle, PathPatch
from matplotlib.path import Path
from matplotlib.transforms import Affine2D

from tensorprog.interpret.diagram.marks import Disc, Ink, Mark, Scene, Stroke, Text
from tensorprog.interpret.diagram.routes import Segments

POINTS_PER_INCH = 72.0
_CODES = {"M": [Path.MOVETO], "L": [Path.LINETO], "Q": [Path.CURVE3] * 2, "C": [Path.CURVE4] * 3, "Z": [Path.CLOSEPOLY]}


def render(scene: Scene, kind: Literal["png", "pdf"], *, dpi: float = 300.0) -> bytes:
    """The drawing as the bytes of a picture at its natural size."""
    left, bottom, right, top = scene.box
    figure = Figure(figsize=((right - left) / POINTS_PER_INCH, (top - bottom) / POINTS_PER_INCH))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    for k, mark in enumerate(scene.marks):
        for patch in _patches(mark):
            patch.set_zorder(k)
            axes.add_patch(patch)
    target = BytesIO()
    metadata = {"CreationDate": None} if kind == "pdf" else {"Software": None}
    figure.savefig(target, format=kind, dpi=dpi, facecolor="white", metadata=metadata)
    return target.getvalue()


def _patches(mark: Mark) -> list[PathPatch | Circle]:
    match mark:
        case Stroke(segments, ink, _, _):
            return [PathPatch(_path(segments), **_style(ink))]
        case Disc(centre, radius, ink, _, _):
            return [Circle(centre, radius, **_style(ink))]
        case Text(letters, (x, y), _, _, quarter, colour, halo, _):
            if not letters.segments:
                return []
            cx, cy = (letters.box[0] + letters.box[2]) / 2, (letters.box[1] + letters.box[3]) / 2
            path = _path(letters.segments).transformed(Affine2D().translate(-cx, -cy).rotate_deg(90 * quarter).translate(x, y))
            back = [PathPatch(path, fill=False, edgecolor="white", linewidth=2.2, joinstyle="round")] if halo else []
            return [*back, PathPatch(path, facecolor=colour, linewidth=0)]
        case _:
            assert_never(mark)


def _path(segments: Segments) -> Path:
    vertices = [p for letter, points in segments for p in (points or ((0.0, 0.0),))]
    codes = [code for letter, _ in segments for code in _CODES[letter]]
    return Path(vertices, codes)


def _style(ink: Ink) -> dict[str, object]:
    style: dict[str, object] = {"facecolor": ink.fill or "none", "edgecolor": ink.stroke or "none", "linewidth": ink.width, "capstyle": "butt"}
    if ink.dash:
        style["linestyle"] = (0, (ink.dash[0] / ink.width, ink.dash[1] / ink.width))
    return style
