"""The kernels of a network as a function of arrays: compiled, or by NumPy, its shapes known before it is computed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
from jax.stages import Wrapped

from tensorprog.interpret.precision import floats, traced
from tensorprog.kernels.execution.compiling import known
from tensorprog.kernels.execution.uncompiled import traced_once
from tensorprog.kernels.symbolic import Symbolic, nodes

T = TypeVar("T")
DEEP = 250  # scalars of a pair of points, those of some 13 dense layers
KINDS = 256  # of arguments that are remembered, those used last


@dataclass
class Seen(Generic[T]):
    """What is remembered of arguments of one kind: the outline of the result, whether `meet` did, whether `ahead` compiled for them."""

    outline: T | None = None
    met: bool = False
    begun: bool = False


class Runnable(Generic[T]):
    """A function of trees of arrays, compiled for each of their shapes.

    Args:
        numpy: it is computed by NumPy, and not compiled.
        quick: it is compiled in a short time.

    `call` is it; `inside` is it as a part of somebody's jit, grad or vmap, where options of the compiler are theirs.
    """

    def __init__(self, f: Callable[..., T], *, numpy: bool = False, quick: bool = False) -> None:
        self._plain: Wrapped = jax.jit(f)
        self.inside: Callable[..., T] = traced_once(f) if numpy else self._plain
        self.jitted, self._f, self._quick = not numpy, f, quick
        self._seen = lru_cache(maxsize=KINDS)(lambda kind: Seen[T]())

    @cached_property
    def _compiled(self) -> Wrapped:
        return jax.jit(self._f, compiler_options=known()) if self._quick else self._plain

    @property
    def call(self) -> Callable[..., T]:
        return self._compiled if self.jitted else self.inside

    def __call__(self, *args: Any) -> T:
        return self.inside(*args) if traced(args) else self.call(*args)

    def once(self, *args: Any) -> T:
        """By NumPy the first time that arguments of this kind are met, which for small ones takes less time than to compile it; then compiled.

        The two agree to rounding.
        """
        return self(*args) if traced(args) else self.meet(*args)(*args)

    def meet(self, *like: Any) -> Callable[..., T]:
        """How `once` computes arguments of this kind, which have been met then."""
        seen = self._seen(_kind(like))
        if seen.met or not self.jitted:
            return self
        seen.met = True
        return traced_once(self.inside)  # which has been traced for the outline

    def outline(self, *args: Any) -> T:
        """The shapes, types and method of what it returns, once for arguments of one kind: it is traced, and not computed."""
        seen = self._seen(_kind(args))
        outline = seen.outline
        if outline is None:
            outline = seen.outline = jax.eval_shape(self.inside, *_like(args))
        return outline

    @contextmanager
    def ahead(self, *args: Any) -> Iterator[None]:
        """It is compiled for arguments of this kind, the first time, beside what is done meanwhile."""
        seen = self._seen(_kind(args))
        if seen.begun or not self.jitted:
            yield
            return
        seen.begun = True
        with ThreadPoolExecutor(1) as beside:
            done = beside.submit(self._compile, floats("float64") == jnp.float64, *_like(args))
            yield
            done.result()

    def _compile(self, x64: bool, *like: Any) -> None:
        with jax.enable_x64(x64):  # a setting of each thread
            self._compiled.lower(*like).compile()


def runnable(found: Symbolic, f: Callable[..., T], *, quick: bool = False) -> Runnable[T]:
    """f compiled, `quick` for a short time of compilation.

    By NumPy where the kernels are so many small steps one after another that compiling them takes minutes, and computing a second.
    """
    graph = nodes(found)
    return Runnable(f, numpy=len(graph) > DEEP and not any(node.sizes for node in graph), quick=quick)


def _like(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return jax.tree.map(_outlined, args)


def _outlined(a: Any) -> jax.ShapeDtypeStruct:
    if isinstance(a, jax.ShapeDtypeStruct):
        return a
    kind = jax.typeof(a)
    return jax.ShapeDtypeStruct(kind.shape, kind.dtype, weak_type=kind.weak_type)


def _kind(args: tuple[Any, ...]) -> Hashable:
    """Equal for arguments that are traced alike."""
    flat, tree = jax.tree.flatten(args)
    return tree, tuple((a.shape, a.dtype, getattr(a, "weak_type", False)) if hasattr(a, "dtype") else type(a) for a in flat)
