"""The graphical notation: IIb Figures 1, 4 and 6 as DOT, and what the specification says of a program."""

import re
from pathlib import Path as File

import pygraphviz
import pytest

import tensorprog as tp
from architectures.lstm import lstm
from architectures.mlp import mlp as mlp_network
from examples.figures.figures import attention, convolution, figures, layernorm, mlp, perceptron, rnn
from tensorprog.errors import InvalidProgram
from tensorprog.interpret.diagram import Path, draw
from tensorprog.interpret.diagram.marks import Text
from tensorprog.interpret.diagram.names import typeset
from tensorprog.interpret.diagram.psi import gate_texts
from tensorprog.interpret.diagram.spec import BLACK
from tensorprog.interpret.diagram.unfold import written_out
from tensorprog.language.text import parse_expression

SNAPSHOTS = File(__file__).parent / "snapshots"
DRAWN = figures()


def structure(dot: str) -> str:
    """DOT without positions and sizes, which depend on the fonts and the solver; these are asserted on the SVG."""
    return re.sub(r', (pos|width|height)="[^"]*"', "", dot)


@pytest.mark.parametrize("name", [name for name in DRAWN if name[0] in "1467"])
def test_the_figures_of_the_paper_are_as_recorded(name: str) -> None:
    assert structure(DRAWN[name].dot) == (SNAPSHOTS / f"{name}.dot").read_text()


@pytest.mark.parametrize("name", DRAWN)
def test_graphviz_reads_the_dot(name: str) -> None:
    diagram = DRAWN[name]
    graph = pygraphviz.AGraph(string=diagram.dot)
    assert len(graph.nodes()) == len(diagram.graph.vertices) + len(diagram.graph.gates)
    assert len(graph.edges()) == len(diagram.placed.links)


def test_glyphs_follow_the_instructions() -> None:
    graph = draw(layernorm()).graph
    assert {name: v.kind for name, v in graph.vertex.items()} == {"h": "G", "x": "X", "mu": "scalar", "s2": "scalar", "y": "X"}
    assert {name: g.bar for name, g in graph.gate.items()} == {"x": False, "mu": True, "s2": True, "y": False}


def test_only_a_shared_matrix_has_a_colour() -> None:
    assert {p.colour for p in draw(mlp()).graph.products} == {BLACK}
    (colour,) = {p.colour for p in draw(rnn()).graph.products}
    assert colour != BLACK
    by_matrix = {(p.matrix, p.colour) for p in draw(convolution(pixel=5), unfold=True).graph.products}
    assert len(by_matrix) == len({colour for _, colour in by_matrix}) == 3


def test_a_matrix_used_with_its_transpose_keeps_its_colour() -> None:
    @tp.program
    def tied(x: tp.Data) -> tp.Value:
        W = tp.matrix("W")
        return W.T @ tp.relu(W @ tp.relu(tp.embedding("U") @ x))

    forward, transposed = draw(tied()).graph.products
    assert forward.colour == transposed.colour != BLACK
    assert (forward.label, transposed.label) == ("W", r"W^{\top}")


def test_folded_and_unfolded() -> None:
    folded, unfolded = draw(attention(tokens=4)).graph, draw(attention(tokens=4), unfold=True).graph
    assert {v.name: v.note for v in folded.vertices}["c"] == "source"
    assert sum(v.name.startswith("c[") for v in unfolded.vertices) == 4
    softmax = [g for g in unfolded.gates if "softmax" in g.text]
    assert [(g.inputs, g.outputs) for g in softmax] == [(tuple(f"c[{k}]" for k in range(4)), tuple(f"a[{k}]" for k in range(4)))]


def test_members_that_nothing_reads_are_not_written_out() -> None:
    outs = [i.out for i in written_out(convolution(pixel=5)).body]
    assert "y[2]" in outs
    assert sum(out.startswith("h1[") for out in outs) == 3  # W1 multiplies five pixels, of which a valid filter reads three


@pytest.mark.parametrize(("style", "kinds"), [("strict", ("X", "G")), ("paper", ("G", "X"))])
def test_styles_of_the_backward_pass(style: str, kinds: tuple[str, str]) -> None:
    vertex = draw(perceptron(), backward=True, style=style).graph.vertex
    assert (vertex["dg1"].kind, vertex["dx2"].kind) == kinds


def test_the_backward_pass_starts_at_the_readout_vector() -> None:
    graph = draw(perceptron(), backward=True).graph
    assert graph.vertex["v"].label == "dx^{3} = v"
    assert graph.vertex["v"].twin == "x3"
    assert "dv" not in graph.vertex


def test_gradients_of_a_sum_are_one_node() -> None:
    graph = draw(mlp_network(depth=2, sigma_b=1.0), backward=True).graph
    assert graph.vertex["dh1"].label == "dh^{1} = db^{2}"
    assert "db2" not in graph.vertex


def test_given_variables_are_drawn_without_what_makes_them() -> None:
    graph = draw(layernorm(), given=["x"]).graph
    assert set(graph.vertex) == {"x", "mu", "s2", "y"}
    assert "x" not in graph.gate


def test_a_long_drawing_goes_on_below() -> None:
    network = mlp_network(depth=12)
    long, broken = draw(network, line=1e6), draw(network, line=400.0)
    assert broken.scene.box[2] - broken.scene.box[0] < 450 < long.scene.box[2] - long.scene.box[0]
    drawn = [dict(m.data)["name"] for m in broken.scene.marks if m.role in ("G", "X")]
    assert set(drawn) == set(broken.graph.vertex)
    assert 1 < len(drawn) - len(set(drawn)) < 8  # the variables at the breaks stand twice


@pytest.mark.parametrize(("ending", "magic"), [("svg", b"<svg"), ("png", b"\x89PNG"), ("pdf", b"%PDF"), ("dot", b"digraph")])
def test_formats(tmp_path: File, ending: str, magic: bytes) -> None:
    file = DRAWN["1-mlp"].save(tmp_path / f"figure.{ending}")
    assert file.read_bytes().startswith(magic)


def test_a_notebook_shows_the_svg() -> None:
    assert DRAWN["1-mlp"]._repr_svg_() == DRAWN["1-mlp"].svg


def test_bad_requests_are_refused_in_words(tmp_path: File) -> None:
    for message, options in (
        ("a program has no readout", {"backward": True}),
        ("names 'h9', which is not drawn", {"highlight": [("x1", "h9")]}),
        ("no instruction makes h3 from x1", {"highlight": [("x1", "h3")], "file": tmp_path / "a.svg"}),
        ("none of .svg, .png, .pdf, .dot", {"file": tmp_path / "a.gif"}),
        ("'strict' or 'paper'", {"style": "loose"}),
    ):
        with pytest.raises(InvalidProgram, match=message):
            draw(mlp(), **options)


def test_paths_know_their_names() -> None:
    assert draw(mlp(), highlight=[Path(("x1", "h2"), "p", "#ED7D31")]).graph.paths[0].colour == "#ED7D31"


def test_long_functions_are_named_and_written_in_the_legend() -> None:
    diagram = draw(lstm(), legend=True)
    (gate,) = [g for g in diagram.graph.gates if g.formula]
    assert gate.text == r"\psi"
    assert gate.meaning.startswith("sigmoid(")  # in full, as the program has it
    assert any(m.role == "legend" and m.source == gate.text for m in diagram.scene.marks if isinstance(m, Text))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("h1", "h^{1}"),
        ("h_1", "h_{1}"),
        ("xi", r"\xi "),
        ("dxi", r"d\xi "),
        ("dh2", "dh^{2}"),
        ("data", r"\text{data}"),
        ("Wq", "W_{q}"),
        ("x_tilde", r"\tilde{x}"),
        ("q_norm[0, 3]", r"q_{\text{norm},1,4}"),
        ("φ", r"\phi "),
    ],
)
def test_names_are_typeset(name: str, text: str) -> None:
    assert typeset(name) == text


@pytest.mark.parametrize(
    ("psi", "texts"),
    [
        ("relu(h + b)", (r"\text{relu}(\cdot + \cdot)",)),
        ("relu(h)", (r"\text{relu}",)),
        ("q * k", (r"\cdot \times \cdot",)),
        ("x + y", ("+",)),
        ("(x - mu)^2", (r"(x - \mu )^{2}",)),
        ("(x - mu) * s2^-0.5", (r"(x - \mu )/\sqrt{s^{2}}",)),
        ("softmax[source](c)", (r"\text{softmax}",)),
        ("sum[source](a * u)", (r"\text{linear combination}",)),
        ("0.25 * sum[token](x)", (r"\text{mean}_{\text{token}} x",)),
        ("x * y^-1", (r"x/y",)),
        ("0.7071067811865476 * x", (r"1/\sqrt{2}\,x",)),
    ],
)
def test_gates_say_what_they_compute(psi: str, texts: tuple[str, ...]) -> None:
    found = gate_texts(parse_expression(psi), lambda name: name in ("a", "c", "mu", "s2"))
    assert found[: len(texts)] == texts
