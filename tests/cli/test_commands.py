"""Every command, asked as a person would: what it prints, what it writes, and how it refuses."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np
import pytest

from tensorprog.cli import main
from tensorprog.language import exchange, text
from tensorprog.language.program import Network

WRONG = """\
program wrong
width n
width m = 2 n
vector x : n ~ N(0, 1)
matrix W1 : n x m
h2 := W1 x
y := relu(h3)
return y
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_list_names_every_architecture(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert "mlp" in out
    assert main(["list", "mlp"]) == 0
    assert "--nonlinearity" in capsys.readouterr().out


def test_check_reports_language_and_gia(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "autoencoder"]) == 0
    out = capsys.readouterr().out
    assert "Netsor-T program" in out
    assert "GIA check: fails: W is used together with W^T" in out


def test_check_names_every_wrong_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("wrong.tp").write_text(WRONG)
    assert main(["check", "wrong.tp"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "line 6: h2 := W1 x: [matmul] W1 is n x m but x has width n. Transpose W1, or give x width m.",
        "line 7: y := relu(h3): [name] there is no variable called h3. Define it above, or use one of h2, x.",
    ]


def test_show_can_be_read_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "mlp", "--depth", "3", "--nonlinearity", "leaky_relu:0.2", "--sigma-b", "0.1,0,0.2"]) == 0
    listing = capsys.readouterr().out
    assert main(["show", "mlp", "--depth", "3", "--nonlinearity", "leaky_relu:0.2", "--sigma-b", "0.1,0,0.2", "--json", "-o", "mlp.json"]) == 0
    network = text.parse(listing)
    assert isinstance(network, Network)
    assert exchange.from_json(Path("mlp.json").read_text()) == network
    Path("mlp.tp").write_text(listing)
    capsys.readouterr()
    assert main(["show", "mlp.tp"]) == 0
    assert capsys.readouterr().out == listing


def test_show_backward(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "mlp", "--backward"]) == 0
    assert ":= W2^T dh1" in capsys.readouterr().out


@pytest.mark.parametrize("ending", ["svg", "dot", "png", "pdf"])
def test_draw(ending: str) -> None:
    assert main(["draw", "mlp", "--backward", "-o", f"picture.{ending}"]) == 0
    assert Path(f"picture.{ending}").stat().st_size > 1000


@pytest.mark.parametrize("unfold", [(), ("--unfold",)])
def test_draw_training(unfold: tuple[str, ...]) -> None:
    assert main(["draw", "mlp", "--depth", "1", "--training", "1", *unfold, "-o", "training.dot"]) == 0
    assert ("dev_x1_1[1]" in Path("training.dot").read_text()) == bool(unfold)


def test_kernel_saves_what_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kernel", "mlp", "--depth", "1", "--points", "3", "-o", "k.npz"]) == 0
    out = capsys.readouterr().out
    with np.load("k.npz") as saved:
        assert f"{saved['ntk'][0, 1]:.4f}" in out
        np.testing.assert_allclose(saved["by_parameter/U"] + saved["by_parameter/v"], saved["ntk"], rtol=1e-12)
        assert '"data": "digits"' in str(saved["provenance"])


def test_kernels_of_zero_inputs_and_of_huge_ones(capsys: pytest.CaptureFixture[str]) -> None:
    """No share of an NTK that is zero; entries beyond any column as powers of ten."""
    for scale, shown in ((0.0, "0.0 %"), (1e150, "1.0000e+300")):
        np.savez("points.npz", x=scale * np.ones((2, 4)))
        assert main(["kernel", "mlp", "--data", "points.npz"]) == 0
        assert shown in capsys.readouterr().out


def test_tables_are_whole_however_narrow_the_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from tensorprog.cli import screen

    monkeypatch.setattr(screen.out, "width", 20)
    assert main(["mup", "mlp", "--base", "64", "--target", "128"]) == 0
    out = capsys.readouterr().out
    assert "…" not in out
    assert "(x0.7071)" in out


def test_words_between_colons_are_no_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    Path("p.tp").write_text("root:x:0")
    assert main(["check", "p.tp"]) == 2
    assert "root:x:0: [syntax]" in capsys.readouterr().err


def test_a_full_disk_is_said_and_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(path: Path, **arrays: object) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert main(["kernel", "mlp", "--depth", "1", "--points", "2", "-o", "k.npz"]) == 2
    assert "No space left on device. Make room" in capsys.readouterr().err
    assert not list(folder.iterdir())


def test_kernel_by_tiles_goes_on_where_it_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["kernel", "mlp", "--depth", "1", "--points", "5", "--tile", "2", "-o", "k.zarr"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "nngp and ntk  5 x 5, float64, in 6 tiles of 2" in out
    Path("k.zarr/error/c/0/1").unlink()
    assert main(command) == 0
    assert capsys.readouterr().out == out
    assert main([*command, "--sigma-b", "1"]) == 2
    assert "k.zarr was made from something else: its program says" in capsys.readouterr().err


REFUSED = {
    "an architecture that does not exist": (["show", "mpl"], "no architecture is called mpl. Did you mean mlp?"),
    "a file that does not exist": (["check", "nothing.tp"], "nothing.tp: there is no such file."),
    "an option that does not exist": (["show", "mlp", "--dpeth", "2"], "mlp has no option 'dpeth'"),
    "a value of another type": (["show", "mlp", "--depth", "two"], "mlp --depth takes a whole number, got 'two'."),
    "a word that is no choice": (["show", "resnet", "--order", "up"], "resnet --order is one of pre, post; got 'up'."),
    "a nonlinearity that does not exist": (["show", "mlp", "--nonlinearity", "reul"], "no nonlinearity is called 'reul'"),
    "a nonlinearity without its constant": (["show", "mlp", "--nonlinearity", "leaky_relu"], "leaky_relu takes 1 constants"),
    "a picture of no known kind": (["draw", "mlp", "-o", "mlp.gif"], ".gif is none of .svg, .png, .pdf, .dot"),
    "training without a step": (["draw", "mlp", "--training", "-1"], "--training -1: training has at least one step."),
    "kernels of no known kind": (["kernel", "mlp", "-o", "k.txt"], "k.txt: this is saved as .npz"),
    "data that do not exist": (["kernel", "mlp", "--data", "no.npz"], "no.npz: [data] there is no such file"),
    "tiles without a store": (["kernel", "mlp", "--tile", "8"], "Save them with -o k.zarr."),
    "a process without its coordinator": (["kernel", "mlp", "--process", "1", "-o", "k.zarr"], "belong together"),
    "devices that there are not": (["kernel", "mlp", "--devices", "64", "-o", "k.zarr"], "asked for 64 devices"),
    "no device": (["kernel", "mlp", "--devices", "0", "-o", "k.zarr"], "--devices is 0. Give at least 1."),
    "no process": (["kernel", "mlp", "--processes", "0", "-o", "k.zarr"], "--processes is 0. Give at least 1."),
    "a width of zero": (["mup", "mlp", "--base", "0", "--target", "4"], "base 0 and target 4 are the two widths"),
    "training of no steps": (["transfer", "mlp", "--steps", "0"], "0 steps and 2 seeds. Give at least 1 of each."),
    "a folder as a file": (["show", "mlp", "-o", "."], ".: Is a directory. Name a place that can be read and written."),
    "no points": (["kernel", "mlp", "--points", "0"], "--points is 0. Give at least 1."),
    "widths that fall": (["converge", "mlp", "--widths", "64,32"], "widths are positive and grow"),
    "widths that are no numbers": (["converge", "mlp", "--widths", "wide"], "--widths takes 64:2048"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_have_one_message_and_no_traceback(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    tokens, message = REFUSED[case]
    jax.devices()  # JAX runs already, so that it has the devices that there are, and no more can be asked for
    assert main(tokens) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert "Traceback" not in out + err


def test_an_interrupted_kernel_says_where_it_goes_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from tensorprog.cli import screen

    @contextmanager
    def progress(title: str) -> Iterator[Callable[[float, str], None]]:
        def told(fraction: float, now: str) -> None:
            if fraction > 0.4:
                raise KeyboardInterrupt

        yield told

    command = ["kernel", "mlp", "--depth", "1", "--points", "5", "--tile", "2", "-o", "k.zarr"]
    with monkeypatch.context() as patch:
        patch.setattr(screen, "progress", progress)
        assert main(command) == 130
    assert "What is done is kept in k.zarr: the same command goes on from there.\ninterrupted" in capsys.readouterr().err
    assert 0 < len(list(Path("k.zarr/error/c").glob("*/*"))) < 6
    assert main(command) == 0


def test_interrupted_studies_keep_the_widths_that_are_done(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The last of three widths is interrupted: the table and the file hold the first two."""
    from tensorprog.study import convergence

    whole = convergence.finite.sample

    def sample(source: object, key: object, n: int, *rest: object) -> object:
        if n == 32:
            raise KeyboardInterrupt
        return whole(source, key, n, *rest)

    monkeypatch.setattr(convergence.finite, "sample", sample)
    assert main(["converge", "mlp", "--depth", "1", "--widths", "8:32", "--seeds", "2", "--points", "2", "-o", "errors.npz"]) == 130
    assert "interrupted" in capsys.readouterr().err
    with np.load("errors.npz") as saved:
        assert saved["widths"].tolist() == [8, 16]
        assert saved["errors/ntk"].shape == (2, 2)
