"""Pictures of training: IIb Figure 7 from the unroller, and the triangle of what every step adds to every later pass."""

import re
from itertools import combinations
from pathlib import Path as File

import networkx as nx
import pygraphviz
import pytest

import tensorprog as tp
from architectures.mlp import mlp
from examples.figures.figures import ALGORITHM_1, first_step, trainings, two_layers, unrolled_step
from tensorprog.interpret.diagram import Diagram, draw
from tensorprog.interpret.diagram.marks import Box, Stroke, extent
from tensorprog.interpret.diagram.routes import point_on
from tensorprog.interpret.diagram.steps import steps_of
from tensorprog.transform.unroll import adam, unroll
from tests.finite_networks import NETWORKS

SNAPSHOTS = File(__file__).parent / "snapshots"
STEPS = trainings()
UNROLLED = unrolled_step()


def structure(dot: str) -> str:
    return re.sub(r', pos="[^"]*"', "", dot)


def graph_of(diagram: Diagram, without: str = "") -> nx.MultiDiGraph:
    """Nodes by their glyphs, edges by their matrices."""
    g, found = diagram.graph, nx.MultiDiGraph()
    found.add_nodes_from((v.name, {"glyph": v.kind}) for v in g.vertices if v.name != without)
    found.add_nodes_from((f"gate:{gate.name}", {"glyph": "Moment" if gate.bar else "Nonlin"}) for gate in g.gates)
    found.add_edges_from((a, f"gate:{gate.name}", {"by": ""}) for gate in g.gates for a in gate.inputs if a != without)
    found.add_edges_from((f"gate:{gate.name}", b, {"by": ""}) for gate in g.gates for b in gate.outputs)
    found.add_edges_from((p.source, p.target, {"by": p.label}) for p in g.products)
    return found


def test_the_unroller_writes_algorithm_1() -> None:
    """The same graph as that of the paper's listing, in which n^(-1/2) is a scalar r of its own."""
    assert "scalar r = n^-0.5" in ALGORITHM_1
    unrolled, paper = graph_of(UNROLLED), graph_of(first_step(), without="r")
    glyph = nx.isomorphism.categorical_node_match("glyph", "")
    by = nx.isomorphism.categorical_multiedge_match("by", "")
    assert nx.is_isomorphic(unrolled, paper, node_match=glyph, edge_match=by)


def test_figure_7_speaks_as_the_paper_does() -> None:
    labels = {v.label for v in UNROLLED.graph.vertices}
    assert {r"g = U\xi ", "z", "h", "x", "dg", "dz", "dh", "v = dx", "f_{0}", r"\chi ", r"\theta "} <= labels
    assert {r"\delta \tilde{h}", r"\delta \tilde{x}", r"\tilde{f}_{1} - \tilde{f}_{0}"} <= labels
    texts = [gate.text for gate in UNROLLED.graph.gates]
    assert r"\sqrt{n}\,(\phi(\tilde{h} + \delta \tilde{h}/\sqrt{n}) - \phi(\tilde{h}))" in texts
    assert r"z^{\top}\tilde{z}/n" in texts


def test_panels_hold_the_passes_and_all_else_stands_outside() -> None:
    train, test = UNROLLED.graph.panels
    assert set(train.names) == {"g[0]", "z[0]", "h[0]", "x[0]", "v", "dg[0]", "dz[0]", "dh[0]"}
    assert set(test.names) == {"g[1]", "z[1]", "h[1]", "x[1]"}
    outside = {v.name for v in UNROLLED.graph.vertices} - {*train.names, *test.names}
    assert outside == {"f_0[0]", "chi_0", "gram_W_0_1[1]", "dev_h_1[1]", "dev_x_1[1]", "dev_f_1[1]"}


@pytest.mark.parametrize("name", STEPS)
def test_the_triangle_is_as_recorded(name: str) -> None:
    assert structure(STEPS[name].dot) == (SNAPSHOTS / f"{name}.dot").read_text()
    assert pygraphviz.AGraph(string=STEPS[name].dot).nodes()


def test_squares_are_the_gram_scalars_of_the_program() -> None:
    u = unroll(two_layers(), 4, batches=[0, 1, 2])
    additions = steps_of(u).additions
    drawn = {(a.step, a.time, a.way) for a in additions if a.key in ("W", "W^T")}
    assert drawn == {(s, t, "forward") for t in range(4) for s in range(t)} | {(s, t, "backward") for t in range(3) for s in range(t)}
    assert {a.key for a in additions} == {"U", "W", "W^T", "v"}
    assert all(a.scalar == (a.key != "v") for a in additions)


def test_a_frozen_tensor_adds_nothing() -> None:
    assert {a.key for a in steps_of(unroll(two_layers_of_w(), 3, batches=[0, 1])).additions} == {"W"}


def two_layers_of_w() -> tp.Network:
    net = two_layers()
    return tp.Network(net.program, net.readouts, training={"U": tp.Training(rate=0.0), "v": tp.Training(rate=0.0)})


def test_f_0_is_given_only_where_it_is_random_in_the_limit() -> None:
    assert '"f_0" -> "f_1"' in draw(unroll(mlp(), 2, steps=1)).dot
    assert '"forward_0" -> "f_0"' in draw(unroll(mlp(), 2, steps=1, parametrization=tp.MUP)).dot


def test_adam_adds_vectors() -> None:
    steps = steps_of(unroll(mlp(depth=2), 2, steps=2, optimizer=adam(0.1), parametrization=tp.MUP, dims=3))
    assert not any(a.scalar for a in steps.additions)
    assert {a.key for a in steps.additions} == {"U", "W2", "W2^T", "v"}


def test_rules_have_the_factors_of_their_tensors() -> None:
    rules = steps_of(unroll(mlp(depth=2, sigma_w=2.0), 2, steps=2)).rules
    assert [r.adds for r in rules if r.to in ("h^{1}_{t}", "v")] == [
        r"-4\,\eta\,\chi_{s}\,dh^{1}_{s}\,\theta^{W^{2}}_{st}",
        r"-\eta\,\chi_{s}\,dv_{s}",
    ]


def overlap(a: Box, b: Box) -> bool:
    return min(a[2], b[2]) - max(a[0], b[0]) > 0.05 and min(a[3], b[3]) - max(a[1], b[1]) > 0.05


@pytest.mark.parametrize("name", STEPS)
def test_nothing_overlaps_in_the_triangle(name: str) -> None:
    marks = STEPS[name].scene.marks
    solid = [m for m in marks if m.role in ("pass", "gate", "scalar", "X", "name", "axes", "title", "legend")]
    assert not [(a, b) for a, b in combinations(solid, 2) if overlap(extent(a), extent(b))]
    for wire in (m for m in marks if isinstance(m, Stroke) and m.role in ("edge", "given", "sum", "rail", "join")):
        points = [point_on(wire.segments, k / 60)[0] for k in range(61)]
        for label in (m for m in marks if m.role in ("name", "axes", "title")):
            left, bottom, right, top = extent(label)
            assert not any(left < x < right and bottom < y < top for x, y in points), label


@pytest.mark.parametrize("name", ["rnn", "layernorm"])
def test_any_network_is_drawn_whole(name: str) -> None:
    """Positions and samples both numbered; averages inside the network."""
    assert draw(unroll(NETWORKS[name](), 3, batches=[0]), unfold=True).dot


def test_training_shows_itself() -> None:
    u = unroll(mlp(), 2, steps=1)
    assert u._repr_svg_() == draw(u).svg == u.draw().svg
    assert isinstance(u.draw(unfold=True), Diagram)
