"""A program as a graph, its paths, and when two paths are isomorphic (Yang & Littwin 2021, Def. 5.4 and 5.5; networkx view)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, assert_never

from tensorprog.errors import InvalidProgram
from tensorprog.language.expr import Ref, refs, walk
from tensorprog.language.instr import MatMul, Moment, Nonlin, OuterNonlin
from tensorprog.language.program import Program

if TYPE_CHECKING:
    import networkx as nx

MAX_PATHS = 100_000
Kind = Literal["initial", "G-var", "X-var", "scalar"]


def kinds(p: Program) -> Mapping[str, Kind]:
    """What every variable is. An initial vector is a G-var too; an initial scalar is a scalar."""
    kind: dict[str, Kind] = {v.name: "initial" for v in p.vectors}
    for c in p.scalars:
        kind[c.name] = "scalar"
    for i in p.body:
        match i:
            case MatMul(out):
                kind[out] = "G-var"
            case Nonlin(out) | OuterNonlin(out):
                kind[out] = "X-var"
            case Moment(out):
                kind[out] = "scalar"
            case _:
                assert_never(i)
    return kind


def to_networkx(p: Program) -> nx.DiGraph[Any]:
    """Nodes are variables (kind, axes, width), edges what an instruction reads: (rule, matrix, transpose), the last two for a MatMul.

    The order of the nodes is that of the program, which is a topological order.
    """
    import networkx

    graph: nx.DiGraph[Any] = networkx.DiGraph(name=p.name)
    for name, kind in kinds(p).items():
        graph.add_node(name, kind=kind, axes=p.axes_of[name], width=p.width_of[name])
    for i in p.body:
        match i:
            case MatMul(out, matrix, arg, transpose):
                graph.add_edge(arg, out, rule="matmul", matrix=matrix, transpose=transpose)
            case Nonlin(out, psi) | Moment(out, psi) | OuterNonlin(out, psi):
                rule = {Nonlin: "nonlin", Moment: "moment", OuterNonlin: "outer"}[type(i)]
                graph.add_edges_from((x, out, {"rule": rule}) for x in refs(psi))
            case _:
                assert_never(i)
    return graph


@dataclass(frozen=True)
class Path:
    """X-var, G-var, X-var, G-var ..: `names` p0, p1, ..; `matrices` those of p1, p3, .. with whether they are transposed."""

    names: tuple[str, ...]
    matrices: tuple[tuple[str, bool], ...]

    def __len__(self) -> int:
        return len(self.names)


def isomorphic(p: Path, q: Path) -> bool:
    """p and q have equal length and the same sequence of matrices."""
    return p.matrices == q.matrices


def is_reduced(p: Program) -> bool:
    """Nonlin and Moment read G-vars and scalars only, MatMul X-vars only (section 4.6 of the reference notes; App. D.2 of the paper)."""
    return _not_reduced(p) is None


def _not_reduced(p: Program) -> str | None:
    kind = kinds(p)
    for i in p.body:
        match i:
            case MatMul(out, _, arg, _):
                if kind[arg] != "X-var":
                    return f"{out} multiplies {arg}, which is no X-var"
            case Nonlin(out, psi) | Moment(out, psi) | OuterNonlin(out, psi):
                chained = next((x for x in refs(psi) if kind[x] == "X-var"), None)
                if chained is not None:
                    return f"{out} reads {chained}, which is an X-var"
            case _:
                assert_never(i)
    return None


def count_paths(p: Program, to: str) -> int:
    """How many paths end at `to`; linear in the program."""
    ending: dict[str, int] = {}  # at each G-var
    for i in p.body:
        if isinstance(i, MatMul):
            ending[i.out] = 1 + sum(ending.get(g, 0) for g in _read(p, i.arg))
    return sum(ending.get(g, 0) for g in _ends(p, to))


def paths(p: Program, to: str, limit: int = MAX_PATHS) -> tuple[Path, ...]:
    """Every path that ends at `to`, the shortest first: p0 an X-var, p1 = W p0, p2 a Nonlin that reads p1, ..

    Args:
        p: a reduced program (see `tensorprog.transform.reduced`).
        to: a G-var; for an X-var the paths that end at the G-vars it reads.

    Raises:
        InvalidProgram: the program is not reduced, has no such vector, or has more than `limit` paths to it (they multiply with depth).
    """
    if to not in kinds(p) or p.is_scalar(to):
        raise InvalidProgram(f"[path] {p.name} has no vector called {to}. Name a vector.")
    if (why := _not_reduced(p)) is not None:
        raise InvalidProgram(f"[path] {p.name} is not reduced: {why}. Take the paths of reduced(program).")
    if (count := count_paths(p, to)) > limit:
        raise InvalidProgram(f"[path] {count} paths end at {to}; at most {limit} are listed. Use a shallower program, or raise the limit.")
    found = [path for g in _ends(p, to) for path in _paths_to(p, g)]
    return tuple(sorted(found, key=len))


def _paths_to(p: Program, g: str) -> Iterator[Path]:
    """Paths to the G-var g, built from their ends."""
    stack: list[tuple[str, tuple[str, ...], tuple[tuple[str, bool], ...]]] = [(g, (), ())]
    while stack:
        g, names, matrices = stack.pop()
        i = p.instruction.get(g)
        if not isinstance(i, MatMul):
            continue
        path = Path((i.arg, g, *names), ((i.matrix, i.transpose), *matrices))
        yield path
        stack.extend((below, path.names, path.matrices) for below in _read(p, i.arg))


def _read(p: Program, x: str) -> tuple[str, ...]:
    """The vectors that the X-var x reads; gradients through scalars vanish, and paths do not go through them."""
    i = p.instruction.get(x)
    if not isinstance(i, Nonlin | OuterNonlin):
        return ()
    return tuple(dict.fromkeys(r.name for r in walk(i.psi) if isinstance(r, Ref) and r.copy == 0 and not p.is_scalar(r.name)))


def _ends(p: Program, to: str) -> tuple[str, ...]:
    return _read(p, to) if isinstance(p.instruction.get(to), Nonlin | OuterNonlin) else (to,)
