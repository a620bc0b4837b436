"""Time against the number of points and against depth, for both programs: `out/bench/speed.svg` and its numbers.

    python -m benchmarks.figure

A relu MLP with biases, NNGP and NTK in float32 on draws of N(0, 1)^32. Every time is the median of three runs after the first.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from benchmarks.__main__ import Side, compare, machine
from benchmarks.environment import PLACE, peer
from benchmarks.workloads import Workload, mlp
from tensorprog.study.style import COLORS, caption, panels

POINTS = (250, 500, 1000, 2000, 4000)
DEPTHS = (1, 3, 10, 30)
DEEP, MANY = 3, 1000  # the depth at which the points vary, and the points at which the depth does
NAMES = {"ours": "tensorprog", "peer": "neural-tangents"}


def workload(points: int, depth: int) -> Workload:
    return Workload(f"relu MLP with biases, depth {depth}, N = {points}", "mlp", points, 1, mlp("relu", depth), runs=3)


def draw(rows: dict[str, Any], place: Path) -> None:
    figure, (left, right) = panels(9.0, 3.9, columns=2)
    by_points = {n: rows[workload(n, DEEP).title] for n in POINTS}
    by_depth = {d: rows[workload(MANY, d).title] for d in DEPTHS}
    _lines(left, by_points, f"depth {DEEP}", "points N")
    _lines(right, by_depth, f"N = {MANY}", "depth")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure.savefig(place)


def _lines(ax: Axes, rows: dict[int, dict[str, Any]], title: str, x: str) -> None:
    for name, color, marker in (("ours", COLORS[0], "o"), ("peer", COLORS[1], "s")):
        for what, style, more in (("median", "-", ""), ("first", ":", ", first call")):
            found = {at: row[name][what] for at, row in rows.items() if row.get(name, {}).get(what)}
            ax.plot([*found], [*found.values()], style, color=color, marker=marker, ms=4, label=NAMES[name] + more)
    ax.set(xscale="log", yscale="log", xlabel=x, ylabel="seconds")
    ax.set_xticks([*rows], [str(n) for n in rows])
    ax.minorticks_off()
    caption(ax, title)


def measured(works: Sequence[Workload], sides: dict[str, Side]) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for work in works:
        rows[work.title] = compare(work, sides, None)
        print(work.title, {name: rows[work.title][name].get("median") for name in sides}, file=sys.stderr)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.figure", description="Time against points and depth, for both programs.")
    parser.add_argument("--peer", type=Path, default=PLACE, help="where the peer's environment is, or is made")
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="folder for speed.svg and speed.json")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    other = peer(options.peer)
    programs = {"ours": (Path(sys.executable), "ours.py")} | ({"peer": (other, "peer.py")} if other else {})
    sides = {name: Side(python, script, options.out / f"{name}.log") for name, (python, script) in programs.items()}
    works = {w.title: w for w in (*(workload(n, DEEP) for n in POINTS), *(workload(MANY, d) for d in DEPTHS))}
    record = {"machine": machine(), "rows": measured([*works.values()], sides)}
    for side in sides.values():
        side.close()
    (options.out / "speed.json").write_text(json.dumps(record, indent=1))
    draw(record["rows"], options.out / "speed.svg")


if __name__ == "__main__":
    main()
