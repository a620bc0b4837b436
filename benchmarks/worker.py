"""One side of the comparison: a process that builds a workload and runs it whenever it is told to, by lines of JSON.

Imports nothing of either program; `serve` is given the families: name -> function of (workload, data) -> a function that computes.
"""

import json
import resource
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from workloads import Workload, data

Compute = Callable[[], Mapping[str, Any]]
Family = Callable[[Workload, np.ndarray], Compute]


TURN = 0.2  # seconds


def timed(compute: Compute) -> list[float]:
    """The times of all calls that one turn has room for, at least one: the first of them finds caches and threads as the other program left them."""
    seconds: list[float] = []
    while sum(seconds) < TURN:
        start = time.perf_counter()
        compute()
        seconds.append(time.perf_counter() - start)
    return seconds


def serve(families: Mapping[str, Family], versions: Mapping[str, str]) -> None:
    """Answers {"do": "build", "workload": ..}, {"do": "run"}, {"do": "save", "file": ..} until the input ends."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # what a library prints is no answer
    print(json.dumps(dict(versions)), file=answers, flush=True)
    compute: Compute = dict
    for line in sys.stdin:
        order = json.loads(line)
        try:
            reply: dict[str, Any] = {}
            if order["do"] == "build":
                workload = Workload(**order["workload"] | {"shape": tuple(order["workload"]["shape"])})
                start = time.perf_counter()
                compute = families[workload.family](workload, data(workload))
                compute()
                reply = {"seconds": time.perf_counter() - start}
            elif order["do"] == "run":
                reply = {"seconds": timed(compute)}
            elif order["do"] == "save":
                np.savez(order["file"], **{name: np.asarray(a) for name, a in compute().items()})
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        reply["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(reply), file=answers, flush=True)
