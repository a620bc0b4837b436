"""Graph convolution: h^{l+1} = A W^{l+1} phi(h^l) + b^{l+1}, the same W at every node (Kipf & Welling 2017; its NTK: Du et al. 2019).

A is the normalized adjacency D^(-1/2) (A + I) D^(-1/2) of a given graph: constants over two axes of nodes. Several graphs, of any sizes, are one
graph in several pieces, with one output a piece: the kernel between pieces is the graph neural tangent kernel.
"""

from __future__ import annotations

import tensorprog as tp
from architectures.options import biased, split

Graph = tuple[tuple[int, int], ...]
PATH: Graph = ((0, 1), (1, 2), (2, 3))


@tp.network(x="node")
def gnn(
    x: tp.Data,
    node: int = 4,
    edges: Graph = PATH,
    depth: int = 2,
    nonlinearity: str | tp.Nonlinearity = "relu",
    pool: bool = True,
    pieces: tuple[int, ...] = (),
    sigma_w: float = 2**0.5,
    sigma_b: float = 0.0,
    sigma_v: float = 1.0,
) -> tp.Output:
    """A graph convolutional network on an undirected graph with self-loops.

    Args:
        node: number of nodes.
        edges: pairs of nodes.
        pool: one output for the graph (mean over nodes), or one for every node.
        pieces: the numbers of nodes of several graphs, which follow each other; then there is one output a graph, of axis "graph".
    """
    phi, adjacency = tp.nonlinearity(nonlinearity), tp.constant(normalized_adjacency(node, edges), axes=("node", "neighbour"))
    h = tp.embedding("U", sigma_w) @ x
    for l in range(1, depth + 1):
        if l > 1:
            h = tp.matrix(f"W{l}", sigma_w) @ phi(h)
        h = biased(tp.mix(adjacency, h.rename(node="neighbour"), axis="neighbour"), f"b{l}", sigma_b)
    out = phi(h)
    if pieces:
        out = tp.mix(tp.constant(averages(node, pieces), axes=("graph", "node")), out, axis="node")
    elif pool:
        out = out.mean("node")
    return tp.readout("v", sigma_v) @ out


def averages(nodes: int, pieces: tuple[int, ...]) -> list[list[float]]:
    """The mean over each piece as a matrix (pieces, nodes)."""
    owner = [g for g, size in enumerate(split(nodes, pieces)) for _ in range(size)]
    return [[float(owner[i] == g) / size for i in range(nodes)] for g, size in enumerate(pieces)]


def normalized_adjacency(nodes: int, edges: Graph) -> list[list[float]]:
    """D^(-1/2) (A + I) D^(-1/2).

    Raises:
        tp.InvalidProgram: an edge to a node that does not exist.
    """
    linked = [[float(i == j) for j in range(nodes)] for i in range(nodes)]
    for i, j in edges:
        if not (0 <= i < nodes and 0 <= j < nodes):
            raise tp.InvalidProgram(f"[gnn] the edge ({i}, {j}) leaves the nodes 0 .. {nodes - 1}.")
        linked[i][j] = linked[j][i] = 1.0
    degree = [sum(row) for row in linked]
    return [[linked[i][j] / (degree[i] * degree[j]) ** 0.5 for j in range(nodes)] for i in range(nodes)]
