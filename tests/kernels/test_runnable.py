"""Kernels as functions of arrays: compiled once a shape, beside other work if that is asked for, and parts of what others compile."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from architectures import ZOO
from tensorprog.kernels import runnable as of_arrays
from tensorprog.kernels.exact import compiled
from tensorprog.kernels.execution import compiling
from tensorprog.kernels.runnable import Runnable, runnable
from tensorprog.kernels.symbolic import symbolic

X = np.linspace(0.1, 1.0, 6).reshape(2, 3)
COMPILED = "/jax/core/compile/backend_compile_duration"


@contextmanager
def compilations() -> Iterator[list[str]]:
    """The functions that are compiled meanwhile."""
    names: list[str] = []

    def listen(event: str, duration_secs: float, **facts: str | int) -> None:
        if event == COMPILED:
            names.append(str(facts.get("fun_name")))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def made(*, quick: bool) -> Runnable[dict[str, Array]]:
    """A function of its own, which nothing has compiled."""

    def cubes(tree: dict[str, Array], scale: float) -> dict[str, Array]:
        return {name: jnp.sin(scale * a) ** 3 for name, a in tree.items()}

    return runnable(symbolic(ZOO["mlp"](depth=1)), cubes, quick=quick)


@pytest.mark.parametrize("quick", [False, True])
def test_what_was_compiled_ahead_is_not_compiled_again(quick: bool) -> None:
    run = made(quick=quick)
    with jax.enable_x64(True), compilations() as names:
        with run.ahead({"x": X}, 2.0):
            pass
        with run.ahead({"x": X + 1}, 3.0):
            pass
        found = run({"x": X}, 2.0)
    assert len([name for name in names if "cubes" in name]) == 1
    np.testing.assert_allclose(found["x"], np.sin(2 * X) ** 3, rtol=1e-14)  # a few units of rounding


def test_an_outline_is_traced_once_and_not_compiled() -> None:
    run = made(quick=True)
    with jax.enable_x64(True), compilations() as names:
        assert run.outline({"x": X}, 2.0)["x"].shape == X.shape
        assert run.outline({"x": X}, 2.0) is run.outline({"x": X + 1}, 3.0)
    assert not [name for name in names if "cubes" in name]


@pytest.mark.parametrize("numpy", [False, True])
def test_what_is_remembered_of_shapes_is_bounded(numpy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kinds used last are kept; one that was forgotten is found again."""
    monkeypatch.setattr(of_arrays, "KINDS", 2)
    run = Runnable(lambda x: x + 1.0, numpy=numpy)
    with jax.enable_x64(True):
        first = run.outline(X[0])
        for n in (1, 2):
            run.outline(X[:n])
        assert run.outline(X[0]) is not first
        assert run.outline(X[0]) == first
    assert run._seen.cache_info().currsize == 2


def test_it_can_be_a_part_of_what_others_compile() -> None:
    run = made(quick=True)
    with jax.enable_x64(True):
        slope = jax.jit(jax.grad(lambda x: run({"x": x}, 2.0)["x"].sum()))(X)
        both = jax.vmap(lambda x: run({"x": x}, 2.0)["x"])(X)
    np.testing.assert_allclose(slope, 6 * np.sin(2 * X) ** 2 * np.cos(2 * X), rtol=1e-14)
    np.testing.assert_allclose(both, np.sin(2 * X) ** 3, rtol=1e-14)


def test_a_compiler_without_the_options_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "QUICK", {"xla_no_such_option": True})
    compiling.known.cache_clear()
    try:
        assert compiling.known() is None
    finally:
        compiling.known.cache_clear()


def test_the_first_call_compiles_nothing_and_the_second_does() -> None:
    run = made(quick=False)
    with jax.enable_x64(True):
        with compilations() as names:
            first = run.once({"x": X}, 2.0)
        assert run.meet({"x": X + 1}, 3.0) is run
        assert run.meet({"x": X[:1]}, 2.0) is not run
        assert not names
        with compilations() as names:
            second = run.once({"x": X}, 2.0)
    assert len([name for name in names if "cubes" in name]) == 1
    np.testing.assert_allclose(first["x"], second["x"], rtol=1e-14)  # a few units of rounding


def test_small_kernels_are_there_without_compilation_and_the_same_afterwards() -> None:
    kernels, x = compiled(ZOO["cnn1d"](pixel=3, depth=1, sigma_b=0.3)), np.random.default_rng(0).normal(size=(4, 3, 2))
    with compilations() as names:
        first = kernels(x)
    assert not [name for name in names if "_block" in name or "_pair" in name]
    for _ in range(2):
        np.testing.assert_allclose(kernels(x).ntk, first.ntk, rtol=1e-13)  # rounding in some ten operations
