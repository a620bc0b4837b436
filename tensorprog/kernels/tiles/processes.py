"""Several processes, on one machine or several, that share the tiles of a kernel (`jax.distributed`), and the one that watches over them.

The watching process computes nothing: it starts the others, reports what the store holds, and when one of them is lost ends the rest with an error.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

from tensorprog.errors import Incomplete, InvalidProgram, TensorProgramError
from tensorprog.kernels.tiles.pace import Pace, Progress
from tensorprog.kernels.tiles.store import KernelStore, open_store

HEARTBEAT = 10  # seconds without a sign of life after which JAX counts a process as lost
START, FINISH = 120, 24 * 3600  # seconds for all to meet, and for the fastest to wait for the others


@dataclass(frozen=True)
class Group:
    """`count` processes that meet at `coordinator` (host:port of process 0); this machine runs those in `ranks`."""

    count: int
    ranks: Sequence[int]
    coordinator: str

    def __post_init__(self) -> None:
        if self.count < 1 or not all(0 <= rank < self.count for rank in self.ranks):
            raise InvalidProgram(f"[processes] there is no process {list(self.ranks)} of {self.count}. Count from 0 to {max(self.count - 1, 0)}.")


def here(count: int) -> Group:
    """So many processes, all on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return Group(count, range(count), f"127.0.0.1:{free.getsockname()[1]}")


@dataclass(frozen=True)
class Job:
    """`tiled_kernels(*arguments, **options)`, to be done by the processes of a group."""

    group: Group
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]


def shared(job: Job, tell: Progress) -> KernelStore:
    """The store of a job, filled by the group's processes.

    Raises:
        Incomplete: one of them was lost; the store holds what was done.
        TensorProgramError: what one of them refused.
    """
    store, pace = Path(job.options["store"]), None
    with TemporaryDirectory(prefix="tensorprog-") as folder, members(job, Path(folder)) as running:
        while True:
            codes = {rank: member.poll() for rank, member in running.items()}
            lost = next((rank for rank, code in codes.items() if code), None)
            if lost is not None:
                raise _failure(Path(folder), lost, codes[lost] or 0, store)
            if all(code == 0 for code in codes.values()):
                return open_store(store)
            pace = _report(store, pace, tell)
            time.sleep(0.1)


@contextmanager
def members(job: Job, folder: Path) -> Iterator[Mapping[int, subprocess.Popen[bytes]]]:
    """The group's processes of this machine. They end with the block, and by themselves should this process die: their standard input then closes."""
    try:
        (folder / "job").write_bytes(pickle.dumps(job))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InvalidProgram(f"[processes] the network cannot be sent to another process ({error}). Define its functions in a module.") from error
    running: dict[int, subprocess.Popen[bytes]] = {}
    try:
        for rank in job.group.ranks:
            with (folder / f"{rank}.log").open("wb") as log:
                running[rank] = subprocess.Popen([sys.executable, "-m", __name__, str(folder), str(rank)], stdin=subprocess.PIPE, stderr=log)
        yield running
    finally:
        for member in running.values():
            member.kill()
            member.wait()
            if member.stdin is not None:
                member.stdin.close()


def _failure(folder: Path, rank: int, code: int, store: Path) -> TensorProgramError:
    """What a process that ended with an error said, or that it was lost."""
    said = folder / f"{rank}.error"
    if said.exists():
        return pickle.loads(said.read_bytes())
    end = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    if code == -signal.SIGABRT:
        end = "was ended by JAX, because another process of the group was lost or did not answer"
    log = (folder / f"{rank}.log").read_text(errors="replace").strip().splitlines()
    last = f" Its last words: {log[-1][:300]}" if log and code > 0 else ""
    return Incomplete(
        f"[processes] process {rank} {end}. {_stored(store)} Run the same again, on the same store: only the missing tiles are computed.{last}"
    )


def _stored(store: Path) -> str:
    with suppress(InvalidProgram):
        found = open_store(store)
        return f"{len(found.grid.tiles) - len(found.missing())} of {len(found.grid.tiles)} tiles are stored, each of them whole."
    return "Nothing is stored yet."


def _report(store: Path, pace: Pace | None, tell: Progress) -> Pace | None:
    """Say how many tiles are stored, from the first moment at which there is a store."""
    with suppress(InvalidProgram):
        found = open_store(store)
        done = len(found.grid.tiles) - len(found.missing())
        pace = pace or Pace(len(found.grid.tiles), done)
        pace.say(done, tell)
    return pace


def member(folder: Path, rank: int) -> int:
    """One process of a group: 0 when the store is full, 2 when the work was refused (the error is then left in the folder)."""
    import jax

    from tensorprog.kernels.tiles.run import tiled_kernels

    job: Job = pickle.loads((folder / "job").read_bytes())
    devices = job.options.get("devices")
    if devices is not None:
        jax.config.update("jax_num_cpu_devices", devices)
    jax.distributed.initialize(
        job.group.coordinator,
        job.group.count,
        rank,
        initialization_timeout=START,
        heartbeat_timeout_seconds=HEARTBEAT,
        shutdown_timeout_seconds=FINISH,
    )
    try:
        tiled_kernels(*job.arguments, **job.options)
    except TensorProgramError as error:
        (folder / f"{rank}.error").write_bytes(pickle.dumps(error))
        return 2
    jax.distributed.shutdown()  # when all are done
    return 0


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    Thread(target=_end_with_parent, daemon=True).start()
    code = member(Path(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.flush()
    os._exit(code)  # after an error JAX would wait for the others
