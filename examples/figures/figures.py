"""Figures 1-7 of Yang & Littwin 2021 (arXiv 2105.03703), drawn from programs, and longer training in the same notation.

    python examples/figures/figures.py [folder]

writes each as SVG, PNG, PDF and DOT.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path as Folder

import jax.numpy as jnp

import tensorprog as tp
from tensorprog.interpret.diagram import TEST_PANEL, Diagram, Panel, Path, Picture, Row, draw
from tensorprog.language.expr import Apply, Expr
from tensorprog.language.nonlin import user_function
from tensorprog.language.text import parse
from tensorprog.transform.unroll import LossGradient, unroll

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


@tp.network
def recurrent(xi1: tp.Data, xi2: tp.Data, xi3: tp.Data) -> tp.Output:
    """The recurrent network of Figure 1, read out at its last step."""
    W, U, b = tp.matrix("W"), tp.embedding("U"), tp.bias("b")
    x = phi(U @ xi1 + b).named("x1")
    x = phi((W @ x).named("h2") + U @ xi2 + b).named("x2")
    return tp.readout("v") @ phi((W @ x).named("h3") + U @ xi3 + b).named("x3")


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


@tp.network
def two_layers(xi: tp.Data) -> tp.Output:
    """f = v . phi(W phi(U xi)) / sqrt(n), of which the paper's Algorithm 1 trains W."""
    z = phi((tp.embedding("U") @ xi).named("g")).named("z")
    return tp.readout("v") @ phi((tp.matrix("W") @ z).named("h")).named("x")


def _gradient_of_l(f: Expr, y: Expr, axes: tuple[str, ...]) -> Expr:
    """L'(f), a loss that knows its label."""
    return Apply(replace(user_function("L", lambda f: f * f / 2), order=(1,)), (f,))


def unrolled_step() -> Diagram:
    """Algorithm 1 as `unroll` writes it: sample 1 is trained on, sample 2 is the probe."""
    only_w = replace(two_layers(), training={"U": tp.Training(rate=0.0), "v": tp.Training(rate=0.0)})
    u = unroll(only_w, 2, batches=[0], loss=LossGradient("L", _gradient_of_l))
    return draw(u, unfold=True, style="paper")


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
        "7-unrolled": unrolled_step(),
        "7-everything": draw(unroll(two_layers(), 2, batches=[0]), unfold=True, style="paper"),
    }


def trainings() -> dict[str, Picture]:
    """Three steps of SGD on one sample after the other, step by step."""
    return {"8-mlp": draw(unroll(perceptron(), 4, batches=[0, 1, 2])), "8-rnn": draw(unroll(recurrent(), 4, batches=[0, 1, 2]))}


def main(folder: str = "examples/figures") -> None:
    target = Folder(folder)
    target.mkdir(parents=True, exist_ok=True)
    for name, picture in (figures() | trainings()).items():
        for ending in ("svg", "png", "pdf", "dot"):
            picture.save(target / f"{name}.{ending}")


if __name__ == "__main__":
    main(*sys.argv[1:])
