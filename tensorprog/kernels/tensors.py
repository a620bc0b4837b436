"""What is trained, and how fast (Yang & Littwin 2021, section 3; Yang 2020, NTK4A): the two conventions, told in unit tensors.

A tensor enters a network as sigma w. In the convention "unit" w is trained, in the convention "sigma" the tensor sigma w itself, which
moves w faster by 1 / sigma^2. A network of kind "moment" (f = v . x / N) is trained N times faster than its unit tensors say, so that it
moves at all: that is muP.
"""

from __future__ import annotations

from math import prod

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.finite import widths
from tensorprog.interpret.initial import groups
from tensorprog.language.program import Network
from tensorprog.language.tensors import pace


def base_size(network: Network, n: int) -> int:
    """N, the size at base width n of the width class of the first readout."""
    return widths(network.program, n)[network.readouts[0].width]


def unit_rates(network: Network, n: int) -> dict[str, float]:
    """The factor on the learning rate of every unit tensor, which trains the network as `Network.training` says.

    Raises:
        InvalidProgram: the convention "sigma" for a tensor with sigma 0, with several sigmas, or with correlated entries.
    """
    boost = base_size(network, n) if network.kind == "moment" else 1
    return {name: boost * _unit_rate(network, name) for name in network.parameters}


def _unit_rate(network: Network, name: str) -> float:
    training = network.trained(name)
    if training.convention == "sigma" and training.rate != 0.0 and any(name in group for group in groups(network.program)):
        raise InvalidProgram(f"[training] {name} has correlated entries, and no unit tensor follows it. Train it in the convention 'unit'.")
    return pace(network, name)


def size_of_point(network: Network, n: int) -> int:
    """Numbers that one data point takes in the vectors of the forward pass."""
    p, size = network.program, widths(network.program, n)
    return sum(size[w] * prod(p.size[a] for a in p.axes_of[name]) for name, w in p.width_of.items() if w is not None)
