"""`make bench`: both libraries in turn in one run, medians and their ratio, as a table, Markdown and JSON.

python -m benchmarks                        every workload
python -m benchmarks relu-3-1000 conv-1d    some of them
python -m benchmarks --list
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.environment import PLACE, peer, translate
from benchmarks.workloads import WORKLOADS, Workload, as_json

HERE = Path(__file__).parent
WIDTH = 160  # of the table where no terminal says its own
UNSEEN = ("XLA_FLAGS", "OMP_NUM_THREADS", "PYTHONPATH")  # both programs run as a user would run them


class Side:
    """One of the two programs, as a process that answers in lines of JSON."""

    def __init__(self, python: Path, script: str, log: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in UNSEEN}
        self._log = log.open("w")
        self._process = subprocess.Popen(
            [python, HERE / script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, cwd=HERE.parent,
            env=environment | ({"PYTHONPATH": str(HERE.parent)} if script == "ours.py" else {}),
        )  # fmt: skip
        self.versions = self._answer()

    def ask(self, **order: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process ended; see {self._log.name}")
        return json.loads(line)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._log.close()


def compare(workload: Workload, sides: dict[str, Side], runs: int | None) -> dict[str, Any]:
    """First and second call, and medians of turns that alternate between the two programs; a program that fails says why.

    A turn is the median of some calls one after another (`worker.TURN`); `after a pause` is the median of the first calls of turns.
    """
    row: dict[str, Any] = {"title": workload.title, "bar": workload.bar}
    alive: list[str] = []
    for name, side in sides.items():
        built = side.ask(do="build", workload=as_json(workload))
        row[name] = {"first": built.get("seconds"), "error": built.get("error"), "turns": []}
        alive += [] if "error" in built else [name]
    for name in alive:
        row[name]["second"] = sides[name].ask(do="run")["seconds"][0]  # of a turn that does not count: what goes by NumPy first is compiled then
    for _ in range(runs or workload.runs):
        for name in alive:
            row[name]["turns"].append(sides[name].ask(do="run")["seconds"])
    for name in alive:
        row[name]["median"] = median(map(median, row[name]["turns"]))
        row[name]["after a pause"] = median(turn[0] for turn in row[name]["turns"])
    if len(alive) == 2:
        row["ratio"] = row["peer"]["median"] / row["ours"]["median"]
    return row


def shown(rows: dict[str, dict[str, Any]]) -> list[tuple[str, ...]]:
    """Cells of the table: workload, first call of each program, our second one, which may be the first that compiles, medians, ratio, bar."""

    def seconds(row: dict[str, Any], name: str, what: str) -> str:
        value = row.get(name, {}).get(what)
        return "" if value is None else f"{value:.4f}" if what == "median" else f"{value:.2f}"

    out: list[tuple[str, ...]] = []
    for row in rows.values():
        columns = (("first", "ours"), ("first", "peer"), ("second", "ours"), ("median", "ours"), ("median", "peer"))
        cells = (seconds(row, name, what) for what, name in columns)
        ratio = f"{row['ratio']:.1f}" if "ratio" in row else next((f"{n} failed" for n in ("ours", "peer") if row.get(n, {}).get("error")), "")
        out.append((row["title"], *cells, ratio, f"{row['bar']:g}"))
    return out


HEAD = ("workload", "first, ours, s", "first, peer, s", "second, ours, s", "again, ours, s", "again, peer, s", "times as fast", "bar")


def machine() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def save(record: dict[str, Any], place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    (place / "bench.json").write_text(json.dumps(record, indent=1))
    lines = [
        "| " + " | ".join(HEAD) + " |",
        "| " + " | ".join("---" for _ in HEAD) + " |",
        *("| " + " | ".join(row) + " |" for row in shown(record["rows"])),
    ]
    facts = ", ".join(f"{key} {value}" for key, value in (record["machine"] | record["versions"]).items())
    (place / "bench.md").write_text("\n".join([*lines, "", facts, ""]))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Both libraries in turn, medians and ratios.")
    parser.add_argument("names", nargs="*", metavar="workload", help="all unless given; see --list")
    parser.add_argument("--list", action="store_true", help="the workloads")
    parser.add_argument("--runs", type=int, help="turns of each program")
    parser.add_argument("--peer", type=Path, default=PLACE, help="where the peer's environment is, or is made")
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="folder for bench.json and bench.md")
    options = parser.parse_args()
    unknown = sorted({*options.names} - {*WORKLOADS})
    if options.list or unknown:
        print(*(f"unknown workload: {name}" for name in unknown), *(f"{name:24} {w.title}" for name, w in WORKLOADS.items()), sep="\n")
        sys.exit(2 if unknown else 0)
    options.out.mkdir(parents=True, exist_ok=True)
    other = peer(options.peer)
    programs = {"ours": (Path(sys.executable), "ours.py")} | ({"peer": (other, "peer.py")} if other else {})
    for python, _ in programs.values():
        translate(python)
    sides = {name: Side(python, script, options.out / f"{name}.log") for name, (python, script) in programs.items()}
    versions = {f"{name} {package}": v for name, side in sides.items() for package, v in side.versions.items()}
    record: dict[str, Any] = {"machine": machine(), "versions": versions, "rows": {}}
    for name in options.names or WORKLOADS:
        taking_part = {"ours": sides["ours"]} if WORKLOADS[name].alone else sides
        record["rows"][name] = compare(WORKLOADS[name], taking_part, options.runs)
        print(*shown({name: record["rows"][name]})[0], sep="  ", file=sys.stderr)
        save(record, options.out)
    table = Table(*HEAD)
    for row in shown(record["rows"]):
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else WIDTH).print(table)
    for side in sides.values():
        side.close()


if __name__ == "__main__":
    main()
