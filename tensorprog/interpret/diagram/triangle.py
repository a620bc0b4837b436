"""Steps -> positions: passes on the diagonal, what each step adds below it, in the row of the pass to which it is added.

From every step a rail leads down; in the row of every later pass it joins the wire into that pass, on which the Gram scalars of the two stand.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from tensorprog.interpret.diagram.glyphs import CIRCLE, LABEL_SIZE, NOTE_SIZE, SQUARE, THICKNESS, Point, long_side, outline
from tensorprog.interpret.diagram.placed import NOTE_GAP
from tensorprog.interpret.diagram.routes import Segments, Stop, line, through
from tensorprog.interpret.diagram.steps import Addition, Steps, Way

PASS = (46.0, 18.0)  # a folded forward or backward pass
LANE = 26.0  # from the middle of a panel to its passes
PAD, HEAD, GAP = 11.0, 12.0, 26.0  # inside a panel; its title; between the rows
OUT = 14.0  # from a panel to what is given from outside
PORT_AIR = 7.0  # from the end of a gate to its last port
LOSS_AIR = 18.0  # between a pass and the gate of the loss
RAIL, JOIN, STEP_AIR, MARK_AIR = 12.0, 7.0, 30.0, 9.0


@dataclass(frozen=True)
class Item:
    """A node of the drawing; `glyph` is a kind of vertex, "pass" or "gate"."""

    name: str
    glyph: str
    at: Point
    label: str
    note: str = ""
    side: Literal["above", "below", "right"] = "below"


@dataclass(frozen=True)
class Wire:
    source: str
    target: str
    segments: Segments
    arrow: bool = False
    role: str = "edge"


@dataclass(frozen=True)
class Box:
    """A panel: left, bottom, right, top."""

    box: tuple[float, float, float, float]
    title: str
    note: str
    last: bool


@dataclass(frozen=True)
class Triangle:
    steps: Steps
    items: tuple[Item, ...]
    wires: tuple[Wire, ...]
    panels: tuple[Box, ...]


def triangle(steps: Steps) -> Triangle:
    """Positions for everything."""
    return _Placing(steps).triangle()


def mark_width(a: Addition) -> float:
    """The room of a Gram scalar with its name and number."""
    return max(SQUARE if a.scalar else CIRCLE, outline(a.label, LABEL_SIZE).width) + _note_width(a) + MARK_AIR


def _note_width(a: Addition) -> float:
    return outline(a.times, NOTE_SIZE).width + NOTE_GAP if a.times else 0.0


@dataclass
class _Placing:
    steps: Steps

    def __post_init__(self) -> None:
        s = self.steps
        gate = long_side(2 if s.labelled or s.given else 1, s.loss)
        self.gate = gate
        self.panel_width = PAD + PASS[0] + LOSS_AIR + gate + PAD
        self.height = 2 * (LANE + PASS[1] / 2 + PAD) + HEAD
        cells = [max((self.cell_width(t, k) for t in range(k + 1, s.count + 1)), default=0.0) for k in range(s.count)]
        pitch = [max(self.panel_width + STEP_AIR, RAIL + JOIN + w + STEP_AIR / 2) for w in cells]
        self.left = list(accumulate(pitch, initial=0.0))
        self.items: list[Item] = []
        self.wires: list[Wire] = []

    def cell_width(self, t: int, k: int) -> float:
        return max(sum(mark_width(a) for a in self.steps.at(t, k, way)) for way in ("forward", "backward"))

    def middle(self, t: int) -> float:
        return -t * (self.height + GAP) - HEAD / 2

    def lane(self, t: int, way: Way) -> float:
        return self.middle(t) + (LANE if way == "forward" else -LANE)

    def box_x(self, t: int) -> float:
        """The middle of the passes."""
        return self.left[t] + PAD + PASS[0] / 2

    def chi_x(self, t: int) -> float:
        return self.left[t] + self.panel_width - PAD - self.gate / 2

    def rail(self, k: int) -> float:
        return self.left[k] + PAD + RAIL

    def triangle(self) -> Triangle:
        s = self.steps
        panels = [self.panel(t) for t in range(s.count + 1)]
        for t in range(s.count + 1):
            self.passes(t)
        for t in range(1, s.count + 1):
            for way in ("forward", "backward") if t < s.count else ("forward",):
                self.sums(t, way)
        if s.given:
            self.conditioning()
        return Triangle(s, tuple(self.items), tuple(self.wires), tuple(panels))

    def panel(self, t: int) -> Box:
        s, x, y = self.steps, self.left[t], self.middle(t)
        last = t == s.count
        low = y + LANE - PASS[1] / 2 - PAD - 10 if last else y + HEAD / 2 - self.height / 2
        title = f"after {s.count} step{'s' if s.count != 1 else ''}" if last else f"step {t}"
        return Box((x, low, x + self.panel_width, y + HEAD / 2 + self.height / 2), title, s.everything if last else s.samples[t], last)

    def passes(self, t: int) -> None:
        """forward -> f -> L' -> chi -> backward."""
        s, x, chi_x = self.steps, self.box_x(t), self.chi_x(t)
        top, bottom, middle = self.lane(t, "forward"), self.lane(t, "backward"), self.middle(t)
        forward, backward, f, chi, gate = f"forward_{t}", f"backward_{t}", f"f_{t}", f"chi_{t}", f"gate:chi_{t}"
        self.items.append(Item(forward, "pass", (x, top), "forward"))
        outside = t == 0 and s.given
        f_at = (chi_x, top)
        if not outside:
            self.items.append(Item(f, "scalar", f_at, f"f_{{{t}}}", side="right" if s.given else "above"))
            self.wires.append(Wire(forward, f, line((x + PASS[0] / 2, top), (chi_x - SQUARE / 2, top))))
        if t == s.count:
            return
        self.items += [Item(gate, "gate", (chi_x, middle), s.loss), Item(chi, "scalar", (chi_x, bottom), rf"\chi_{{{t}}}")]
        self.items.append(Item(backward, "pass", (x, bottom), "backward"))
        below = middle + THICKNESS / 2
        if not outside:
            self.wires.append(Wire(f, gate, line((chi_x, top - SQUARE / 2), (chi_x, below))))
        self.wires.append(Wire(gate, chi, line((chi_x, middle - THICKNESS / 2), (chi_x, bottom + SQUARE / 2))))
        self.wires.append(Wire(forward, backward, line((x, top - PASS[1] / 2), (x, bottom + PASS[1] / 2)), arrow=True))
        self.wires.append(Wire(chi, backward, line((chi_x - SQUARE / 2, bottom), (x + PASS[0] / 2, bottom)), arrow=True))
        if s.labelled:
            self.label(t, gate, below)

    def label(self, t: int, gate: str, below: float) -> None:
        """y_t, from outside into the gate."""
        x, y = self.left[t] + self.panel_width + OUT, self.middle(t) + LANE - 12
        self.items.append(Item(f"y_{t}", "scalar", (x, y), rf"y_{{{t}}}"))
        port = self.chi_x(t) + self.gate / 2 - PORT_AIR
        stops = [Stop((x - SQUARE / 2, y), (-1.0, 0.0)), Stop((port + 6, y), (-1.0, 0.0)), Stop((port, below), (0.0, -1.0))]
        self.wires.append(Wire(f"y_{t}", gate, through(stops)))

    def sums(self, t: int, way: Way) -> None:
        """The wire into a pass, with what every earlier step puts on it."""
        s, y = self.steps, self.lane(t, way)
        target = f"{way}_{t}"
        joined = [k for k in range(t) if s.at(t, k, way)]
        if not joined:
            return
        first = self.rail(joined[0]) + JOIN
        end = self.box_x(t) - PASS[0] / 2
        self.wires.append(Wire(f"backward_{joined[0]}", target, line((first, y), (end, y)), arrow=True, role="sum"))
        for k in joined:
            x = self.rail(k)
            self.wires.append(
                Wire(f"backward_{k}", target, through([Stop((x, y + JOIN), (0.0, -1.0)), Stop((x + JOIN, y), (1.0, 0.0))]), role="join")
            )
            at = x + JOIN + 4
            for a in s.at(t, k, way):
                w = mark_width(a)
                place = (at + (w - _note_width(a)) / 2, y)
                self.items.append(Item(f"{a.key}_{k}_{t}", "scalar" if a.scalar else "X", place, a.label, a.times))
                at += w
        for k in joined:
            self.rails(k, t, y)

    def rails(self, k: int, t: int, y: float) -> None:
        """Down from step k as far as its last join."""
        top = self.lane(k, "backward") - PASS[1] / 2
        old = next((w for w in self.wires if w.role == "rail" and w.source == f"backward_{k}"), None)
        low = min(y + JOIN, *(p[1] for _, points in old.segments for p in points)) if old else y + JOIN
        if old:
            self.wires.remove(old)
        self.wires.append(Wire(f"backward_{k}", f"forward_{t}", line((self.rail(k), top), (self.rail(k), low)), role="rail"))

    def conditioning(self) -> None:
        """f_0 from outside: into the first loss, and into every later output."""
        s = self.steps
        x, top = self.left[0] + self.panel_width + OUT, self.lane(0, "forward")
        self.items.append(Item("f_0", "scalar", (x, top), "f_{0}", side="above"))
        chi_x, below = self.chi_x(0), self.middle(0) + THICKNESS / 2
        stops = [
            Stop((x - SQUARE / 2, top), (-1.0, 0.0)),
            Stop((chi_x + 8, top), (-1.0, 0.0)),
            Stop((chi_x, top - 8), (0.0, -1.0)),
            Stop((chi_x, below), (0.0, -1.0)),
        ]
        self.wires.append(Wire("f_0", "gate:chi_0", through(stops)))
        for t in range(1, s.count + 1):
            end = (self.chi_x(t), self.lane(t, "forward") + SQUARE / 2)
            at = [
                Stop((x + SQUARE / 2, top), (1.0, 0.0)),
                Stop((end[0] - 9, top), (1.0, 0.0)),
                Stop((end[0], top - 9), (0.0, -1.0)),
                Stop(end, (0.0, -1.0)),
            ]
            self.wires.append(Wire("f_0", f"f_{t}", through(at), role="given"))
