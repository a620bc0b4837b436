"""NumPy bodies of JAX's primitives: elementwise ones, functions of their operands; others, functions of parameters and operands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy import special

Body = Callable[..., np.ndarray]


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


def _pad(p: Mapping[str, Any], x: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Without gaps between entries; a negative width cuts."""
    widths = p["padding_config"]
    out = np.full([n + low + high for n, (low, high, _) in zip(x.shape, widths, strict=True)], value)
    inside = tuple(slice(max(low, 0), low + n + min(high, 0)) for n, (low, high, _) in zip(x.shape, widths, strict=True))
    out[inside] = x[tuple(slice(max(-low, 0), n + min(high, 0)) for n, (low, high, _) in zip(x.shape, widths, strict=True))]
    return out


def pads(p: Mapping[str, Any]) -> bool:
    return not any(between for *_, between in p["padding_config"])


def _take(p: Mapping[str, Any], x: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Entries at points of some dimensions, each with all of the others."""
    how = p["dimension_numbers"]
    first = np.moveaxis(x, how.start_index_map, range(len(how.start_index_map)))
    taken = first[tuple(np.moveaxis(indices, -1, 0))]
    batch = indices.ndim - 1
    return np.moveaxis(taken, range(batch, taken.ndim), how.offset_dims)


def takes(p: Mapping[str, Any], x: np.ndarray, indices: np.ndarray) -> bool:
    how, sizes = p["dimension_numbers"], np.array(x.shape)
    read = [*how.start_index_map]
    plain = how.collapsed_slice_dims == tuple(sorted(read)) and not how.operand_batching_dims
    whole = all(n == (1 if d in read else x.shape[d]) for d, n in enumerate(p["slice_sizes"]))
    return plain and whole and bool(((indices >= 0) & (indices < sizes[read])).all())


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
    "stack": lambda p, *xs: np.stack(xs, p["axis"]),
    "slice": _slice,
    "dynamic_slice": lambda p, x, *at: x[tuple(slice(i, i + n) for i, n in zip(at, p["slice_sizes"], strict=True))],
    "pad": _pad,
    "gather": _take,
    "iota": _iota,
    "dot_general": _dot,
    "reduce_sum": lambda p, x: x.sum(p["axes"], dtype=x.dtype),
    "reduce_prod": lambda p, x: x.prod(p["axes"], dtype=x.dtype),
    "reduce_max": lambda p, x: x.max(p["axes"]),
    "reduce_min": lambda p, x: x.min(p["axes"]),
    "reduce_and": lambda p, x: x.all(p["axes"]),
    "reduce_or": lambda p, x: x.any(p["axes"]),
})  # fmt: skip
