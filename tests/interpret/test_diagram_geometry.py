"""The geometry of the drawings, read off the SVG: measured in the figures of IIb (gates, bars, rows, dashed edges)."""

import re
from dataclasses import dataclass
from itertools import combinations
from math import hypot
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from architectures import ZOO
from examples.figures.figures import figures, perceptron
from tensorprog.interpret.diagram import Diagram, draw
from tensorprog.interpret.diagram.detours import STUB_SIZE
from tensorprog.interpret.diagram.glyphs import outline
from tensorprog.interpret.diagram.heights import STRANGER_PORT
from tensorprog.interpret.diagram.marks import Box, Disc, Mark, Stroke, Text, extent
from tensorprog.interpret.diagram.placed import gate_key
from tensorprog.interpret.diagram.routes import point_on
from tensorprog.language.program import Network
from tensorprog.testing.strategies import networks

SVG = "{http://www.w3.org/2000/svg}"
DRAWN = figures() | {
    "mlp-backprop": draw(ZOO["mlp"](depth=3, sigma_b=1.0), backward=True),
    "resnet-backprop": draw(ZOO["resnet"](), backward=True),
    "transformer": draw(ZOO["transformer"](depth=2)),
    "lstm": draw(ZOO["lstm"](), legend=True),
    "gru-backprop": draw(ZOO["gru"](), backward=True),
    "convolutions": draw(ZOO["cnn1d"](), unfold=True),
}
SOLID = frozenset({"G", "X", "scalar", "gate", "name", "axes", "matrix", "read", "title"})
ROUNDING = 0.02  # coordinates are written with two decimals


@dataclass(frozen=True)
class Trapezoid:
    """The two parallel sides of a gate: their x, and their lengths."""

    left: float
    right: float
    left_length: float
    right_length: float
    middle: float


def elements(diagram: Diagram, tag: str, role: str) -> list[ElementTree.Element]:
    return [e for e in ElementTree.fromstring(diagram.svg).iter(SVG + tag) if e.get("class") == role]


def gates(diagram: Diagram) -> dict[str, Trapezoid]:
    found: dict[str, Trapezoid] = {}
    for e in elements(diagram, "polygon", "gate"):
        points = [tuple(map(float, p.split(","))) for p in e.attrib["points"].split()]
        left, right = min(x for x, _ in points), max(x for x, _ in points)
        ys = {side: [y for x, y in points if abs(x - side) < ROUNDING] for side in (left, right)}
        name = e.attrib["data-name"]
        found[name] = Trapezoid(left, right, max(ys[left]) - min(ys[left]), max(ys[right]) - min(ys[right]), sum(ys[left]) / 2)
    return found


def discs(diagram: Diagram) -> dict[str, tuple[float, float, str]]:
    return {
        e.attrib["data-name"]: (float(e.attrib["cx"]), float(e.attrib["cy"]), e.attrib["fill"])
        for role in "GX"
        for e in elements(diagram, "circle", role)
    }


def ends(d: str) -> tuple[tuple[float, float], tuple[float, float]]:
    numbers = [float(x) for x in re.findall(r"-?\d+\.?\d*", d)]
    return (numbers[0], numbers[1]), (numbers[-2], numbers[-1])


@pytest.mark.parametrize("name", ["1-mlp", "1-rnn", "4-layernorm", "4-attention"])
def test_the_long_side_faces_the_inputs(name: str) -> None:
    found = gates(DRAWN[name])
    assert len(found) == len(DRAWN[name].graph.gates)
    for g in found.values():
        assert g.right_length == pytest.approx(0.60 * g.left_length, abs=2 * ROUNDING)
        assert g.right - g.left == pytest.approx(13.9, abs=ROUNDING)


def test_two_inputs_have_the_measured_long_side() -> None:
    assert {g.left_length for g in gates(DRAWN["1-mlp"]).values()} == {36.7}


def test_edges_enter_the_long_side_and_leave_the_short_side() -> None:
    diagram = DRAWN["6-backprop"]
    found, backward = gates(diagram), {g.name for g in diagram.graph.gates if g.row == 1}
    for e in elements(diagram, "path", "edge"):
        start, end = ends(e.attrib["d"])
        source, target = e.attrib["data-from"], e.attrib["data-to"]
        if target.startswith("gate:"):
            g = found[target[5:]]
            side, length = (g.right, g.right_length) if target[5:] in backward else (g.left, g.left_length)
            x, y = end
        else:
            g = found[source[5:]]
            side, length = (g.left, g.left_length) if source[5:] in backward else (g.right, g.right_length)
            x, y = start
        assert x == pytest.approx(side, abs=ROUNDING)
        assert abs(y - g.middle) < length / 2


def test_the_backward_row_is_mirrored_under_the_forward_row() -> None:
    diagram = DRAWN["6-backprop"]
    found, at = gates(diagram), discs(diagram)
    backward = {g.name for g in diagram.graph.gates if g.row == 1}
    assert backward == {"dg0", "dg1", "dg2"}
    for name in backward:
        assert found[name].left_length == pytest.approx(0.60 * found[name].right_length, abs=2 * ROUNDING)
    for vertex in diagram.graph.vertices:
        if vertex.twin:
            (x, y, _), (twin_x, twin_y, _) = at[vertex.name], at[vertex.twin]
            assert x == pytest.approx(twin_x, abs=ROUNDING)
            assert y > twin_y  # y grows downwards in SVG
    order = [at[name][0] for name in ("v", "dg2", "dx2", "dg1", "dx1", "dg0")]
    assert order == sorted(order, reverse=True)


def test_curved_edges_lead_from_forward_vectors_into_backward_gates() -> None:
    diagram = DRAWN["6-backprop"]
    for k in range(3):
        (edge,) = [e for e in elements(diagram, "path", "edge") if (e.get("data-from"), e.get("data-to")) == (f"g{k}", f"gate:dg{k}")]
        assert "C" in edge.attrib["d"]


def test_inputs_that_would_crowd_are_told_by_name() -> None:
    """Every forward vector that a backward gate of the GRU reads is written at the end of a short wire into it."""
    placed = DRAWN["gru-backprop"].placed
    graph = placed.graph
    read = {(name, gate_key(g.name)) for g in graph.gates for name in g.inputs if graph.vertex[name].row != g.row}
    assert read == {(link.source, link.target) for link in placed.stubs}
    assert not placed.detours
    for link, name in placed.stubs.items():
        assert graph.vertex[link.source].label.split(" = ")[0] == name
    assert not DRAWN["mlp-backprop"].placed.stubs


def test_the_green_arrow_goes_around_both_rows() -> None:
    diagram = DRAWN["6-backprop"]
    (arrow,) = elements(diagram, "path", "turn")
    (_, top), (_, bottom) = ends(arrow.attrib["d"])
    assert arrow.attrib["stroke"] == "#548235"
    assert all(top < y < bottom for _, y, _ in discs(diagram).values())
    assert [e.attrib["aria-label"] for e in elements(diagram, "g", "title")] == ["forward propagation", "backward propagation"]
    assert not elements(draw(perceptron(), backward=True, turn=False), "path", "turn")


@pytest.mark.parametrize("name", ["4-layernorm", "4-attention"])
def test_a_moment_has_a_bar_as_long_as_its_long_side(name: str) -> None:
    diagram = DRAWN[name]
    found = gates(diagram)
    bars = {e.attrib["data-name"]: ends(e.attrib["d"]) for e in elements(diagram, "path", "bar")}
    assert set(bars) == {g.name for g in diagram.graph.gates if g.bar}
    for gate, ((x0, y0), (x1, y1)) in bars.items():
        assert x0 == x1 == pytest.approx(found[gate].right, abs=ROUNDING)
        assert abs(y1 - y0) == pytest.approx(found[gate].left_length, abs=2 * ROUNDING)


@pytest.mark.parametrize("name", ["1-mlp", "1-rnn", "6-backprop"])
def test_products_are_dashed_and_named(name: str) -> None:
    diagram = DRAWN[name]
    names = {(e.attrib["data-from"], e.attrib["data-to"]): e.attrib["aria-label"] for e in elements(diagram, "g", "matrix")}
    dashed = {(e.attrib["data-from"], e.attrib["data-to"]): e for e in elements(diagram, "path", "matmul")}
    assert set(dashed) == {(p.source, p.target) for p in diagram.graph.products}
    assert names == {(p.source, p.target): p.label for p in diagram.graph.products}
    assert all("stroke-dasharray" in e.attrib for e in dashed.values())
    assert not any("stroke-dasharray" in e.attrib for e in elements(diagram, "path", "edge"))


def test_circles_are_filled_by_kind() -> None:
    for diagram in DRAWN.values():
        for name, (_, _, fill) in discs(diagram).items():
            assert fill == ("#000000" if diagram.graph.vertex[name].kind == "X" else "#FFFFFF")


def test_squares_have_the_measured_side() -> None:
    for e in elements(DRAWN["4-attention"], "polygon", "scalar"):
        xs, ys = zip(*(map(float, p.split(",")) for p in e.attrib["points"].split()), strict=True)
        assert max(xs) - min(xs) == pytest.approx(5.4, abs=ROUNDING)
        assert max(ys) - min(ys) == pytest.approx(5.4, abs=ROUNDING)


def test_psi_reads_along_the_gate() -> None:
    assert all("rotate(-90)" in e.attrib["transform"] for e in elements(DRAWN["1-mlp"], "g", "psi"))
    assert all("rotate" not in e.attrib["transform"] for e in elements(DRAWN["5-convolution"], "g", "psi"))  # computed upwards: gates lie


def test_a_path_covers_its_variables() -> None:
    overlays = elements(DRAWN["2-mlp"], "path", "path")
    assert [(e.attrib["data-from"], e.attrib["data-to"]) for e in overlays] == [("x1", "h2"), ("h2", "x2"), ("x2", "h3")]
    assert {e.attrib["stroke"] for e in overlays} == {"#4472C4"}
    assert len(elements(DRAWN["2-mlp"], "circle", "path")) == 4


def test_panels_hold_their_variables_and_the_conditioning_square_stands_outside() -> None:
    diagram = DRAWN["7-algorithm"]
    train, test = ([tuple(map(float, p.split(","))) for p in e.attrib["points"].split()] for e in elements(diagram, "polygon", "panel"))

    def holds(panel: list[tuple[float, ...]], name: str) -> bool:
        x, y = centre(diagram, name)
        return min(p[0] for p in panel) < x < max(p[0] for p in panel) and min(p[1] for p in panel) < y < max(p[1] for p in panel)

    assert all(holds(train, name) for name in diagram.graph.panels[0].names)
    assert all(holds(test, name) for name in diagram.graph.panels[1].names)
    assert not any(holds(panel, name) for panel in (train, test) for name in ("f", "chi", "theta", "change"))
    assert [e.attrib["fill"] for e in elements(diagram, "polygon", "panel")] == ["#E7E6E6", "#DAE3F3"]
    assert diagram.graph.vertex["f"].kind == "scalar"
    assert not any(g.outputs == ("f",) for g in diagram.graph.gates)


def centre(diagram: Diagram, name: str) -> tuple[float, float]:
    if name in discs(diagram):
        return discs(diagram)[name][:2]
    (e,) = [e for e in elements(diagram, "polygon", "scalar") if e.attrib["data-name"] == name]
    xs, ys = zip(*(map(float, p.split(",")) for p in e.attrib["points"].split()), strict=True)
    return sum(xs) / 4, sum(ys) / 4


def overlap(a: Box, b: Box) -> bool:
    return min(a[2], b[2]) - max(a[0], b[0]) > 0.05 and min(a[3], b[3]) - max(a[1], b[1]) > 0.05


@pytest.mark.parametrize("name", DRAWN)
def test_nothing_overlaps(name: str) -> None:
    marks = DRAWN[name].scene.marks
    solid = [m for m in marks if m.role in SOLID]
    for a, b in combinations(solid, 2):
        assert not overlap(extent(a), extent(b)), f"{describe(a)} and {describe(b)}"


@pytest.mark.parametrize("name", DRAWN)
def test_edges_keep_off_names_and_foreign_nodes(name: str) -> None:
    marks = DRAWN[name].scene.marks
    names = [m for m in marks if m.role in ("name", "axes", "read", "title")]
    nodes = [m for m in marks if isinstance(m, Disc) and m.role in ("G", "X")]
    for edge in (m for m in marks if isinstance(m, Stroke) and m.role in ("edge", "matmul")):
        points = [point_on(edge.segments, k / 60)[0] for k in range(61)]
        for label in names:
            left, bottom, right, top = extent(label)
            assert not any(left < x < right and bottom < y < top for x, y in points), f"{describe(edge)} crosses {describe(label)}"
        for node in nodes:
            if dict(node.data)["name"] not in dict(edge.data).values():
                (cx, cy), r = node.centre, node.radius
                assert not any(hypot(x - cx, y - cy) < r for x, y in points), f"{describe(edge)} crosses {describe(node)}"


def describe(mark: Mark) -> str:
    return f"{mark.role} {mark.source if isinstance(mark, Text) else dict(mark.data)}"


def test_names_of_wires_stand_apart() -> None:
    """Wires that end in a name stand further apart than a name with two scripts is high."""
    assert outline("x^{10}_{3}", STUB_SIZE).height < STRANGER_PORT


@given(networks(), st.booleans(), st.booleans())
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
def test_any_network_can_be_drawn_without_overlaps(network: Network, backward: bool, unfold: bool) -> None:
    scene = draw(network, backward=backward, unfold=unfold).scene
    solid = [m for m in scene.marks if m.role in SOLID]
    assert not [(describe(a), describe(b)) for a, b in combinations(solid, 2) if overlap(extent(a), extent(b))]
