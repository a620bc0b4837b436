"""Figures 1-7 of Yang & Littwin 2021 (arXiv 2105.03703), drawn from programs.

    python examples/figures/figures.py [folder]

writes each as SVG, PNG, PDF and DOT.
"""

from __future__ import annotations

import sys
from pathlib import Path as Folder

import jax.numpy as jnp

import tensorprog as tp
from tensorprog.interpret.diagram import TEST_PANEL, Diagram, Panel, Path, Row, draw
from tensorprog.language.nonlin import user_function
from tensorprog.language.text import parse

phi = tp.nonlinearity("phi", jnp.tanh)


@tp.program
def mlp(xi: tp.Data) -> tp.Value:
    """x^l = phi(W^l x^{l-1} + b^l)."""
    x = phi((tp.embedding("W1") @ xi).named("h1") + tp.bias("b1")).named("x1")
    x = phi((tp.matrix("W2") @ x).named("h2") + tp.bias("b2")).named("x2")
    return phi((tp.matrix("W3") @ x).named("h3") + tp.bias("b3")).named("x3")


@tp.program
def rnn(xi1: tp.Data, xi2: tp.Data, xi3: tp.Data) -> tp.Value:
    """x^t = phi(W x^{t-1} + U xi^t + b)."""
    W, U, b = tp.matrix("W"), tp.embedding("U"), tp.bias("b")
    x = phi(U @ xi1 + b).named("x1")
    x = phi((W @ x).named("h2") + U @ xi2 + b).named("x2")
    return phi((W @ x).named("h3") + U @ xi3 + b).named("x3")


@tp.program
def layernorm() -> tp.Value:
    """LN(x) = (x - mu) / sigma, with mu and sigma^2 the mean and variance of the coordinates."""
    x = phi(tp.initial("h")).named("x")
    mu = tp.moment(x).named("mu")
    s2 = tp.moment((x - mu) ** 2).named("s2")
    return ((x - mu) * s2**-0.5).named("y")


@tp.program
def attention(tokens: int = 3) -> tp.Value:
    """y = sum_j softmax_j(q . k_j / n) v_j for one query."""
    q, k = tp.initial("q"), tp.initial("k", axes={"source": tokens})
    v = phi(tp.initial("g", axes={"source": tokens})).named("v")
    c = tp.moment(q * k).named("c")
    a = tp.softmax(c, "source").named("a")
    return tp.mix(a, v, "source").named("y")


@tp.program(xi="pixel")
def convolution(xi: tp.Data) -> tp.Value:
    """y_i = W^1 x_{i-1} + W^2 x_i + W^3 x_{i+1}, over the positions where the filter fits."""
    x = phi(tp.embedding("U") @ xi).named("x")
    filters = {(t,): tp.matrix(f"W{t + 1}") for t in range(3)}
    return tp.conv(filters, x, ["pixel"], into=["output"], padding="valid").named("y")


@tp.network
def perceptron(xi: tp.Data) -> tp.Output:
    """A multilayer perceptron without biases, to be read with its backward pass."""
    x = phi((tp.embedding("U") @ xi).named("g0")).named("x1")
    x = phi((tp.matrix("W1") @ x).named("g1")).named("x2")
    x = phi((tp.matrix("W2") @ x).named("g2")).named("x3")
    return tp.readout("v") @ x


ALGORITHM_1 = """
program algorithm_1
width n
input xi
input xi_tilde
matrix W : n x n
vector g : n = U xi
vector g_tilde : n = U xi_tilde
vector v : n ~ N(0, 1)
scalar f = given
scalar r = n^-0.5
z := phi(g)
h := W z
x := phi(h)
dh := phi'(h) * v
dz := W^T dh
dg := phi'(g) * dz
z_tilde := phi(g_tilde)
h_tilde := W z_tilde
x_tilde := phi(h_tilde)
chi := moment(L'(f))
theta := moment(z * z_tilde)
dh_tilde := -chi * theta * dh
dx_tilde := r^-1 * (phi(h_tilde + r * dh_tilde) - phi(h_tilde))
change := moment(v * dx_tilde)
return change, x, x_tilde, dg
"""


def first_step() -> Diagram:
    """Algorithm 1: the first step of SGD on W, and the change of f on a test example, as one program (without the slips of its listing)."""
    program = parse(ALGORITHM_1, {"phi": user_function("phi", jnp.tanh), "L": user_function("L", lambda f: f * f / 2)})
    forward, backward, test = ("g", "z", "h", "x"), ("v", "dh", "dz", "dg"), ("g_tilde", "z_tilde", "h_tilde", "x_tilde")
    update = ("f", "chi", "theta", "r", "dh_tilde", "dx_tilde", "change")
    return draw(
        program,
        style="paper",
        twins={"v": "x", "dh": "h", "dz": "z", "dg": "g"},
        rows=(Row(forward, labels="above"), Row(backward, leftward=True, labels="above"), Row(update), Row(test)),
        panels=(Panel((*forward, *backward), "training example"), Panel(test, "test example", TEST_PANEL)),
        labels={
            "v": "v = dx",
            "r": "n^{-1/2}",
            "dh_tilde": r"\delta\tilde{h}",
            "dx_tilde": r"\delta\tilde{x}",
            "change": r"\tilde{f}_1 - \tilde{f}",
            "gate:chi": "L'(f)",
            "gate:theta": r"\tilde{z}\cdot z / n",
            "gate:change": r"v^{\top}\delta\tilde{x}/n",
            "gate:dx_tilde": r"\sqrt{n}\,(\phi(\tilde{h} + \delta\tilde{h}/\sqrt{n}) - \phi(\tilde{h}))",
        },
    )


def figures() -> dict[str, Diagram]:
    """Every figure by its number in the paper."""
    p, q = ("x1", "h2", "x2", "h3"), ("x2", "h3")
    return {
        "1-mlp": draw(mlp(), legend=True),
        "1-rnn": draw(rnn()),
        "2-mlp": draw(mlp(), highlight=[p]),
        "2-rnn": draw(rnn(), highlight=[p]),
        "3-mlp": draw(mlp(), highlight=[Path(p[:2], "p"), Path(q, "q", "#ED7D31")]),
        "3-rnn": draw(rnn(), highlight=[Path(p[:2], "p"), Path(q, "q", "#ED7D31")]),
        "4-layernorm": draw(layernorm(), given=["x"], labels={"s2": r"\sigma^2", "y": r"\text{LN}(x)"}, legend=True),
        "4-attention": draw(attention(), unfold=True, given=["v[0]", "v[1]", "v[2]"]),
        "5-convolution": draw(convolution(pixel=5), unfold=True, upward=True, given=[f"x[{i}]" for i in range(5)]),
        "6-backprop": draw(perceptron(), backward=True, legend=True),
        "6-backprop-paper": draw(perceptron(), backward=True, style="paper"),
        "7-algorithm": first_step(),
    }


def main(folder: str = "examples/figures") -> None:
    target = Folder(folder)
    target.mkdir(parents=True, exist_ok=True)
    for name, diagram in figures().items():
        for ending in ("svg", "png", "pdf", "dot"):
            diagram.save(target / f"{name}.{ending}")


if __name__ == "__main__":
    main(*sys.argv[1:])
