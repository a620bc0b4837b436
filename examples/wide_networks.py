"""Wide networks whose kernels are in no table: a tied autoencoder, a GRU, a causal Transformer with two heads, at widths up to 4096.

    python examples/wide_networks.py [folder]

measures how fast their empirical kernels approach the limit of the program, and writes wide_networks.svg and a table in Markdown. The errors of
every network that is done are kept in the folder, so that a second call goes on where the first one was stopped. Needs 4 GB of memory.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

import tensorprog as tp
from architectures import ZOO
from tensorprog.cli import screen
from tensorprog.language import text
from tensorprog.study import plots, store
from tensorprog.study.convergence import Curve, Study, converge
from tensorprog.study.frame import machine

WIDTHS = tuple(2**k for k in range(6, 13))
POINTS, DIMENSION = 2, 4
NETWORKS = {  # and how many of each are drawn at every width
    "tied autoencoder": (ZOO["autoencoder"](), 16),
    "GRU, 3 steps": (ZOO["gru"](time=3), 16),
    "causal Transformer, 2 heads": (ZOO["transformer"](token=3, heads=2, ratio=1.0, causal=True, position="learned"), 8),
}


def data(network: tp.Network) -> dict[str, np.ndarray]:
    """Standard normal inputs, (points, positions.., features)."""
    rng, size = np.random.default_rng(0), network.program.size
    return {i.name: rng.standard_normal((POINTS, *(size[a] for a in sorted(i.axes)), DIMENSION)) for i in network.program.inputs}


def study(title: str, network: tp.Network, seeds: int, folder: Path) -> Study:
    """The errors at every width and seed, measured once and kept."""

    def measured() -> Mapping[str, ArrayLike]:
        with screen.progress(title) as progress:
            found = converge(network, data(network), WIDTHS, seeds=seeds, progress=progress)
        return {f"{c.quantity}/{part}": a for c in found.curves for part, a in (("errors", c.errors), ("limit", c.limit_error), ("method", c.method))}

    provenance = {"network": text.show(network), "widths": WIDTHS, "seeds": seeds, "points": POINTS, "dimension": DIMENSION}
    kept = store.kept(folder / f"{network.name}.npz", provenance, measured)
    return Study(title, tuple(Curve(q, WIDTHS, kept[f"{q}/errors"], float(kept[f"{q}/limit"]), str(kept[f"{q}/method"])) for q in ("nngp", "ntk")))


def row(found: Study) -> str:
    """Errors of the NTK at the first and the last width, both slopes with their intervals, and how well the limit is known."""
    nngp, ntk = found["nngp"], found["ntk"]
    slopes = (f"{c.slope.value:.2f} [{c.slope.low:.2f}, {c.slope.high:.2f}]" for c in (nngp, ntk))
    return " | ".join(["", found.name, f"{ntk.rms[0]:.2%}", f"{ntk.rms[-1]:.2%}", *slopes, ntk.method, f"{ntk.limit_error:.0e}", ""]).strip()


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    found = [study(title, network, seeds, folder) for title, (network, seeds) in NETWORKS.items()]
    plots.convergence(*found).savefig(folder / "wide_networks.svg")
    names = ("network", f"NTK at n = {WIDTHS[0]}", f"at n = {WIDTHS[-1]}", "slope, NNGP", "slope, NTK", "limit by", "with relative error")
    table = [" | ".join(["", *names, ""]).strip(), "|" + "---|" * len(names), *map(row, found), "", machine()]
    (folder / "wide_networks.md").write_text("\n".join(table) + "\n", encoding="utf-8")
    screen.plain("\n".join(table))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/wide_networks"))
