"""Work in threads: all of it, and an error ends the rest."""

import threading
import time

import pytest

from tensorprog.kernels import assembly
from tensorprog.kernels.assembly import in_threads


@pytest.fixture(autouse=True)
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly.os, "cpu_count", lambda: 3)


def test_every_piece_is_done_once() -> None:
    done: list[int] = []
    in_threads(done.append, range(100))
    assert sorted(done) == list(range(100))


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_in_any_thread_ends_all(error: type[BaseException]) -> None:
    """The thread of the caller waits until another one has failed: then nothing is left to do."""
    done, failed, caller = [], threading.Event(), threading.get_ident()

    def one(piece: int) -> None:
        if threading.get_ident() == caller:
            assert failed.wait(10)
            time.sleep(0.1)  # the error is on its way
            done.append(piece)
        else:
            failed.set()
            raise error

    with pytest.raises(error):
        in_threads(one, range(1000))
    assert len(done) <= 1 + 2
