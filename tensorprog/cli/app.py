"""The commands and their help. Nothing here computes: a command imports what it needs when it runs, so that `--help` is quick."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Group, Parameter

from tensorprog.cli.study import app as study

app = App(
    name="tensorprog",
    help="Write a neural network once as a Tensor Program; compute, check and see what the infinite-width theory says about it.",
    version=version("tensorprog"),
    help_epilogue='ARCHITECTURE is a name that "tensorprog list" shows, followed by its own options (--depth 3), or a program file (.tp or .json).',
    help_format="plaintext",  # the renderer of Markdown costs a tenth of a second at every start
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)

LOOK, COMPUTE = Group("Look at a program", sort_key=1), Group("Compute", sort_key=2)

study.group = (COMPUTE,)
app.command(study)

Output = Annotated[Path | None, Parameter(alias="-o")]
OwnOption = Annotated[str, Parameter(help="An option of the architecture itself, such as `--depth 3` or `--nonlinearity erf`.")]


@app.command(name="list", group=LOOK)
def list_(architecture: str | None = None, /) -> None:
    """List the architectures, or the options of one.

    Args:
        architecture: A name: show its formula, its paper and its options.
    """
    from tensorprog.cli import look

    look.architecture(architecture) if architecture else look.architectures()


@app.command(group=LOOK)
def check(architecture: str, /, **options: OwnOption) -> None:
    """Check the types; name the language; report the simple GIA check and the theorem's hypotheses.

    Args:
        architecture: A name, or a program file.
    """
    from tensorprog.cli import look

    look.check(architecture, options)


@app.command(group=LOOK)
def show(architecture: str, /, *, backward: bool = False, json: bool = False, output: Output = None, **options: OwnOption) -> None:
    """Print the program as in the papers.

    Args:
        architecture: A name, or a program file.
        backward: With backpropagation, which is a program too.
        json: In the exchange format.
        output: Write to this file instead.
    """
    from tensorprog.cli import look

    look.show(architecture, options, backward=backward, json=json, output=output)


@app.command(group=LOOK)
def draw(
    architecture: str,
    /,
    *,
    output: Output = None,
    backward: bool = False,
    unfold: bool = False,
    legend: bool = False,
    training: int = 0,
    **options: OwnOption,
) -> None:
    """Draw the program in the notation of the papers.

    Args:
        architecture: A name, or a program file.
        output: The picture: .svg, .png, .pdf or .dot [default: ARCHITECTURE.svg].
        backward: With the backward pass mirrored under the forward pass.
        unfold: One node for every position of a family, instead of one for the family.
        legend: Explain the notation in the picture.
        training: So many steps of SGD, each on a sample of its own: what every step adds to every later pass; with --unfold, all of it and a probe.
    """
    from tensorprog.cli import look

    look.draw(architecture, options, output=output, backward=backward, unfold=unfold, legend=legend, training=training)


@app.command(group=COMPUTE)
def kernel(
    architecture: str,
    /,
    *,
    data: str = "digits",
    points: int = 32,
    output: Output = None,
    tile: int = 1024,
    dtype: Literal["float64", "float32"] = "float64",
    devices: int | None = None,
    processes: int = 1,
    coordinator: str | None = None,
    process: int | None = None,
    **options: OwnOption,
) -> None:
    """Compute the limiting NNGP kernel and NTK on a data set.

    Args:
        architecture: A name, or a program file.
        data: `digits`, or a .npz, .npy or .csv file.
        points: Use the first so many inputs.
        output: Save the kernels here: .npz, with the contribution of every parameter; .zarr, tile by tile, resumed by the same command.
        tile: Points a side of a tile (.zarr).
        dtype: Numbers of the tiles (.zarr).
        devices: Spread every tile over so many devices of this machine; on a CPU, over so many threads of it (.zarr) [default: all].
        processes: Processes that share the tiles (.zarr).
        coordinator: Where processes of several machines meet, HOST:PORT of process 0; the store must be on a disk that all see.
        process: The number of this machine's process, with --coordinator.
    """
    from tensorprog.cli import tiles

    how = tiles.How(tile, dtype, devices, processes, coordinator, process)
    if output is not None and output.suffix == ".zarr":
        return tiles.kernel(architecture, options, source=data, points=points, output=output, how=how)
    from tensorprog.cli import experiments

    tiles.require_default(how)
    return experiments.kernel(architecture, options, source=data, points=points, output=output)


@app.command(group=COMPUTE)
def converge(
    architecture: str,
    /,
    *,
    widths: str = "64:1024",
    seeds: int = 64,
    data: str = "digits",
    points: int = 8,
    output: Output = None,
    **options: OwnOption,
) -> None:
    """Measure how fast the kernels of real networks approach their limits as the width grows.

    Args:
        architecture: A name, or a program file.
        widths: `64:2048` doubles from 64 to 2048; or a list, `64,128,512`.
        seeds: Networks at each width.
        data: `digits`, or a .npz, .npy or .csv file.
        points: Use the first so many inputs.
        output: Write the plot (.svg, .png, .pdf) or the errors (.npz, .json) here.
    """
    from tensorprog.cli import experiments

    experiments.converge(architecture, options, widths=widths, seeds=seeds, source=data, points=points, output=output)


@app.command(group=COMPUTE)
def train(
    architecture: str,
    /,
    *,
    widths: str = "128:2048",
    seeds: int = 2,
    data: str = "digits",
    classes: str = "3,8",
    points: int = 48,
    test: int = 24,
    output: Output = None,
    **options: OwnOption,
) -> None:
    """Train real networks of growing width beside kernel gradient descent, each from its own outputs at initialization.

    Args:
        architecture: A name, or a program file.
        widths: `128:2048` doubles from 128 to 2048; or a list.
        seeds: Networks at each width.
        data: `digits`, or a file with targets.
        classes: The two classes of the data to tell apart (targets -1 and +1); `none` takes the targets as they are.
        points: Training inputs.
        test: Test inputs.
        output: Write the plot (.svg, .png, .pdf) or the trajectories (.json) here.
    """
    from tensorprog.cli import experiments

    experiments.train(architecture, options, widths=widths, seeds=seeds, source=data, classes=classes, points=points, test=test, output=output)


@app.command(group=COMPUTE)
def theorem(
    architecture: str,
    /,
    *,
    steps: int = 4,
    widths: str = "64,256,1024",
    seeds: int = 16,
    data: str = "digits",
    classes: str = "3,8",
    points: int = 4,
    probes: int = 2,
    mup: bool = False,
    output: Output = None,
    **options: OwnOption,
) -> None:
    """Run the proof of Theorem 5.3: training unrolled in a program, kernel gradient descent and real networks, side by side.

    Args:
        architecture: A name, or a program file.
        steps: Steps of gradient descent on all training inputs.
        widths: Of the sampled networks: `64:1024` doubles; or a list.
        seeds: Networks at each width.
        data: `digits`, or a file with targets.
        classes: The two classes of the data to tell apart (targets -1 and +1); `none` takes the targets as they are.
        points: Training inputs.
        probes: Inputs to look at but not to train on.
        mup: Read the network out as v . x / n, so that features are learned; the limit is then that of muP, by particles, and there is no kernel.
        output: Write the plot (.svg, .png, .pdf) or the numbers (.json) here.
    """
    from tensorprog.cli import unrolled

    unrolled.theorem(
        architecture, options, steps=steps, widths=widths, seeds=seeds, source=data, classes=classes, points=points, probes=probes, mup=mup,
        output=output,
    )  # fmt: skip


@app.command(group=COMPUTE)
def mup(
    architecture: str,
    /,
    *,
    optimizer: Literal["sgd", "adam"] = "adam",
    base: int | None = None,
    target: int | None = None,
    parametrization: str = "mup",
    check: str | None = None,
    output: Output = None,
    **options: OwnOption,
) -> None:
    """Say how to initialize, multiply and train every tensor so that the learning rate transfers across widths; check it on real networks.

    Args:
        architecture: A name, or a program file.
        optimizer: Whose learning rates.
        base: The width at which hyperparameters were tuned.
        target: The width at which they are to be used: the table then has the factors.
        parametrization: mup, ntp, standard, mean_field, or framework (one learning rate for all widths).
        check: Widths, `32:256`: train networks there for a few steps, and name the tensors that do not keep their size.
        output: Write the numbers (.json), or with --check the plot (.svg, .png, .pdf), here.
    """
    from tensorprog.cli import widths

    widths.mup(
        architecture, options, optimizer=optimizer, base=base, target=target, parametrization=parametrization, check=check, output=output
    )  # fmt: skip


@app.command(group=COMPUTE)
def transfer(
    architecture: str,
    /,
    *,
    optimizer: Literal["sgd", "adam"] = "sgd",
    widths: str = "64:512",
    rates: str = "2^-6:2^4",
    parametrizations: str = "framework,ntp,mup",
    steps: int = 20,
    seeds: int = 2,
    points: int = 32,
    limit: bool = False,
    output: Output = None,
    **options: OwnOption,
) -> None:
    """Sweep the learning rate at several widths in several parametrizations: where does the best one stay?

    Args:
        architecture: A name, or a program file.
        optimizer: What trains the networks.
        widths: `64:512` doubles from 64 to 512; or a list. All parametrizations agree at the first.
        rates: `2^-6:2^4` doubles; or a list.
        parametrizations: Several of mup, ntp, standard, mean_field, framework.
        steps: Steps of full-batch training.
        seeds: Networks at each rate.
        points: Digits 3 and 8 to train on.
        limit: Draw the limit's own curve, in ntp and mup (SGD; in muP minutes of sampling, so take few points and steps).
        output: Write the plot (.svg, .png, .pdf) or the losses (.json) here.
    """
    from tensorprog.cli import widths as command

    command.transfer(
        architecture, options, optimizer=optimizer, widths=widths, rates=rates, parametrizations=parametrizations,
        steps=steps, seeds=seeds, points=points, limit=limit, output=output,
    )  # fmt: skip


@app.command(group=COMPUTE)
def demo(*architectures: str, output: Annotated[Path, Parameter(alias="-o")] = Path("out"), quick: bool = False) -> None:
    """Do all of it on real images and write one HTML report.

    Args:
        architectures: Names from `tensorprog list` [default: mlp, and resnet and transformer where they exist].
        output: The folder for the report and everything behind it; what it holds already is not computed again.
        quick: Small widths and few networks: seconds instead of minutes.
    """
    from tensorprog.cli import demo as main_job

    main_job.demo(architectures, output=output, quick=quick)
