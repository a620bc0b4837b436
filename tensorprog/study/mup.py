"""The table that practitioners ask for: how every tensor of a network scales with the width in muP (Yang et al. 2022, TP V, Tables 3 and 8).

| class of the tensor           | initial variance | multiplier   | SGD rate | Adam rate | Adam epsilon |
| ----------------------------- | ---------------- | ------------ | -------- | --------- | ------------ |
| vector (embedding, bias, gain)| 1                | 1            | n        | 1         | 1/n          |
| matrix                        | 1/n              | 1            | 1        | 1/n       | 1/n          |
| readout, Table 3              | 1/n^2            | 1            | 1/n      | 1/n       | 1            |
| readout, Table 8              | 1                | 1/n          | n        | 1         | 1/n          |

n is what grows in the tensor's fan-in or fan-out. The two rows of the readout are one parametrization, written in two ways (TP V, Lemma J.1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

from tensorprog.errors import InvalidProgram
from tensorprog.language.instr import Embedding
from tensorprog.language.program import Network
from tensorprog.transform.parametrization import MUP, Exponents, Parametrization, Role, roles, shift

if TYPE_CHECKING:
    from rich.table import Table as Screen

Optimizer = Literal["sgd", "adam"]
Form = Literal["table 3", "table 8"]
LIKE = {"matrix": "matrix-like", "vector": "vector-like", "readout": "output"}


@dataclass(frozen=True)
class Scaling:
    """How one tensor scales. All powers are of the width n: std ~ n^std, and so on.

    Attributes:
        shape: of the tensor as a matrix, fan-out x fan-in; d is the dimension of the data.
        factor: at the target width over the base width, of std, multiplier, rate and epsilon; empty without widths.
    """

    tensor: str
    role: Role
    shape: str
    std: Fraction
    multiplier: Fraction
    rate: Fraction
    epsilon: Fraction | None
    trained: bool = True
    factor: tuple[float, ...] = ()

    @property
    def powers(self) -> tuple[Fraction, ...]:
        return self.std, self.multiplier, self.rate, *(() if self.epsilon is None else (self.epsilon,))


@dataclass(frozen=True)
class Table:
    """Every tensor of a network in a parametrization; `base` and `target` are the widths of the factors."""

    network: str
    parametrization: str
    optimizer: Optimizer
    form: Form
    rows: tuple[Scaling, ...]
    base: int | None = None
    target: int | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        return "std", "multiplier", "rate", *(("epsilon",) if self.optimizer == "adam" else ())

    def table(self) -> Screen:
        """For a terminal."""
        from rich.table import Table as Screen

        widths = "" if self.base is None else f", from width {self.base} to {self.target}"
        screen = Screen(title=f"{self.network}: {self.parametrization} for {self.optimizer} ({self.form}){widths}")
        for column in ("tensor", "class", "shape", *self.columns):
            screen.add_column(column, justify="left" if column in ("tensor", "class") else "right", no_wrap=column in ("tensor", "class", "shape"))
        for r in self.rows:
            cells = [_cell(p, f) for p, f in zip(r.powers, r.factor or (None,) * len(r.powers), strict=True)]
            if not r.trained:
                cells[2:] = ["frozen", *("" for _ in cells[3:])]
            screen.add_row(r.tensor, LIKE[r.role], r.shape, *cells)
        return screen

    def to_dict(self) -> dict[str, Any]:
        """Plain data (for JSON)."""
        rows = [
            {"tensor": r.tensor, "class": LIKE[r.role], "shape": r.shape, "trained": r.trained}
            | dict(zip(self.columns, map(str, r.powers), strict=True))
            | {"factor": dict(zip(self.columns, r.factor, strict=False))}
            for r in self.rows
        ]
        return {"network": self.network, "parametrization": self.parametrization, "optimizer": self.optimizer, "form": self.form, "rows": rows}

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=120, color_system=None)
        with console.capture() as said:
            console.print(self.table())
        return said.get()


def mup(
    network: Network,
    optimizer: Optimizer = "adam",
    *,
    base: int | None = None,
    target: int | None = None,
    form: Form = "table 8",
    parametrization: Parametrization = MUP,
) -> Table:
    """How to initialize, multiply and train every tensor of a network, so that it learns features at every width and its learning rate transfers.

    Args:
        base, target: the width at which hyperparameters were tuned and the one at which they are to be used; then the table has the factors too.
        form: where the readout's power of n stands: "table 3" in its initialization, "table 8" in its multiplier.
        parametrization: another one than muP, for comparison.

    Raises:
        InvalidProgram: an unknown optimizer or form, or one width without the other.
    """
    if optimizer not in ("sgd", "adam") or form not in ("table 3", "table 8"):
        raise InvalidProgram(f"[mup] optimizer {optimizer!r} and form {form!r}: take sgd or adam, and table 3 or table 8.")
    if (base is None) != (target is None) or any(width is not None and width < 1 for width in (base, target)):
        raise InvalidProgram(f"[mup] base {base} and target {target} are the two widths between which tensors scale. Give both, positive.")
    ratio = None if base is None or target is None else target / base
    rows = tuple(_scaling(network, name, role, optimizer, form, parametrization, ratio) for name, role in roles(network).items())
    return Table(network.name, parametrization.name, optimizer, form, rows, base, target)


def _scaling(
    network: Network, name: str, role: Role, optimizer: Optimizer, form: Form, parametrization: Parametrization, ratio: float | None
) -> Scaling:
    e = _written(parametrization.of(name, role), role, form)
    adam = optimizer == "adam"
    row = Scaling(name, role, _shape(network, name), -e.b, -e.a, -(e.c if adam else e.sgd), -e.d if adam else None, network.trained(name).rate != 0)
    return row if ratio is None else replace(row, factor=tuple(ratio ** float(p) for p in row.powers))


def _written(e: Exponents, role: Role, form: Form) -> Exponents:
    """The exponents with the multiplier 1, but for the readout's in the form of Table 8, whose initialization is 1."""
    return shift(e, e.b if role == "readout" and form == "table 8" else -e.a)


def _shape(network: Network, name: str) -> str:
    p = network.program
    if (m := p.matrix.get(name)) is not None:
        return f"{_width(network, m.rows)} x {_width(network, m.cols)}"
    for v in p.vectors:
        if isinstance(v.law, Embedding) and v.law.matrix == name:
            return f"{_width(network, v.width)} x d"
        if v.name == name:
            return f"{_width(network, v.width)} x 1"
    r = next(r for r in network.readouts if r.vector == name)
    return f"{network.outputs} x {_width(network, r.width)}"


def _width(network: Network, name: str) -> str:
    ratio = network.program.width[name].ratio
    return "n" if ratio == 1 else f"{ratio}n"


def _cell(power: Fraction, factor: float | None) -> str:
    text = {Fraction(0): "1", Fraction(1): "n", Fraction(-1): "1/n", Fraction(-1, 2): "1/sqrt(n)", Fraction(1, 2): "sqrt(n)"}.get(power, f"n^{power}")
    return text if factor is None else f"{text} (x{factor:.4g})"
