"""Arrays read at other positions (Gather): windows, as those of a convolution, by slices; anything else by indices."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax


class Reading(NamedTuple):
    """Along an axis, position k of the result is position places[k] of the array; 0 where places[k] < 0."""

    axis: int
    places: tuple[int, ...]

    @property
    def inside(self) -> range:
        """From the first to the last k that is read."""
        kept = [k for k, i in enumerate(self.places) if i >= 0]
        return range(kept[0], kept[-1] + 1) if kept else range(0)

    @property
    def window(self) -> bool:
        """Whether neighbours are read side by side."""
        read = [self.places[k] for k in self.inside]
        return read == list(range(read[0], read[0] + len(read))) if read else False


def gathered(a: Array, readings: list[Reading]) -> Array:
    """a with every reading made, those of different axes; an axis of size 1 is the same at all positions."""
    wide = {r.axis: max(r.places) + 1 for r in readings if a.shape[r.axis] == 1}
    if wide:
        a = jnp.broadcast_to(a, tuple(wide.get(d, n) for d, n in enumerate(a.shape)))
    windows = {r.axis: r for r in readings if r.window}
    if windows:
        a = _windowed(a, windows)
    for r in readings:
        if not r.window:
            a = _taken(a, r)
    return a


def _windowed(a: Array, windows: dict[int, Reading]) -> Array:
    """All windows in one slice and one pad."""
    starts, limits, pads = [0] * a.ndim, list(a.shape), [(0, 0, 0)] * a.ndim
    for axis, r in windows.items():
        starts[axis], limits[axis] = r.places[r.inside[0]], r.places[r.inside[-1]] + 1
        pads[axis] = r.inside[0], len(r.places) - 1 - r.inside[-1], 0
    taken = lax.slice(a, starts, limits)
    return lax.pad(taken, jnp.zeros((), a.dtype), pads) if any(low or high for low, high, _ in pads) else taken


def _taken(a: Array, r: Reading) -> Array:
    taken = jnp.take(a, jnp.array([max(i, 0) for i in r.places]), axis=r.axis)
    if min(r.places) >= 0:
        return taken
    keep = jnp.array([i >= 0 for i in r.places]).reshape([-1 if d == r.axis else 1 for d in range(a.ndim)])
    return jnp.where(keep, taken, 0.0)
