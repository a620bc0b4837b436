"""A JAX computation by NumPy, one primitive at a time: for what is asked a few times, and would take longer to compile than to compute.

`uncompiled(f, *like)` traces f once and returns the same function of NumPy arrays of these shapes. Primitives without a NumPy body here go to JAX.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import count
from typing import Any, cast

import jax
import numpy as np
from jax.core import ShapedArray
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from jax.interpreters import partial_eval

from tensorprog.interpret.precision import traced
from tensorprog.kernels.execution.primitives import ELEMENTWISE, STRUCTURAL, Body, pads, takes

Values = list[np.ndarray]
KINDS = 64  # of arguments for which a plan is kept, those used last


def uncompiled(f: Callable[..., Any], *like: jax.ShapeDtypeStruct) -> Callable[..., Any]:
    """f as a function of NumPy arrays shaped as `like`, in the precision that is enabled now; it returns f's tree, of NumPy arrays."""
    closed, shape = jax.make_jaxpr(f, return_shape=True)(*like)
    needed, used = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    plan, tree = _plan(needed, closed.consts), jax.tree.structure(shape)

    def by_numpy(*args: np.ndarray) -> Any:
        with np.errstate(all="ignore"):
            out = plan(*(np.asarray(a) for a, keep in zip(args, used, strict=True) if keep))
        return jax.tree.unflatten(tree, out)

    return by_numpy


def traced_once(f: Callable[..., Any]) -> Callable[..., Any]:
    """f of trees of arrays by NumPy, traced once for their shapes; under somebody's jit, grad or vmap f itself."""

    @lru_cache(maxsize=KINDS)
    def known(tree: Any, *like: jax.ShapeDtypeStruct) -> Callable[..., Any]:
        return uncompiled(lambda *leaves: f(*jax.tree.unflatten(tree, leaves)), *like)

    def call(*args: Any) -> Any:
        if traced(args):
            return f(*args)
        flat, tree = jax.tree.flatten(args)
        arrays = [np.asarray(a) for a in flat]
        return known(tree, *(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in arrays))(*arrays)

    return call


def by_numpy(f: Callable[..., Any], *args: Any) -> Any:
    """f(*args) by NumPy, for trees of arrays, once."""
    return traced_once(f)(*args)


# A plan: the computation as one list of steps over numbered values, inner functions written out, and nothing computed twice.


@dataclass(frozen=True)
class _Step:
    run: Callable[..., Values]
    reads: tuple[int, ...]
    writes: tuple[int, ...]


@dataclass(frozen=True)
class _Plan:
    constants: Mapping[int, Any]
    arguments: tuple[int, ...]
    steps: tuple[_Step, ...]
    ends: tuple[tuple[int, ...], ...]  # the values that each step is the last to read
    results: tuple[int, ...]

    def __call__(self, *args: Any) -> Values:
        values: dict[int, Any] = {**self.constants, **dict(zip(self.arguments, args, strict=True))}
        for step, ends in zip(self.steps, self.ends, strict=True):
            values.update(zip(step.writes, step.run(*[values[place] for place in step.reads]), strict=True))
            for place in ends:
                del values[place]
        return [values[place] for place in self.results]


@dataclass
class _Draft:
    """A plan in the making; `known` finds what was computed before."""

    constants: dict[int, Any] = field(default_factory=dict[int, Any])
    steps: list[_Step] = field(default_factory=list[_Step])
    known: dict[Hashable, tuple[int, ...]] = field(default_factory=dict[Hashable, tuple[int, ...]])
    used: Iterator[int] = field(default_factory=count)

    def constant(self, value: Any) -> int:
        place = next(self.used)
        self.constants[place] = value
        return place

    def literal(self, value: np.ndarray) -> int:
        key = ("literal", value.dtype.str, value.shape, value.tobytes())
        if key not in self.known:
            self.known[key] = (self.constant(value),)
        return self.known[key][0]

    def inline(self, jaxpr: Jaxpr, consts: Sequence[int], args: Sequence[int]) -> list[int]:
        """The places of the results of jaxpr(*args)."""
        places: dict[Var, int] = {**dict(zip(jaxpr.constvars, consts, strict=True)), **dict(zip(jaxpr.invars, args, strict=True))}

        def place(v: Var | Literal) -> int:
            return self.literal(np.asarray(v.val, cast(ShapedArray, v.aval).dtype)) if isinstance(v, Literal) else places[v]

        for eqn in jaxpr.eqns:
            places.update(zip(eqn.outvars, self.equation(eqn, [place(v) for v in eqn.invars]), strict=True))
        return [place(v) for v in jaxpr.outvars]

    def equation(self, eqn: JaxprEqn, reads: Sequence[int]) -> Sequence[int]:
        if (inner := _inner(eqn)) is not None:
            consts = [self.constant(_host(c)) for c in inner.consts] if isinstance(inner, ClosedJaxpr) else []
            return self.inline(inner.jaxpr if isinstance(inner, ClosedJaxpr) else inner, consts, reads)
        key = _key(eqn, reads)
        if key is None or key not in self.known:
            writes = tuple(next(self.used) for _ in eqn.outvars)
            self.steps.append(_Step(_body(eqn), tuple(reads), writes))
            if key is None:
                return writes
            self.known[key] = writes
        return self.known[key]


def _plan(jaxpr: Jaxpr, consts: Sequence[Any]) -> _Plan:
    draft = _Draft()
    arguments = tuple(next(draft.used) for _ in jaxpr.invars)
    results = tuple(draft.inline(jaxpr, [draft.constant(_host(c)) for c in consts], arguments))
    last = {place: k for k, step in enumerate(draft.steps) for place in (*step.writes, *step.reads)}
    ends: list[list[int]] = [[] for _ in draft.steps]
    for place in last.keys() - set(results):
        ends[last[place]].append(place)
    return _Plan(draft.constants, arguments, tuple(draft.steps), tuple(map(tuple, ends)), results)


def _closed(j: ClosedJaxpr | Jaxpr) -> _Plan:
    return _plan(j.jaxpr, j.consts) if isinstance(j, ClosedJaxpr) else _plan(j, ())


def _inner(eqn: JaxprEqn) -> ClosedJaxpr | Jaxpr | None:
    """The function that the equation only calls."""
    match eqn.primitive.name:
        case "jit" | "pjit" | "closed_call" | "checkpoint" | "remat" | "remat2":
            return eqn.params["jaxpr"]
        case "custom_jvp_call" | "custom_vjp_call":
            return eqn.params["call_jaxpr"]
        case _:
            return None


def _key(eqn: JaxprEqn, reads: Sequence[int]) -> Hashable | None:
    """Equal for equations of equal results; None where that cannot be told."""
    key = (eqn.primitive, tuple(reads), *((name, type(value), value) for name, value in sorted(eqn.params.items())))
    try:
        hash(key)
    except TypeError:
        return None
    return None if eqn.effects else key


def _body(eqn: JaxprEqn) -> Callable[..., Values]:
    name, p = eqn.primitive.name, eqn.params
    match name:
        case "cond":
            branches = [_closed(branch) for branch in p["branches"]]
            return lambda which, *args: branches[int(which)](*args)
        case "scan":
            return partial(_scan, p, _closed(p["jaxpr"]))
        case "while":
            return partial(_while, p, _closed(p["cond_jaxpr"]), _closed(p["body_jaxpr"]))
        case "split":
            return lambda x: np.split(x, np.cumsum(p["sizes"])[:-1], p["axis"])
        case "pad" if not pads(p):
            return partial(_by_jax, eqn)
        case "gather":
            return lambda x, indices: _single(partial(STRUCTURAL[name], p), x, indices) if takes(p, x, indices) else _by_jax(eqn, x, indices)
        case _ if name in ELEMENTWISE:
            return partial(_single, ELEMENTWISE[name])
        case _ if name in STRUCTURAL:
            return partial(_single, STRUCTURAL[name], p)
        case _:
            return partial(_by_jax, eqn)


def _single(body: Body, *args: Any) -> Values:
    return [body(*args)]


def _by_jax(eqn: JaxprEqn, *args: Any) -> Values:
    out = eqn.primitive.bind(*args, **eqn.params)
    return [_host(a) for a in (out if eqn.primitive.multiple_results else [out])]


def _host(a: Any) -> Any:
    """As a NumPy array; random keys, which NumPy does not have, as they are."""
    return a if jax.numpy.issubdtype(jax.typeof(a).dtype, jax.dtypes.prng_key) else np.asarray(a)


def _scan(p: Mapping[str, Any], body: _Plan, *args: Any) -> Values:
    consts, carry, xs = args[: p["num_consts"]], args[p["num_consts"] :][: p["num_carry"]], args[p["num_consts"] + p["num_carry"] :]
    steps, ys = range(p["length"]), []
    for k in reversed(steps) if p["reverse"] else steps:
        out = body(*consts, *carry, *(x[k] for x in xs))
        carry = out[: p["num_carry"]]
        ys.append(out[p["num_carry"] :])
    if p["reverse"]:
        ys.reverse()
    return [*carry, *(np.stack(y) for y in zip(*ys, strict=True))]


def _while(p: Mapping[str, Any], condition: _Plan, body: _Plan, *args: Any) -> Values:
    ahead, behind = args[: p["cond_nconsts"]], args[p["cond_nconsts"] :][: p["body_nconsts"]]
    carry = args[p["cond_nconsts"] + p["body_nconsts"] :]
    while condition(*ahead, *carry)[0]:
        carry = body(*behind, *carry)
    return list(carry)
