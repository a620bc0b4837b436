"""The networkx view, paths (Def. 5.4) and their isomorphism (Def. 5.5)."""

from __future__ import annotations

import itertools

import networkx as nx
import pytest

from tensorprog.errors import InvalidProgram
from tensorprog.language.graph import Path, count_paths, is_reduced, isomorphic, kinds, paths, to_networkx
from tensorprog.language.program import Program
from tensorprog.language.text import parse

HEAD = "width n\nmatrix W2 : n x n\nmatrix W3 : n x n\nvector h1 : n ~ N(0, 1)\nvector u2 : n ~ N(0, 1)\nvector u3 : n ~ N(0, 1)\n"


def program(body: str) -> Program:
    p = parse(f"program p\n{HEAD}{body}return v\n".replace("return v", "return"))
    assert isinstance(p, Program)
    return p


MLP = program("x1 := relu(h1)\nh2 := W2 x1\nx2 := relu(h2)\nh3 := W3 x2\nx3 := relu(h3)\n")
RNN = program("x1 := relu(h1)\nh2 := W2 x1\nx2 := relu(h2 + u2)\nh3 := W2 x2\nx3 := relu(h3 + u3)\n")
SCALARS = program("x1 := relu(h1)\nh2 := W2 x1\nc := moment(h2^2)\nx2 := h2 / (1 + c)\nh3 := W2^T x2\n")


def test_the_graph_has_a_node_a_variable_and_an_edge_a_reading() -> None:
    g = to_networkx(SCALARS)
    assert dict(g.nodes(data="kind")) == {
        "h1": "initial",
        "u2": "initial",
        "u3": "initial",
        "x1": "X-var",
        "h2": "G-var",
        "c": "scalar",
        "x2": "X-var",
        "h3": "G-var",
    }
    assert set(g.edges) == {("h1", "x1"), ("x1", "h2"), ("h2", "c"), ("h2", "x2"), ("c", "x2"), ("x2", "h3")}
    assert g.edges["x1", "h2"] == {"rule": "matmul", "matrix": "W2", "transpose": False}
    assert g.edges["x2", "h3"] == {"rule": "matmul", "matrix": "W2", "transpose": True}
    assert g.edges["h2", "c"] == {"rule": "moment"}
    assert nx.is_directed_acyclic_graph(g)
    assert g.nodes["c"]["width"] is None


def test_paths_alternate_and_end_where_they_should() -> None:
    assert paths(MLP, "h3") == (Path(("x2", "h3"), (("W3", False),)), Path(("x1", "h2", "x2", "h3"), (("W2", False), ("W3", False))))
    assert paths(MLP, "x3") == paths(MLP, "h3")
    assert paths(MLP, "h1") == ()
    kind = kinds(MLP)
    for path in paths(MLP, "x3"):
        assert len(path) % 2 == 0
        assert {kind[x] for x in path.names[::2]} == {"X-var"}
        assert {kind[g] for g in path.names[1::2]} == {"G-var"}


def test_figure_3_paths_of_an_mlp_are_not_isomorphic_and_those_of_an_rnn_are() -> None:
    """IIb Fig. 3: the two paths of length 2."""
    for p, same in ((MLP, False), (RNN, True)):
        first, second = paths(p, "h2")[0], paths(p, "h3")[0]
        assert (len(first), len(second)) == (2, 2)
        assert isomorphic(first, second) is same
    longer = paths(RNN, "h3")[1]
    assert not isomorphic(paths(RNN, "h2")[0], longer)
    assert isomorphic(longer, longer)


def test_a_matrix_and_its_transpose_are_different() -> None:
    assert not isomorphic(Path(("x", "h"), (("W", False),)), Path(("x", "h"), (("W", True),)))


def test_paths_do_not_go_through_scalars() -> None:
    assert [path.names for path in paths(SCALARS, "h3")] == [("x2", "h3"), ("x1", "h2", "x2", "h3")]


def test_the_paths_of_a_lattice_are_counted_without_listing_them() -> None:
    """Each layer reads both vectors of the last: 2 + 4 + ... + 2^k paths of lengths 2, 4, .., 2k."""
    depth = 40
    lines = ["x0 := relu(h1)", "a1 := W2 x0", "b1 := W3 x0"]
    for k in range(1, depth):
        lines += [f"x{k} := relu(a{k} + b{k})", f"a{k + 1} := W2 x{k}", f"b{k + 1} := W3 x{k}"]
    p = program("\n".join(lines) + "\n")
    assert count_paths(p, "a5") == 1 + sum(2**k for k in range(1, 5))
    assert len(paths(p, "a5")) == count_paths(p, "a5")
    assert len({path.matrices for path in paths(p, "a5")}) == len(paths(p, "a5"))
    with pytest.raises(InvalidProgram, match=rf"\[path\] {2**depth - 1} paths end at a{depth}; at most 100000 are listed"):
        paths(p, f"a{depth}")


def test_paths_ask_for_a_reduced_program() -> None:
    assert is_reduced(MLP)
    p = program("x := relu(h1)\ny := tanh(x)\nh := W2 y\n")
    assert not is_reduced(p)
    with pytest.raises(InvalidProgram, match=r"p is not reduced: y reads x, which is an X-var. Take the paths of reduced\(program\)"):
        paths(p, "h")
    with pytest.raises(InvalidProgram, match="h multiplies h1, which is no X-var"):
        paths(program("h := W2 h1\n"), "h")


@pytest.mark.parametrize("name", ["nowhere", "c"])
def test_paths_end_at_a_vector(name: str) -> None:
    with pytest.raises(InvalidProgram, match=f"no vector called {name}"):
        paths(SCALARS, name)


def test_isomorphism_is_an_equivalence() -> None:
    every = [path for p in (MLP, RNN) for g in ("h2", "h3") for path in paths(p, g)]
    for p, q in itertools.product(every, every):
        assert isomorphic(p, q) == isomorphic(q, p) == (p.matrices == q.matrices)
