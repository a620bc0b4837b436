"""`tensorprog kernel .. -o k.zarr`: kernels tile by tile into a store, with the time that is left; resumed by the same command."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tensorprog.cli import screen, subject
from tensorprog.cli.subject import Options
from tensorprog.errors import InvalidProgram

if TYPE_CHECKING:
    from tensorprog.kernels.tiles.processes import Group


@dataclass(frozen=True)
class How:
    """Size and type of the tiles; the devices, and the processes of this or several machines, that share them."""

    tile: int = 1024
    dtype: str = "float64"
    devices: int | None = None
    processes: int = 1
    coordinator: str | None = None
    process: int | None = None

    def group(self) -> int | Group:
        """The processes to start here."""
        from tensorprog.kernels.tiles.processes import Group

        for name, count in (("processes", self.processes), ("devices", self.devices)):
            if count is not None and count < 1:
                raise InvalidProgram(f"--{name} is {count}. Give at least 1.")
        if (self.coordinator is None) != (self.process is None):
            raise InvalidProgram("--coordinator HOST:PORT and --process NUMBER belong together: every machine names both, and --processes.")
        if self.coordinator is None or self.process is None:
            return self.processes
        return Group(self.processes, (self.process,), self.coordinator)


def require_default(how: How) -> None:
    """Refuse options of tiles where there are none."""
    if how != How():
        raise InvalidProgram(
            "--tile, --dtype, --devices, --processes, --coordinator, --process: these are for kernels by tiles. Save them with -o k.zarr."
        )


def kernel(name: str, options: Options, *, source: str, points: int, output: Path, how: How) -> None:
    """Fill the store; say what it holds and how to read it."""
    import jax

    from tensorprog.cli import data
    from tensorprog.kernels.tiles import tiled_kernels

    group = how.group()
    if how.devices is not None and group == 1:
        with suppress(RuntimeError):  # where JAX runs already, the devices are those that there are
            jax.config.update("jax_num_cpu_devices", how.devices)
    network = subject.network(name, options)
    inputs = data.first(network.program, source, points)
    with screen.resumable(output), screen.progress(f"kernels of {network.name} on {len(inputs.x)} inputs") as progress:
        found = tiled_kernels(
            network, inputs.x, store=output, size=how.tile, dtype=how.dtype, devices=how.devices, processes=group, progress=progress
        )
    grid = found.grid
    screen.plain(
        f"nngp and ntk  {grid.rows} x {grid.columns}, {how.dtype}, in {len(grid.tiles)} tiles of {grid.size}: one triangle\n"
        f"method {found.made_with['method']}   error at most {found.error:.1e}"
    )
    screen.wrote(output)
    screen.plain(f'\nkernel = tensorprog.open_store("{output}").matrix("ntk")    # kernel @ v reads it tile by tile, numpy.asarray(kernel) whole')
