"""The rules for what is initial (Yang & Littwin 2021, Setup B.2) and for what is read out (Setup 5.2).

| rule         | says                                                                                                     |
| ------------ | -------------------------------------------------------------------------------------------------------- |
| [width]      | ratios of widths are positive; the width of a variable is declared                                        |
| [axis]       | axes have 1 to 1,000,000 members                                                                           |
| [matrix]     | sigma is positive and finite                                                                              |
| [init]       | means, variances and sigmas are numbers, variances not negative; an embedding has the axes of its input     |
| [covariance] | of two Gaussian initial vectors of one width; the joint law exists: symmetric, positive semidefinite         |
| [scalar]     | an initial scalar is a finite number at each n                                                             |
| [readout]    | a readout vector has the width of what it reads; the outputs of all readouts have the same axes             |
| [training]   | what is trained is a tensor of the network, at a finite rate                                               |
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import assert_never

from tensorprog.language.covariance import members
from tensorprog.language.finding import MAX_ENTRIES
from tensorprog.language.instr import Axis, Covariance, Embedding, Gaussian, InitScalar, InitVector, Input, Matrix, Width
from tensorprog.language.judgement import FAULTY, Said, Scope, Type, known, over
from tensorprog.language.listing import Header, NetworkKind, Outputs, Return, Train
from tensorprog.language.program import Network, Program, Readout

Declaration = Width | Axis | Input | Matrix | InitVector | Covariance | InitScalar


def declaration(d: Declaration, scope: Scope) -> Iterator[Said]:
    """What is wrong with a declaration; the scope learns what it declares."""
    match d:
        case Width(name, ratio):
            if ratio <= 0:
                yield "width", f"{name} is {ratio} of the base width; a width is positive", "Give a ratio above 0"
            yield from _new(name, scope.widths, "width")
            scope.widths[name] = None
        case Axis(name, size):
            if not 1 <= size <= MAX_ENTRIES:
                yield "axis", f"{name} has size {size}; 1 to {MAX_ENTRIES} are allowed", "Give it at least one member, and not too many"
            yield from _new(name, scope.sizes, "axis")
            scope.sizes[name] = max(1, min(size, MAX_ENTRIES + 1))
        case Input(name, axes):
            yield from over(axes, scope)
            yield from _new(name, scope.inputs, "input")
            scope.inputs[name] = frozenset(axes)
        case Matrix(name, rows, cols, sigma):
            for width in dict.fromkeys((rows, cols)):
                yield from known(width, scope.widths, "width", scope)
            yield from _positive(sigma, "matrix")
            yield from free(name, scope)
            scope.matrices[name] = d
        case InitVector():
            yield from _vector(d, scope)
        case Covariance():
            yield from _covariance(d, scope)
        case InitScalar(name, axes, value, exponent):
            yield from over(axes, scope)
            if not isfinite(exponent) or (value is not None and not isfinite(value)):
                yield "scalar", f"{name} is not a finite number at every n", "Give a finite value and a finite exponent"
            yield from free(name, scope)
            scope.variables[name] = Type(None, frozenset(axes))
        case _:
            assert_never(d)


def free(name: str, scope: Scope) -> Iterator[Said]:
    """[name]: the name of a tensor or variable is not taken."""
    if not name:
        yield "name", "a name is empty", "Give it a name"
    if name in scope.variables or name in scope.matrices or name in scope.embeddings:
        yield "name", f"{name} is defined twice", "Rename one of the two; every name is assigned once"


def _new(name: str, there: object, what: str) -> Iterator[Said]:
    if not name:
        yield "name", f"the {what} has no name", "Give it a name"
    if name in there:  # pyright: ignore[reportOperatorIssue]
        yield "name", f"the {what} {name} is declared twice", "Keep one of the two"


def _positive(sigma: float, rule: str) -> Iterator[Said]:
    if not (isfinite(sigma) and sigma > 0):
        yield rule, f"sigma is {sigma:g}; a standard deviation is positive and finite", "Give sigma > 0, or leave the tensor out"


def _vector(v: InitVector, scope: Scope) -> Iterator[Said]:
    yield from known(v.width, scope.widths, "width", scope)
    yield from over(v.axes, scope)
    match v.law:
        case Gaussian(mean, variance):
            if not isfinite(mean):
                yield "init", f"the mean is {mean:g}", "Give a finite mean"
            if not (isfinite(variance) and variance >= 0):
                yield "init", f"the variance is {variance:g}; a variance is not negative", "Give a finite variance >= 0"
        case Embedding(matrix, data, sigma):
            yield from known(data, scope.inputs, "input", scope)
            yield from _positive(sigma, "init")
            if data in scope.inputs and scope.inputs[data] != frozenset(v.axes):
                has = ", ".join(sorted(scope.inputs[data])) or "no axes"
                yield "init", f"{v.name} embeds {data}, one vector a position, and {data} has {has}", f"Give {v.name} the axes of {data}"
            if matrix in scope.matrices or matrix in scope.variables:
                yield "name", f"{matrix} is defined twice", "Rename one of the two; an embedding matrix has a name of its own"
            if (width := scope.embeddings.setdefault(matrix, v.width)) != v.width:
                yield "width", f"{matrix} has rows of width {width} and of width {v.width}", "Use two embedding matrices"
        case _:
            assert_never(v.law)
    yield from free(v.name, scope)
    scope.initial.setdefault(v.name, v)
    scope.variables[v.name] = Type(v.width, frozenset(v.axes)) if v.width in scope.widths else FAULTY


def _covariance(c: Covariance, scope: Scope) -> Iterator[Said]:
    """One covariance by itself; that all together are a law is judged when each of them is sound."""
    for name in dict.fromkeys((c.a, c.b)):
        yield from known(name, scope.initial, "initial vector", scope)
    if c.a not in scope.initial or c.b not in scope.initial:
        return
    a, b = scope.initial[c.a], scope.initial[c.b]
    embedded = next((v.name for v in (a, b) if isinstance(v.law, Embedding)), None)
    if embedded is not None:
        yield "covariance", f"{embedded} is an embedding, whose covariance is that of its input", "Leave this line out"
    if a.width != b.width:
        finding = f"{a.name} has width {a.width} but {b.name} has width {b.width}, and their coordinates do not correspond"
        yield "covariance", finding, "Leave this line out"
    rows, cols = members(a, scope.sizes), members(b, scope.sizes)
    if len(c.values) != rows * cols:
        yield "covariance", f"{len(c.values)} numbers stand where {rows} x {cols} are needed", f"List {rows * cols} numbers, those of {c.a}[0] first"
    elif not all(map(isfinite, c.values)):
        yield "covariance", "a covariance is not a finite number", "Use finite numbers"
    elif c.a == c.b and (at := _asymmetry(c.values, rows)) is not None:
        i, j = at
        yield (
            "covariance",
            f"entry ({i}, {j}) is {c.values[i * rows + j]:g} and entry ({j}, {i}) is {c.values[j * rows + i]:g}",
            "A covariance is symmetric: make them equal",
        )
    if frozenset((c.a, c.b)) in scope.correlated:
        yield "covariance", f"the covariance of {c.a} and {c.b} is given twice", "Keep one of the two"
    scope.correlated.add(frozenset((c.a, c.b)))


def _asymmetry(values: tuple[float, ...], n: int) -> tuple[int, int] | None:
    scale = max(map(abs, values), default=0.0)
    pairs = ((i, j) for i in range(n) for j in range(i))
    return next(((i, j) for i, j in pairs if abs(values[i * n + j] - values[j * n + i]) > 1e-12 * scale), None)


def frame(item: Header | Readout | Outputs | NetworkKind | Train | Return, scope: Scope, p: Program | Network) -> Iterator[Said]:
    """What is wrong with the lines around the body: the head, the readouts, the training, the outputs."""
    match item:
        case Header():
            if not (p.program if isinstance(p, Network) else p).widths:
                yield "width", "no width is declared", "Add a line such as `width n`"
            if isinstance(p, Network) and not p.readouts:
                yield "readout", "the network has no readout", "Add a line such as `readout v^T x : n`"
            if isinstance(p, Network) and p.outputs < 1:
                yield "readout", f"the network has {p.outputs} outputs", "Give it at least one"
        case Readout():
            assert isinstance(p, Network)
            yield from _readout(item, scope, p)
        case Train(tensor, training):
            tensors = (scope.matrices, scope.embeddings, scope.initial, scope.readouts)
            if not any(tensor in there for there in tensors):
                yield from known(tensor, [name for there in tensors for name in there], "tensor", scope)
            if not isfinite(training.rate):
                yield "training", f"the rate is {training.rate:g}", "Give a finite rate; 0 freezes"
        case Return(outputs):
            for name in dict.fromkeys(outputs):
                yield from known(name, scope.variables, "variable", scope)
        case Outputs() | NetworkKind():
            return
        case _:
            assert_never(item)


def _readout(r: Readout, scope: Scope, network: Network) -> Iterator[Said]:
    scope.readouts.add(r.vector)
    yield from known(r.of, scope.variables, "vector", scope)
    yield from over(r.axes, scope)
    yield from _positive(r.sigma, "readout")
    if r.vector in scope.matrices or r.vector in scope.embeddings:
        yield "name", f"{r.vector} is a matrix and a readout vector", "Rename one of the two"
    x = scope.variables.get(r.of, FAULTY)
    if not x.known:
        return
    if x.width is None:
        yield "readout", f"{r.of} is a scalar", "Read a vector out"
    elif x.width != r.width:
        yield "readout", f"{r.vector} has width {r.width} but {r.of} has width {x.width}", f"Give {r.vector} width {x.width}"
    if not frozenset(r.axes) <= x.axes:
        extra = ", ".join(sorted(frozenset(r.axes) - x.axes))
        yield "readout", f"{r.vector} sums over {extra}, which {r.of} does not have", f"Sum over axes of {r.of}"
    first = network.readouts[0]
    expected = scope.variables.get(first.of, FAULTY).axes - frozenset(first.axes)
    if (own := x.axes - frozenset(r.axes)) != expected:
        yield (
            "readout",
            f"its outputs have the axes ({', '.join(sorted(own))}), those of the first readout ({', '.join(sorted(expected))})",
            "Sum over the axes that are not outputs",
        )
    yield from _readout_vector(r, scope)


def _readout_vector(r: Readout, scope: Scope) -> Iterator[Said]:
    """A readout vector may be an initial vector of the body too (then the GIA check fails), of the same width and axes."""
    if r.vector not in scope.variables:
        return
    v = scope.initial.get(r.vector)
    if v is None:
        yield "name", f"{r.vector} is a readout vector and a variable of the body that is no initial vector", "Rename one of the two"
    elif v.width != r.width or frozenset(v.axes) != frozenset(r.axes):
        yield "readout", f"{r.vector} is also an initial vector, of another width or other axes", "Make them agree, or rename one of the two"
