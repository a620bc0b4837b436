"""The trained tensors of a network: the sigma of each (Yang & Littwin 2021, Setup 5.2; Yang 2020, NTK4A)."""

from __future__ import annotations

from tensorprog.errors import InvalidProgram
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


def pace(network: Network, name: str) -> float:
    """The factor on the learning rate of a unit tensor w that enters as sigma w: its own rate, over sigma^2 where sigma w is what is trained.

    Raises:
        InvalidProgram: the convention "sigma" for a tensor with sigma 0 or with several.
    """
    training = network.trained(name)
    if training.convention == "unit" or training.rate == 0.0:
        return training.rate
    sigma2 = variance(network, name)
    if sigma2 == 0.0:
        raise InvalidProgram(f"[training] {name} has variance 0, and no unit tensor can move it. Give it a variance, or freeze it.")
    return training.rate / sigma2
