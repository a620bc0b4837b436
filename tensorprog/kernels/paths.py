"""The NTK as a sum over pairs of isomorphic paths (Yang & Littwin 2021, Prop. D.3, eq. 95-96): an independent check of the double sum over uses.

    K = sum over p ~ q of E[Z^{p0} Z^{q0}] prod_{even i} E[dZ^{p_i}/dZ^{p_{i-1}} dZ^{q_i}/dZ^{q_{i-1}}] prod_{odd i} sigma^2_{W^{p_i}} sigma_v^2
        + the same from every input embedding and vector parameter + sigma_v^2 E Z^x Z^x'.

Gradients through scalars vanish, and no matrix may meet its transpose: where one does, this sum is not the NTK, and it is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from tensorprog.errors import OutsideTheory
from tensorprog.gaussian.problem import Strategy
from tensorprog.interpret.limit.data import Data, data_of, leaves
from tensorprog.interpret.limit.lift import lift
from tensorprog.interpret.limit.master import LEFT, RIGHT, Master
from tensorprog.interpret.limit.numbers import Numbers
from tensorprog.interpret.limit.scalar import S
from tensorprog.interpret.precision import double, floats
from tensorprog.kernels.exact import same_points
from tensorprog.language.calculus import Scope, adjoint
from tensorprog.language.expr import ONE, ZERO, Expr
from tensorprog.language.gia import simple_gia_check
from tensorprog.language.graph import Path, isomorphic, paths
from tensorprog.language.instr import Nonlin
from tensorprog.language.program import Network, Program
from tensorprog.transform.reduce import reduced


@double
def path_ntk(network: Network, x1: ArrayLike | Data, x2: ArrayLike | Data | None = None, *, strategy: Strategy = Strategy()) -> Array:
    """The NTK (N1, N2) by enumerating paths: exponential in depth, meant for small networks.

    Raises:
        OutsideTheory: a matrix is used together with its transpose in the forward pass, or another clause of the GIA check fails.
        InvalidProgram: the network has families (write the vectors out one by one) or too many paths.
    """
    check_paths_hold(network)
    (readout,) = network.readouts
    p = reduced(replace(network.program, outputs=(readout.of,)))
    data = [
        {name: jnp.asarray(a, floats("float64")) for name, a in data_of(p, x, label).items()}
        for x, label in ((x1, "x1"), (x1 if x2 is None else x2, "x2"))
    ]
    sums = _Sums(p, readout.of, readout.sigma**2)
    ntk = sums.ntk(network)

    @jax.jit
    def value(left: Mapping[str, Array], right: Mapping[str, Array]) -> Array:
        return Numbers(sums.master.e, leaves(p, (left, right), {}, {}), strategy, same_points(left, right)).value(ntk, ())

    return value(*data)


def check_paths_hold(network: Network) -> None:
    verdict = simple_gia_check(network)
    if not verdict:
        raise OutsideTheory(f"[path] the path sum is the NTK only under the GIA check, and {verdict.reason}. Use `kernels`, which computes the dots.")
    p = network.program
    if any(p.axes_of.values()) or len(network.readouts) != 1 or len({w.ratio for w in p.widths}) != 1 or network.training:
        raise OutsideTheory(
            "[path] paths are summed for one readout, equal widths, everything trained, and vectors written out one by one. Use `kernels` here."
        )


@dataclass(frozen=True)
class _Tail:
    """A path from a G-var or initial vector `start` to the output: the vectors after it, and their matrices."""

    start: str
    names: tuple[str, ...]
    matrices: tuple[tuple[str, bool], ...]


class _Sums:
    def __init__(self, p: Program, output: str, sigma2: float) -> None:
        self.p, self.output, self.sigma2 = p, output, sigma2
        self.master = Master(p, matched=True)
        self.env = self.master.env(LEFT), self.master.env(RIGHT)
        self.s = self.master.scalars
        self.scope = Scope(dict(p.axes_of), p.size)
        self.found = paths(p, output)

    def ntk(self, network: Network) -> S:
        between = [(1.0, self._from_matrix(p, q)) for p in self.found for q in self.found if isomorphic(p, q)]
        tails = list(self._tails())
        initial = [(1.0, self._from_initial(t, u)) for t in tails for u in tails if t.matrices == u.matrices and self._together(t.start, u.start)]
        readout = (self.sigma2, self.master.pair(self.env[0][self.output], self.env[1][self.output]))
        return self.s.total([*between, *initial, readout])

    def _from_matrix(self, p: Path, q: Path) -> S:
        start = self.master.pair(self.env[0][p.names[0]], self.env[1][q.names[0]])
        variances = [self.s.leaf(("variance", m)) for m, _ in p.matrices]
        return self.s.product([start, *variances, *self._links(p.names[1:], q.names[1:])])

    def _from_initial(self, t: _Tail, u: _Tail) -> S:
        start = self.master.pair(self._centred(0, t.start), self._centred(1, u.start))
        variances = [self.s.leaf(("variance", m)) for m, _ in t.matrices]
        return self.s.product([start, *variances, *self._links((t.start, *t.names), (u.start, *u.names))])

    def _links(self, p: tuple[str, ...], q: tuple[str, ...]) -> Iterator[S]:
        """E of the products of derivatives, G-var to X-var by G-var to X-var, and sigma_v^2."""
        yield self.s.num(self.sigma2)
        for k in range(0, len(p), 2):
            above = (p[k + 1], q[k + 1]) if k + 1 < len(p) else (self.output, self.output)
            if above == (p[k], q[k]):
                continue  # the output is this G-var itself
            d = [lift(self.master.v, self._partial(x, g), self.env[side]) for side, (x, g) in enumerate(zip(above, (p[k], q[k]), strict=True))]
            yield self.master.pair(*d)

    def _partial(self, x: str, g: str) -> Expr:
        i = self.p.instruction[x]
        assert isinstance(i, Nonlin)
        return adjoint(i.psi, ONE, self.scope).get(g, ZERO)

    def _tails(self) -> Iterator[_Tail]:
        """From every initial vector to the output: directly, or into the start of a path."""
        for v in self.p.vectors:
            ends = [_Tail(v.name, (), ())] if self._reads(self.output, v.name) or v.name == self.output else []
            yield from ends
            for path in self.found:
                if self._reads(path.names[0], v.name):
                    yield _Tail(v.name, path.names, path.matrices)

    def _reads(self, x: str, g: str) -> bool:
        i = self.p.instruction.get(x)
        return isinstance(i, Nonlin) and g in adjoint(i.psi, ONE, self.scope)

    def _together(self, a: str, b: str) -> bool:
        """Gradients of two initial vectors meet where both come from one trained tensor."""
        laws: Mapping[str, object] = {v.name: getattr(v.law, "matrix", v.name) for v in self.p.vectors}
        return laws[a] == laws[b]

    def _centred(self, side: int, name: str):
        value = self.env[side][name]
        assert not isinstance(value, S)
        return self.master.v.of_root(max(value.roots, key=lambda r: r.id))
