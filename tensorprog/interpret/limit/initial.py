"""[init]: the covariance of two initial Gaussian vectors, over the positions of the first and then those of the second, their axes sorted."""

from __future__ import annotations

from tensorprog.interpret.limit.scalar import Index, S, Scalars, rename
from tensorprog.language.instr import Gaussian, InitVector
from tensorprog.language.program import Program


def covariance(program: Program, scalars: Scalars, x: InitVector, y: InitVector) -> S:
    """The declared table, turned if it was declared for (y, x); without one, variance times 1 at equal positions of a vector with itself, else 0."""
    m, n = len(x.axes), len(y.axes)
    for c in program.covariances:
        if (c.a, c.b) == (x.name, y.name):
            return _table(program, scalars, c.values, x, y)
        if (c.a, c.b) == (y.name, x.name):
            by: dict[Index, Index] = {k: (k + m if k < n else k - n) for k in range(m + n)}
            return rename(_table(program, scalars, c.values, y, x), by)
    if x.name != y.name:
        return scalars.zero
    assert isinstance(x.law, Gaussian)
    sizes = (program.size[a] for a in sorted(x.axes))
    eyes = [scalars.leaf(("eye", size), (size, size), (k, m + k)) for k, size in enumerate(sizes)]
    return scalars.product((scalars.leaf(("variance", x.name)), *eyes))


def linked(program: Program) -> dict[str, str]:
    """Initial Gaussian vectors grouped by the covariances that join them."""
    group = {v.name: v.name for v in program.vectors}
    for c in program.covariances:
        old, new = group[c.b], group[c.a]
        group = {name: new if g == old else g for name, g in group.items()}
    return group


def _table(program: Program, scalars: Scalars, values: tuple[float, ...], x: InitVector, y: InitVector) -> S:
    """A covariance table, its axes brought from the declared to the sorted order."""
    if not any(values):
        return scalars.zero
    axes, split = (*x.axes, *y.axes), len(x.axes)
    order = [*sorted(range(split), key=lambda k: axes[k]), *sorted(range(split, len(axes)), key=lambda k: axes[k])]
    declared = tuple(program.size[a] for a in axes)
    return scalars.leaf(("tensor", declared, values), declared, tuple(order.index(k) for k in range(len(axes))))
