"""How far the kernels of both programs in float32 are from ours in float64: `out/bench/accuracy.md`.

    python -m benchmarks.accuracy
    python -m benchmarks.accuracy erf-3-1000 transformer

Of every workload, on fewer points: the largest |K - truth| off and on the diagonal, in units of the largest entry of the kernel. The truth is by
the rules in float64 with a finer quadrature than that of either program. Differences that are those of float32 stand beside 6e-8, its rounding.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.__main__ import Side, machine
from benchmarks.environment import PLACE, peer
from benchmarks.workloads import WORKLOADS, Workload, as_json

POINTS = {"mlp": 120, "resnet": 120, "attention": 16, "conv": 12}
NAMES = (
    "relu-3-1000",
    "relu-10-3000",
    "erf-3-1000",
    "gelu-3-500",
    "gelu-quadrature",
    "tanh-quadrature",
    "resnet-10",
    "attention",
    "transformer",
    "conv-1d",
)
HEAD = ("workload", "kernel", "ours, off the diagonal", "peer, off the diagonal", "ours, on it", "peer, on it")


def found(side: Side, workload: Workload, place: Path) -> Mapping[str, np.ndarray]:
    for order in ({"do": "build", "workload": as_json(workload)}, {"do": "save", "file": str(place)}):
        answer = side.ask(**order)
        if "error" in answer:
            raise RuntimeError(f"{workload.title}: {answer['error']}")
    with np.load(place) as file:
        return dict(file)


def distances(k: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Off the diagonal and on it."""
    off = np.abs(k - truth) / np.abs(truth).max()
    diagonal = np.eye(len(k), dtype=bool)
    return float(off[~diagonal].max()), float(off[diagonal].max())


def rows_of(workload: Workload, sides: Mapping[str, Side], place: Path) -> list[tuple[str, ...]]:
    few = replace(workload, points=POINTS[workload.family])
    fine = replace(few, options=few.options | {"exact": True})
    truth = found(sides["truth"], fine, place)
    kernels = {name: found(sides[name], few, place) for name in ("ours", "peer") if name in sides}
    out: list[tuple[str, ...]] = []
    for which, exact in truth.items():
        apart = {name: distances(np.asarray(k[which], float), exact) for name, k in kernels.items()}
        cells = (f"{apart[name][where]:.1e}" if name in apart else "" for where in (0, 1) for name in ("ours", "peer"))
        out.append((f"{workload.title.split(', N')[0]}, N = {few.points}", which, *cells))
    return out


def written(rows: list[tuple[str, ...]], about: Mapping[str, Any]) -> str:
    lines = (HEAD, ("---",) * len(HEAD), *rows)
    return (
        "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n\n" + ", ".join(f"{name}: {value}" for name, value in about.items()) + "\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description="Accuracy of the kernels of both programs in float32.")
    parser.add_argument("names", nargs="*", metavar="workload", default=NAMES, help="those of kernels in closed form and by quadrature, unless given")
    parser.add_argument("--peer", type=Path, default=PLACE, help="where the peer's environment is, or is made")
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="folder for accuracy.md")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    other, ours = peer(options.peer), (Path(sys.executable), "ours.py")
    programs = {"ours": ours, "truth": ours} | ({"peer": (other, "peer.py")} if other else {})
    sides = {name: Side(python, script, options.out / f"{name}.log") for name, (python, script) in programs.items()}
    rows: list[tuple[str, ...]] = []
    for name in options.names:
        rows += rows_of(WORKLOADS[name], sides, options.out.absolute() / "kernels.npz")
        print(*rows[-2:], sep="\n", file=sys.stderr)
    for side in sides.values():
        side.close()
    text = written(rows, machine())
    (options.out / "accuracy.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
