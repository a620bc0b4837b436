"""The dynamical dichotomy as a picture: how far the kernel moves in training, in the NTK parametrization and in muP.

    python examples/feature_learning.py docs/images

writes dichotomy.svg there and prints the table with its slopes.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from architectures import ZOO
from tensorprog.cli import data, screen
from tensorprog.study.dichotomy import dichotomy

WIDTHS, SEEDS, POINTS = (32, 64, 128, 256, 512, 1024), 16, 8


def main(folder: Path) -> None:
    two = data.two_classes(data.digits(), 3.0, 8.0)
    x, y = two.x[:POINTS], np.asarray(two.y)[:POINTS]
    smooth, relu = (ZOO["mlp"](depth=2, nonlinearity=phi) for phi in ("tanh", "relu"))
    networks = {
        "muP, tanh": replace(smooth, kind="moment"),
        "muP, relu": replace(relu, kind="moment"),
        "NTK parametrization, relu": relu,
        "NTK parametrization, tanh": smooth,
    }
    with screen.progress("the dynamical dichotomy") as progress:
        found = dichotomy(networks, x, y, WIDTHS, seeds=SEEDS, tell=progress)
    Console(width=150).print(found.table())
    found.plot().savefig(folder / "dichotomy.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
