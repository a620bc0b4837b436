"""What tells networks apart: as a value that can be hashed, for caches; and on disk, where a function of one's own has only its name."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from tensorprog.gaussian.functions import function
from tensorprog.language.expr import Apply, Fn, walk
from tensorprog.language.instr import MatMul
from tensorprog.language.program import Network, Program

Parts = tuple[Any, ...]
POINTS = np.array([-2.75, -1.25, -0.5, 0.25, 0.875, 1.75])


def parts_of(network: Network) -> Parts:
    """Equal for equal networks, the bodies of their own functions included."""
    training = tuple(sorted(network.training.items(), key=lambda item: item[0]))
    return network.program, network.readouts, network.outputs, network.kind, training


def network_of(parts: Parts) -> Network:
    """The network of which these are the parts."""
    *most, training = parts
    return Network(*most, training=dict(training))


def own_values(program: Program) -> dict[str, list[str]]:
    """Values of the functions that are not built in, at a few points, to nine digits: other bodies of the same name have others."""
    found: dict[str, list[str]] = {}
    for fn in sorted(own_functions(program), key=lambda fn: (fn.name, fn.order)):
        with jax.enable_x64(True):
            values = np.asarray(function(fn)(*(np.roll(POINTS, k) for k in range(fn.arity))))
        found.setdefault(fn.name, []).extend(f"{v:.9g}" for v in values)
    return found


def own_functions(program: Program) -> set[Fn]:
    """The functions that are not built in."""
    psis = (i.psi for i in program.body if not isinstance(i, MatMul))
    return {e.fn for psi in psis for e in walk(psi) if isinstance(e, Apply) and e.fn.body is not None}
