"""The powers of the width in an unrolled program, from an abc-parametrization (Yang & Hu 2021, TP IV, Def. 3.2 and App. H).

With unit tensors W = sigma w / sqrt(n_in), g = sigma u xi / sqrt(d), b = sigma beta and f = N^-g sum dx . x, where dx = N^g df/dx is of size 1, a
learning rate eta N^e of a unit tensor moves the features by N^-(g - e):

| tensor  | e               | NTK parametrization | muP |
| ------- | --------------- | ------------------- | --- |
| readout | 2 g - 2 a - c   | 0                   | 1   |
| matrix  | 1 - 2 a - c     | 0                   | 1   |
| vector  | - 2 a - c       | 0                   | 1   |
| g       | min(a + b, 2 a + c) of the readout | 1/2 | 1 |

An entrywise optimizer moves the features by N^-(c + a - 1) through a matrix and N^-(c + a) through a vector, a readout by N^-(c + a - g), with
g = min(a + b, a + c) of the readout; e is then what stands in g - e. The deviations are of size N^-r with r the least of the g - e.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from tensorprog.errors import OutsideTheory
from tensorprog.language.program import Network
from tensorprog.transform.parametrization import MUP, NTP, Exponents, Optimizer, Parametrization, Role, classify, roles


@dataclass(frozen=True)
class Powers:
    """Attributes:
    gradient: g, of f = N^-g sum dx . x.
    rate: e of every trained tensor, on the learning rate of the unit tensor.
    """

    gradient: Fraction
    rate: Mapping[str, Fraction]

    @property
    def deviation(self) -> Fraction:
        """r: x_t = x_0 + N^-r x~_t."""
        return min((self.gradient - e for e in self.rate.values()), default=self.gradient)

    @property
    def output(self) -> Fraction:
        """f_t - f_0 = N^-output times averages of size 1."""
        return self.gradient + self.deviation - 1

    def lag(self, tensor: str) -> Fraction:
        """By what power of N a tensor moves less than the one that moves most."""
        return self.gradient - self.rate[tensor] - self.deviation


def default_parametrization(network: Network) -> Parametrization:
    """What the kind of a network says: NTK parametrization for f = v . x / sqrt(n), muP for f = v . x / n."""
    return NTP if network.kind == "ntk" else MUP


def powers(network: Network, parametrization: Parametrization, optimizer: Optimizer = "sgd") -> Powers:
    """The powers of the width of a network under a parametrization.

    Raises:
        OutsideTheory: training diverges with the width, or the readout starts smaller than it is after one step.
    """
    found = classify(parametrization, network, optimizer)
    if found.verdict == "unstable":
        reasons = "; ".join(map(str, found.failing))
        raise OutsideTheory(f"[parametrization] {parametrization.name} is unstable: {reasons}. There is no limit; see `classify`.")
    out = parametrization.of(network.readouts[0].vector, "readout")
    g = min(out.a + out.b, 2 * out.a + out.sgd if optimizer == "sgd" else out.a + out.c)
    if g < out.a + out.b:
        raise OutsideTheory(f"[parametrization] the readout of {parametrization.name} starts at 0 beside its first update. Start it at that size.")
    trained: dict[str, Role] = {name: role for name, role in roles(network).items() if network.trained(name).rate != 0}
    return Powers(g, {name: _rate(parametrization.of(name, role), role, g, optimizer) for name, role in trained.items()})


def _rate(e: Exponents, role: Role, g: Fraction, optimizer: Optimizer) -> Fraction:
    shift = {"readout": g, "matrix": Fraction(1), "vector": Fraction(0)}[role]
    if optimizer == "sgd":
        return shift + (g if role == "readout" else 0) - 2 * e.a - e.sgd
    return g + shift - e.a - e.c
