"""What is said of a faulty program: the line, the rule, the finding and the way out; and the limits on what is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MAX_CHARACTERS = 10_000_000  # of a text that is read
MAX_DEPTH = 64  # nodes of an expression, one inside the other
MAX_LEAVES = 100_000  # variables and constants of one expression
MAX_ENTRIES = 1_000_000  # of one table of constants, and of an axis
MAX_TABLES = 4_000_000  # entries that the short forms of one text (ranges, one-hot tensors ..) may unfold to
MAX_FINDINGS = 1000  # of one program
MAX_SHOWN = 20  # findings in one message
MAX_QUOTED = 100  # characters of a line quoted in a message


@dataclass(frozen=True)
class Finding:
    """`line 4: h2 := W1 x1: [matmul] W1 is n x m but x1 has width n. Transpose W1, or give x1 width m.`"""

    line: int
    text: str
    rule: str
    finding: str
    way_out: str
    column: int | None = None

    def __str__(self) -> str:
        place = f"line {self.line}" if self.column is None else f"line {self.line}, column {self.column}"
        quoted = self.text if len(self.text) <= MAX_QUOTED else self.text[: MAX_QUOTED - 4] + " ..."
        return f"{place}: {quoted}: [{self.rule}] {self.finding}. {self.way_out}{'' if self.way_out.endswith('?') else '.'}"


def message(findings: Iterable[Finding]) -> str:
    """All findings, one a line; of very many the first ones and their number."""
    every = list(findings)
    shown = [str(f) for f in every[:MAX_SHOWN]]
    more = len(every) - len(shown)
    return "\n".join([*shown, f"... and {more} more like these."] if more else shown)
