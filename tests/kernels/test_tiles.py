"""Kernels by tiles: the same numbers as whole, resumed after any interruption, refused where they do not belong."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
import zarr

import tensorprog as tp
from architectures import ZOO
from tensorprog.errors import Incomplete, InvalidProgram, OutsideTheory
from tensorprog.kernels.tile import Result
from tensorprog.kernels.tiles import KernelStore, open_store, run, store, tiled_kernels, tiled_matrix
from tensorprog.kernels.tiles.grid import Grid
from tensorprog.kernels.tiles.processes import Group

NET = ZOO["mlp"](depth=2, sigma_b=0.1)
X = np.random.default_rng(0).normal(size=(11, 3))
MANY = np.random.default_rng(1).normal(size=(120, 8))  # of similar norms, and more than are left to the rules
Z = np.random.default_rng(1).normal(size=(6, 3))


@pytest.fixture(scope="module")
def whole() -> dict[str, np.ndarray]:
    k = tp.kernels(NET, X)
    return {"nngp": np.asarray(k.nngp), "ntk": np.asarray(k.ntk)}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> KernelStore:
    return tiled_kernels(NET, X, store=tmp_path_factory.mktemp("tiles") / "k.zarr", size=4)


@pytest.mark.parametrize("name", ["nngp", "ntk"])
def test_tiles_are_the_kernel(name: str, kept: KernelStore, whole: dict[str, np.ndarray]) -> None:
    found, v = kept.matrix(name), np.random.default_rng(2).normal(size=(11, 2))
    np.testing.assert_allclose(np.asarray(found), whole[name], rtol=1e-14)  # the same closed form, in blocks of another size
    np.testing.assert_array_equal(np.asarray(found), np.asarray(found).T)
    np.testing.assert_allclose(found @ v, whole[name] @ v, atol=1e-13)
    np.testing.assert_allclose(found.operator() @ v[:, 0], whole[name] @ v[:, 0], atol=1e-13)
    np.testing.assert_array_equal(found.diagonal(), np.diag(np.asarray(found)))
    np.testing.assert_array_equal(found.column(9), np.asarray(found)[:, 9])


def test_only_one_triangle_is_computed(kept: KernelStore) -> None:
    assert kept.grid.tiles == ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    assert len(list((kept.path / "ntk" / "c").rglob("*"))) == 3 + 6  # three folders, six tiles


def test_a_matrix_that_is_never_held_computes_the_same(whole: dict[str, np.ndarray]) -> None:
    square, cross = tiled_matrix(NET, X, size=4), tiled_matrix(NET, Z, X, size=4)
    np.testing.assert_allclose(square @ X, whole["ntk"] @ X, atol=1e-13)
    np.testing.assert_allclose(np.asarray(cross), np.asarray(tp.kernels(NET, Z, X).ntk), rtol=1e-14)


@pytest.fixture(scope="module")
def tabulated() -> Result:
    return tp.tile(NET, dtype="float32").measured(MANY)


def test_many_points_share_the_table_of_a_tile(tmp_path: Path, tabulated: Result) -> None:
    """The store is filled by the function `tile`, with its method and its error bounds."""
    found = tiled_kernels(NET, MANY, store=tmp_path / "k", size=50, dtype="float32")
    assert found.made_with["method"] == tabulated.method
    assert "tabulated" in tabulated.method
    # NumPy's sums round by where arrays lie in memory: a measured error of 1e-7, made of numbers of 1e-16, is the same to 1e-9
    assert 0 < found.error <= float(tabulated.error) * (1 + 1e-6)
    for name in ("nngp", "ntk"):
        k = np.asarray(found.matrix(name))
        np.testing.assert_array_equal(k, k.T)
        np.testing.assert_allclose(k, tabulated.kernels[name], rtol=1e-6)  # rounding in blocks of other sizes


def test_a_tile_that_lost_a_kernel_is_computed_again(tmp_path: Path) -> None:
    found = tiled_kernels(NET, X, store=tmp_path / "k", size=4)
    was = np.asarray(found.matrix("ntk"))
    (found.path / "ntk" / "c" / "0" / "1").unlink()
    assert found.missing() == ((0, 1),)
    with pytest.raises(Incomplete, match="1 tiles are missing"):
        found.matrix("nngp")
    np.testing.assert_array_equal(np.asarray(tiled_kernels(NET, X, store=tmp_path / "k", size=4).matrix("ntk")), was)


def test_tables_are_in_float64_whatever_the_default_of_jax_is(tmp_path: Path) -> None:
    """The second tile of a shape is compiled; its numbers keep the error that the store states."""
    net = ZOO["mlp"](depth=3)
    whole = np.asarray(tp.tile(net)(MANY)["ntk"])
    jax.config.update("jax_enable_x64", False)
    found = tiled_kernels(net, MANY, store=tmp_path / "k", size=30, devices=1)
    assert "tabulated" in found.made_with["method"]
    again = tiled_matrix(net, MANY, size=30, devices=1)
    for k in (np.asarray(found.matrix("ntk")), np.asarray(again)):
        np.testing.assert_allclose(k, whole, atol=2 * found.error)  # both are off by no more
    assert found.error < 1e-9


def test_positions_of_the_output_are_kept(tmp_path: Path) -> None:
    @tp.network(x="token")
    def words(x: tp.Data, token: int) -> tp.Output:
        return tp.readout("v") @ tp.relu(tp.embedding("U") @ x)

    net, x = words(token=2), np.random.default_rng(0).normal(size=(5, 2, 3))
    found, k = tiled_kernels(net, x, store=tmp_path / "k", size=3), np.asarray(tp.kernels(net, x).ntk)
    for i, j in found.grid.tiles:
        np.testing.assert_allclose(found.read("ntk", (i, j)), k[found.grid.row(i), found.grid.column(j)], rtol=1e-14)
    with pytest.raises(InvalidProgram, match="output positions"):
        found.matrix("ntk")


def test_float32_on_request(tmp_path: Path, whole: dict[str, np.ndarray]) -> None:
    found = tiled_kernels(NET, X, store=tmp_path / "k", size=4, get=["ntk"], dtype="float32").matrix("ntk")
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.asarray(found), whole["ntk"], rtol=2e-6)  # a few units of float32's last place


def test_the_store_says_what_it_was_made_from(kept: KernelStore) -> None:
    said = json.loads((kept.path / "zarr.json").read_text())["attributes"]
    assert tp.parse(said["made_from"]["network"]) == NET
    assert said["made_from"]["data"] == {"x1": run.digest({"x": X})}
    assert said["made_with"]["method"] == "closed form"
    assert {"jax", "numpy", "zarr"} < set(said["made_with"])
    assert said["made_from"]["dtype"] == "float64"
    assert 0 < kept.error < 1e-12
    group = zarr.open_group(kept.path, mode="r")
    assert group["ntk"].chunks == (4, 4)


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "another program": (lambda p: tiled_kernels(ZOO["mlp"](depth=2, sigma_b=0.2), X, store=p, size=4), "its program says `.*` where this one says"),
    "other points": (lambda p: tiled_kernels(NET, X + 1, store=p, size=4), "the points are others"),
    "another tile": (lambda p: tiled_kernels(NET, X, store=p, size=5), "its tile is 4, not 5"),
    "other numbers": (lambda p: tiled_kernels(NET, X, store=p, size=4, dtype="float32"), "its dtype is float64, not float32"),
    "a kernel that it does not hold": (lambda p: open_store(p).matrix("cov"), "holds nngp and ntk, not cov"),
    "no store": (lambda p: open_store(p / "ntk"), "is no store of kernels"),
    "nothing": (lambda p: open_store(p / "nothing"), "is no store of kernels"),
    "no kernel": (lambda p: tiled_kernels(NET, X, store=p, get=["cov"]), "asked for cov"),
    "no points in a tile": (lambda p: tiled_kernels(NET, X, store=p, size=0), "a tile has 0 points"),
    "devices that there are not": (lambda p: tiled_kernels(NET, X, store=p, devices=64), "asked for 64 devices"),
    "no processes": (lambda p: tiled_kernels(NET, X, store=p, processes=0), "process"),
    "a process that there is not": (lambda p: Group(2, [2], "127.0.0.1:1"), "there is no process"),
    "unequal features": (lambda p: tiled_kernels(NET, X, np.ones((2, 4)), store=p), "3 features in x1 and 4 in x2"),
    "infinite data": (lambda p: tiled_kernels(NET, np.full((2, 3), np.inf), store=p), "row 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str, kept: KernelStore) -> None:
    call, message = REFUSED[case]
    with pytest.raises(InvalidProgram, match=message):
        call(kept.path)


def test_another_function_of_the_same_name_is_another_program(tmp_path: Path) -> None:
    def network(body: Callable[..., object]) -> tp.Network:
        @tp.network
        def one(x):
            return tp.readout("v") @ tp.nonlinearity("mine", body)(tp.embedding("U") @ x)

        return one()

    first = tiled_kernels(network(lambda u: u + 0.5 * u**3), X, store=tmp_path / "k", size=11)
    np.testing.assert_allclose(tiled_kernels(network(lambda u: 0.5 * u**3 + u), X, store=tmp_path / "k", size=11).error, first.error)
    with pytest.raises(InvalidProgram, match="its mine has other values"):
        tiled_kernels(network(lambda u: u + 0.6 * u**3), X, store=tmp_path / "k", size=11)


def test_sampled_kernels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutsideTheory, match="sampling"):
        tiled_kernels(ZOO["lstm"](), np.ones((2, 2, 4)), store=tmp_path / "k")


def test_infinite_kernels_are_refused_and_nothing_is_stored(tmp_path: Path) -> None:
    with pytest.raises(OutsideTheory, match="the ntk is infinite"):
        tiled_kernels(ZOO["mlp"](depth=1, nonlinearity="sign"), X, store=tmp_path / "k", size=4)
    assert len(open_store(tmp_path / "k").missing()) == 6


def test_only_missing_tiles_are_computed(kept: KernelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for tile in ((0, 1), (2, 2)):
        kept.path.joinpath("error", "c", *map(str, tile)).unlink()
    started: list[tuple[int, int]] = []
    compute = run.Work.tile
    monkeypatch.setattr(run.Work, "tile", lambda work, tile: started.append(tile) or compute(work, tile))
    said: list[tuple[float, str]] = []
    tiled_kernels(NET, X, store=kept.path, size=4, progress=lambda *now: said.append(now))
    assert started == [(0, 1), (2, 2)]
    assert [fraction for fraction, _ in said] == [4 / 6, 5 / 6, 1.0]
    assert said[0][1] == "4 of 6 tiles are there"
    assert said[-1][1] == "tile 6 of 6, 0 s left"


def test_a_full_disk_leaves_a_valid_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, np.ndarray]) -> None:
    """The disk is full in the middle of a tile: what stands is whole, and the run goes on when there is room again."""
    path, put, written = tmp_path / "k", os.fsync, 0

    def full(handle: int) -> None:
        nonlocal written
        written += 1
        if written == 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        put(handle)

    monkeypatch.setattr(store.os, "fsync", full)
    with pytest.raises(Incomplete, match=r"No space left on device. \d of 6 tiles are stored"):
        tiled_kernels(NET, X, store=path, size=4)
    monkeypatch.undo()
    assert not list(path.rglob("*.partial"))
    half = open_store(path)
    assert 0 < len(half.missing()) < 6
    for tile in set(half.grid.tiles) - set(half.missing()):
        np.testing.assert_allclose(half.read("ntk", tile), whole["ntk"][half.grid.row(tile[0]), half.grid.column(tile[1])], rtol=1e-14)
    with pytest.raises(Incomplete, match="tiles are missing"):
        half.matrix("ntk")
    np.testing.assert_allclose(np.asarray(tiled_kernels(NET, X, store=path, size=4).matrix("ntk")), whole["ntk"], rtol=1e-14)


def test_no_points_and_one_point(tmp_path: Path) -> None:
    none = tiled_kernels(NET, X[:0], store=tmp_path / "0")
    assert none.error == 0
    assert np.asarray(none.matrix("ntk")).shape == (0, 0)
    assert none.matrix("ntk").diagonal().shape == (0,)
    np.testing.assert_array_equal(tiled_kernels(NET, X, X[:0], store=tmp_path / "few").matrix("ntk") @ np.zeros(0), np.zeros(len(X)))
    one = tiled_kernels(NET, X[:1], store=tmp_path / "1").matrix("ntk")
    np.testing.assert_allclose(np.asarray(one), np.asarray(tp.kernels(NET, X[:1]).ntk), rtol=1e-14)


def test_a_grid_covers_every_pair_once() -> None:
    for symmetric in (True, False):
        seen = np.zeros((7, 7), int)
        grid = Grid(7, 7, 3, symmetric)
        for i, j in grid.tiles:
            seen[grid.row(i), grid.column(j)] += 1
            if symmetric and i != j:
                seen[grid.column(j), grid.row(i)] += 1
        assert (seen == 1).all()


ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
import jax
import numpy as np
from architectures import ZOO
from tensorprog.kernels.tiles import tiled_kernels

if __name__ == "__main__":
    x = np.random.default_rng(0).normal(size=(11, 3))
    many = np.random.default_rng(1).normal(size=(120, 8))
    {body}
"""


def python(body: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A Python of its own, since devices are chosen before JAX starts."""
    command = [sys.executable, "-c", SCRIPT.format(body=body)]
    return subprocess.run(command, env={**os.environ, **environment}, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


RUN = 'tiled_kernels(ZOO["mlp"](depth=2, sigma_b=0.1), x, store={path!r}, size={size}, {options})'
TABLE = 'tiled_kernels(ZOO["mlp"](depth=2, sigma_b=0.1), many, store={path!r}, size=50, dtype="float32", devices=4); '


def test_kill_9_on_four_devices_then_run_again_on_one(tmp_path: Path, whole: dict[str, np.ndarray], tabulated: Result) -> None:
    """Killed after the third of six tiles. Every tile that it left is whole, and only the others are computed, on any number of devices.

    Four fake CPU devices; 11 points in tiles of 4: a row of a tile each, and a last tile that is not full. Before that, the tiles of a table.
    """
    path, full = str(tmp_path / "k"), str(tmp_path / "full")
    kill = "lambda f, now: f < 0.5 or __import__('os').kill(__import__('os').getpid(), 9)"
    body = TABLE.format(path=full) + RUN.format(path=path, size=4, options=f"devices=4, progress={kill}")
    child = python(body, XLA_FLAGS="--xla_force_host_platform_device_count=4")
    assert child.returncode == -signal.SIGKILL, child.stderr
    np.testing.assert_allclose(np.asarray(open_store(full).matrix("ntk")), tabulated.kernels["ntk"], atol=float(tabulated.error))
    half = open_store(path)
    assert len(half.missing()) == 3
    for tile in set(half.grid.tiles) - set(half.missing()):
        np.testing.assert_allclose(half.read("ntk", tile), whole["ntk"][half.grid.row(tile[0]), half.grid.column(tile[1])], rtol=1e-14)
    np.testing.assert_allclose(np.asarray(tiled_kernels(NET, X, store=path, size=4).matrix("ntk")), whole["ntk"], rtol=1e-14)


def test_a_lost_process_ends_in_an_error_and_a_store_to_resume(tmp_path: Path, whole: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    """One of two processes is killed as soon as the store stands; then this process finishes."""
    from tensorprog.kernels.tiles import processes

    path, running, start = tmp_path / "k", [], subprocess.Popen
    monkeypatch.setattr(processes.subprocess, "Popen", lambda *a, **b: running.append(start(*a, **b)) or running[-1])

    def kill(fraction: float, now: str) -> None:
        os.kill(running[1].pid, signal.SIGKILL)

    with pytest.raises(Incomplete, match=r"process 1 was killed by SIGKILL.*tiles are stored.*Run the same again"):
        tiled_kernels(NET, X, store=path, size=4, processes=2, devices=1, progress=kill)
    assert all(member.poll() is not None for member in running)
    np.testing.assert_allclose(np.asarray(tiled_kernels(NET, X, store=path, size=4).matrix("ntk")), whole["ntk"], rtol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 5])
def test_two_processes_of_two_devices_share_the_tiles(size: int, tmp_path: Path, whole: dict[str, np.ndarray]) -> None:
    found = tiled_kernels(NET, X, store=tmp_path / "k", size=size, processes=2, devices=2)
    np.testing.assert_allclose(np.asarray(found.matrix("ntk")), whole["ntk"], rtol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_kill_9_at_any_moment(seed: int, tmp_path: Path, whole: dict[str, np.ndarray]) -> None:
    """Killed at a random time, again and again, until it is through."""
    path, rng = tmp_path / "k", np.random.default_rng(seed)
    for attempt in range(40):
        child = subprocess.Popen([sys.executable, "-c", SCRIPT.format(body=RUN.format(path=str(path), size=1, options=""))], cwd=ROOT)
        try:
            child.wait(timeout=rng.uniform(1.0, 4.0) * 1.15**attempt)  # on a busy machine Python alone takes long to start
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        else:
            break
    assert child.returncode == 0
    np.testing.assert_allclose(np.asarray(open_store(path).matrix("ntk")), whole["ntk"], rtol=1e-14)


@pytest.mark.slow
def test_what_a_process_refuses_is_what_the_caller_sees(tmp_path: Path) -> None:
    with pytest.raises(OutsideTheory, match="the ntk is infinite"):
        tiled_kernels(ZOO["mlp"](depth=1, nonlinearity="sign"), X, store=tmp_path / "k", processes=1 + 1, devices=1)
