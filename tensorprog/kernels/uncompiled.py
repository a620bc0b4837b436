"""A JAX computation by NumPy, one primitive at a time: for what is asked a few times, and would take longer to compile than to compute.

`uncompiled(f, *like)` traces f once and returns the same function of NumPy arrays of these shapes. Primitives without a NumPy body here go to JAX.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from jax.interpreters import partial_eval
from scipy import special

from tensorprog.kernels.precision import traced

Body = Callable[..., np.ndarray]
Values = list[np.ndarray]


def uncompiled(f: Callable[..., Any], *like: jax.ShapeDtypeStruct) -> Callable[..., Any]:
    """f as a function of NumPy arrays shaped as `like`, in the precision that is enabled now; it returns f's tree, of NumPy arrays."""
    closed, shape = jax.make_jaxpr(f, return_shape=True)(*like)
    needed, used = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    tree = jax.tree.structure(shape)

    def by_numpy(*args: np.ndarray) -> Any:
        with np.errstate(all="ignore"):
            out = _run(needed, closed.consts, [np.asarray(a) for a, keep in zip(args, used, strict=True) if keep])
        return jax.tree.unflatten(tree, out)

    return by_numpy


def traced_once(f: Callable[..., Any]) -> Callable[..., Any]:
    """f of trees of arrays by NumPy, traced once for their shapes; under somebody's jit, grad or vmap f itself."""
    known: dict[Any, Callable[..., Any]] = {}

    def call(*args: Any) -> Any:
        if traced(args):
            return f(*args)
        flat, tree = jax.tree.flatten(args)
        arrays = [np.asarray(a) for a in flat]
        key = (tree, *((a.shape, a.dtype.str) for a in arrays))
        if key not in known:
            like = (jax.ShapeDtypeStruct(a.shape, a.dtype) for a in arrays)
            known[key] = uncompiled(lambda *leaves: f(*jax.tree.unflatten(tree, leaves)), *like)
        return known[key](*arrays)

    return call


def by_numpy(f: Callable[..., Any], *args: Any) -> Any:
    """f(*args) by NumPy, for trees of arrays, once."""
    return traced_once(f)(*args)


def _run(jaxpr: Jaxpr, consts: Sequence[Any], args: Sequence[Any]) -> Values:
    values: dict[Var, np.ndarray] = {}

    def read(v: Var | Literal) -> np.ndarray:
        return np.asarray(v.val, v.aval.dtype) if isinstance(v, Literal) else values[v]  # type: ignore[attr-defined]

    values.update(zip(jaxpr.constvars, map(_host, consts), strict=True))
    values.update(zip(jaxpr.invars, args, strict=True))
    last = {v: k for k, eqn in enumerate(jaxpr.eqns) for v in eqn.invars if isinstance(v, Var)}
    kept = {v for v in jaxpr.outvars if isinstance(v, Var)}
    for k, eqn in enumerate(jaxpr.eqns):
        values.update(zip(eqn.outvars, _apply(eqn, [read(v) for v in eqn.invars]), strict=True))
        for v in {v for v in eqn.invars if isinstance(v, Var)} - kept:
            if last[v] == k:
                del values[v]
    return [read(v) for v in jaxpr.outvars]


def _closed(j: ClosedJaxpr | Jaxpr, args: Sequence[Any]) -> Values:
    return _run(j.jaxpr, j.consts, args) if isinstance(j, ClosedJaxpr) else _run(j, (), args)


def _apply(eqn: JaxprEqn, args: Values) -> Values:
    name, p = eqn.primitive.name, eqn.params
    match name:
        case "jit" | "pjit" | "closed_call" | "checkpoint" | "remat":
            return _closed(p["jaxpr"], args)
        case "custom_jvp_call" | "custom_vjp_call":
            return _closed(p["call_jaxpr"], args)
        case "cond":
            return _closed(p["branches"][int(args[0])], args[1:])
        case "scan":
            return _scan(p, args)
        case "while":
            return _while(p, args)
        case "split":
            return np.split(args[0], np.cumsum(p["sizes"])[:-1], p["axis"])
        case _ if name in ELEMENTWISE:
            return [ELEMENTWISE[name](*args)]
        case _ if name in STRUCTURAL:
            return [STRUCTURAL[name](p, *args)]
        case _:
            out = eqn.primitive.bind(*args, **p)
            return [_host(a) for a in (out if eqn.primitive.multiple_results else [out])]


def _host(a: Any) -> Any:
    """As a NumPy array; random keys, which NumPy does not have, as they are."""
    return a if jax.numpy.issubdtype(jax.typeof(a).dtype, jax.dtypes.prng_key) else np.asarray(a)


def _scan(p: Mapping[str, Any], args: Values) -> Values:
    consts, carry, xs = args[: p["num_consts"]], args[p["num_consts"] :][: p["num_carry"]], args[p["num_consts"] + p["num_carry"] :]
    steps, ys = range(p["length"]), []
    for k in reversed(steps) if p["reverse"] else steps:
        out = _closed(p["jaxpr"], [*consts, *carry, *(x[k] for x in xs)])
        carry = out[: p["num_carry"]]
        ys.append(out[p["num_carry"] :])
    if p["reverse"]:
        ys.reverse()
    return [*carry, *(np.stack(y) for y in zip(*ys, strict=True))]


def _while(p: Mapping[str, Any], args: Values) -> Values:
    condition, body, carry = args[: p["cond_nconsts"]], args[p["cond_nconsts"] :][: p["body_nconsts"]], args[p["cond_nconsts"] + p["body_nconsts"] :]
    while _closed(p["cond_jaxpr"], [*condition, *carry])[0]:
        carry = _closed(p["body_jaxpr"], [*body, *carry])
    return carry


def _select(which: np.ndarray, *cases: np.ndarray) -> np.ndarray:
    return np.where(which, cases[1], cases[0]) if which.dtype == bool else np.choose(which, cases)


def _quotient(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.trunc(x / y).astype(x.dtype) if np.issubdtype(x.dtype, np.integer) else x / y


def _power(x: np.ndarray, n: int) -> np.ndarray:
    """By products, which are much faster than numpy's power."""
    if n < 0:
        return 1 / _power(x, -n)
    if n < 2:
        return x if n else np.ones_like(x)
    half = _power(x * x, n // 2)
    return half * x if n % 2 else half


def _dot(p: Mapping[str, Any], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Batch dimensions first, then those of x, then those of y."""
    (inner, inner2), (batch, batch2) = p["dimension_numbers"]
    names = list(range(x.ndim))
    names2 = list(range(x.ndim, x.ndim + y.ndim))
    for i, j in (*zip(inner, inner2, strict=True), *zip(batch, batch2, strict=True)):
        names2[j] = names[i]
    out = [*(names[i] for i in batch), *(n for i, n in enumerate(names) if i not in (*inner, *batch))]
    return np.einsum(x, names, y, names2, [*out, *(n for j, n in enumerate(names2) if j not in (*inner2, *batch2))], optimize=True)


def _broadcast(p: Mapping[str, Any], x: np.ndarray) -> np.ndarray:
    placed = dict(zip(p["broadcast_dimensions"], x.shape, strict=True))
    return np.broadcast_to(x.reshape([placed.get(k, 1) for k in range(len(p["shape"]))]), p["shape"])


def _slice(p: Mapping[str, Any], x: np.ndarray) -> np.ndarray:
    return x[tuple(map(slice, p["start_indices"], p["limit_indices"], p["strides"] or (1,) * x.ndim))]


def _iota(p: Mapping[str, Any]) -> np.ndarray:
    along = [-1 if k == p["dimension"] else 1 for k in range(len(p["shape"]))]
    return np.broadcast_to(np.arange(p["shape"][p["dimension"]], dtype=p["dtype"]).reshape(along), p["shape"])


ELEMENTWISE: Mapping[str, Body] = MappingProxyType({
    "neg": np.negative, "sign": np.sign, "abs": np.abs, "floor": np.floor, "ceil": np.ceil, "is_finite": np.isfinite, "not": np.logical_not,
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x),
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "atan2": np.arctan2,
    "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "logistic": special.expit, "erf": special.erf, "erfc": special.erfc, "square": np.square,
    "add": np.add, "add_any": np.add, "sub": np.subtract, "mul": np.multiply, "div": _quotient, "rem": np.fmod, "pow": np.power,
    "max": np.maximum, "min": np.minimum, "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor, "select_n": _select,
    "clamp": lambda low, x, high: np.clip(x, low, high), "copy": np.asarray, "stop_gradient": np.asarray,
})  # fmt: skip

STRUCTURAL: Mapping[str, Body] = MappingProxyType({
    "integer_pow": lambda p, x: _power(x, p["y"]),
    "convert_element_type": lambda p, x: x.astype(p["new_dtype"]),
    "broadcast_in_dim": _broadcast,
    "reshape": lambda p, x: x.reshape(p["new_sizes"]),
    "squeeze": lambda p, x: np.squeeze(x, p["dimensions"]),
    "expand_dims": lambda p, x: np.expand_dims(x, p["dimensions"]),
    "transpose": lambda p, x: x.transpose(p["permutation"]),
    "rev": lambda p, x: np.flip(x, p["dimensions"]),
    "concatenate": lambda p, *xs: np.concatenate(xs, p["dimension"]),
    "slice": _slice,
    "iota": _iota,
    "dot_general": _dot,
    "reduce_sum": lambda p, x: x.sum(p["axes"], dtype=x.dtype),
    "reduce_prod": lambda p, x: x.prod(p["axes"], dtype=x.dtype),
    "reduce_max": lambda p, x: x.max(p["axes"]),
    "reduce_min": lambda p, x: x.min(p["axes"]),
    "reduce_and": lambda p, x: x.all(p["axes"]),
    "reduce_or": lambda p, x: x.any(p["axes"]),
})  # fmt: skip
