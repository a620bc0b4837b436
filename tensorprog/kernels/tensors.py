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
from tensorprog.language.instr import Embedding, Gaussian
from tensorprog.language.program import Network


def variance(network: Network, name: str) -> float:
    """sigma^2 of a trained tensor.

    Raises:
        InvalidProgram: the tensor is used with several sigmas, where the convention "sigma" has no meaning.
    """
    p = network.program
    found = {m.sigma**2 for m in p.matrices if m.name == name}
    found |= {v.law.sigma**2 for v in p.vectors if isinstance(v.law, Embedding) and v.law.matrix == name}
    found |= {v.law.variance for v in p.vectors if isinstance(v.law, Gaussian) and v.name == name}
    found |= {r.sigma**2 for r in network.readouts if r.vector == name}
    if len(found) != 1:
        raise InvalidProgram(f"[training] {name} is used with several variances {sorted(found)}. Train it in the convention 'unit'.")
    return found.pop()


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
    if training.convention == "unit" or training.rate == 0.0:
        return training.rate
    if any(name in group for group in groups(network.program)):
        raise InvalidProgram(f"[training] {name} has correlated entries, and no unit tensor follows it. Train it in the convention 'unit'.")
    sigma2 = variance(network, name)
    if sigma2 == 0.0:
        raise InvalidProgram(f"[training] {name} has variance 0, and no unit tensor can move it. Give it a variance, or freeze it.")
    return training.rate / sigma2


def size_of_point(network: Network, n: int) -> int:
    """Numbers that one data point takes in the vectors of the forward pass."""
    p, size = network.program, widths(network.program, n)
    return sum(size[w] * prod(p.size[a] for a in p.axes_of[name]) for name, w in p.width_of.items() if w is not None)
