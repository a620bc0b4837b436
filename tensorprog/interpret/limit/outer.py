"""The limit of an OuterNonlin: other coordinates become iid copies (Yang & Littwin 2023, Def. 2.6.5) [outer].

    Z^y = f(Z^x),    f(x) = E psi(x; Z^x'; c°)

What factorizes is no OuterNonlin any more (`transform.separate`). For the rest the expectation over the copy is taken symbolically, with the own
variables as numbers that are not known yet; where a number is asked for, f is an ordinary function, differentiated as such.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from itertools import product
from math import prod

import jax
import jax.numpy as jnp
from jax import Array

from tensorprog.errors import OutsideTheory
from tensorprog.gaussian.problem import Strategy
from tensorprog.interpret.limit.expectation import Expectations
from tensorprog.interpret.limit.interned import Variables
from tensorprog.interpret.limit.lift import Value, as_poly, lift
from tensorprog.interpret.limit.numbers import Numbers
from tensorprog.interpret.limit.scalar import At, Leaf, Node, S
from tensorprog.interpret.limit.variable import Poly
from tensorprog.language.expr import Expr, Fn, Growth, Ref, copies, local_name, localized, walk

MAX_CONSTANTS = 64
BATCH = 1 << 14  # values of f computed at a time


def averaged(v: Variables, e: Expectations, out: str, psi: Expr, env: Mapping[str, Value]) -> Poly:
    """Z^y as a function of the own variables.

    Raises:
        OutsideTheory: psi reads several other coordinates that do not factorize, or families over axes.
    """
    reads = {r for r in walk(psi) if isinstance(r, Ref)}
    families = [r.name for r in reads if isinstance(x := env[r.name], Poly) and x.axes]
    if len(copies(psi)) > 1 or families:
        why = f"{families[0]} is a family over axes" if families else "it averages over several coordinates, and psi does not factorize"
        raise OutsideTheory(f"{out}: [outer] {why}, which has no exact limit here. Sample it: tp.particles(program, key=..).")
    own = sorted({r.name for r in reads if r.copy == 0 and isinstance(env[r.name], Poly)})
    unknown = {x: v.scalars.leaf(("own", x)) for x in own}
    whole = lift(v, localized(psi), {local_name(r): unknown[r.name] if r.copy == 0 and r.name in unknown else env[r.name] for r in reads})
    mean = e.mean(whole) if isinstance(whole, Poly) else whole
    constants = _constants(e, mean.node)
    places = [(node, at) for node in constants for at in product(*map(range, node.sizes))]
    if len(places) > MAX_CONSTANTS:
        raise OutsideTheory(f"{out}: [outer] its average depends on {len(places)} numbers. Sample it: tp.particles(program, key=..).")
    body = _function(e, mean, own, constants)
    fn = Fn(f"average {out}", (), (0,) * (len(own) + len(places)), body, Growth.PSEUDO_LIPSCHITZ)
    known = (v.constant(S(node, tuple(map(At, at)))) for node, at in places)
    return v.composite(fn, (*(as_poly(v, env[x]) for x in own), *known))


def _constants(e: Expectations, mean: Node) -> list[Node]:
    """What the expectation is made of that does not depend on the own variables, each part as large as can be."""
    numbers = Numbers(e, lambda _: jnp.zeros(()), Strategy())
    depends: dict[Node, bool] = {}
    found: dict[Node, None] = {}

    def visit(node: Node) -> bool:
        if node not in depends:
            below = [s.node for s in numbers.reads(node)]
            reads = [visit(n) for n in below]
            depends[node] = any(reads) or (isinstance(node.op, Leaf) and isinstance(node.op.key, tuple) and node.op.key[0] == "own")
            if depends[node]:
                found.update((n, None) for n, read in zip(below, reads, strict=True) if not read)
        return depends[node]

    if not visit(mean):
        found[mean] = None
    return list(found)


def _function(e: Expectations, mean: S, own: list[str], constants: list[Node]) -> Callable[..., Array]:
    """f(own.., constants..), elementwise."""

    def one(x: tuple[Array, ...]) -> Array:
        given: dict[Hashable, Array] = {("own", name): value.reshape(1, 1) for name, value in zip(own, x, strict=False)}
        rest, known = list(x[len(own) :]), dict[S, Array]()
        for node in constants:
            count = prod(node.sizes)
            known[S(node, tuple(range(len(node.sizes))))], rest = jnp.stack(rest[:count]).reshape(1, 1, *node.sizes), rest[count:]
        return Numbers(e, given.__getitem__, Strategy(), known=known).value(mean, ())[0, 0]

    def body(*x: Array) -> Array:
        full = jnp.broadcast_arrays(*x)
        return jax.lax.map(one, tuple(a.ravel() for a in full), batch_size=BATCH).reshape(full[0].shape)

    return body
