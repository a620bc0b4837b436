"""Pieces of work side by side on the cores."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def in_threads(one: Callable[[T], None], work: Iterable[T], *, cores: int | None = None) -> None:
    """Every piece of work, by as many threads as there are cores, of which this is one; an error ends all.

    Args:
        cores: 1 is one piece after another; default those of the machine.
    """
    todo = deque(work)

    def some() -> None:
        try:
            while todo:
                try:
                    piece = todo.popleft()
                except IndexError:  # another thread took the last one
                    return
                one(piece)
        finally:
            todo.clear()

    others = min(cores or os.cpu_count() or 1, len(todo)) - 1
    if others < 1:
        some()
        return
    with ThreadPoolExecutor(others) as pool:
        running = [pool.submit(some) for _ in range(others)]
        some()
        for thread in running:
            thread.result()
