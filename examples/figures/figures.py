"""Figures 1-6 of Yang & Littwin 2021 (arXiv 2105.03703), drawn from programs.

    python examples/figures/figures.py [folder]

writes each as SVG, PNG, PDF and DOT.
"""

from __future__ import annotations

import sys
from pathlib import Path as Folder

import jax.numpy as jnp

import tensorprog as tp
from tensorprog.interpret.diagram import Diagram, Path, draw

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
    }


def main(folder: str = "examples/figures") -> None:
    target = Folder(folder)
    target.mkdir(parents=True, exist_ok=True)
    for name, diagram in figures().items():
        for ending in ("svg", "png", "pdf", "dot"):
            diagram.save(target / f"{name}.{ending}")


if __name__ == "__main__":
    main(*sys.argv[1:])
