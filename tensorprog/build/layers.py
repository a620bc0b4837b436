"""Layers written with the primitives: normalizations, attention, convolution (Yang 2020, TP II, App. D; Yang & Littwin 2021, Fig. 4-5).

Nothing here is new to the language: each function is a few lines that a user could have written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any, Literal, cast

from tensorprog.build.declare import MatrixSymbol
from tensorprog.build.functions import mix, moment, softmax
from tensorprog.build.inputs import Data, EmbeddingSymbol
from tensorprog.build.value import Value
from tensorprog.errors import InvalidProgram

Padding = Literal["same", "valid", "circular"]


def layernorm(x: Value, eps: float = 0.0) -> Value:
    """(x - mu) / sqrt(s2 + eps), mu = Moment(x), s2 = Moment((x - mu)^2); gain and bias are a parameter times and plus it."""
    mu = moment(x)
    s2 = moment((x - mu) ** 2)
    return (x - mu) * (s2 + eps) ** -0.5


def rmsnorm(x: Value, eps: float = 0.0) -> Value:
    """x / sqrt(Moment(x^2) + eps) (Zhang & Sennrich 2019)."""
    return x * (moment(x**2) + eps) ** -0.5


def batchnorm(h: Value, *axes: str, eps: float = 0.0) -> Value:
    """(h - mean) / sqrt(var + eps) over named axes, coordinate by coordinate: a Nonlin from R^B to R^B (TP II, App. E.4).

    Without eps it is a function only almost everywhere: with at least two members that are not all equal. Its derivative is of the size of 1 / std,
    so that the limiting NTK exists only where the members, centred, span three dimensions (four members in general position), and is approached at
    the rate n^(-1/2) only where they span more than four.
    """
    centred = h - h.mean(*axes)
    return centred * ((centred**2).mean(*axes) + eps) ** -0.5


def attention(q: Value, k: Value, u: Value, *, over: str, source: str = "source", mask: Value | None = None, scale: float = 1.0) -> Value:
    """sum_j a_ij u_j with a_i. = softmax_j(scale q_i^T k_j / n): the 1/n scaling under which the weights converge (TP II, App. D).

    Args:
        over: the axis of queries, keys and values.
        source: the name that this axis gets for keys and values.
        mask: constants over (`over`, `source`), 0 where i may attend to j and a large negative number elsewhere; it is added to the logits.
    """
    k, u = k.rename(**{over: source}), u.rename(**{over: source})
    logits = scale * moment(q * k)
    return mix(softmax(logits if mask is None else logits + mask, source), u, source)


def taps(size: int, width: int, *, stride: int = 1, dilation: int = 1, padding: Padding = "same") -> list[list[int]]:
    """Per tap of a filter of that width, the position that it reads for every output position; -1 is zero padding.

    "same" pads so that stride 1 keeps the size: tap t of an odd width reads position i * stride + (t - (width - 1) // 2) * dilation.
    With stride s there are ceil(size / s) outputs and the padding is split as evenly as possible, the larger half at the end.

    Raises:
        InvalidProgram: a valid convolution with no output position.
    """
    reach = (width - 1) * dilation
    outputs = (size - reach - 1) // stride + 1 if padding == "valid" else -(-size // stride)
    if outputs < 1:
        raise InvalidProgram(f"[conv] a filter of reach {reach + 1} has no valid position in {size}. Use padding 'same', or a smaller filter.")
    start = 0 if padding == "valid" else -(max((outputs - 1) * stride + reach + 1 - size, 0) // 2)
    positions = [[i * stride + start + t * dilation for i in range(outputs)] for t in range(width)]
    if padding == "circular":
        return [[p % size for p in row] for row in positions]
    return [[p if 0 <= p < size else -1 for p in row] for row in positions]


def conv(
    filters: Mapping[tuple[int, ...], MatrixSymbol | EmbeddingSymbol],
    x: Value | Data,
    axes: Sequence[str],
    *,
    into: Sequence[str] | None = None,
    stride: int = 1,
    dilation: int = 1,
    padding: Padding = "same",
) -> Value:
    """h_i = sum_t W_t x_{i + t}: one matrix for every tap t of the filter, shared over positions, along one or more axes.

    Args:
        filters: the matrix, or for the first layer the embedding, of every tap (t1, .., tk), counted from 0.
        into: names of the output's axes; needed where stride or padding change the number of positions.
    """
    into = tuple(axes) if into is None else into
    widths = [1 + max(tap[d] for tap in filters) for d in range(len(axes))]
    reads = [taps(x.size(axis), w, stride=stride, dilation=dilation, padding=padding) for axis, w in zip(axes, widths, strict=True)]
    terms: list[Value] = []
    for tap, symbol in filters.items():
        h: Value = cast(Any, symbol) @ x  # an embedding for data, a matrix for vectors; each refuses the other in words
        for axis, new, t, positions in zip(axes, into, tap, reads, strict=True):
            h = h.gather(axis, positions[t], into=new)
        terms.append(h)
    return reduce(add, terms)
