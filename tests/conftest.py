"""What every test runs under: JAX on the CPU in float64, fixed examples for hypothesis."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # a test compiles much and runs it once: a quarter of the time goes

from collections.abc import Iterator

import hypothesis
import jax
import pytest

jax.config.update("jax_enable_x64", True)

hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    """A test that changes the precision does not change it for the next one."""
    yield
    jax.config.update("jax_enable_x64", True)
