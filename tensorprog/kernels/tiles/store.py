"""Kernels on disk: a zarr group with one chunk a tile, each whole or absent, that belongs to one program and one data set."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import zarr
from zarr.core.buffer import Buffer
from zarr.storage import LocalStore

from tensorprog.errors import Incomplete, InvalidProgram
from tensorprog.kernels.tiles.grid import Grid, TileIndex
from tensorprog.kernels.tiles.matrix import Floats, TiledMatrix
from tensorprog.kernels.tiles.spread import Kernel

MADE_FROM, MADE_WITH = "made_from", "made_with"
STALE = 60.0  # seconds after which a draft is taken for one that a killed process left behind


@dataclass(frozen=True)
class KernelStore:
    """The kernels of a network in a zarr group: arrays `nngp` and `ntk`, (N1, N2, *positions, *positions), and `error`, one number a tile.

    Where x2 is x1 only the tiles (i, j) with j >= i are stored; `matrix` reads both triangles. A tile counts as stored once its error is, which is
    written last.

    Attributes:
        made_from: what the numbers follow from: program, digests of the data, kernels, type of number, tile size. A run on anything else is refused.
        made_with: method and versions.
    """

    path: Path
    grid: Grid
    made_from: Mapping[str, Any]
    made_with: Mapping[str, Any]
    group: zarr.Group = field(repr=False, compare=False)

    @property
    def kernels(self) -> tuple[str, ...]:
        return tuple(self.made_from["kernels"])

    def has(self, tile: TileIndex) -> bool:
        """Whether the tile is stored: its error, and, should somebody have lost one, the numbers of every kernel."""
        return all(self.path.joinpath(name, "c", *map(str, tile)).exists() for name in ("error", *self.kernels))

    def missing(self) -> tuple[TileIndex, ...]:
        """The tiles that are not stored yet."""
        return tuple(t for t in self.grid.tiles if not self.has(t))

    @property
    def error(self) -> float:
        """The largest absolute error of any stored entry."""
        return float(np.nanmax(self._array("error")[:], initial=0.0))  # pyright: ignore[reportArgumentType, reportCallIssue]

    def write(self, tile: TileIndex, found: Kernel) -> None:
        """Store a tile; when this fails or is killed, the tile is absent and the others are as they were.

        Raises:
            Incomplete: the disk is full, or cannot be written to.
        """
        i, j = tile
        try:
            for name in self.kernels:
                self._array(name)[self.grid.row(i), self.grid.column(j)] = found[name]
            self._array("error")[i, j] = found["error"]
        except OSError as failure:
            done = len(self.grid.tiles) - len(self.missing())
            raise Incomplete(
                f"[store] {self.path}: {failure.strerror or failure}. {done} of {len(self.grid.tiles)} tiles are stored, each of them whole. "
                "Make room and run the same again: only the missing tiles are computed."
            ) from failure

    def read(self, name: str, tile: TileIndex) -> Floats:
        """A stored tile, (points, points, *positions, *positions).

        Raises:
            InvalidProgram: no such kernel.
            Incomplete: the tile is not stored.
        """
        if name not in self.kernels:
            raise InvalidProgram(f"[store] {self.path} holds {' and '.join(self.kernels)}, not {name}.")
        if not self.has(tile):
            raise Incomplete(f"[store] {self.path}: {len(self.missing())} tiles are missing. Run what makes it again: only those are computed.")
        i, j = tile
        return np.asarray(self._array(name)[self.grid.row(i), self.grid.column(j)])

    def matrix(self, name: str) -> TiledMatrix:
        """A stored kernel as a matrix, read from disk tile by tile whenever it is used.

        Raises:
            InvalidProgram: no such kernel, or one with output positions.
            Incomplete: tiles are missing.
        """
        for tile in self.missing()[:1] or self.grid.tiles[:1]:
            self.read(name, tile)
        stored, grid = self._array(name), self.grid  # opened once
        if stored.ndim > 2:
            raise InvalidProgram(f"[store] {name} has output positions {stored.shape[2:]}: it is no matrix. Read its tiles.")
        return TiledMatrix(grid, np.dtype(stored.dtype), lambda i, j: np.asarray(stored[grid.row(i), grid.column(j)]))

    def _array(self, name: str) -> zarr.Array[Any]:
        found = self.group[name]
        assert isinstance(found, zarr.Array)
        return found


def open_store(path: str | Path) -> KernelStore:
    """The store at `path`.

    Raises:
        InvalidProgram: there is none, or something else.
    """
    path = Path(path)
    if (path / "zarr.json").is_file():  # zarr would make a folder where there is none
        with suppress(KeyError, ValueError, TypeError):
            group = zarr.open_group(DurableStore(path), mode="r+")
            attributes: dict[str, Any] = group.attrs.asdict()
            made_from = attributes[MADE_FROM]
            return KernelStore(path, grid_of(made_from), made_from, attributes[MADE_WITH], group)
    raise InvalidProgram(f"[store] {path} is no store of kernels. Name another path, or remove it.")


def grid_of(made_from: Mapping[str, Any]) -> Grid:
    rows, columns = made_from["points"]
    return Grid(rows, columns, made_from["tile"], "x2" not in made_from["data"])


def create_or_open(path: Path, made_from: Mapping[str, Any], made_with: Mapping[str, Any], positions: Sequence[int]) -> KernelStore:
    """The store at `path` if it was made from the same, a new one where there is nothing.

    Raises:
        InvalidProgram: the store there was made from something else; the message says what differs.
        Incomplete: it cannot be written.
    """
    if not path.exists():
        _create(path, made_from, made_with, positions)
    found = open_store(path)
    if differing := differences(found.made_from, made_from):
        raise InvalidProgram(f"[store] {path} was made from something else: {'; '.join(differing)}. Name another path, or remove it.")
    _sweep(path)
    return found


def differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What a store was made from beside what is asked now, for a person."""
    found: list[str] = []
    for name, value in now.items():
        if was.get(name, {}) == value:  # what is not named is not there
            continue
        match name:
            case "network":
                old, new = str(was.get(name)).splitlines(), value.splitlines()
                only_old, only_new = ([line for line in a if line not in b] or a for a, b in ((old, new), (new, old)))
                found.append(f"its program says `{only_old[0]}` where this one says `{only_new[0]}`")
            case "data":
                found.append("the points are others")
            case "functions":
                found.append(f"its {' and '.join({**was.get(name, {}), **value})} has other values")
            case _:
                found.append(f"its {name} is {was.get(name)}, not {value}")
    return found


def _create(path: Path, made_from: Mapping[str, Any], made_with: Mapping[str, Any], positions: Sequence[int]) -> None:
    """Beside its place, then moved there at once: of several processes that do it, the first succeeds and the others find it."""
    draft = path.with_name(f"{path.name}.{uuid4().hex}.partial")
    grid = grid_of(made_from)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        group = zarr.create_group(DurableStore(draft), attributes={MADE_FROM: dict(made_from), MADE_WITH: dict(made_with)})
        for name in made_from["kernels"]:
            shape, chunks = (grid.rows, grid.columns, *positions, *positions), (grid.size, grid.size, *positions, *positions)
            group.create_array(name, shape=shape, chunks=chunks, dtype=made_from["dtype"], fill_value=np.nan, compressors=None)
        group.create_array("error", shape=grid.shape, chunks=(1, 1), dtype="float64", fill_value=np.nan, compressors=None)
        draft.rename(path)
    except OSError as failure:
        shutil.rmtree(draft, ignore_errors=True)
        if not path.exists():
            raise Incomplete(f"[store] {path}: {failure.strerror or failure}. Nothing was stored.") from failure


def _sweep(path: Path) -> None:
    """Remove the drafts of tiles that killed processes left behind."""
    for draft in path.rglob("*.partial"):
        with suppress(OSError):
            if time.time() - draft.stat().st_mtime > STALE:
                draft.unlink()


class DurableStore(LocalStore):
    """A folder in which a file is replaced at once and only after its bytes are on the disk."""

    async def set(self, key: str, value: Buffer) -> None:
        await asyncio.to_thread(_put, self.root / key, value.as_buffer_like())

    def set_sync(self, key: str, value: Buffer) -> None:
        _put(self.root / key, value.as_buffer_like())


def _put(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{uuid4().hex}.partial")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)  # what is left where it was not renamed
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Put the new name itself on the disk, where the system can do that."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
