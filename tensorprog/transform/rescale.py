"""One network at every width and depth: multipliers and learning rates that move with them (Yang et al. 2022, TP V, section 4; 2023, TP VI).

At the base width n_0 all parametrizations are the network itself; at width n a tensor W = n^-a w, w ~ N(0, n^-2b), trained at eta n^-c, becomes in
the unit tensors of this library, whose initialization does not change with n:

| multiplier of the readout     | (n / n_0)^-(a + b), of which the readout itself has n^-1/2 (kind "ntk") or n^-1 (kind "moment") |
| learning rate, SGD            | (n / n_0)^-(c - d - 2 b)                                                                        |
| learning rate, entrywise      | (n / n_0)^-(c - b)                                                                              |
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from fractions import Fraction

from tensorprog.errors import InvalidProgram
from tensorprog.language.program import Network, Training
from tensorprog.language.tensors import pace
from tensorprog.transform.parametrization import Exponents, Optimizer, Parametrization, Role, roles


def at_width(network: Network, parametrization: Parametrization, n: int, base: int, optimizer: Optimizer = "sgd") -> Network:
    """The network to sample and train at base width n.

    Args:
        base: the width at which nothing changes.
        optimizer: "sgd", or "entrywise" for SignSGD and Adam.

    Raises:
        InvalidProgram: a width that is not positive, or a matrix or vector that does not start at size 1 (a + b is not 1/2, or not 0).
    """
    if n < 1 or base < 1:
        raise InvalidProgram(f"[width] the widths are {n} and {base}. Give positive ones.")
    own = Fraction(1, 2) if network.kind == "ntk" else Fraction(1)
    readouts = tuple(replace(r, sigma=r.sigma * _power(n, base, own - _size(parametrization.of(r.vector, "readout")))) for r in network.readouts)
    boost = _boost(network, base) / _boost(network, n)
    training: dict[str, Training] = {}
    for name, role in roles(network).items():
        e = parametrization.of(name, role)
        _check(name, role, e)
        slower = e.sgd - 2 * e.b if optimizer == "sgd" else e.c - e.b
        training[name] = Training(rate=boost * pace(network, name) * _power(n, base, -slower))
    return replace(network, readouts=readouts, training=training)


def at_depth(network: Network, branches: Collection[str], depth: int, base: int, optimizer: Optimizer = "sgd", gamma: float = 0.5) -> Network:
    """The network of `depth` residual blocks, its branches scaled by depth^-1/2, with the learning rates of Depth-muP (Yang et al. 2023, TP VI).

    Args:
        branches: the tensors of the residual branches. An entrywise optimizer moves them at eta (depth / base)^-gamma, SGD at eta, since its
            gradients carry the factor depth^-1/2 of the branch already.
        base: the depth at which nothing changes.

    Raises:
        InvalidProgram: a depth that is not positive, or a tensor that the network does not have.
    """
    unknown = sorted(set(branches) - set(network.parameters))
    if unknown or depth < 1 or base < 1:
        found = f"there is no tensor {unknown[0]}" if unknown else f"the depths are {depth} and {base}"
        raise InvalidProgram(f"[depth] {found}. Name tensors of residual branches, and positive depths.")
    slower = 1.0 if optimizer == "sgd" else (depth / base) ** -gamma
    moved = {name: replace(network.trained(name), rate=network.trained(name).rate * slower) for name in branches}
    return replace(network, training={**network.training, **moved})


def _size(e: Exponents) -> Fraction:
    return e.a + e.b


def _power(n: int, base: int, exponent: Fraction) -> float:
    return (n / base) ** float(exponent)


def _boost(network: Network, n: int) -> float:
    """The factor that training has in a network of kind "moment" already: N."""
    return network.program.width[network.readouts[0].width].at(n) if network.kind == "moment" else 1.0


def _check(name: str, role: Role, e: Exponents) -> None:
    needed = {"matrix": Fraction(1, 2), "vector": Fraction(0), "readout": None}[role]
    if needed is not None and _size(e) != needed:
        raise InvalidProgram(f"[parametrization] {name}: a + b is {_size(e)}, and activations keep their size for {needed} only. Change a or b.")
