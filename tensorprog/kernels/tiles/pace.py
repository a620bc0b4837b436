"""How far a run is, and how long the rest takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

Progress = Callable[[float, str], None]  # the fraction done, and what is under way


@dataclass(frozen=True)
class Pace:
    """A run of `total` tiles, `before` of which were there when it started."""

    total: int
    before: int
    start: float = field(default_factory=monotonic)

    def say(self, done: int, tell: Progress) -> None:
        """Report that `done` tiles are stored, and the time that the others take at the pace so far."""
        if done == self.before:
            return tell(done / max(self.total, 1), f"{done} of {self.total} tiles are there")
        left = (monotonic() - self.start) / (done - self.before) * (self.total - done)
        return tell(done / self.total, f"tile {done} of {self.total}, {duration(left)} left")


def duration(seconds: float) -> str:
    """A time for a person."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
