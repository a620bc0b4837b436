"""The joint law of the initial vectors: any Gaussian law, also singular (Yang & Littwin 2021, Setup B.2), of a positive semidefinite covariance.

A pivoted Cholesky factorization in plain Python decides; it stops at the rank of the matrix.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod, sqrt

from tensorprog.language.instr import Covariance, Gaussian, InitVector
from tensorprog.language.judgement import Said

Matrix = list[list[float]]
TOLERANCE = 1e-9  # relative to the largest variance: what decimal input may round
MAX_MEMBERS = 256  # a joint law of more members is not factorized here


def shape_of(c: Covariance, vectors: dict[str, InitVector], sizes: dict[str, int]) -> tuple[int, int]:
    """How many members a and b have."""
    return members(vectors[c.a], sizes), members(vectors[c.b], sizes)


def members(v: InitVector, sizes: dict[str, int]) -> int:
    return prod(sizes.get(a, 1) for a in v.axes)


def groups(covariances: Sequence[Covariance]) -> list[tuple[list[str], list[Covariance]]]:
    """The sets of vectors that covariances connect, each with its covariances, in the order in which they are met."""
    group: dict[str, tuple[list[str], list[Covariance]]] = {}
    for c in covariances:
        a = group.setdefault(c.a, ([c.a], []))
        b = group.setdefault(c.b, ([c.b], []))
        if a is not b:
            large, small = (a, b) if len(a[0]) >= len(b[0]) else (b, a)
            large[0].extend(small[0])
            large[1].extend(small[1])
            group.update(dict.fromkeys(small[0], large))
        group[c.a][1].append(c)
    return list({id(g): g for g in group.values()}.values())


def joint(names: Sequence[str], covariances: Sequence[Covariance], vectors: dict[str, InitVector], sizes: dict[str, int]) -> Matrix:
    """The covariance of all members of `names`, one after the other."""
    start: dict[str, int] = {}
    total = 0
    for name in names:
        start[name] = total
        total += members(vectors[name], sizes)
    k = [[0.0] * total for _ in range(total)]
    for name in names:
        law = vectors[name].law
        for i in range(members(vectors[name], sizes)):
            k[start[name] + i][start[name] + i] = law.variance if isinstance(law, Gaussian) else 0.0
    for c in covariances:
        rows, cols = shape_of(c, vectors, sizes)
        for i, j in product(range(rows), range(cols)):
            k[start[c.a] + i][start[c.b] + j] = k[start[c.b] + j][start[c.a] + i] = c.values[i * cols + j]
    return k


def indefinite(k: Matrix) -> tuple[int, float] | None:
    """A member whose variance, given some of the others, would be negative, and that variance; None if k is positive semidefinite.

    Pivoted Cholesky: remove the member of largest remaining variance until none is left above the tolerance; of a positive semidefinite matrix
    what remains is zero. A remaining covariance c beside variances a, b <= tolerance stands for the variance min(a, b) - |c| of a difference.
    """
    n = len(k)
    left = list(range(n))
    tolerance = TOLERANCE * max((abs(x) for row in k for x in row), default=0.0)
    rest = [row[:] for row in k]
    while left:
        pivot = max(left, key=lambda i: rest[i][i])
        lowest = min(left, key=lambda i: rest[i][i])
        if rest[lowest][lowest] < -tolerance:
            return lowest, rest[lowest][lowest]
        if rest[pivot][pivot] <= tolerance:
            break
        left.remove(pivot)
        row, root = rest[pivot], sqrt(rest[pivot][pivot])
        factor = [row[j] / root for j in range(n)]
        for i in left:
            f, target = factor[i], rest[i]
            if f:
                for j in left:
                    target[j] -= f * factor[j]
    worst = max(((abs(rest[i][j]), i) for i in left for j in left if i != j), default=(0.0, 0))
    return (worst[1], -worst[0]) if worst[0] > 10 * tolerance else None


def too_large(names: Sequence[str], vectors: dict[str, InitVector], sizes: dict[str, int]) -> bool:
    """Whether the joint law of `names` has too many members to be judged here."""
    return sum(members(vectors[name], sizes) for name in names) > MAX_MEMBERS


def check_law(names: Sequence[str], covariances: Sequence[Covariance], vectors: dict[str, InitVector], sizes: dict[str, int]) -> Iterator[Said]:
    """[covariance]: the joint law of `names` exists."""
    if too_large(names, vectors, sizes):
        return
    found = indefinite(joint(names, covariances, vectors, sizes))
    if found is None:
        return
    position, variance = found
    for name in names:
        count = members(vectors[name], sizes)
        if position < count:
            member = f"{name}[{position}]" if vectors[name].axes else name
            finding = f"the joint covariance of {', '.join(names)} is indefinite: given the others, {member} would have variance {variance:.3g}"
            yield "covariance", finding, "Make it positive semidefinite, with covariances at most the product of the standard deviations"
            return
        position -= count
