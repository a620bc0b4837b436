"""Work in threads: all of it, and an error ends the rest."""

import threading
from collections import deque

import pytest

from tensorprog.kernels.execution import threads
from tensorprog.kernels.execution.threads import in_threads


@pytest.fixture(autouse=True)
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 3)


def test_every_piece_is_done_once() -> None:
    done: list[int] = []
    in_threads(done.append, range(100))
    assert sorted(done) == list(range(100))


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_in_any_thread_ends_all(error: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread of the caller waits in its first piece until another one has failed: then nothing is left to do."""
    done, ended, caller = [], threading.Event(), threading.get_ident()

    class Watched(deque[int]):
        def clear(self) -> None:
            super().clear()
            ended.set()

    monkeypatch.setattr(threads, "deque", Watched)

    def one(piece: int) -> None:
        if threading.get_ident() != caller:
            raise error
        assert ended.wait(60)
        done.append(piece)

    with pytest.raises(error):
        in_threads(one, range(1000))
    assert len(done) <= 1
