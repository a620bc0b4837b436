"""The judgement on a program: is it one (`judgement`, `declarations`), does a theorem hold it (`hypotheses`), do its dots vanish (`gia`).

>>> report = check(network)
>>> report.raise_if_invalid()
>>> print(report)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import assert_never

from tensorprog.errors import InvalidProgram, OutsideTheory
from tensorprog.language.covariance import MAX_MEMBERS, check_law, groups, too_large
from tensorprog.language.declarations import declaration, frame, free
from tensorprog.language.finding import MAX_FINDINGS, Finding, message
from tensorprog.language.gia import Verdict, bp_like, simple_gia_check
from tensorprog.language.hypotheses import Language, Walk, growing_scalar, language
from tensorprog.language.instr import Axis, Covariance, InitScalar, InitVector, Input, MatMul, Matrix, Moment, Nonlin, OuterNonlin, Width
from tensorprog.language.judgement import FAULTY, Said, Scope, instruction
from tensorprog.language.listing import Header, Item, NetworkKind, Outputs, Return, Train, items, line
from tensorprog.language.program import Network, Program, Readout

__all__ = ["Finding", "Language", "Report", "Verdict", "check"]


@dataclass(frozen=True)
class Report:
    """What `check` finds.

    Attributes:
        problems: what makes this no program; everything below is unknown then.
        outside: what no theorem covers.
        warnings: hypotheses of the Master Theorem that fail or cannot be seen to hold.
        language: the smallest language that holds the program.
        gia: the simple GIA check; None for a program without readout.
        bp_like: whether the program is BP-like: its dots vanish. (For a network: its body with the backward pass; that is the GIA check.)
    """

    name: str
    problems: tuple[Finding, ...] = ()
    outside: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    language: Language | None = None
    gia: Verdict | None = None
    bp_like: Verdict | None = None

    @property
    def ok(self) -> bool:
        """Whether the program has a meaning, and a limit. Warnings do not count."""
        return not self.problems and not self.outside

    def raise_if_invalid(self) -> None:
        """Nothing, if the program is fine.

        Raises:
            InvalidProgram: it is no program; the message has a line for each problem.
            OutsideTheory: it is one, but no theorem covers it.
        """
        if self.problems:
            raise InvalidProgram(message(self.problems))
        if self.outside:
            raise OutsideTheory(message(self.outside))

    def __str__(self) -> str:
        if self.problems:
            return message(self.problems)
        lines = [f"{self.name}: a {self.language} program.", *map(str, self.outside)]
        if self.gia is not None:
            lines.append(f"Simple GIA check: {'holds' if self.gia else 'fails'}: {self.gia.reason}.")
        elif self.bp_like is not None:
            lines.append(f"BP-like: {'yes' if self.bp_like else 'no'}: {self.bp_like.reason}.")
        return "\n".join([*lines, *(f"warning: {w}" for w in self.warnings)])


def check(source: Program | Network, lines: Sequence[int] | None = None) -> Report:
    """The typing judgement, the language, the hypotheses, the GIA check: all that is wrong, at once.

    Args:
        lines: the line numbers to speak of, one for each line of `show(source)`, e.g. `read(text).lines`; those of `show(source)` if not given.
    """
    listed = items(source)
    numbers = list(lines) if lines is not None else list(range(1, len(listed) + 1))
    problems = tuple(sorted(islice(_problems(source, listed, numbers), MAX_FINDINGS), key=lambda f: f.line))
    p = source.program if isinstance(source, Network) else source
    if problems:
        return Report(p.name, problems)
    outside, warnings = _hypotheses(p, listed, numbers)
    gia = simple_gia_check(source) if isinstance(source, Network) else None
    return Report(p.name, (), outside, warnings, language(p), gia, bp_like(p) if gia is None else gia)


def _problems(source: Program | Network, listed: Sequence[Item], numbers: Sequence[int]) -> Iterable[Finding]:
    places = reversed(list(zip(listed, numbers, strict=True)))
    scope = Scope(later={item.out: number for item, number in places if isinstance(item, MatMul | Nonlin | Moment | OuterNonlin)})
    sound: list[tuple[int, Covariance]] = []
    for item, number in zip(listed, numbers, strict=True):
        said = list(dict.fromkeys(_judge(item, scope, source)))
        yield from (_finding(item, number, s) for s in said)
        if isinstance(item, Covariance) and not said:
            sound.append((number, item))
    yield from _laws(sound, scope)


def _judge(item: Item, scope: Scope, source: Program | Network) -> Iterable[Said]:
    """What the rules say of one line; the scope learns what it defines."""
    match item:
        case Width() | Axis() | Input() | Matrix() | InitVector() | Covariance() | InitScalar():
            yield from declaration(item, scope)
        case MatMul() | Nonlin() | Moment() | OuterNonlin():
            kind = yield from instruction(item, scope)
            taken = list(free(item.out, scope))
            yield from taken
            scope.variables[item.out] = FAULTY if taken else kind
        case Header() | Readout() | Outputs() | NetworkKind() | Train() | Return():
            yield from frame(item, scope, source)
        case _:
            assert_never(item)


def _laws(sound: Sequence[tuple[int, Covariance]], scope: Scope) -> Iterable[Finding]:
    """[covariance] for each set of vectors that covariances connect, at the last line that connects them."""
    number_of = {id(c): number for number, c in sound}
    for names, covariances in groups([c for _, c in sound]):
        last = max(covariances, key=lambda c: number_of[id(c)])
        yield from (_finding(last, number_of[id(last)], s) for s in check_law(names, covariances, scope.initial, scope.sizes))


def _hypotheses(p: Program, listed: Sequence[Item], numbers: Sequence[int]) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    outside: list[Finding] = []
    warnings: list[Finding] = []
    walk = Walk(p)
    vectors = {v.name: v for v in p.vectors}
    unjudged = {name for names, _ in groups(p.covariances) if too_large(names, vectors, dict(p.size)) for name in names}
    for item, number in zip(listed, numbers, strict=True):
        if isinstance(item, Covariance) and item.a in unjudged:
            finding = "too many members are jointly Gaussian for their covariance to be judged here"
            warnings.append(_finding(item, number, ("covariance", finding, f"See that it is positive semidefinite; up to {MAX_MEMBERS} are judged")))
        if isinstance(item, InitScalar):
            outside += (_finding(item, number, s) for s in growing_scalar(item))
        if isinstance(item, MatMul | Nonlin | Moment | OuterNonlin):
            warnings += (_finding(item, number, s) for s in dict.fromkeys(walk.warnings(item)))
            outside += (_finding(item, number, s) for s in walk.outside(item))
    return tuple(outside), tuple(warnings)


def _finding(item: Item, number: int, said: Said) -> Finding:
    try:
        text = line(item)
    except InvalidProgram:  # too deeply nested to be written
        text = f"{item.out} := ..." if isinstance(item, Nonlin | Moment | OuterNonlin) else "..."
    return Finding(number, text, *said)
